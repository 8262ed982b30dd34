"""`make bench-gateway`: CPU µs per audited mTLS call, in interleaved rounds with the rivals.

One core for what is measured, the other for load, what stands behind, and Kafka. Ours is the
shipped worker with every check, its spool on a disk; once with a small table of permissions, once
with one of 50,000 grants. Fails unless every answer is right and each call of ours has its durable
record. Writes `.datong/bench/gateway.json`. `ARGS=--short` tries it quickly, for no figure to keep.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from bench.gateway.cases import (
    CLEAR_CALL,
    MASKED_CALL,
    OWNER_CALL,
    PLAIN_CALL,
    SPREAD_CALL,
    Case,
    compare_records,
    measure,
    warm_up,
)
from bench.gateway.figures import LARGE, SMALL, report
from bench.gateway.processes import (
    CHECKOUT,
    FOLDER,
    MEASURED,
    OTHERS,
    Proxy,
    free_port,
    pin,
    spawn,
    spawn_upstream,
    start_gateway,
    wait_for_port,
)
from bench.gateway.rivals import Behind, envoy_arguments, nginx_arguments, nginx_program
from bench.gateway.states import Service, Size, large, small
from bench.gateway.world import World, make_world, published
from bench.measure import file_system
from kit.events import State
from stack.certificates import Certificates, issue, issue_own
from stack.kafka import Kafka
from stack.supervisor.servers import create_topics

REPORT: Final = CHECKOUT / ".datong" / "bench" / "gateway.json"
PARTS: Final = ("identity", "catalog", "sharing", "transfer", "audit", "gateway")


def main() -> None:
    """Run the benchmark and print its table."""
    options = _options()
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("The benchmark needs two cores: one measured, one for the load.")
    load = os.getloadavg()[0]
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    if file_system(FOLDER) in {"tmpfs", "ramfs"}:
        raise SystemExit(f"{FOLDER} is in memory; the spool must lie on a disk.")
    asyncio.run(_run(options, load))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description=__doc__)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--calls", type=int, help="calls of each kind, rival and round")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--grants", type=int, default=50_000, help="of the large table")
    parser.add_argument("--short", action="store_true", help="2 rounds of 4,000 calls")
    parser.add_argument("--without-rivals", action="store_true", help="measure ours alone")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.short else 5)
    options.calls = options.calls or (4_000 if options.short else 40_000)
    return options


async def _run(options: argparse.Namespace, load: float) -> None:
    world = make_world(FOLDER / "world")
    now = datetime.now(UTC)
    certificates = issue(FOLDER / "tls", PARTS, now)
    owner_ca, owner = issue_own(FOLDER / "tls-owner", "enterprises", now)
    size = Size(agencies=200, resources=10_000, grants=options.grants)
    async with contextlib.AsyncExitStack() as held:
        processes = held.enter_context(contextlib.ExitStack())
        behind = Behind(
            spawn_upstream(
                processes, "part", "part", certificates.parts["transfer"], certificates.ca
            ),
            spawn_upstream(processes, "owner", "owner", owner, certificates.ca),
            spawn_upstream(processes, "owner", "owner-in-the-clear"),
            owner_ca,
        )
        states = small(world.caller, Service(behind.owner, owner_ca.read_text("utf-8")))
        tables: dict[str, Sequence[State]] = {SMALL: states, LARGE: list(large(states, size))}
        gateways = [
            await _gateway(held, processes, name, table, certificates, behind, options.connections)
            for name, table in tables.items()
        ]
        rivals = []
        if not options.without_rivals:
            rivals = _rivals(processes, world, certificates, behind)
        cases = _cases(gateways, rivals)
        await _rounds(options, cases, world, certificates)
        durable = await compare_records(gateways, cases)
        report(
            REPORT,
            FOLDER,
            cases,
            gateways,
            size=size,
            connections=options.connections,
            durable=durable,
            load=load,
        )


async def _gateway(
    held: contextlib.AsyncExitStack,
    processes: contextlib.ExitStack,
    name: str,
    states: Sequence[State],
    certificates: Certificates,
    behind: Behind,
    connections: int,
) -> Proxy:
    """Start a gateway with a Kafka of its own, on which `states` are published."""
    folder = FOLDER / f"kafka-{name}"
    folder.mkdir()
    kafka = Kafka(folder)
    kafka.run()
    if kafka.process is None:
        raise AssertionError("Kafka runs")
    processes.callback(kafka.process.kill)
    pin(kafka.process.pid, OTHERS)
    await create_topics(kafka.bootstrap)
    await held.enter_async_context(published(states, kafka.bootstrap))
    return await start_gateway(
        processes, name, certificates, kafka.bootstrap, behind.part, connections
    )


def _rivals(
    held: contextlib.ExitStack, world: World, certificates: Certificates, behind: Behind
) -> list[Proxy]:
    port = free_port()
    command = envoy_arguments(FOLDER, world, certificates, port, behind)
    rivals = [Proxy("envoy", spawn(held, command, MEASURED, "envoy"), port)]
    if nginx_program() is not None:
        port = free_port()
        command = nginx_arguments(FOLDER, world, certificates, port, behind.part)
        rivals.append(Proxy("nginx", spawn(held, command, MEASURED, "nginx"), port))
    else:
        print("nginx is not installed; its comparison is left out", flush=True)
    for rival in rivals:
        wait_for_port(rival.name, rival.process, rival.port)
    return rivals


def _cases(gateways: Sequence[Proxy], rivals: Sequence[Proxy]) -> list[Case]:
    kinds = {
        SMALL: (PLAIN_CALL, MASKED_CALL, OWNER_CALL, SPREAD_CALL),
        LARGE: (PLAIN_CALL, SPREAD_CALL),
        "envoy": (PLAIN_CALL, OWNER_CALL, CLEAR_CALL),
        "nginx": (PLAIN_CALL,),
    }
    return [Case(proxy, kind) for proxy in (*gateways, *rivals) for kind in kinds[proxy.name]]


async def _rounds(
    options: argparse.Namespace, cases: list[Case], world: World, certificates: Certificates
) -> None:
    """Warm all up, then measure in turns; each round begins with another case."""
    for case in cases:
        await warm_up(case, world, certificates, 4000, options.connections)
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", flush=True)
        first = number * len(cases) // options.rounds
        for case in (*cases[first:], *cases[:first]):
            await measure(case, world, certificates, options.calls, options.connections)


if __name__ == "__main__":
    main()
