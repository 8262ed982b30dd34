"""The command line, on a platform of small stand-in parts."""

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from stack.folders import CHECKOUT, DATONG
from stack.settings import inherited_environment
from tests.integration.stack.test_supervisor import start_supervisor

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def stack_command(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stack", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=CHECKOUT,
        env=inherited_environment(),
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(session_directory: Path) -> AsyncIterator[str]:
    """The name of a running platform, started by a supervisor of its own."""
    directory = session_directory / f"commands-{secrets.token_hex(3)}"
    supervisor = await start_supervisor(directory)
    yield str(directory.relative_to(DATONG))
    if supervisor.returncode is None:
        supervisor.kill()
    await supervisor.wait()


async def test_status_shows_every_process_and_its_memory(platform: str) -> None:
    code, out, _ = await stack_command("--name", platform, "status")

    assert code == 0
    assert "all together" in out
    assert "kafka" in out

    code, out, _ = await stack_command("status", "--json", "--name", platform)
    told = json.loads(out)

    assert code == 0
    assert told["running"] is True
    assert told["memory_bytes"]["kafka"] > 10_000_000
    assert told["processes"]["audit-write"]["condition"] == "ready"


async def test_logs_show_the_end_of_each_log(platform: str) -> None:
    code, out, _ = await stack_command("--name", platform, "logs", "kafka", "--lines", "500")
    assert code == 0
    assert "Kafka Server started" in out

    code, out, _ = await stack_command("--name", platform, "logs", "--json")
    assert code == 0
    assert {"postgres", "kafka", "audit-api"} <= set(json.loads(out))

    code, _, err = await stack_command("--name", platform, "logs", "nothing")
    assert code == 1
    assert "no log nothing" in err


async def test_up_of_what_runs_changes_nothing(platform: str) -> None:
    code, out, _ = await stack_command("--name", platform, "up")

    assert code == 0
    assert "already running" in out


async def test_down_stops_and_clean_deletes(platform: str) -> None:
    code, out, _ = await stack_command("--name", platform, "down", "--json")
    assert code == 0
    assert json.loads(out) == {"stopped": True, "left_over": []}

    code, out, _ = await stack_command("--name", platform, "status", "--json")
    assert code == 3
    assert json.loads(out) == {"running": False}

    code, _, _ = await stack_command("--name", platform, "clean")
    assert code == 0
    assert not (DATONG / platform).exists()


@pytest.mark.parametrize("name", ["..", "/tmp", "local/../..", "."])
async def test_a_name_that_leads_out_of_the_folder_is_refused(name: str) -> None:
    code, _, err = await stack_command("--name", name, "clean")

    assert code == 1
    assert "names no folder" in err
