"""From an answer to its release: compare, decide again, record, and only then send."""

import asyncio
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from enum import Enum, auto
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from gateway.domain import Allowed, Call, Denied, recheck
from gateway.edge import Head
from gateway.evidence import SpoolFull
from gateway.listener.answer import Answer, head_bytes, refusal
from gateway.listener.large import LargeAnswer
from gateway.listener.path import RECHECK_SECONDS
from gateway.listener.record import EMPTY_DIGEST, About, about_call, call_fields
from gateway.listener.repeats import Decided, Repeat
from gateway.upstream import UpstreamConnection
from kit.errors import FactValue
from kit.ids import uuid7
from kit.logging import get_logger

if TYPE_CHECKING:
    from gateway.listener.connection import ClientConnection

STALE: Final = "The gateway does not know whether its permissions are up to date."
NO_EVIDENCE: Final = "The record of this call could not be made durable."
_AFTER_DECISION: Final = frozenset(
    {
        "service-unavailable",
        "owner-unavailable",
        "deadline-exceeded",
        "answer-mismatch",
        "internal-error",
    }
)
"""Refusals of calls that were allowed: the way to the part or its answer failed."""
_TEST_GAP: Final = 0.05
"""Seconds from an answer to its record under the test hook that turns the order around."""

log = get_logger()


class State(Enum):
    """Where a call stands; it never goes back."""

    READING = auto()
    WAITING = auto()
    ASKING = auto()
    SENT = auto()
    RECORDING = auto()
    SENDING = auto()
    DONE = auto()


class Clearing:
    """The half of a call in hand that guards what leaves.

    Attributes:
        call_id: UUID, the caller's or ours.
        record_id: of its record, once it has one; parts are told it.
        complete: whether the whole request has come.
        received: bytes of the request body.
    """

    __slots__ = (
        "_answer",
        "_answer_size",
        "_body",
        "_checked_at",
        "_denied",
        "_digest",
        "_hash",
        "_large",
        "_names",
        "_outcome",
        "_question",
        "_repeat",
        "_request_digest",
        "_started",
        "_upstream",
        "call_id",
        "complete",
        "connection",
        "head",
        "path",
        "received",
        "record_id",
        "state",
    )

    def __init__(
        self,
        connection: "ClientConnection",
        head: Head | None,
        call: str | None,
        repeat: Repeat | None = None,
    ) -> None:
        self.connection = connection
        self.path = connection.path
        self.head = head
        self._repeat = repeat
        self.call_id = call or uuid7()
        self.record_id = ""
        self.received = 0
        self.complete = False
        self.state = State.READING
        self._started = time.monotonic()
        self._checked_at = 0.0
        self._question: Call | None = None
        self._outcome: Allowed | Denied | None = None
        self._denied = False
        self._request_digest: bytes | None = EMPTY_DIGEST
        self._hash = None if head is None or not head.route.streams else sha256()
        self._upstream: UpstreamConnection | None = None
        self._answer: Answer | None = None
        self._answer_size = 0
        self._large: LargeAnswer | None = None
        self._body = b""
        self._digest = EMPTY_DIGEST
        self._names: list[bytes] = []

    # ---- refusing ----

    def refuse(
        self,
        code: str,
        detail: str,
        facts: Mapping[str, FactValue] | None = None,
        allow: str | None = None,
        status: int | None = None,
    ) -> None:
        """Answer with a problem document, after its record."""
        self._denied = self._denies(code)
        self._answer, self._body = refusal(
            code, detail, call=self.call_id, facts=facts, allow=allow, status=status
        )
        if not self.complete:
            self.connection.stop_hearing()
        self._record(sha256(self._body).digest(), len(self._body))

    def _denies(self, code: str) -> bool:
        """Tell whether a refusal with this code says that the call was not let through."""
        return code not in _AFTER_DECISION

    def refuse_unrecorded(
        self, code: str, detail: str, facts: Mapping[str, FactValue] | None = None
    ) -> None:
        """Answer with a problem document that has no record of its own."""
        self.drop_upstream()
        self.forget_answer()
        self._answer, self._body = refusal(code, detail, call=self.call_id, facts=facts)
        self._answer_size = len(self._body)
        self._names = []
        self.path.counts.unrecorded += 1
        if not self.complete:
            self.connection.stop_hearing()
        self._send()

    def mismatch(self, detail: str) -> None:
        """Refuse an answer that is not what the part announced; nothing of it was sent."""
        log.error("answer mismatch", call=self.call_id, detail=detail)
        self.drop_upstream()
        self.forget_answer()
        self.refuse("answer-mismatch", detail)

    def upstream_failed(self) -> None:
        """Refuse: the part did not answer to the end."""
        self.forget_answer()
        part = "" if self.head is None else self.head.route.part
        self.refuse("service-unavailable", f"The part {part} broke off its answer.")

    def fault(self) -> None:
        """Answer for a fault of ours; it was logged under the id of the call."""
        if self.state not in (State.SENDING, State.DONE):
            self.refuse_unrecorded("internal-error", "Something unexpected happened.")

    # ---- clearing ----

    def clear(self, digest: bytes, size: int) -> None:
        """Have an answer recorded if it may be released.

        Args:
            digest: SHA-256 of the whole body: computed, or announced for a streamed answer.
            size: bytes of the whole body.
        """
        answer, question = self._answer, self._question
        if answer is None or question is None:
            raise AssertionError("an answer is cleared after its head was read")
        if answer.announced is not None and answer.announced != digest:
            self.mismatch("The bytes of the answer differ from the digest that was announced.")
            return
        if question.data is not None and answer.reason is None:
            fault = self._fault_of(answer)
            if fault is not None:
                self.mismatch(fault)
                return
            if self._is_refused_now():
                return
        self._record(digest, size)

    def _is_refused_now(self) -> bool:
        """Refuse an answer that the present table lets nobody have; tell whether it did."""
        denied = self._check_again()
        if denied is None:
            return False
        self.drop_upstream()
        self.forget_answer()
        self._outcome = denied
        self.refuse(denied.reason, denied.detail, denied.facts)
        return True

    def _fault_of(self, answer: Answer) -> str | None:
        """Return what is wrong with how a part announced an answer that holds data."""
        allowed = self._outcome
        if not isinstance(allowed, Allowed) or allowed.grant is None:
            return None
        if answer.announced is None and answer.may_have_body:
            return "The answer came without the digest of its data."
        if answer.enforced is not None and answer.enforced[0] != allowed.grant.id:
            return "The part enforced another grant than the one that was decided on."
        return None

    def _check_again(self) -> Denied | None:
        """Decide once more by the present table; return the refusal, if it is one now."""
        question, allowed, answer = self._question, self._outcome, self._answer
        if question is None or question.data is None or not isinstance(allowed, Allowed):
            return None
        if question.data == "publish" and self._has_acted():
            return None
        if self.path.settings.test_skip_second_check:
            return None
        self._checked_at = now = time.monotonic()
        if not self.path.is_fresh(now):
            return Denied(
                "permissions-stale", {}, STALE, allowed.caller, allowed.entry, allowed.grant
            )
        items = None if answer is None else answer.items
        enforced = None if answer is None or answer.enforced is None else answer.enforced[1]
        outcome = recheck(self.path.table, question, allowed, time.time(), items, enforced)
        return outcome if isinstance(outcome, Denied) else None

    def _has_acted(self) -> bool:
        """Tell whether the call changed something of the caller's own.

        What such a call answers is not data under a permission, and a refusal now would put
        "denied" on record for what has happened.
        """
        return self.head is None or self.head.route.method != b"GET"

    def _holds_data(self) -> bool:
        """Tell whether the answer is data that a permission let through."""
        question, answer = self._question, self._answer
        return (
            question is not None
            and question.data is not None
            and answer is not None
            and answer.reason is None
        )

    # ---- the record ----

    def _record(self, digest: bytes, size: int) -> None:
        """Make the record durable; `release` follows, or `failed`."""
        answer, path = self._answer, self.path
        if answer is None:
            raise AssertionError("there is an answer to record")
        self.state = State.RECORDING
        self._digest, self._answer_size = digest, size
        if self.connection.thumbprint is None:
            if answer.reason is not None:
                path.evidence.count_refusal(answer.reason)
            self._send()
            return
        if not self.record_id:
            self.record_id = uuid7()
        salt = path.salts.take()
        self._names = [
            b"\r\nDatong-Evidence: ",
            self.record_id.encode(),
            b"\r\nDatong-Salt: ",
            urlsafe_b64encode(salt)[:43],
        ]
        fields = self._fields(answer, salt)
        if path.settings.test_release_before_record:
            self.release()
            asyncio.get_running_loop().call_later(
                _TEST_GAP, path.evidence.append, fields, salt, _nothing, _nothing_of
            )
        else:
            path.evidence.append(fields, salt, self.release, self.failed)

    def _fields(self, answer: Answer, salt: bytes) -> dict[str, object]:
        digest = self._request_digest
        if not self.complete:
            digest = None
        elif self._hash is not None:
            digest = self._hash.digest()
        return call_fields(
            self._about(),
            record=self.record_id,
            call=self.call_id,
            denied=self._denied,
            answer=answer,
            salt=salt,
            request_digest=digest,
            request_bytes=self.received,
            answer_digest=self._digest,
            answer_bytes=self._answer_size,
            duration_us=int((time.monotonic() - self._started) * 1e6),
        )

    def _about(self) -> About:
        """Return what the record says of the call itself, made once for calls that are alike."""
        outcome = self._outcome
        alike: Repeat | Decided | None = self._repeat
        if alike is None:
            alike = self.connection.decided
            if alike is not None and alike.question is not self._question:
                alike = None
        if alike is not None and outcome is alike.allowed and alike.about:
            return alike.about
        about = about_call(
            None if self.head is None else self.head.route.operation,
            self.connection.thumbprint,
            self._question,
            outcome,
        )
        if alike is not None and outcome is alike.allowed:
            alike.about = about
        return about

    def _withhold(self, reason: str | None = None) -> None:
        """Add the record that says that the answer did not leave, or not whole."""
        if not self.record_id:
            return
        self.path.counts.withheld += 1
        fields = {"type": "withheld", "of": self.record_id, "call": self.call_id}
        if reason is not None:
            fields["reason"] = reason
        self.path.evidence.append(fields, b"", _nothing, _nothing_of)

    # ---- release ----

    def release(self) -> None:
        """Send the answer: its record is durable. Decides again when that took long."""
        if self.state is not State.RECORDING or self.connection.gone:
            self._withhold()
            self.done()
            return
        large = self._large
        if large is not None and large.broken is not None:
            self._withhold(large.broken)
            self.refuse_unrecorded(large.broken, "The answer broke off before it was sent.")
            return
        if time.monotonic() - self._checked_at > RECHECK_SECONDS and self._holds_data():
            denied = self._check_again()
            if denied is not None:
                self._withhold(denied.reason)
                self.refuse_unrecorded(denied.reason, denied.detail, denied.facts)
                return
        self._send()

    def failed(self, error: Exception) -> None:
        """Refuse: the record could not be made durable, so nothing of the answer leaves."""
        if not isinstance(error, SpoolFull):
            log.error("record not written", call=self.call_id, error=repr(error))
        if self.state is State.RECORDING and not self.connection.gone:
            self.refuse_unrecorded("evidence-unavailable", NO_EVIDENCE)
        else:
            self.done()

    def cut(self, reason: str | None = None) -> None:
        """End the connection in the middle of an answer, and say so in the evidence."""
        self._withhold(reason)
        self.drop_upstream()
        self.connection.abort()
        self.done()

    def _send(self) -> None:
        answer, connection = self._answer, self.connection
        if answer is None or connection.gone:
            self.done()
            return
        self.state = State.SENDING
        names = [*self._names, b"\r\nDatong-Call: ", self.call_id.encode()]
        closes = connection.closes_after()
        head = head_bytes(
            answer, length=self._answer_size, date=self.path.date, names=names, closes=closes
        )
        if self._large is not None:
            connection.write(head)
            self._large.released()
            return
        connection.write(head + self._body if answer.may_have_body else head)
        self.done()

    def done(self) -> None:
        """Let go of everything; the connection goes on to its next call."""
        if self.state is State.DONE:
            return
        self.state = State.DONE
        self.path.in_hand -= 1
        if self._large is not None:
            self._large.close()
            # A caller that is gone when its record becomes durable leaves the part unread.
            self.drop_upstream()
        answer = self._answer
        if answer is not None:
            counts = self.path.counts
            route = "" if self.head is None else self.head.route.operation
            counts.answers[route, answer.status] += 1
            counts.seconds[route] += time.monotonic() - self._started
            if answer.reason is not None:
                counts.refusals[answer.reason] += 1
        self.connection.call_done(self)

    # ---- the part ----

    def forget_answer(self) -> None:
        """Let go of what has come of an answer that will not be sent."""
        if self._large is not None:
            self._large.close()
            self._large = None
        self._answer = None

    def drop_upstream(self) -> None:
        """Give up the connection to the part, if there is one."""
        if self._upstream is not None:
            self._upstream.abandon()
            self._upstream = None

    def hold_upstream(self, hold: bool) -> None:
        """Read less from the part while the caller takes slowly."""
        if self._upstream is not None:
            if hold:
                self._upstream.hold()
            else:
                self._upstream.go_on()


def _nothing() -> None:
    """Do nothing: nobody waits for this record."""


def _nothing_of(_error: Exception) -> None:
    """Do nothing: the evidence itself reports its errors."""
