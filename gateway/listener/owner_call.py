"""A call that goes on to an owner's own service, which the platform neither runs nor believes."""

import time
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from gateway.domain import Allowed, OwnService
from gateway.edge import EdgeRefusal, Head
from gateway.listener.answer import BUFFERED_ANSWER, Answer, head_bytes
from gateway.listener.call import CallInHand
from gateway.listener.clearing import State
from gateway.listener.opened import MAX_OWNER_ANSWER, Opened
from gateway.listener.owner_answer import NotPassedOn, read_owner_answer
from gateway.listener.receiving import length_line
from gateway.listener.record import EMPTY_DIGEST, closed_fields, opened_fields
from gateway.upstream import Breaker, Headers, OwnerPool
from kit.ids import uuid7
from kit.logging import get_logger

if TYPE_CHECKING:
    from gateway.listener.connection import ClientConnection

_SENT_ON: Final = tuple(
    b"\r\n" + name + b": "
    for name in (
        b"Accept",
        b"Content-Type",
        b"Content-Digest",
        b"If-Match",
        b"If-None-Match",
        b"If-Range",
        b"Range",
        b"Idempotency-Key",
        b"Datong-Purpose",
        b"Datong-Case",
    )
)
"""What a service sees of the caller's head; the token is never among it."""
_CAUSES: Final = {
    "unreachable": "cannot be reached",
    "tls": "does not speak TLS 1.3",
    "certificate": "does not have a certificate that its entry lets be trusted",
    "address": "leads to an address that this platform does not call",
    "malformed": "answered with something that is not HTTP",
    "redirect": "answered with a redirect, which is not followed",
    "broken-off": "broke off its answer",
    "too-slow": "did not answer in time",
    "circuit-open": "failed this operation several times in a row and rests for some seconds",
}
"""Causes of `owner-unavailable`, and what they say to callers: never a name or an address."""
_GATEWAY_TIMEOUT: Final = 504

log = get_logger()


class OwnerCall(CallInHand):
    """A call of one connection to an operation of an owner's service."""

    __slots__ = (
        "_about_opened",
        "_answered",
        "_breaker",
        "_closes",
        "_opened",
        "_pool",
        "_salt",
        "_service",
        "_tries",
    )

    def __init__(
        self,
        connection: "ClientConnection",
        head: Head,
        refused: EdgeRefusal | None = None,
        call: str | None = None,
    ) -> None:
        super().__init__(connection, head, refused, call)
        self._service: OwnService | None = None
        self._pool: OwnerPool | None = None
        self._breaker: Breaker | None = None
        self._tries: bool | None = None
        """As the breaker admitted the call; None once it knows how it went."""
        self._answered = False
        self._opened: Opened | None = None
        self._about_opened: Answer | None = None
        self._closes = ""
        """Record id of the `opened` record that is not closed yet."""
        self._salt = b""

    # ---- to the service ----

    @override
    def _operation(self, head: Head) -> str | None:
        entry = self.path.table.entry_of(head.resource or "")
        service = self._service = None if entry is None else entry.service
        if service is None:
            return ""
        return service.operation(head.route.method, head.rest or b"") or ""

    @override
    def _serve(self, head: Head, allowed: Allowed) -> None:
        service, entry = self._service, allowed.entry
        if service is None or entry is None:
            raise AssertionError("an operation that is granted is one of a service")
        pool = self._pool = self.path.owners.pool(entry.agency, service)
        breaker = self._breaker = pool.breaker(f"{entry.resource}/{self._asked_for}")
        now = time.monotonic()
        tries = breaker.admit(now)
        if tries is None:
            self._refuse_unavailable("circuit-open")
            return
        self._tries = tries
        self.record_id = uuid7()
        lines = self._lines(head, allowed, pool)
        if self._hash is None:
            self.connection.deadline = now + self._seconds
        else:
            lines.append(
                b"\r\nTransfer-Encoding: chunked" if head.chunked else b"\r\n" + length_line(head)
            )
            self.connection.deadline = now + self.path.settings.body_seconds
            self.connection.say_continue(self)
        self._outgoing = b"".join((*lines, b"\r\n\r\n"))
        self.state = State.ASKING
        self.hold_body(True)
        if not pool.ask(self):
            self.refuse("overloaded", pool.full)

    @property
    def _asked_for(self) -> str:
        """Return the operation that was decided on."""
        question = self._question
        return "" if question is None else question.operation or ""

    def _lines(self, head: Head, allowed: Allowed, pool: OwnerPool) -> list[bytes]:
        """Return the head for the service, without how the body is framed."""
        caller, grant = allowed.caller, allowed.grant
        if caller is None or grant is None:
            raise AssertionError("an operation is allowed to a system, under a grant")
        _, mark, query = head.target.partition(b"?")
        return [
            b"%b %b%b%b HTTP/1.1" % (head.route.method, head.rest or b"", mark, query),
            pool.host_line,
            *(line for line in head.forwarded if line.startswith(_SENT_ON)),
            b"\r\nDatong-Call: ",
            self.call_id.encode(),
            b"\r\nDatong-Agency: ",
            caller.agency.encode(),
            b"\r\nDatong-System: ",
            caller.id.encode(),
            b"\r\nDatong-Grant: ",
            grant.reference.encode(),
        ]

    @property
    def _seconds(self) -> float:
        """Seconds in which the answer must begin: the service's, or fewer when the caller asks."""
        seconds = 0.0 if self._service is None else float(self._service.seconds)
        return seconds if self._is_patient else min(seconds, self._patience)

    @property
    def _patience(self) -> float:
        """Seconds that the caller gives the call; endless when he does not say."""
        head = self.head
        return float("inf") if head is None or head.timeout is None else head.timeout

    @property
    def _is_patient(self) -> bool:
        """Return whether a service that is late is to blame, rather than a hasty caller."""
        return self._service is not None and self._patience >= self._service.seconds

    @override
    def end_body(self) -> None:
        super().end_body()
        if self.state is State.SENT and self._upstream is not None:
            self.connection.deadline = time.monotonic() + self._seconds

    # ---- and back ----

    @override
    def learn_whole(self, data: bytes) -> None:
        """Learn nothing: answers of services follow no pattern."""

    @override
    def answer_started(self, status: int, headers: Headers) -> None:
        head, pool = self.head, self._pool
        if head is None or pool is None:
            raise AssertionError("an answer comes to a call that was sent")
        try:
            answer = read_owner_answer(
                status,
                headers,
                owner=pool.owner,
                resource=head.resource or "",
                origin=pool.origin,
            )
        except NotPassedOn as why:
            log.warning("owner's answer not passed on", call=self.call_id, why=str(why))
            # A redirect is an answer: it says nothing against the next call.
            self._report(failed=why.cause != "redirect")
            self._fail(why.cause)
            return
        self._answer = answer
        self._answered = True
        length = answer.length if answer.may_have_body else None
        if length is not None and length > MAX_OWNER_ANSWER:
            self._refuse_too_long()
        elif length is not None and length > BUFFERED_ANSWER:
            self._open(answer)

    @override
    def answer_piece(self, piece: bytes) -> None:
        if self._large is not None:
            self._large.take(piece)
            return
        self._answer_pieces.append(piece)
        self._answer_size += len(piece)
        if self._answer_size > BUFFERED_ANSWER and self._answer is not None:
            self._open(self._answer)

    @override
    def answer_ended(self) -> None:
        self._report(failed=False)
        super().answer_ended()

    @override
    def answer_failed(self, untouched: bool) -> None:
        malformed = self._upstream is not None and self._upstream.malformed
        self._upstream = None
        if self._large is not None:
            self._large.upstream_lost()
        elif untouched and self._reused and not self._retried and self._may_repeat():
            self._retried = True
            self.path.counts.retries += 1
            self.state = State.ASKING
            if self._pool is None or not self._pool.ask(self):
                self._fail("broken-off")
        else:
            self._fail("malformed" if malformed else "broken-off")

    @override
    def upstream_unavailable(self) -> None:
        self._fail("unreachable" if self._pool is None else self._pool.cause)

    @override
    def _denies(self, code: str) -> bool:
        # A refusal after the answer: what is more than a read has happened, whoever may know of it.
        has_acted = self._answered and self._has_acted()
        return super()._denies(code) and not has_acted

    def _refuse_too_long(self) -> None:
        self._report(failed=False)
        self.drop_upstream()
        self.forget_answer()
        self.refuse(
            "answer-mismatch",
            "The answer of the owner's service is longer than the gateway passes on.",
            {"limit": MAX_OWNER_ANSWER},
        )

    @override
    def _fault_of(self, answer: Answer) -> str | None:
        """Return None: services announce nothing that the gateway relies on."""
        return None

    # ---- failures of the service ----

    def _fail(self, cause: str) -> None:
        """Refuse, since the service failed; its breaker counts it."""
        self._report(failed=True)
        self.drop_upstream()
        self.forget_answer()
        self._refuse_unavailable(cause)

    def _refuse_unavailable(self, cause: str) -> None:
        outcome, breaker = self._outcome, self._breaker
        facts: dict[str, str | int] = {"cause": cause}
        if isinstance(outcome, Allowed) and outcome.entry is not None:
            facts |= {"resource": outcome.entry.resource, "owner": outcome.entry.agency}
        if cause == "circuit-open" and breaker is not None:
            facts["seconds"] = 1 + int(breaker.seconds_left(time.monotonic()))
        self.refuse(
            "owner-unavailable",
            f"The owner's service {_CAUSES[cause]}.",
            facts,
            status=_GATEWAY_TIMEOUT if cause == "too-slow" else None,
        )

    def _report(self, failed: bool) -> None:
        """Tell the breaker how the call went, once."""
        tries, self._tries = self._tries, None
        if tries is None or self._breaker is None:
            return
        if failed:
            self._breaker.failed(time.monotonic(), tries)
        else:
            self._breaker.succeeded()

    @override
    def time_out(self, now: float) -> None:
        late = self.complete or self.connection.holds_body
        if self.state is State.ASKING and self._pool is not None and self._pool.is_taken:
            self.connection.deadline = now + 1.0
            self.refuse("overloaded", self._pool.full)
        elif self.state in (State.ASKING, State.SENT) and late and self._is_patient:
            self.connection.deadline = now + 1.0
            self._fail("too-slow")
        elif self.state is State.SENDING and not self.connection.write_paused:
            self.cut("owner-unavailable")
        else:
            super().time_out(now)

    # ---- answers between two records ----

    def _open(self, answer: Answer) -> None:
        """Have the record made under which a large answer may begin."""
        if not self.complete:
            # What is still to come of the request is not waited for: the answer has begun.
            self.connection.stop_hearing()
        # It answers, and in time. How long the rest takes is up to the caller as well.
        self._report(failed=False)
        if self._is_refused_now():
            return
        pieces, self._answer_pieces = self._answer_pieces, []
        seconds = 0.0 if self._service is None else float(self._service.seconds)
        self._opened = self._large = Opened(self, answer.length, answer.announced, pieces, seconds)
        self._about_opened = answer
        self.state = State.RECORDING
        self._closes = uuid7()
        self._salt = self.path.salts.take()
        self._names = [
            b"\r\nDatong-Evidence: ",
            self.record_id.encode(),
            b"\r\nDatong-Salt: ",
            urlsafe_b64encode(self._salt)[:43],
        ]
        fields = opened_fields(
            self._about(),
            record=self._closes,
            closing=self.record_id,
            call=self.call_id,
            status=answer.status,
            duration_us=self._age_us,
        )
        self.path.evidence.append(fields, b"", self.release, self._not_opened)

    def _not_opened(self, error: Exception) -> None:
        self._closes = ""
        self.failed(error)

    @property
    def _age_us(self) -> int:
        return int((time.monotonic() - self._started) * 1e6)

    @override
    def _send(self) -> None:
        opened, answer, connection = self._opened, self._answer, self.connection
        if opened is None or self._large is not opened or answer is None:
            super()._send()
            return
        self.state = State.SENDING
        connection.write(
            head_bytes(
                answer,
                length=opened.length,
                date=self.path.date,
                names=[*self._names, b"\r\nDatong-Call: ", self.call_id.encode()],
                closes=connection.closes_after(),
            )
        )
        opened.released()

    @override
    def _withhold(self, reason: str | None = None) -> None:
        if not self._closes:
            super()._withhold(reason)
            return
        self.path.counts.withheld += 1
        self._close("cut", reason)

    def _close(self, outcome: str, reason: str | None = None) -> None:
        """Write the record that ends an answer which was opened."""
        opened, answer = self._opened, self._about_opened
        of, self._closes = self._closes, ""
        if opened is None or answer is None:
            raise AssertionError("only what was opened is closed")
        request = self._request_digest if self._hash is None else self._hash.digest()
        fields = closed_fields(
            self._about(),
            record=self.record_id,
            of=of,
            call=self.call_id,
            outcome=outcome,
            reason=reason,
            status=answer.status,
            salt=self._salt,
            request_digest=request if self.complete else None,
            request_bytes=self.received,
            answer_digest=opened.digest if opened.passed else EMPTY_DIGEST,
            answer_bytes=opened.passed,
            duration_us=self._age_us,
        )
        self.path.evidence.append(fields, self._salt, _nothing, _report_lost)

    @override
    def done(self) -> None:
        if self.state is not State.DONE:
            if self._opened is not None and self._opened.whole and self._closes:
                self._close("whole")
            if self._tries is not None and self._breaker is not None:
                self._breaker.let_go(self._tries)
                self._tries = None
        super().done()


def _nothing() -> None:
    """Do nothing: nobody waits for this record."""


def _report_lost(error: Exception) -> None:
    """Say that an answer stays open in the log until its epoch ends."""
    log.error("answer not closed", error=repr(error))
