"""One call from its head to the end of its answer, by callbacks only (design section 4)."""

import time
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from gateway.domain import Allowed, Call, Denied, decide, recheck
from gateway.edge import EdgeRefusal, Head
from gateway.listener.answer import BUFFERED_ANSWER, Answer, read_answer
from gateway.listener.clearing import NO_EVIDENCE, STALE, State
from gateway.listener.large import Filed, Streamed
from gateway.listener.path import LocalCall
from gateway.listener.pattern import learn_answer
from gateway.listener.receiving import Receiving, framed, length_line
from gateway.listener.repeats import Decided, Repeat
from gateway.listener.tokens import Checked
from gateway.upstream import Headers, Pool, UpstreamConnection
from kit.ids import uuid7
from kit.logging import get_logger

if TYPE_CHECKING:
    from gateway.listener.connection import ClientConnection

_IDEMPOTENT: Final = frozenset({b"GET", b"PUT", b"DELETE", b"HEAD", b"OPTIONS"})
_ABOUT_CALLER: Final = frozenset(
    {
        "certificate-missing",
        "certificate-invalid",
        "certificate-revoked",
        "token-missing",
        "token-invalid",
        "token-not-bound",
    }
)
"""Refusals that a table which is not fresh may still tell; all others might be out of date."""

_PATTERNS: Final = 3
"""Patterns that are learned for one repeated head at most: some answers are never alike."""
_NO_TOKEN: Final = Checked(None)
_AFTER_LINE: Final = b"\r\nDatong-After: "

log = get_logger()


class CallInHand(Receiving):
    """A call of one connection, from its head to the part and back.

    Args:
        head: None when the edge refused the call without understanding its head.
        refused: the edge's refusal, if there is one.
        call: id that the caller gave the call.
        repeat: when the head came before on the connection.

    Attributes:
        complete: whether the whole request has come.
    """

    __slots__ = (
        "_answer_pieces",
        "_outgoing",
        "_retried",
        "_reused",
    )

    def __init__(
        self,
        connection: "ClientConnection",
        head: Head | None,
        refused: EdgeRefusal | None = None,
        call: str | None = None,
        repeat: Repeat | None = None,
    ) -> None:
        super().__init__(connection, head, call, repeat)
        self.refused = refused
        self.pieces = []
        self._outgoing = b""
        self._reused = False
        self._retried = False
        self._answer_pieces: list[bytes] = []

    # ---- the request ----

    def begin(self) -> None:
        """Take the call in hand: check, decide, pass on or refuse."""
        path, head = self.path, self.head
        path.in_hand += 1
        now = time.monotonic()
        if self.refused is not None or head is None:
            self._refuse_edge()
            return
        self.connection.deadline = now + (head.timeout or path.settings.call_seconds)
        if head.after and self.connection.thumbprint is None:
            # Whoever shows no certificate has changed nothing to wait for, and could have every
            # call and every connection to the parts stand waiting for states that never come.
            head.after = []
            head.forwarded = [line for line in head.forwarded if not line.startswith(_AFTER_LINE)]
        if path.in_hand > path.limit:
            self.refuse("overloaded", f"The gateway has {path.limit} calls in hand.")
        elif head.after and not path.table.reached(head.after):
            self.state = State.WAITING
            self.hold_body(True)
            path.wait_for(head.after, self._after_wait)
        else:
            self._admit(head, now)

    def _after_wait(self, reached: bool) -> None:
        if self.state is not State.WAITING or self.head is None:
            return
        if reached:
            self._admit(self.head, time.monotonic())
        else:
            self.refuse(
                "permissions-behind",
                "The states named in Datong-After were not reached within two seconds.",
            )

    def _refuse_edge(self) -> None:
        why = self.refused
        if why is None:
            raise AssertionError("a call without a head is refused")
        self.refuse(why.code, why.detail, why.facts, allow=why.allow)

    # ---- the decision ----

    def _admit(self, head: Head, now: float) -> None:
        route = head.route
        self._checked_at = now
        outcome = self._decide(head)
        if route.data is not None and self._is_stale(outcome, now):
            self.refuse("permissions-stale", STALE)
        elif isinstance(outcome, Denied):
            self.refuse(outcome.reason, outcome.detail, outcome.facts)
        elif not self._evidence_accepts():
            self.refuse_unrecorded("evidence-unavailable", NO_EVIDENCE)
        elif route.part == "gateway":
            self._serve(head, outcome)
        else:
            self._forward(head, outcome)

    def _decide(self, head: Head) -> Allowed | Denied:
        """Decide; for a call like the last one, only if anything has changed since."""
        path, connection, route, repeat = self.path, self.connection, head.route, self._repeat
        instant = time.time()
        if repeat is not None and repeat.question is not None and repeat.allowed is not None:
            allowed = repeat.allowed
            if (
                path.tokens.stands(repeat.checked)
                and recheck(path.table, repeat.question, allowed, instant) is allowed
            ):
                self._question, self._outcome = repeat.question, allowed
                return allowed
        checked = _NO_TOKEN
        if route.access == "caller":
            checked = connection.token(head.authorization, instant)
        question = self._question = Call(
            route.operation,
            route.access,
            route.part,
            route.data,
            head.resource,
            head.purpose,
            head.case,
            head.grant,
            self._operation(head),
            connection.thumbprint,
            checked.claims,
            checked.problem,
            checked.detail,
        )
        decided = connection.decided
        outcome: Allowed | Denied
        if (
            decided is not None
            and decided.allowed.stands(path.table.changes, instant)
            and decided.question == question
        ):
            outcome = decided.allowed
            # What the record says of the call depends on its case, which decides nothing.
            if repeat is None and decided.question.case == head.case:
                self._question = decided.question
        else:
            outcome = decide(path.table, question, instant)
            if repeat is None and isinstance(outcome, Allowed):
                connection.decided = Decided(question, outcome)
        if repeat is not None and isinstance(outcome, Allowed):
            repeat.decided(question, outcome, checked)
        self._outcome = outcome
        return outcome

    def _operation(self, _head: Head) -> str | None:
        """Return the operation of an owner's service that is asked for: none, of a part."""
        return None

    def _is_stale(self, outcome: Allowed | Denied, now: float) -> bool:
        """Tell whether a decision on data might be out of date."""
        if isinstance(outcome, Denied) and outcome.reason in _ABOUT_CALLER:
            return False
        return not self.path.is_fresh(now)

    def _evidence_accepts(self) -> bool:
        """Tell whether the record that this call will need can be written."""
        evidence, question = self.path.evidence, self._question
        if question is not None and question.data is not None:
            return evidence.accepts
        return self.connection.thumbprint is None or evidence.accepts_control

    # ---- to the part and back ----

    def _forward(self, head: Head, allowed: Allowed) -> None:
        """Write the call as the part gets it, and ask for a connection."""
        route = head.route
        pool = self.path.pools[route.lane]
        self.record_id = uuid7()
        before, behind = self._frame(head, allowed, pool)
        lines = [
            before,
            self.call_id.encode(),
            b"\r\nDatong-Internal-Record: ",
            self.record_id.encode(),
            behind,
        ]
        if self._hash is None:
            body = b"".join(self.pieces)
            self.pieces.clear()
            if body or route.method != b"GET":
                lines.append(b"\r\nContent-Length: %d" % len(body))
            lines += (b"\r\n\r\n", body)
        else:
            framing = b"Transfer-Encoding: chunked" if head.chunked else length_line(head)
            lines += (b"\r\n", framing, b"\r\n\r\n")
            self.connection.deadline = time.monotonic() + self.path.settings.body_seconds
            self.connection.say_continue(self)
        self._outgoing = b"".join(lines)
        self.state = State.ASKING
        self.hold_body(True)
        if not pool.ask(self):
            self.refuse("overloaded", pool.full)

    def _frame(self, head: Head, allowed: Allowed, pool: Pool) -> tuple[bytes, bytes]:
        """Return the lines for the part around those of the call id and the record id."""
        repeat, route = self._repeat, head.route
        if repeat is not None and allowed is repeat.allowed and repeat.frame is not None:
            return repeat.frame
        line = b"%b %b HTTP/1.1" % (route.method, head.target)
        before = b"".join((line, pool.host_line, *head.forwarded, b"\r\nDatong-Call: "))
        behind = self.connection.certificate_line
        if allowed.grant is not None:
            behind += b"\r\nDatong-Internal-Grant: " + allowed.grant.reference.encode()
        elif allowed.entry is not None:
            reference = f"{allowed.entry.id}@{allowed.entry.version}"
            behind += b"\r\nDatong-Internal-Entry: " + reference.encode()
        if repeat is not None and allowed is repeat.allowed:
            repeat.frame = before, behind
        return before, behind

    @property
    def still_asks(self) -> bool:
        """Return whether the call still wants a connection to its part."""
        return self.state is State.ASKING

    @property
    def caller(self) -> str:
        """Return whose share of a `SharedPool` the call takes."""
        outcome = self._outcome
        if outcome is not None and outcome.caller is not None:
            return outcome.caller.subject
        return self.connection.thumbprint or ""

    def upstream_ready(self, upstream: UpstreamConnection) -> None:
        """Send the call on a connection of the pool."""
        self._upstream = upstream
        self._reused = upstream.used
        self.state = State.SENT
        if self._hash is None:
            upstream.send(self, self._outgoing, whole=True)
            return
        self.hold_body(False)
        upstream.send(self, self._outgoing, whole=False)
        head = self.head
        if head is not None:
            pieces, self.pieces = self.pieces, []
            for piece in pieces:
                upstream.send_more(framed(head, piece), last=False)
            if self.complete:
                self.end_body()

    def upstream_unavailable(self) -> None:
        """Learn that the part cannot be reached."""
        part = "" if self.head is None else self.head.route.part
        self.refuse("service-unavailable", f"The part {part} cannot be reached.")

    def take_whole(self, data: bytes) -> bool:
        """Take an answer that came whole and is like the last one to this call; tell whether."""
        pattern = None if self._repeat is None else self._repeat.pattern
        taken = None if pattern is None else pattern.read(data)
        if taken is None:
            return False
        self._answer, body = taken
        self._answer_pieces.append(body)
        return True

    def learn_whole(self, data: bytes) -> None:
        """Learn how the part answers a call that repeats; learning costs a hundred readings."""
        repeat, answer = self._repeat, self._answer
        if repeat is not None and answer is not None and repeat.unlike < _PATTERNS:
            repeat.unlike += 1
            repeat.pattern = learn_answer(data, answer)

    def answer_started(self, status: int, headers: Headers) -> None:
        """Take the head of the part's answer."""
        try:
            answer = read_answer(status, headers)
        except ValueError as error:
            log.error("answer not understood", call=self.call_id, error=str(error))
            self.mismatch("The head of the part's answer is not what parts agree on.")
            return
        self._answer = answer
        length = answer.length
        if length is not None and length > BUFFERED_ANSWER and answer.may_have_body:
            if answer.announced is not None:
                self._large = Streamed(self, answer.announced, length)
                self.clear(answer.announced, length)
            else:
                self._keep_in_file()

    def answer_piece(self, piece: bytes) -> None:
        """Take a piece of the part's answer."""
        if self._large is not None:
            self._large.take(piece)
            return
        self._answer_pieces.append(piece)
        self._answer_size += len(piece)
        if self._answer_size > BUFFERED_ANSWER:
            self._keep_in_file()

    def answer_ended(self) -> None:
        """Take the end of the part's answer; the connection is free already."""
        self._upstream = None
        if not self.complete:
            self.connection.stop_hearing()
        if self._large is not None:
            self._large.end()
            return
        pieces = self._answer_pieces
        self._body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.clear(sha256(self._body).digest(), len(self._body))

    def answer_failed(self, untouched: bool) -> None:
        """Try once more where that is safe, or refuse."""
        self._upstream = None
        if self._large is not None:
            self._large.upstream_lost()
        elif untouched and self._reused and not self._retried and self._may_repeat():
            # The part closed an idle connection in the moment in which it was used.
            self._retried = True
            self.path.counts.retries += 1
            self.state = State.ASKING
            if self.head is None or not self.path.pools[self.head.route.lane].ask(self):
                self.upstream_failed()
        else:
            self.upstream_failed()

    def _may_repeat(self) -> bool:
        route = None if self.head is None else self.head.route
        return (
            self._hash is None
            and route is not None
            and (route.method in _IDEMPOTENT or route.data == "query")
        )

    def _keep_in_file(self) -> None:
        """Go on with an answer of unknown digest in a file; hosted data always announce theirs."""
        question = self._question
        if question is not None and question.data is not None:
            self.mismatch("A large answer came without its digest or its length.")
            return
        self._large = Filed(self, str(self.path.settings.spool_directory))
        for piece in self._answer_pieces:
            self._large.take(piece)
        self._answer_pieces = []

    def _serve(self, head: Head, allowed: Allowed) -> None:
        """Answer what no part answers."""
        caller = allowed.caller
        if caller is None:
            raise AssertionError("local routes are for callers")
        body = b"".join(self.pieces)
        local = self.path.local[head.route.operation](LocalCall(caller, body, self.call_id))
        answer = Answer(
            local.status,
            [b"\r\nContent-Type: " + local.media_type.encode(), b"\r\nCache-Control: no-store"],
        )
        answer.reason = local.reason
        self._answer, self._body = answer, local.body
        self.clear(sha256(local.body).digest(), len(local.body))

    # ---- the connection tells ----

    def client_may_take(self, may: bool) -> None:
        """Send on, or hold a large answer back: the caller takes slowly."""
        if self._large is None or self.state is not State.SENDING:
            return
        if may:
            self._large.client_may_take()
        else:
            self.hold_upstream(True)

    def client_gone(self) -> None:
        """Finish without the caller: what was begun is recorded, and then `withheld`."""
        if self.state is State.SENDING:
            self.cut()
        elif self.state in (State.WAITING, State.ASKING, State.SENT):
            if not self.complete:
                self.drop_upstream()
                self.refuse("call-malformed", "The connection ended before the body did.")
            elif self._waits_for_news():
                self.drop_upstream()
                self.forget_answer()
                self.refuse("deadline-exceeded", "The caller hung up before the answer came.")

    def listener_stops(self) -> None:
        """End a wait for news: whoever waits asks again, and another worker answers."""
        unanswered = (State.WAITING, State.ASKING, State.SENT)
        if (
            self.complete
            and self.state in unanswered
            and self._answer is None
            and self._waits_for_news()
        ):
            self.drop_upstream()
            self.refuse("service-unavailable", "This worker of the gateway stops; ask again.")

    def _waits_for_news(self) -> bool:
        """Tell whether the part may have long to go, and nothing is done by halves without it."""
        route = None if self.head is None else self.head.route
        return route is not None and route.slow and route.method == b"GET"

    def time_out(self, now: float) -> None:
        """Act on the deadline of the call."""
        self.connection.deadline = now + 1.0
        if self.state in (State.WAITING, State.ASKING, State.SENT):
            self.drop_upstream()
            self.forget_answer()
            if not self.complete and not self.connection.holds_body:
                self.refuse("call-timeout", "The body of the call did not arrive in time.")
            else:
                self.refuse("deadline-exceeded", "The part did not answer in time.")
        elif self.state is State.SENDING:
            self.cut()
        elif self.state is State.RECORDING:
            # The disk hangs. When the record becomes durable after all, `withheld` follows it.
            self.refuse_unrecorded("evidence-unavailable", NO_EVIDENCE)

    def tick(self) -> None:
        """Cut a data answer in the middle when its permission has gone."""
        if self.state is State.SENDING and self._holds_data():
            denied = self._check_again()
            if denied is not None:
                log.info("answer cut", call=self.call_id, reason=denied.reason)
                self.cut(denied.reason)
