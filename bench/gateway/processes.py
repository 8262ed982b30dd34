"""The processes of the benchmark: pinned to a core, watched by their own pids, stopped at the end.

Core 0 is for what is measured, core 1 for load, what stands behind, and Kafka.
"""

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import psutil

from bench.measure import cpu_seconds
from stack.certificates import Certificates, Pair
from stack.supervisor.plan import AUDIENCE, ISSUER

CHECKOUT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = CHECKOUT / ".datong" / "bench" / "gateway"
MEASURED: Final = 0
OTHERS: Final = 1
_POLL: Final = 0.05
_MIB: Final = 1 << 20


@dataclass(frozen=True)
class Start:
    """What a gateway needed until it was ready, and how much memory it holds then."""

    seconds: float
    cpu_seconds: float
    rss_mib: float


@dataclass
class Proxy:
    """One process under measurement.

    Attributes:
        health: port of health and metrics, of a gateway.
        bootstrap: Kafka of a gateway.
    """

    name: str
    process: subprocess.Popen[bytes]
    port: int
    health: int | None = None
    bootstrap: str = ""
    start: Start | None = None

    def cpu(self) -> float:
        """Return the CPU seconds that the process has used."""
        return cpu_seconds(self.process.pid)

    def rss_mib(self) -> float:
        """Return the memory of the process, MiB."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / _MIB


def spawn(
    held: contextlib.ExitStack,
    command: Sequence[str],
    core: int,
    name: str,
    environment: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process on one core; it is stopped when `held` is left."""
    log = held.enter_context((FOLDER / f"{name}.log").open("wb"))
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *command],
        cwd=CHECKOUT,
        env={**os.environ, **(environment or {})},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    held.callback(_stop, process)
    return process


def spawn_upstream(
    held: contextlib.ExitStack,
    kind: str,
    name: str,
    pair: Pair | None = None,
    ca: Path | None = None,
) -> int:
    """Start what stands behind the rivals; return its port."""
    port = free_port()
    files = [] if pair is None else [str(pair.certificate), str(pair.key), str(ca)]
    command = [sys.executable, "-m", "bench.gateway.upstream", kind, str(port), *files]
    process = spawn(held, command, OTHERS, name)
    wait_for_port(name, process, port)
    return port


async def start_gateway(
    held: contextlib.ExitStack,
    name: str,
    certificates: Certificates,
    bootstrap: str,
    part: int,
    connections: int,
) -> Proxy:
    """Start a shipped worker and wait until it is ready.

    One system makes all calls, so it may have as many calls to a service as it has connections;
    and the service stands on this machine, which production refuses. Neither changes what a call
    costs.
    """
    port, health = free_port(), free_port()
    mine = certificates.parts["gateway"]
    spool = FOLDER / f"spool-{name}"
    spool.mkdir()
    nobody = f"https://127.0.0.1:{free_port()}"
    settings = {
        "ENVIRONMENT": "development",
        "ALLOW_PRIVATE_OWNERS": "true",
        "OWNER_CONNECTIONS": str(2 * connections),
        "SLOW_CALLS": str(connections),
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
        "SPOOL_DIRECTORY": str(spool),
        "SPOOL_LIMIT": str(4 << 30),
        "SERVER_CERTIFICATE_FILE": str(certificates.server.certificate),
        "SERVER_KEY_FILE": str(certificates.server.key),
        "TRANSFER_URL": f"https://127.0.0.1:{part}",
        "IDENTITY_URL": nobody,
        "CATALOG_URL": nobody,
        "SHARING_URL": nobody,
        "AUDIT_URL": nobody,
    }
    environment = {f"DATONG_{key}": value for key, value in settings.items()}
    began = time.monotonic()
    process = spawn(held, [sys.executable, "-m", "gateway"], MEASURED, name, environment)
    proxy = Proxy(name, process, port, health, bootstrap)
    await _ready(proxy)
    proxy.start = Start(time.monotonic() - began, proxy.cpu(), proxy.rss_mib())
    return proxy


async def _ready(proxy: Proxy) -> None:
    end = time.monotonic() + 120
    async with httpx.AsyncClient() as client:
        while time.monotonic() < end and proxy.process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                url = f"http://127.0.0.1:{proxy.health}/health/ready"
                if (await client.get(url)).is_success:
                    return
            await asyncio.sleep(_POLL)
    raise SystemExit(f"{proxy.name} did not become ready; see {FOLDER / (proxy.name + '.log')}.")


async def shipped(proxy: Proxy) -> None:
    """Wait until a gateway has sent the records of all calls: sending belongs to what they cost."""
    end = time.monotonic() + 60
    async with httpx.AsyncClient() as client:
        while time.monotonic() < end:
            text = (await client.get(f"http://127.0.0.1:{proxy.health}/metrics")).text
            if _count(text, "records_sent") >= _count(text, "records"):
                return
            await asyncio.sleep(4 * _POLL)
    raise SystemExit(f"{proxy.name} did not send its records to the bus in time.")


def _count(metrics: str, name: str) -> float:
    found = re.search(rf"^datong_gateway_{name}_total (\S+)$", metrics, re.MULTILINE)
    if found is None:
        raise SystemExit(f"The gateway has no metric {name}.")
    return float(found[1])


def wait_for_port(name: str, process: subprocess.Popen[bytes], port: int) -> None:
    """Block until a process listens.

    Raises:
        SystemExit: it has ended, or needs longer than 15 s.
    """
    end = time.monotonic() + 15
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(_POLL)
    raise SystemExit(f"{name} does not listen; see {FOLDER / (name + '.log')}.")


def pin(pid: int, core: int) -> None:
    """Keep all threads of a process on one core."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), {core})


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
