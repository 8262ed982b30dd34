"""One child process: its own group, its own log file, and never longer-lived than its parent.

`PR_SET_PDEATHSIG` is bound to the *thread* that forked: start processes in a thread that lives as
long as they should, which is the main thread.
"""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.02

_libc = ctypes.CDLL(None, use_errno=True)


class StartFailed(Exception):
    """A process ended, or was not ready in time. The message ends with the tail of its log."""


@dataclass(frozen=True)
class Account:
    """The user a process runs as; `None` in its place means: as we do."""

    name: str
    uid: int
    gid: int


@dataclass
class Process:
    """A child that is started, watched and stopped by its own pid and group."""

    name: str
    command: Sequence[str]
    log_file: Path
    environment: Mapping[str, str]
    directory: Path
    account: Account | None = None
    # How it is told to end, and to end when its parent is gone (even by kill -9).
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL
    _popen: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    _log_start: int = field(default=0, init=False, repr=False)

    def start(self) -> None:
        """Start it; the log file grows across starts."""
        if self._popen is not None and self._popen.poll() is None:
            raise RuntimeError(f"{self.name} is already running as {self._popen.pid}")
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self._log_start = log.tell()
            self._popen = subprocess.Popen(  # noqa: S603 - commands are ours, no shell
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=dict(self.environment),
                process_group=0,
                user=self.account.uid if self.account else None,
                group=self.account.gid if self.account else None,
                extra_groups=[] if self.account else None,
                preexec_fn=_end_with_parent(self.orphan_signal),
            )

    @property
    def pid(self) -> int:
        """Its process id, also its group's; that of the last start when it has ended."""
        if self._popen is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended (a paused one is running)."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def returncode(self) -> int | None:
        """How it ended: the exit status, or minus the signal; None while it runs."""
        return None if self._popen is None else self._popen.poll()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, not to its group; ignored when it has ended."""
        if self._popen is not None:
            self._popen.send_signal(number)

    def kill(self) -> None:
        """Kill it and all of its group at once and collect it."""
        if self._popen is None:
            return
        _kill_group(self._popen.pid)
        self._popen.wait()

    def wait(self) -> None:
        """Block until the process has ended and was collected."""
        if self._popen is not None:
            self._popen.wait()

    def stop(self, seconds: float = 10.0) -> None:
        """Tell it to end; kill what is left of its group after `seconds`."""
        self.tell_to_stop()
        deadline = time.monotonic() + seconds
        while self.running and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        self.kill()

    def tell_to_stop(self) -> None:
        """Send the stop signal and return; a paused process is woken to hear it."""
        if self.running:
            self.send(self.stop_signal)
            self.send(signal.SIGCONT)

    def output(self) -> str:
        """Return what it wrote since its last start (at most the last 256 KiB)."""
        with self.log_file.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, size - 262_144))
            return log.read().decode("utf-8", "replace")

    def failure(self, what: str) -> StartFailed:
        """Make the error that names `what` went wrong and shows the end of the log."""
        tail = "\n".join(self.output().splitlines()[-20:])
        return StartFailed(f"{self.name} {what} (log: {self.log_file})\n{tail}")

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Block until `ready()` holds.

        Raises:
            StartFailed: the process ended first, or `seconds` passed.
        """
        deadline = time.monotonic() + seconds
        while not self.is_ready(ready):
            if time.monotonic() > deadline:
                raise self.failure(f"was not ready within {seconds:g} s")
            time.sleep(POLL_SECONDS)

    def wait_until_ended(self, seconds: float) -> None:
        """Block until it has ended by itself; see `returncode`.

        Raises:
            StartFailed: it still runs after `seconds`; it is killed then.
        """
        deadline = time.monotonic() + seconds
        while self.running:
            if time.monotonic() > deadline:
                self.kill()
                raise self.failure(f"had not ended after {seconds:g} s")
            time.sleep(POLL_SECONDS)

    def is_ready(self, ready: Callable[[], bool]) -> bool:
        """Return `ready()`.

        Raises:
            StartFailed: the process has ended.
        """
        if not self.running:
            raise self.failure(f"ended with status {self.returncode}")
        return ready()


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return  # the whole group has ended and been collected


def _end_with_parent(number: signal.Signals) -> Callable[[], None]:
    parent = os.getpid()

    def in_the_child() -> None:
        # Runs after the change of user, which would clear the setting.
        if _libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
            os._exit(127)
        if os.getppid() != parent:  # the parent died before the setting took hold
            os._exit(127)

    return in_the_child
