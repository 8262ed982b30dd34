"""The fields of a call's record (`contracts/evidence.md`); never a value of the data."""

from hashlib import sha256
from typing import Any, Final

from gateway.domain import Allowed, Call, Denied
from gateway.evidence import salted
from gateway.listener.answer import Answer

EMPTY_DIGEST: Final = sha256(b"").digest()


def call_fields(
    *,
    record: str,
    call: str,
    route: str | None,
    certificate: str | None,
    question: Call | None,
    outcome: Allowed | Denied | None,
    denied: bool,
    answer: Answer,
    salt: bytes,
    request_digest: bytes | None,
    request_bytes: int,
    answer_digest: bytes,
    answer_bytes: int,
    duration_us: int,
) -> dict[str, Any]:
    """Return the fields of a `call` record; None stands for absent.

    Args:
        question, outcome: None for what the edge refused before anything was decided.
        denied: whether the gateway refused, as against an allowed call that failed later.
        request_digest, answer_digest: SHA-256 of the bodies; only their salted digests get in.
            None for a request that was not read to its end.
    """
    fields: dict[str, Any] = {
        "type": "call",
        "record": record,
        "call": call,
        "route": route,
        "certificate": certificate,
        "decision": "denied" if denied else "allowed",
        "reason": answer.reason,
        "answer_digest": salted(salt, answer_digest),
        "answer_bytes": answer_bytes,
        "rows": answer.rows,
        "items": answer.items,
        "status": answer.status,
        "duration_us": duration_us,
    }
    if request_digest is not None:
        fields["request_digest"] = salted(salt, request_digest)
        fields["request_bytes"] = request_bytes
    if question is not None:
        fields["resource"] = question.resource
        fields["purpose"] = question.purpose
        fields["case"] = question.case
        fields["mode"] = question.data
        if question.claims is not None:
            fields["token"] = question.claims.jti
    if outcome is not None:
        _add_subjects(fields, outcome, answer)
    return fields


def _add_subjects(fields: dict[str, Any], outcome: Allowed | Denied, answer: Answer) -> None:
    """Add who called, and the entry and grant that decided."""
    caller, entry, grant = outcome.caller, outcome.entry, outcome.grant
    if caller is not None:
        fields["caller"] = caller.subject
        fields["caller_agency"] = caller.agency
    if entry is not None:
        fields["entry"] = entry.id
        fields["entry_version"] = entry.version
        fields["share_class"] = entry.share_class
        fields["owner_agency"] = entry.agency
    if grant is not None:
        fields["grant"] = grant.id
        # The version that the part enforced; what was decided by, when nothing was enforced.
        enforced = answer.enforced
        fields["grant_version"] = grant.version if enforced is None else enforced[1]
