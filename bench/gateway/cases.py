"""What is measured: a kind of call through one proxy, in rounds that take turns with the others."""

import asyncio
import json
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.gateway.processes import CHECKOUT, OTHERS, Proxy, shipped
from bench.gateway.states import MASKED, PLAIN, PURPOSE, SERVICE, SPREAD
from bench.gateway.upstream import BODY
from bench.gateway.world import World
from stack.certificates import Certificates


@dataclass(frozen=True)
class Kind:
    """A kind of call: it goes to each of `paths` in turn."""

    name: str
    method: str
    paths: tuple[str, ...]


def _query(*resources: str) -> tuple[str, ...]:
    return tuple(f"/data/v1/{resource}/query" for resource in resources)


_CODES: Final = tuple(f"91330106MA2{number:06}X" for number in range(1000))
PLAIN_CALL: Final = Kind("plain", "POST", _query(PLAIN))
MASKED_CALL: Final = Kind("masked", "POST", _query(MASKED))
SPREAD_CALL: Final = Kind("spread", "POST", _query(*SPREAD))
OWNER_CALL: Final = Kind(
    "call", "GET", tuple(f"/call/{SERVICE}/enterprises/{code}" for code in _CODES)
)
CLEAR_CALL: Final = Kind("clear", "GET", tuple(f"/clear/enterprises/{code}" for code in _CODES))

_RESOURCES: Final = {
    PLAIN: "plain",
    MASKED: "masked",
    SERVICE: "call",
    **dict.fromkeys(SPREAD, "spread"),
}
"""Kind of call by the resource in its record."""
_OF_ITSELF: Final = frozenset({"epoch", "beat", "end", "refusals"})


@dataclass
class Case:
    """A kind of call through a proxy, and the figures of its rounds.

    Attributes:
        cpu_us: of the process of the proxy, per call.
        calls: answered rightly, those that warm up included.
    """

    proxy: Proxy
    kind: Kind
    cpu_us: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    calls: int = 0

    @property
    def name(self) -> str:
        """Return `<proxy>.<kind>`."""
        return f"{self.proxy.name}.{self.kind.name}"

    @property
    def cpu(self) -> float:
        """Return the median of the rounds, µs."""
        return statistics.median(self.cpu_us)

    def ratio(self, other: "Case") -> float:
        """Return the median over the rounds of this figure divided by the other's."""
        pairs = zip(self.cpu_us, other.cpu_us, strict=True)
        return statistics.median(mine / theirs for mine, theirs in pairs)


async def warm_up(
    case: Case, world: World, certificates: Certificates, calls: int, connections: int
) -> None:
    """Send calls whose cost is not looked at."""
    await asyncio.to_thread(_load, case, world, certificates, calls, connections)


async def measure(
    case: Case, world: World, certificates: Certificates, calls: int, connections: int
) -> None:
    """Send the calls of one round and add its figures."""
    proxy = case.proxy
    if proxy.health is not None:
        await shipped(proxy)
    before = proxy.cpu()
    # In a thread: without beats permissions go stale after a minute.
    figures = await asyncio.to_thread(_load, case, world, certificates, calls, connections)
    if proxy.health is not None:
        await shipped(proxy)
    case.cpu_us.append((proxy.cpu() - before) / calls * 1e6)
    case.p50_ms.append(figures["p50_ms"])
    case.p99_ms.append(figures["p99_ms"])
    print(
        f"{case.name:18} {case.cpu_us[-1]:7.1f} µs/call  "
        f"{calls / figures['seconds']:8.0f} calls/s  "
        f"p50 {figures['p50_ms']:.1f} ms  p99 {figures['p99_ms']:.1f} ms",
        flush=True,
    )


def _load(
    case: Case, world: World, certificates: Certificates, calls: int, connections: int
) -> dict[str, Any]:
    """Send `calls` calls; every one must be answered rightly."""
    plan = {
        "port": case.proxy.port,
        "connections": connections,
        "calls": calls,
        "token": world.token(),
        "method": case.kind.method,
        "paths": case.kind.paths,
        "purpose": PURPOSE,
        "certificate": str(world.client_certificate),
        "key": str(world.client_key),
        "ca": str(certificates.ca),
        "body_length": len(BODY),
    }
    done = subprocess.run(
        ["taskset", "-c", str(OTHERS), sys.executable, "-m", "bench.gateway.load"],
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"The load of {case.name} failed:\n{done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    if figures["wrong"] or figures["good"] != calls:
        raise SystemExit(f"{case.name}: {figures['good']} of {calls} right: {figures['wrong']}")
    case.calls += calls
    return figures


async def compare_records(proxies: Iterable[Proxy], cases: Sequence[Case]) -> dict[str, int]:
    """Return the durable records of each kind of call, which must be as many as its calls.

    Raises:
        SystemExit: they are not, or an answer was opened, closed or withheld.
    """
    durable: dict[str, int] = {}
    for proxy in proxies:
        mine = [case for case in cases if case.proxy is proxy]
        found = await _records(proxy.bootstrap)
        for case in mine:
            durable[case.name] = found.pop(case.kind.name, 0)
            if durable[case.name] != case.calls:
                raise SystemExit(
                    f"{case.name}: {case.calls} calls, {durable[case.name]} durable records."
                )
        if found:
            raise SystemExit(f"{proxy.name} has records that no call explains: {dict(found)}.")
    return durable


async def _records(bootstrap: str) -> Counter[str]:
    """Count the records on the bus by kind of call, or by their type, each of them once.

    What a gateway says of itself (epochs, beats, summaries) is not counted.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    seen: set[tuple[str, int]] = set()
    counts: Counter[str] = Counter()
    partition = TopicPartition("gateway.call.v1", 0)
    try:
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        await consumer.seek_to_beginning(partition)
        while await consumer.position(partition) < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for each in records:
                    record = json.loads(each.value)
                    place = record["epoch"], record["sequence"]
                    if record["type"] not in _OF_ITSELF and place not in seen:
                        seen.add(place)
                        counts[_kind(record)] += 1
    finally:
        await consumer.stop()
    return counts


def _kind(record: dict[str, Any]) -> str:
    if record["type"] != "call":
        return str(record["type"])
    if record["decision"] != "allowed" or "reason" in record:
        return f"refused: {record.get('reason')}"
    return _RESOURCES.get(record.get("resource", ""), "unknown")
