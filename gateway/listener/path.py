"""What all calls of a worker share: routes, table, evidence, pools, limits and counts."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Final, Protocol

from gateway.domain import Party, Permissions
from gateway.edge import Router
from gateway.evidence import Salts
from gateway.listener.tls import ClientFacingTls
from gateway.listener.tokens import VerifiedTokens
from gateway.settings import GatewaySettings
from gateway.turn import Turn
from gateway.upstream import NEVER, Deadlines, OwnerPools, Pool

FRESH_SECONDS: Final = 0.05
"""How long a look at the table's freshness holds; part of the bound on stale answers."""
RECHECK_SECONDS: Final = 0.25
"""A decision older than this is made again in the moment of release."""

Position = tuple[str, str, int]


class Table(Permissions, Protocol):
    """What the data path asks of the permission table beside look-ups."""

    def is_fresh(self, monotonic: float) -> bool:
        """Tell whether data calls may be decided now."""
        ...

    def reached(self, after: Sequence[Position]) -> bool:
        """Tell whether the states in Datong-After have been read."""
        ...

    def wait_for(self, after: Sequence[Position], seconds: float) -> Coroutine[Any, Any, bool]:
        """Wait for them, at most `seconds`; tell whether they have been read."""
        ...


class Evidence(Protocol):
    """What the data path asks of the evidence of this worker."""

    @property
    def accepts(self) -> bool:
        """Tell whether a data call may begin: its record can be written."""
        ...

    @property
    def accepts_control(self) -> bool:
        """Tell whether a call of the control plane may begin."""
        ...

    def append(
        self,
        fields: dict[str, Any],
        salt: bytes,
        release: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Queue a record; one of the callbacks is called on the loop, never during `append`."""
        ...

    def count_refusal(self, code: str) -> None:
        """Count a refusal without a verified certificate."""
        ...


class Connection(Protocol):
    """What the listener asks of its connections when it stops."""

    def stop(self) -> None:
        """Close as soon as no call is in hand."""
        ...

    def abort(self) -> None:
        """End at once."""
        ...


@dataclass(frozen=True, slots=True)
class LocalCall:
    """A call that the gateway answers itself; its caller has been checked."""

    caller: Party
    body: bytes
    call: str


@dataclass(frozen=True, slots=True)
class LocalAnswer:
    """What a local handler answers; `reason` names the refusal, if it is one."""

    status: int
    media_type: str
    body: bytes
    reason: str | None = None


LocalHandler = Callable[[LocalCall], LocalAnswer]


@dataclass(slots=True)
class Counts:
    """Plain numbers for the metrics; reading and raising them costs the data path nothing."""

    answers: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    refusals: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    connections_refused: int = 0
    handshakes_failed: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    retries: int = 0
    withheld: int = 0
    unrecorded: int = 0


class DataPath:
    """The shared state of one worker's data path.

    Args:
        table: decides; must answer from memory.
        evidence: where records go.
        pools: by lane, see `Route.lane`.
        owners: the pools of owners' services.
        local: handlers of routes of the part `gateway`, by operationId.

    Attributes:
        connections: those that are open.
        in_hand: calls between their first check and the end of their answer.
        stopping: no further call is begun on any connection.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        router: Router,
        table: Table,
        evidence: Evidence,
        tokens: VerifiedTokens,
        tls: ClientFacingTls,
        pools: Mapping[str, Pool],
        owners: OwnerPools,
        local: Mapping[str, LocalHandler],
        deadlines: Deadlines,
        turn: Turn,
    ) -> None:
        self.settings = settings
        self.router = router
        self.table = table
        self.evidence = evidence
        self.tokens = tokens
        self.tls = tls
        self.pools = pools
        self.owners = owners
        self.local = local
        self.deadlines = deadlines
        self.turn = turn
        self.counts = Counts()
        self.salts = Salts()
        self.connections: set[Connection] = set()
        self.in_hand = 0
        self.limit = settings.calls
        self.stopping = False
        self.deadline = NEVER
        self.date = b""
        self._fresh_until = 0.0
        self._waits: set[asyncio.Task[None]] = set()
        self._last_file_look = 0.0
        self.tick(time.monotonic())

    def is_fresh(self, now: float) -> bool:
        """Tell whether data calls may be decided; looks anew after `FRESH_SECONDS`.

        A pause of the process longer than that always leads to a new look, and the table knows
        then that it must read on first.
        """
        if now < self._fresh_until:
            return True
        if self.table.is_fresh(now):
            self._fresh_until = now + FRESH_SECONDS
            return True
        return False

    def wait_for(self, after: Sequence[Position], then: Callable[[bool], None]) -> None:
        """Wait up to two seconds for the states in Datong-After, then call `then`."""

        async def wait() -> None:
            then(await self.table.wait_for(after, 2.0))

        task = asyncio.get_running_loop().create_task(wait())
        self._waits.add(task)
        task.add_done_callback(self._waits.discard)

    def tick(self, now: float) -> None:
        """Renew the Date line and, once a second, look at the CA file."""
        self.date = b"\r\nDate: " + formatdate(usegmt=True).encode()
        if now - self._last_file_look >= 1.0:
            self._last_file_look = now
            self.tls.look_at_file()

    def time_out(self, now: float) -> None:
        """Never called: the data path has no deadline of its own."""
