"""`make bench-gateway`: CPU µs per audited mTLS call, in interleaved rounds with the rivals.

One core for the measured process tree, the other for load, upstream and Kafka. Ours is the shipped
worker with every check, its spool on a disk. Fails unless every answer is right and the durable
records equal the calls. Writes `.datong/bench/gateway.json`.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.gateway.rivals import envoy_arguments, nginx_arguments, nginx_program
from bench.gateway.upstream import BODY
from bench.gateway.world import PURPOSE, RESOURCE, World, make_world, published
from bench.measure import cpu_seconds, fdatasync_p50_ms, file_system
from bench.report import Result, write
from stack.certificates import Certificates, issue
from stack.kafka import Kafka
from stack.supervisor.plan import AUDIENCE, ISSUER
from stack.supervisor.servers import create_topics

CHECKOUT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = CHECKOUT / ".datong" / "bench" / "gateway"
REPORT: Final = CHECKOUT / ".datong" / "bench" / "gateway.json"
PARTS: Final = ("identity", "catalog", "sharing", "transfer", "audit", "gateway")
PATH: Final = f"/data/v1/{RESOURCE}/query"


@dataclass
class Rival:
    """One proxy under measurement: its process, port, and figures per round."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    cpu_us: list[float] = field(default_factory=list)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    calls: int = 0


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=40_000, help="calls per rival and round")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--without-rivals", action="store_true", help="measure ours alone")
    options = parser.parse_args()
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("The benchmark needs two cores: one measured, one for the load.")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    if file_system(FOLDER) in {"tmpfs", "ramfs"}:
        raise SystemExit(f"{FOLDER} is in memory; the spool must lie on a disk.")
    asyncio.run(_run(options))


async def _run(options: argparse.Namespace) -> None:
    world = make_world(FOLDER / "world")
    certificates = issue(FOLDER / "tls", PARTS, datetime.now(UTC))
    with contextlib.ExitStack() as held:
        kafka = Kafka(FOLDER / "kafka")
        kafka.run()
        held.callback(kafka.process.kill)  # type: ignore[union-attr]
        _pin(kafka.process.pid, {1})  # type: ignore[union-attr]
        await create_topics(kafka.bootstrap)
        async with published(world, kafka.bootstrap):
            rivals = await _start(held, options, world, certificates, kafka.bootstrap)
            for rival in rivals:
                await asyncio.to_thread(
                    _load, rival, world, certificates, 4000, options.connections
                )
            for number in range(options.rounds):
                for rival in rivals:
                    before = cpu_seconds(rival.process.pid)
                    # In a thread: without beats permissions go stale after a minute.
                    figures = await asyncio.to_thread(
                        _load, rival, world, certificates, options.calls, options.connections
                    )
                    spent = cpu_seconds(rival.process.pid) - before
                    rival.cpu_us.append(spent / options.calls * 1e6)
                    rival.rounds.append(figures)
                    print(
                        f"round {number + 1} {rival.name:8} {rival.cpu_us[-1]:7.1f} µs/call  "
                        f"{options.calls / figures['seconds']:8.0f} calls/s  "
                        f"p50 {figures['p50_ms']:.1f} ms  p99 {figures['p99_ms']:.1f} ms",
                        flush=True,
                    )
            durable = await _records(kafka.bootstrap, rivals[0].calls)
    _report(options, rivals, durable)


async def _start(
    held: contextlib.ExitStack,
    options: argparse.Namespace,
    world: World,
    certificates: Certificates,
    bootstrap: str,
) -> list[Rival]:
    """Start the upstream and all proxies, pinned; return when all of them listen."""
    upstream = _free_port()
    pair = certificates.parts["transfer"]
    _spawn(
        held,
        [
            sys.executable,
            "-m",
            "bench.gateway.upstream",
            str(upstream),
            str(pair.certificate),
            str(pair.key),
            str(certificates.ca),
        ],
        {1},
        "upstream",
    )
    port, health = _free_port(), _free_port()
    environment = _gateway_environment(world, certificates, bootstrap, port, health, upstream)
    ours = _spawn(held, [sys.executable, "-m", "gateway"], {0}, "gateway", environment)
    rivals = [Rival("datong", ours, port)]
    if not options.without_rivals:
        port = _free_port()
        command = envoy_arguments(FOLDER, world, certificates, port, upstream)
        rivals.append(Rival("envoy", _spawn(held, command, {0}, "envoy"), port))
        if nginx_program() is not None:
            port = _free_port()
            command = nginx_arguments(FOLDER, world, certificates, port, upstream)
            rivals.append(Rival("nginx", _spawn(held, command, {0}, "nginx"), port))
        else:
            print("nginx is not installed; its comparison is left out", flush=True)
    await _ready(health, rivals[0].process)
    for rival in rivals:
        _listening(rival)
    return rivals


def _gateway_environment(
    world: World,
    certificates: Certificates,
    bootstrap: str,
    port: int,
    health: int,
    upstream: int,
) -> dict[str, str]:
    mine = certificates.parts["gateway"]
    (FOLDER / "spool").mkdir()
    nobody = f"https://127.0.0.1:{_free_port()}"
    settings = {
        "ENVIRONMENT": "production",
        "LOG_LEVEL": "info",
        "TRUST_DOMAIN": "datong.local",
        "TLS_CERTIFICATE_FILE": str(mine.certificate),
        "TLS_KEY_FILE": str(mine.key),
        "TLS_CA_FILE": str(certificates.ca),
        "KAFKA": bootstrap,
        "LISTEN": f"127.0.0.1:{port}",
        "HEALTH_LISTEN": f"127.0.0.1:{health}",
        "ISSUER": ISSUER,
        "AUDIENCE": AUDIENCE,
        "GATEWAY": "gateway-0",
        "SLOT": "0",
        "SPOOL_DIRECTORY": str(FOLDER / "spool"),
        "SPOOL_LIMIT": str(4 << 30),
        "SERVER_CERTIFICATE_FILE": str(certificates.server.certificate),
        "SERVER_KEY_FILE": str(certificates.server.key),
        "TRANSFER_URL": f"https://127.0.0.1:{upstream}",
        "IDENTITY_URL": nobody,
        "CATALOG_URL": nobody,
        "SHARING_URL": nobody,
        "AUDIT_URL": nobody,
    }
    return {f"DATONG_{name}": value for name, value in settings.items()}


def _spawn(
    held: contextlib.ExitStack,
    command: Sequence[str],
    cores: set[int],
    name: str,
    environment: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    log = held.enter_context((FOLDER / f"{name}.log").open("wb"))
    process = subprocess.Popen(
        ["taskset", "-c", ",".join(map(str, sorted(cores))), *command],
        cwd=CHECKOUT,
        env={**os.environ, **(environment or {})},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    held.callback(_stop, process)
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _pin(pid: int, cores: set[int]) -> None:
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), cores)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _ready(health: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    async with httpx.AsyncClient() as client:
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(f"http://127.0.0.1:{health}/health/ready")).is_success:
                    return
            await asyncio.sleep(0.1)
    raise SystemExit(f"The gateway did not become ready; see {FOLDER / 'gateway.log'}.")


def _listening(rival: Rival) -> None:
    end = time.monotonic() + 15
    while time.monotonic() < end and rival.process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", rival.port), 1):
            return
        time.sleep(0.1)
    raise SystemExit(f"{rival.name} does not listen; see {FOLDER / (rival.name + '.log')}.")


def _load(
    rival: Rival, world: World, certificates: Certificates, calls: int, connections: int
) -> dict[str, Any]:
    """Send `calls` calls; every one must be answered rightly."""
    plan = {
        "port": rival.port,
        "connections": connections,
        "calls": calls,
        "token": world.token(),
        "path": PATH,
        "purpose": PURPOSE,
        "certificate": str(world.client_certificate),
        "key": str(world.client_key),
        "ca": str(certificates.ca),
        "body_length": len(BODY),
    }
    done = subprocess.run(
        ["taskset", "-c", "1", sys.executable, "-m", "bench.gateway.load"],
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"The load against {rival.name} failed:\n{done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    if figures["wrong"] or figures["good"] != calls:
        raise SystemExit(f"{rival.name} answered {figures['good']} of {calls}: {figures['wrong']}")
    rival.calls += calls
    return figures


async def _records(bootstrap: str, expected: int) -> int:
    """Count the call records on the bus; wait until all that were made have been shipped."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    seen: set[bytes] = set()
    end = time.monotonic() + 60
    try:
        partition = TopicPartition("gateway.call.v1", 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        while len(seen) < expected and time.monotonic() < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                seen.update(
                    json.loads(r.value)["record"].encode()
                    for r in records
                    if b'"type":"call"' in r.value
                )
    finally:
        await consumer.stop()
    return len(seen)


def _report(options: argparse.Namespace, rivals: Sequence[Rival], durable: int) -> None:
    ours = rivals[0]
    medians = {rival.name: statistics.median(rival.cpu_us) for rival in rivals}
    name = f"gateway.audited_mtls.c{options.connections}"
    p50 = fdatasync_p50_ms(FOLDER)
    results = list(_results(name, rivals, medians))
    results.append(Result("gateway.fdatasync.p50", round(p50, 3), "ms"))
    write(
        REPORT,
        results,
        file_system=file_system(FOLDER),
        calls=ours.calls,
        durable_records=durable,
        rounds={rival.name: [round(value, 1) for value in rival.cpu_us] for rival in rivals},
    )
    for result in results:
        against = f"  {result.ratio:.2f} × {result.baseline}" if result.ratio else ""
        print(f"{result.name:40} {result.value:9.1f} {result.unit}{against}")
    print(f"calls {ours.calls}, durable records {durable}; {REPORT}")
    if durable != ours.calls:
        raise SystemExit("Calls and durable records differ.")


def _results(name: str, rivals: Sequence[Rival], medians: dict[str, float]) -> Iterator[Result]:
    for rival in rivals[1:]:
        ratios = [a / b for a, b in zip(rivals[0].cpu_us, rival.cpu_us, strict=True)]
        label = name if rival.name == "envoy" else f"{name}.vs_{rival.name}"
        yield Result(
            label,
            round(medians["datong"], 1),
            "µs CPU per call",
            rival.name,
            round(statistics.median(ratios), 3),
        )
    if len(rivals) == 1:
        yield Result(name, round(medians["datong"], 1), "µs CPU per call")
    for rival in rivals:
        yield Result(f"{rival.name}.cpu", round(medians[rival.name], 1), "µs CPU per call")
        for key in ("p50_ms", "p99_ms"):
            value = statistics.median(each[key] for each in rival.rounds)
            yield Result(f"{rival.name}.{key[:3]}", round(value, 2), "ms")


if __name__ == "__main__":
    main()
