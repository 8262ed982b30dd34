"""Joins the callers' own logs with the records of the log, on the call id.

The rule (`contracts/evidence.md`): an answered call has exactly one terminal record that says the
same, one whose outcome the client never saw has at most one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from datong.verifier import strict
from datong.verifier.report import CallCounts, Problem, Report

TERMINAL = frozenset({"call", "closed", "unknown"})
"""Types of the one record that ends a call; `withheld` and `opened` come besides it. An `unknown`
says that the answer began, and nothing of its bytes: the worker died before it could."""

UNRECORDED_REFUSALS = frozenset(
    {
        # Counted in a summary, since no accepted certificate names the caller.
        "certificate-missing",
        "certificate-invalid",
        "certificate-revoked",
        # Refused by the edge before a caller is known.
        "call-malformed",
        "call-timeout",
        "headers-too-large",
        # No record could be made durable, hence no answer was released.
        "evidence-unavailable",
        "internal-error",
        "overloaded",
    }
)


DUE_SECONDS = 10
"""A record lies in the log within this time; a package fetched earlier may not hold it yet."""


class CallLogRefused(Exception):
    """A line of a call log is not what the SDK writes."""


@dataclass
class LoggedCall:
    """What one client knows about one attempt, and the records that name it."""

    call: str
    log: str
    sent_at: str = ""
    certificate: str | None = None
    operation: str | None = None
    outcome: dict[str, Any] | None = None
    records: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    withheld: set[str] = field(default_factory=set)
    """Ids of records of this call whose answer, the platform says, did not leave whole."""

    @property
    def owes_record(self) -> bool:
        """Whether the answer claims, or the contract promises, a record."""
        outcome = self.outcome or {}
        if outcome.get("evidence") is not None:
            return True
        return self.certificate is not None and outcome.get("code") not in UNRECORDED_REFUSALS


class CallJoin:
    """The logged calls, waiting for their records."""

    def __init__(self) -> None:
        """Begin with no call."""
        self._calls: dict[str, LoggedCall] = {}

    def load(self, path: Path) -> None:
        """Read one NDJSON call log.

        A line cut by a crash is ignored: its call was never sent, or its outcome is unknown.

        Raises:
            CallLogRefused: unreadable, another line is malformed, or a call id was used twice.
        """
        try:
            lines = path.read_bytes().split(b"\n")
        except OSError as error:
            raise CallLogRefused(f"{path}: {error.strerror}") from error
        for number, line in enumerate(lines[:-1], start=1):
            if line:
                try:
                    self._take(strict.read(line), path.name)
                except (strict.NotStrict, CallLogRefused) as error:
                    if not line.endswith(b"}"):
                        continue
                    raise CallLogRefused(f"{path} line {number}: {error}") from error

    def _take(self, line: Any, log: str) -> None:
        call = line.get("call") if isinstance(line, dict) else None
        if not isinstance(call, str):
            raise CallLogRefused("not a line of a call log")
        known = self._calls.get(call)
        if line.get("event") == "sent":
            if known is not None:
                raise CallLogRefused(f"the call id {call} was used twice")
            self._calls[call] = LoggedCall(
                call, log, str(line.get("at", "")), line.get("certificate"), line.get("operation")
            )
        elif known is None:
            raise CallLogRefused(f"the call {call} has an outcome but was never sent")
        elif line.get("event") == "answered":
            known.outcome = line

    def add(self, index: int, record: dict[str, Any]) -> None:
        """Take one record of the log; those of other callers are passed over."""
        call = self._calls.get(record.get("call", ""))
        if call is None:
            return
        if record["type"] == "withheld":
            call.withheld.add(record.get("of", ""))
        if record["type"] not in TERMINAL:
            return
        certificate = record.get("certificate")
        if None not in (certificate, call.certificate) and certificate != call.certificate:
            return  # somebody else chose the same id
        call.records.append((index, record))

    def check(self, report: Report, *, package_sha256: str, is_whole: bool) -> None:
        """Write counts and problems into `report`.

        Args:
            package_sha256: digest of the package file in hex. A log that holds its download tells
                which calls came too late to be in it.
            is_whole: the package claims to hold every record.
        """
        counts = report.calls = CallCounts(total=len(self._calls))
        due_at = self._due_at(package_sha256)
        for call in self._calls.values():
            answered_at = str((call.outcome or {}).get("at", ""))
            is_later = not is_whole or (due_at is not None and answered_at >= due_at)
            if len(call.records) > 1:
                report.problems.append(self._repeated(call))
            elif call.outcome is None:
                counts.unseen += 1
                counts.unseen_recorded += len(call.records)
            else:
                counts.answered += 1
                self._check_answered(call, counts, report, is_later=is_later)

    def _due_at(self, package_sha256: str) -> str | None:
        """Instant from which on answers need not be in the package; None without its download."""
        downloads: Iterable[str] = (
            call.sent_at
            for call in self._calls.values()
            if call.operation == "get_package"
            and call.outcome is not None
            and call.outcome.get("answer_digest") == package_sha256
        )
        fetched_at = min(downloads, default=None)
        if fetched_at is None:
            return None
        try:
            due = datetime.fromisoformat(fetched_at) - timedelta(seconds=DUE_SECONDS)
        except (ValueError, OverflowError):
            return fetched_at
        return f"{due:%Y-%m-%dT%H:%M:%S.%f}Z"

    @staticmethod
    def _check_answered(
        call: LoggedCall, counts: CallCounts, report: Report, *, is_later: bool
    ) -> None:
        outcome = call.outcome or {}
        if call.records and not call.owes_record:
            counts.uncertified += 1  # the record was begun, its answer replaced by the refusal
        elif call.records:
            index, record = call.records[0]
            differences = list(_differences(outcome, record, call.withheld))
            if not differences:
                counts.matched += 1
                return
            report.problems.append(
                Problem(
                    "call-contradicted",
                    f"{call.log} and record {index} differ: {'; '.join(differences)}",
                    index=index,
                    record=record["record"],
                    call=call.call,
                )
            )
        elif not call.owes_record:
            counts.uncertified += 1
        elif is_later:
            counts.later += 1
        else:
            report.problems.append(
                Problem(
                    "call-unrecorded",
                    f"{call.log} saw the answer {outcome.get('status')} at {outcome.get('at')}, "
                    "but the log holds no record of the call (for a call made just before the "
                    "package, fetch a newer package)",
                    record=outcome.get("evidence"),
                    call=call.call,
                )
            )

    @staticmethod
    def _repeated(call: LoggedCall) -> Problem:
        indexes = [index for index, _ in call.records]
        return Problem(
            "call-repeated",
            f"one call of {call.log} has {len(indexes)} terminal records: "
            + ", ".join(map(str, indexes)),
            index=indexes[-1],
            record=call.records[-1][1]["record"],
            call=call.call,
        )


def _differences(
    outcome: dict[str, Any], record: dict[str, Any], withheld: set[str]
) -> Iterable[str]:
    if record["record"] in withheld:
        if int(outcome.get("status", 0)) < 400 or outcome.get("evidence") is not None:
            yield "the log says that the answer was withheld"
        return  # a refusal took the place of the answer on record
    if record.get("outcome") == "cut":
        if int(outcome.get("status", 0)) < 400 or outcome.get("evidence") is not None:
            yield "the log says that the answer was cut"
        return  # the same, before the first byte of an answer that was opened
    if outcome.get("evidence") not in (None, record["record"]):
        yield f"the answer named record {outcome['evidence']}"
    if "status" in record and record["status"] != outcome.get("status"):
        yield f"the answer had status {outcome.get('status')}, the record {record['status']}"
    salt = _salt(outcome.get("salt"))
    if salt is not None and record["type"] != "unknown":
        yield from _digests(outcome, record, salt)


def _digests(outcome: dict[str, Any], record: dict[str, Any], salt: bytes) -> Iterable[str]:
    is_success = 200 <= int(outcome.get("status", 0)) < 300
    for side in ("request", "answer"):
        name = f"{side}_digest"
        if name in record:
            if record[name] != salted(salt, str(outcome.get(name, ""))):
                yield f"the digest of the {side} is another"
        elif is_success and outcome.get(f"{side}_bytes", 0):
            yield f"the record has no digest of the {side}"


def _salt(text: object) -> bytes | None:
    if not isinstance(text, str):
        return None
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""


def salted(salt: bytes, digest: str) -> str:
    """Digest as a record states it: SHA-256(salt ‖ SHA-256(body)), in hex.

    Args:
        salt: the 32 bytes of the header `Datong-Salt`.
        digest: SHA-256 of the body, in hex.
    """
    try:
        return hashlib.sha256(salt + bytes.fromhex(digest)).hexdigest()
    except ValueError:
        return ""
