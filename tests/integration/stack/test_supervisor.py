"""The supervisor with small stand-in parts, a real PostgreSQL and a real Kafka."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import psutil
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from kit.topics import TOPICS
from stack.folders import CHECKOUT
from stack.process import StartFailed
from stack.settings import StackSettings, inherited_environment
from stack.supervisor import Programs, Stack
from stack.supervisor.state import AlreadyRunning, read_state
from tests.support.processes import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")  # the stack's tests share it

SAMPLE = "tests.integration.stack.sample"
PROGRAMS = Programs(
    services={"identity": (SAMPLE, ("api", "relay")), "audit": (SAMPLE, ("api", "write"))},
    gateway=SAMPLE,
)


def a_stack(directory: Path, **values: object) -> Stack:
    return Stack(directory, **{"programs": PROGRAMS, "settings": StackSettings()} | values)  # type: ignore[arg-type]


@pytest.fixture
def directory(session_directory: Path) -> Path:
    return session_directory / f"stack-{secrets.token_hex(3)}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(session_directory: Path) -> AsyncIterator[Stack]:
    directory = session_directory / "stack"
    async with a_stack(directory, overrides={"audit-write": {"DATONG_SAMPLE": "yes"}}) as started:
        yield started


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def get(address: str) -> bytes:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /health/ready HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer


async def test_everything_is_ready_prepared_and_written_down(stack: Stack) -> None:
    state = read_state(stack.directory)
    assert state is not None
    assert set(state["processes"]) == {
        *("postgres", "kafka", "identity-api", "identity-relay", "audit-api", "audit-write"),
        *("gateway-slot-0", "gateway-slot-1"),
    }
    assert {each["condition"] for each in state["processes"].values()} == {"ready"}
    assert state["gateway_url"] == stack.gateway_url
    assert (await get(stack.health("audit-write"))).endswith(b"yes")
    assert (await get(stack.health("audit-api"))).endswith(b"\r\n\r\n")

    connection = await asyncpg.connect(stack.database_url("identity"))
    assert await connection.fetchval("SELECT current_user") == "datong_identity"
    await connection.close()
    foreign = stack.database_url("identity").removesuffix("identity") + "audit"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(foreign)

    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka)
    await admin.start()
    assert set(TOPICS) <= set(await admin.list_topics())
    await admin.close()

    for code in await stack.bootstrap():
        assert code.read_text() == "code\n"
    for name in ("secrets/identity.url", "tls/ca.key", "tls/gateway.key", "postgres.password"):
        assert (stack.directory / name).stat().st_mode & 0o077 == 0
    assert stack.memory()["gateway-slot-0"] > 1_000_000


async def test_a_second_supervisor_of_the_same_folder_is_refused(stack: Stack) -> None:
    with pytest.raises(AlreadyRunning, match="already running"):
        async with a_stack(stack.directory):
            pass

    assert read_state(stack.directory)["processes"]["kafka"]["condition"] == "ready"  # type: ignore[index]


@pytest.mark.parametrize("process", ["identity-relay", "gateway-slot-1", "postgres", "kafka"])
async def test_what_is_killed_comes_back(stack: Stack, process: str) -> None:
    before = stack.pid(process)

    stack.kill(process)
    await wait_until(lambda: not alive(before))
    await stack.wait_ready(process)

    assert stack.pid(process) != before
    assert stack.state()["processes"][process]["restarts"] >= 1


async def test_what_was_stopped_stays_away_until_it_is_started(stack: Stack) -> None:
    before = stack.pid("audit-api")

    await stack.stop_process("audit-api")
    assert not alive(before)
    assert stack.state()["processes"]["audit-api"]["condition"] == "stopped"
    await stack.start_process("audit-api")

    assert stack.pid("audit-api") != before


async def test_a_paused_process_stands_still_beside_its_replacement(stack: Stack) -> None:
    stack.pause("identity-relay")
    await stack.add_process("identity-relay-again", like="identity-relay")
    await stack.wait_ready("identity-relay-again")
    assert psutil.Process(stack.pid("identity-relay")).status() == psutil.STATUS_STOPPED

    stack.resume("identity-relay")
    await stack.wait_ready("identity-relay")


async def test_a_part_that_keeps_ending_fails_the_start_with_its_own_words(
    directory: Path,
) -> None:
    stack = a_stack(directory, overrides={"audit-api": {"DATONG_SAMPLE_ENDS": "1"}})

    with pytest.raises(StartFailed, match="told to end"):
        async with stack:
            pass

    assert not any(alive(each.pid) for each in stack.watched.values() if each.process)


async def test_servers_of_ones_own_are_used(
    directory: Path, postgres_server: object, kafka_server: str, create_database: object
) -> None:
    url_file = directory / "own.url"
    directory.mkdir()
    url_file.write_text(postgres_server.url())  # type: ignore[attr-defined]
    settings = StackSettings(postgres_url_file=url_file, kafka=kafka_server)

    async with a_stack(directory, settings=settings) as stack:
        assert "postgres" not in stack.watched
        assert "kafka" not in stack.watched
        assert stack.kafka == kafka_server
        connection = await asyncpg.connect(stack.database_url("audit"))
        await connection.close()


async def test_a_cut_link_is_silent_until_it_is_mended(directory: Path) -> None:
    async with a_stack(directory, behind_link={"gateway-slot-1"}) as stack:
        assert stack.link is not None
        linked = stack.plans["gateway-slot-1"].environment["DATONG_KAFKA"]
        assert linked == stack.link.address
        assert stack.plans["gateway-slot-0"].environment["DATONG_KAFKA"] == stack.kafka
        async with AIOKafkaProducer(bootstrap_servers=linked) as producer:
            await producer.send_and_wait("gateway.call.v1", b"before")

            stack.link.cut()
            sent = asyncio.ensure_future(producer.send_and_wait("gateway.call.v1", b"meanwhile"))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(sent), 0.5)
            stack.link.mend()

            assert (await asyncio.wait_for(sent, 30)).offset == 1


SUPERVISOR = """
import asyncio, pathlib, sys
from stack.commands import run
from tests.integration.stack.test_supervisor import a_stack
stack = a_stack(pathlib.Path(sys.argv[1]))
stack.on_change = lambda: print(stack.step, flush=True)
sys.exit(asyncio.run(run(stack)))
"""


async def start_supervisor(directory: Path) -> asyncio.subprocess.Process:
    """Start a supervisor as a process of its own; return when its platform is ready."""
    supervisor = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SUPERVISOR, str(directory)),
        stdout=asyncio.subprocess.PIPE,
        cwd=CHECKOUT,
        env=inherited_environment(),
    )
    assert supervisor.stdout is not None
    while (line := await supervisor.stdout.readline()) != b"running\n":
        assert line, "the supervisor ended"
    return supervisor


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_no_process_outlives_its_supervisor(directory: Path, number: signal.Signals) -> None:
    supervisor = await start_supervisor(directory)
    state = read_state(directory)
    assert state is not None
    pids = [each["pid"] for each in state["processes"].values()]
    pids += [child.pid for pid in pids for child in psutil.Process(pid).children(recursive=True)]
    assert all(alive(pid) for pid in pids)

    os.kill(supervisor.pid, number)
    code = await supervisor.wait()

    assert code == {signal.SIGINT: 130, signal.SIGTERM: 0, signal.SIGKILL: -9}[number]
    await wait_until(lambda: not any(alive(pid) for pid in pids), what="all processes ended")
    if number is signal.SIGKILL:  # and what was left is no obstacle
        async with a_stack(directory):
            pass
