"""The fields of a call's record (`contracts/evidence.md`); never a value of the data."""

from hashlib import sha256
from typing import Any, Final

from gateway.domain import Allowed, Call, Denied
from gateway.evidence import salted
from gateway.listener.answer import Answer

EMPTY_DIGEST: Final = sha256(b"").digest()


About = dict[str, Any]
"""Fields that are the same for all calls of one caller, with one head, under one decision."""


def about_call(
    route: str | None,
    certificate: str | None,
    question: Call | None,
    outcome: Allowed | Denied | None,
) -> About:
    """Return the fields that do not depend on the answer, without those that have no value.

    Args:
        question, outcome: None for what the edge refused before anything was decided.
    """
    about: About = {"type": "call", "route": route, "certificate": certificate}
    if question is not None:
        about["resource"] = question.resource
        about["purpose"] = question.purpose
        about["case"] = question.case
        about["mode"] = question.data
        about["operation"] = question.operation or None
        if question.claims is not None:
            about["token"] = question.claims.jti
    if outcome is not None:
        _add_subjects(about, outcome)
    return {name: value for name, value in about.items() if value is not None}


def call_fields(
    about: About,
    *,
    record: str,
    call: str,
    denied: bool,
    answer: Answer,
    salt: bytes,
    request_digest: bytes | None,
    request_bytes: int,
    answer_digest: bytes,
    answer_bytes: int,
    duration_us: int,
) -> dict[str, Any]:
    """Return the fields of a `call` record, without those that have no value.

    Args:
        about: is copied.
        denied: whether the gateway refused, as against an allowed call that failed later.
        request_digest, answer_digest: SHA-256 of the bodies; only their salted digests get in.
            None for a request that was not read to its end.
    """
    fields = about.copy()
    fields["record"] = record
    fields["call"] = call
    fields["decision"] = "denied" if denied else "allowed"
    fields["answer_digest"] = salted(salt, answer_digest)
    fields["answer_bytes"] = answer_bytes
    fields["status"] = answer.status
    fields["duration_us"] = duration_us
    if answer.reason is not None:
        fields["reason"] = answer.reason
    if answer.rows is not None:
        fields["rows"] = answer.rows
    if answer.items is not None:
        fields["items"] = answer.items
    if request_digest is not None:
        fields["request_digest"] = salted(salt, request_digest)
        fields["request_bytes"] = request_bytes
    if answer.enforced is not None and "grant_version" in fields:
        fields["grant_version"] = answer.enforced[1]
    return fields


def opened_fields(
    about: About, *, record: str, closing: str, call: str, status: int, duration_us: int
) -> dict[str, Any]:
    """Return the fields of an `opened` record: an answer may begin, its end is not known yet.

    Args:
        about: is copied.
        closing: id of the record that will end it.
    """
    return about | {
        "type": "opened",
        "record": record,
        "closing": closing,
        "call": call,
        "decision": "allowed",
        "status": status,
        "duration_us": duration_us,
    }


def closed_fields(
    about: About,
    *,
    record: str,
    of: str,
    call: str,
    outcome: str,
    reason: str | None,
    status: int,
    salt: bytes,
    request_digest: bytes | None,
    request_bytes: int,
    answer_digest: bytes,
    answer_bytes: int,
    duration_us: int,
) -> dict[str, Any]:
    """Return the fields of a `closed` record, which ends what an `opened` one began.

    Args:
        about: is copied.
        of: id of the `opened` record.
        outcome: `whole`, or `cut` when not all of the answer was handed over; then `reason` is
            the code, if there is one.
        answer_digest, answer_bytes: of what was handed over; see `call_fields` for digests.
    """
    fields = about | {
        "type": "closed",
        "record": record,
        "of": of,
        "call": call,
        "decision": "allowed",
        "outcome": outcome,
        "status": status,
        "answer_digest": salted(salt, answer_digest),
        "answer_bytes": answer_bytes,
        "duration_us": duration_us,
    }
    if reason is not None:
        fields["reason"] = reason
    if request_digest is not None:
        fields["request_digest"] = salted(salt, request_digest)
        fields["request_bytes"] = request_bytes
    return fields


def _add_subjects(about: About, outcome: Allowed | Denied) -> None:
    """Add who called, and the entry and grant that decided."""
    caller, entry, grant = outcome.caller, outcome.entry, outcome.grant
    if caller is not None:
        about["caller"] = caller.subject
        about["caller_agency"] = caller.agency
    if entry is not None:
        about["entry"] = entry.id
        about["entry_version"] = entry.version
        about["share_class"] = entry.share_class
        about["owner_agency"] = entry.agency
    if grant is not None:
        about["grant"] = grant.id
        # A part that says which version it enforced is believed instead, see `call_fields`.
        about["grant_version"] = grant.version
