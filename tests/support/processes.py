"""Folders of a test session, polling with a deadline, and processes that end with the test."""

import asyncio
import os
import secrets
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from stack.folders import CHECKOUT, DATONG
from stack.process import Process
from stack.settings import inherited_environment

SESSIONS = DATONG / "tests"


@pytest.fixture(scope="session")
def session_directory() -> Iterator[Path]:
    """Folder of this test session below `.datong/tests/`; removed at its end."""
    SESSIONS.mkdir(parents=True, exist_ok=True)
    for left in SESSIONS.iterdir():  # of sessions that were killed
        if not Path(f"/proc/{left.name.split('-')[0]}").exists():
            shutil.rmtree(left, ignore_errors=True)
    directory = SESSIONS / f"{os.getpid()}-{secrets.token_hex(3)}"
    directory.mkdir()
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def wait_for(condition: Callable[[], bool], seconds: float = 10.0, what: str = "") -> None:
    """Block until `condition()` holds; fail the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"after {seconds:g} s still not: {what or condition}")
        time.sleep(0.02)


async def wait_until(
    condition: Callable[[], bool | Awaitable[bool]], seconds: float = 10.0, what: str = ""
) -> None:
    """Wait until `condition()` holds, without holding up the loop; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        holds = condition()
        if not isinstance(holds, bool):
            holds = await holds
        if holds:
            return
        if time.monotonic() > deadline:
            pytest.fail(f"after {seconds:g} s still not: {what or condition}")
        await asyncio.sleep(0.02)


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start `python ARGUMENTS` from the checkout, with only the given variables added.

    `start_process("-m", "services.identity", "api", DATONG_LISTEN="127.0.0.1:0")`; every process
    is killed, with its group, when the test ends.
    """
    started: list[Process] = []

    def start(*arguments: str, **environment: str) -> Process:
        process = Process(
            name=" ".join(arguments),
            command=[sys.executable, *arguments],
            log_file=tmp_path / f"process-{len(started)}.log",
            environment=inherited_environment(**environment),
            directory=CHECKOUT,
        )
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        process.kill()
