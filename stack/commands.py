"""The command line: prepare, up, status, logs, down, clean.

Exit codes: 0 done · 1 it failed, or `status` found something not ready · 2 wrong usage ·
3 the platform is not running · 130 interrupted.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stack import screen
from stack.folders import CHECKOUT, DATONG, remove_all, remove_platform
from stack.jars import JarsMissing, prepare_jars
from stack.process import StartFailed
from stack.supervisor import Stack
from stack.supervisor.state import AlreadyRunning, is_held, read_state, reap, sole_supervisor

OK, FAILED, NOT_RUNNING, INTERRUPTED = 0, 1, 3, 130
UP_SECONDS = 180.0
DOWN_SECONDS = 60.0


class WrongName(Exception):
    """The platform's name leads out of `.datong/`. The message is for a person."""


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    chosen: Callable[[argparse.Namespace], int] = options.run
    try:
        return chosen(options)
    except (AlreadyRunning, JarsMissing, StartFailed, WrongName) as error:
        screen.problem(str(error))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stack", description="The whole Datong platform on this machine."
    )
    parser.add_argument("--json", action="store_true", help="write one JSON document")
    parser.add_argument("--name", default="local", help="folder below .datong/ (default: local)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> Any:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        # Also accepted after the command; SUPPRESS keeps what stood before it.
        made.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
        made.add_argument("--name", default=argparse.SUPPRESS)
        return made

    command("prepare", _prepare, "Fetch what the platform needs (Kafka's jars).")
    up = command("up", _up, "Start the platform; return when all of it is ready.")
    up.add_argument("--gateways", type=int, default=2, help="gateway worker slots (default: 2)")
    up.add_argument("--foreground", action="store_true", help="stay; Ctrl-C stops everything")
    supervise = command("supervise", _supervise, "Run the supervisor that `up` starts.")
    supervise.add_argument("--gateways", type=int, default=2)
    command("status", _status, "Tell what runs, whether it is ready, and how much memory it has.")
    logs = command("logs", _logs, "Show the last lines of the logs.")
    logs.add_argument("process", nargs="?", help="one process; by default all")
    logs.add_argument("--lines", type=int, default=20, help="lines of each (default: 20)")
    command("down", _down, "Stop the platform; its data stays.")
    clean = command("clean", _clean, "Stop the platform and delete its data.")
    clean.add_argument("--all", action="store_true", help="also the demo's and all downloads")
    return parser


def _directory(options: argparse.Namespace) -> Path:
    directory = (DATONG / str(options.name)).resolve()
    if DATONG not in directory.parents:  # `clean` deletes it
        raise WrongName(f"{options.name!r} names no folder below {DATONG}.")
    return directory


def _prepare(options: argparse.Namespace) -> int:
    folder = prepare_jars(lambda done, of: screen.progress("fetching Kafka", done, of))
    if options.json:
        screen.document({"jars": str(folder)})
    return OK


def _up(options: argparse.Namespace) -> int:
    directory = _directory(options)
    if is_held(directory):
        if options.json:
            screen.document(read_state(directory) or {})
        else:
            screen.line(f"The platform in {directory} is already running; see `make status`.")
        return OK
    if options.foreground:
        return asyncio.run(run(_stack(options), screen.Progress(options.json)))
    return _up_in_the_background(directory, options)


def _up_in_the_background(directory: Path, options: argparse.Namespace) -> int:
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "supervisor.log").open("wb") as log:
        supervisor = subprocess.Popen(  # noqa: S603 - our own program, no shell
            [
                *(sys.executable, "-m", "stack", "--name", options.name),
                *("supervise", "--gateways", str(options.gateways)),
            ],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        return _follow_start(directory, supervisor, screen.Progress(options.json))
    except KeyboardInterrupt:
        supervisor.send_signal(signal.SIGTERM)
        supervisor.wait()
        raise


def _follow_start(
    directory: Path, supervisor: subprocess.Popen[bytes], progress: screen.Progress
) -> int:
    deadline = time.monotonic() + UP_SECONDS
    with progress:
        while time.monotonic() < deadline:
            ended = supervisor.poll() is not None
            state = read_state(directory) or {}
            if (state.get("supervisor") or {}).get("pid") == supervisor.pid:
                progress.show(state)
            if ended:
                break
            if state.get("step") == "running" and state["supervisor"]["pid"] == supervisor.pid:
                progress.done(state)
                return OK
            time.sleep(0.1)
    supervisor.terminate()
    supervisor.wait()
    log = (directory / "supervisor.log").read_text(encoding="utf-8", errors="replace")
    screen.problem(log.strip() or f"The platform was not ready within {UP_SECONDS:g} s.")
    return FAILED


def _supervise(options: argparse.Namespace) -> int:
    return asyncio.run(run(_stack(options)))


def _stack(options: argparse.Namespace) -> Stack:
    return Stack(_directory(options), gateways=options.gateways, first_codes=True)


async def run(stack: Stack, progress: screen.Progress | None = None) -> int:
    """Run a platform until SIGINT, SIGTERM or SIGHUP; return the exit code."""
    told = asyncio.Event()
    interrupted: list[int] = []
    task = asyncio.current_task()

    def tell(number: int) -> None:
        interrupted.append(number)
        told.set()
        if stack.step != "running" and task is not None and len(interrupted) == 1:
            task.cancel()  # while it starts: `Stack` stops what has been started

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, tell, number)
    with contextlib.ExitStack() as shown:
        if progress is not None:
            shown.enter_context(progress)
            stack.on_change = lambda: progress.show(stack.state())
        try:
            async with stack:
                if progress is not None:
                    progress.done(stack.state())
                await told.wait()
        except asyncio.CancelledError:
            return INTERRUPTED
    return INTERRUPTED if signal.SIGINT in interrupted else OK


def _status(options: argparse.Namespace) -> int:
    directory = _directory(options)
    state = read_state(directory)
    if state is None or not is_held(directory):
        if options.json:
            screen.document({"running": False})
        else:
            screen.line("The platform is not running; `make up` starts it.")
        return NOT_RUNNING
    memory = {
        name: screen.memory(process["pid"])
        for name, process in state["processes"].items()
        if process["pid"] is not None
    }
    if options.json:
        screen.document(state | {"running": True, "memory_bytes": memory})
    else:
        screen.status(state, memory)
    ready = all(each["condition"] == "ready" for each in state["processes"].values())
    return OK if ready and state["step"] == "running" else FAILED


def _logs(options: argparse.Namespace) -> int:
    folder = _directory(options) / "log"
    files = sorted(folder.glob(f"{options.process or '*'}.log"))
    if not files:
        screen.problem(f"There is no log {options.process or ''} in {folder}.")
        return FAILED
    tails = {file.stem: screen.tail(file, options.lines) for file in files}
    if options.json:
        screen.document(tails)
        return OK
    for name, lines in tails.items():
        for line in lines:
            screen.line(line if options.process else f"{name:<16} {line}")
    return OK


def _down(options: argparse.Namespace) -> int:
    directory = _directory(options)
    running = is_held(directory)
    if running:
        _end_supervisor(directory)
    left = []
    if directory.exists():
        with sole_supervisor(directory):
            left = reap(directory)
    if options.json:
        screen.document({"stopped": running, "left_over": left})
    else:
        screen.line("Stopped." if running else "The platform was not running.")
    return OK


def _end_supervisor(directory: Path) -> None:
    """Tell the supervisor to stop; kill it when it takes too long: its processes go with it."""
    pid = (read_state(directory) or {}).get("supervisor", {}).get("pid")
    deadline = time.monotonic() + DOWN_SECONDS
    told = False
    while is_held(directory):
        if isinstance(pid, int) and not told:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            told = True
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                if isinstance(pid, int):
                    os.kill(pid, signal.SIGKILL)
            deadline += DOWN_SECONDS
        time.sleep(0.05)


def _clean(options: argparse.Namespace) -> int:
    code = _down(options)
    if options.all:
        remove_all()
    else:
        remove_platform(_directory(options))
    return code
