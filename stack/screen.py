"""What people see: live tables on a terminal, plain lines elsewhere, JSON when asked."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.box import SIMPLE
from rich.console import Console
from rich.live import Live
from rich.table import Table

from stack.supervisor.housekeeping import pss

MIB = 1 << 20
PLAIN_WIDTH = 120  # where no terminal says how wide it is
_out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
_colours = {"ready": "green", "starting": "yellow", "restarting": "red", "stopped": "dim"}


def line(text: str) -> None:
    """Write one line as it is."""
    _out.print(text, markup=False)


def problem(text: str) -> None:
    """Write what went wrong to the error output."""
    sys.stderr.write(text.rstrip() + "\n")


def document(value: Mapping[str, Any]) -> None:
    """Write one JSON document."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def progress(what: str, done: int, of: int) -> None:
    """Tell how far a countable thing is: in place on a terminal, every tenth elsewhere."""
    text = f"{what}: {done}/{of}"
    if _out.is_terminal:
        _out.print(text, end="\n" if done == of else "\r")
    elif done == of or done % 10 == 0:
        line(text)


def memory(pid: int) -> int:
    """Return the proportional set size of a process with its children, in bytes."""
    return pss(pid)


def tail(file: Path, lines: int) -> list[str]:
    """Return the last lines of a file."""
    with file.open("rb") as log:
        log.seek(max(0, log.seek(0, 2) - 1_000_000))
        return log.read().decode("utf-8", "replace").splitlines()[-lines:]


def status(state: Mapping[str, Any], memory_bytes: Mapping[str, int]) -> None:
    """Write the table of `make status`."""
    _out.print(_table(state, memory_bytes))
    line(f"all together {sum(memory_bytes.values()) // MIB} MiB")
    _addresses(state)


class Progress:
    """Shows the state of a platform while it starts and runs.

    Args:
        quiet: with `--json`: nothing until `done`, then one document.
    """

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._live = Live(console=_out, auto_refresh=False) if _out.is_terminal else None
        self._said: set[str] = set()

    def __enter__(self) -> Self:
        if self._live is not None and not self._quiet:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, state: Mapping[str, Any]) -> None:
        """Show the state; call it as often as it changes."""
        if self._quiet:
            return
        if self._live is not None:
            self._live.update(_table(state), refresh=True)
            return
        self._say(str(state["step"]))
        for name, process in state["processes"].items():
            if process["condition"] in ("ready", "restarting"):
                self._say(f"{name} {process['condition']}", process["restarts"])

    def done(self, state: Mapping[str, Any]) -> None:
        """Everything is ready: tell where to go from here."""
        if self._quiet:
            document(state)
            return
        self.show(state)
        if self._live is not None:
            self._live.stop()
        line(f"all ready after {state['seconds_to_start']} s")
        _addresses(state)

    def _say(self, text: str, turn: int = 0) -> None:
        key = f"{text} {turn}"
        if key not in self._said:
            self._said.add(key)
            line(text)


def _table(state: Mapping[str, Any], memory_bytes: Mapping[str, int] | None = None) -> Table:
    table = Table(
        title=f"Datong “{state['name']}”: {state['step']}", title_justify="left", box=SIMPLE
    )
    columns = ("process", "is", "pid", "restarts", "listens on", "health")
    for column in (*columns, *(["MiB"] if memory_bytes is not None else [])):
        table.add_column(column, overflow="fold")
    for name, each in state["processes"].items():
        condition = each["condition"]
        cells = [
            name,
            f"[{_colours[condition]}]{condition}[/]",
            str(each["pid"] or ""),
            str(each["restarts"]),
            each["listen"] or "",
            each["health"] or "",
        ]
        if memory_bytes is not None:
            cells.append(str(memory_bytes.get(name, 0) // MIB))
        table.add_row(*cells)
    return table


def _addresses(state: Mapping[str, Any]) -> None:
    line(f"gateway   {state['gateway_url']}")
    line(f"trust     {state['ca_file']}")
    codes = Path(state["ca_file"]).parent.parent / "codes"
    if codes.exists():
        line(f"codes     {codes}  (one-time, for the first two people)")
