"""Connections for calls that take long, of which no caller gets more than its share."""

import ssl
from collections import Counter
from collections.abc import Iterable
from typing import Protocol, cast

from typing_extensions import override

from gateway.turn import Turn
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.deadlines import Deadlines
from gateway.upstream.pool import Asker, Pool


class SharedAsker(Asker, Protocol):
    """A call that takes long and waits for a connection."""

    @property
    def caller(self) -> str:
        """Return who calls, such as `system/<id>`; all its calls count together."""
        ...


class _Ticket:
    """A call in the queue of a `SharedPool`; the pool learns which connection it is given."""

    __slots__ = ("_asker", "_pool", "caller")

    def __init__(self, pool: "SharedPool", asker: SharedAsker) -> None:
        self._pool = pool
        self._asker = asker
        self.caller = asker.caller

    @property
    def still_asks(self) -> bool:
        """Return whether the call still wants a connection."""
        return self._asker.still_asks

    def upstream_ready(self, connection: UpstreamConnection) -> None:
        """Hand the connection on."""
        self._pool.taken(connection, self.caller)
        self._asker.upstream_ready(connection)

    def upstream_unavailable(self) -> None:
        """Hand the refusal on."""
        self._asker.upstream_unavailable()


class SharedPool(Pool):
    """A pool of its own for calls that wait for news or move large bodies.

    However many of them there are, and however long they last, quick calls keep the connections
    of the other pool; and a caller that begins many leaves connections to the others.

    Args:
        part, url, context, trust_domain, deadlines, turn, limit: see `Pool`.
        share: calls of one caller at once, those that wait for a connection included.
    """

    def __init__(
        self,
        part: str,
        url: str,
        context: ssl.SSLContext,
        trust_domain: str,
        deadlines: Deadlines,
        turn: Turn,
        limit: int,
        share: int,
    ) -> None:
        super().__init__(part, url, context, trust_domain, deadlines, turn, limit, waiting=limit)
        self.full = (
            f"Calls that wait or move large bodies: {part} takes {share} of one caller and {limit} "
            "of all callers at once."
        )
        self._share = share
        self._taken: dict[UpstreamConnection, str] = {}
        self._calls: Counter[str] = Counter()

    @override
    def ask(self, asker: Asker) -> bool:
        """Give `asker`, a `SharedAsker`, a connection now or later.

        Returns:
            False when its caller has its share already, or when too many wait.
        """
        ticket = _Ticket(self, cast(SharedAsker, asker))
        queue = cast(Iterable[_Ticket], self._waiting)
        waiting = sum(other.caller == ticket.caller and other.still_asks for other in queue)
        if self._calls[ticket.caller] + waiting >= self._share:
            return False
        return super().ask(ticket)

    def taken(self, connection: UpstreamConnection, caller: str) -> None:
        """Note whose call a connection carries."""
        self._taken[connection] = caller
        self._calls[caller] += 1

    @override
    def freed(self, connection: UpstreamConnection) -> None:
        self._give_back(connection)
        super().freed(connection)

    @override
    def lost(self, connection: UpstreamConnection) -> None:
        self._give_back(connection)
        super().lost(connection)

    def _give_back(self, connection: UpstreamConnection) -> None:
        caller = self._taken.pop(connection, None)
        if caller is None:
            return
        self._calls[caller] -= 1
        if not self._calls[caller]:
            del self._calls[caller]
