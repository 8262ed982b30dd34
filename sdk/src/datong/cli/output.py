"""What the command prints: tables for people, one JSON document for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from datong.errors import DatongError, Refused, Unreachable

MAX_COLUMNS = 8
PIPED_WIDTH = 200
"""Of tables that do not go to a terminal: a search finds whole lines."""
WHOLE_COLUMNS = frozenset({"id", "record", "request", "grant", "holder", "thumbprint"})
"""Never broken across lines: these are copied."""
_STEERING = dict.fromkeys(
    {*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
    - {ord("\n"), ord("\t")},
    "\N{REPLACEMENT CHARACTER}",
)
"""Characters that steer a terminal or turn its text around: what others wrote may hold them."""


class Output:
    """Standard output for results, standard error for everything else."""

    def __init__(self, *, as_json: bool) -> None:
        """Choose the form."""
        self.as_json = as_json
        width = None if sys.stdout.isatty() else PIPED_WIDTH
        self._out = Console(highlight=False, soft_wrap=True, width=width)
        self.messages = Console(stderr=True, highlight=False, soft_wrap=True)
        """Where people read everything but results."""

    def document(self, value: Any) -> None:
        """Print one JSON document."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")

    def line(self, text: str) -> None:
        """Print plain text as it is, also where programs read it."""
        sys.stdout.write(text + "\n")

    def object(self, value: dict[str, Any]) -> None:
        """Print an object: as JSON, or one member per line."""
        if self.as_json:
            self.document(value)
            return
        table = Table(show_header=False, box=None, pad_edge=False)
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for name, member in _flat(value):
            table.add_row(name, _cell(member))
        self._out.print(table)

    def items(
        self,
        items: Iterable[dict[str, Any]],
        columns: Sequence[str] = (),
        *,
        following: str | None = None,
    ) -> None:
        """Print a list: as JSON with `next`, or as a table.

        Args:
            columns: members to show; those of the first item when none is named.
            following: cursor of the next page.
        """
        listed = list(items)
        if self.as_json:
            self.document({"items": listed, "next": following})
            return
        names = list(columns) or list(listed[0] if listed else {})[:MAX_COLUMNS]
        table = Table()
        for name in names:
            table.add_column(name, overflow="fold", no_wrap=name in WHOLE_COLUMNS)
        for item in listed:
            table.add_row(*(_cell(item.get(name)) for name in names))
        self._out.print(table if listed else "nothing found")
        if following is not None:
            self.note(f"There is more: --cursor {following}")

    def note(self, text: str) -> None:
        """Tell people something besides the result."""
        self.messages.print(plain(text))

    def done(self, text: str, value: dict[str, Any]) -> None:
        """Print a sentence for people, or the object for programs."""
        if self.as_json:
            self.document(value)
        else:
            self._out.print(plain(text))

    def error(self, error: DatongError) -> None:
        """Print what went wrong and what to do."""
        if self.as_json:
            sys.stderr.write(json.dumps({"error": _described(error)}, ensure_ascii=False) + "\n")
            return
        self.messages.print(f"[bold red]{plain(str(error))}[/bold red]")
        if error.next_step and not isinstance(error, Refused):
            self.messages.print(f"  next step: {plain(error.next_step)}")
        if isinstance(error, Unreachable) and error.call:
            self.messages.print(f"  call: {error.call}")


def plain(text: str) -> str:
    """Text of others as people may see it: neither markup nor commands to the terminal."""
    return escape(text.translate(_STEERING))


def _described(error: DatongError) -> dict[str, Any]:
    if isinstance(error, Refused):
        return {"kind": "refused", **error.as_json()}
    described = {
        "kind": type(error).__name__,
        "detail": error.detail,
        "next_step": error.next_step,
        "call": error.call if isinstance(error, Unreachable) else None,
    }
    return {name: value for name, value in described.items() if value is not None}


def _flat(value: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, member in value.items():
        if isinstance(member, dict):
            yield from _flat(member, f"{prefix}{name}.")
        else:
            yield prefix + name, member


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(member, str) for member in value):
        return plain(", ".join(value))
    if isinstance(value, (dict, list)):
        return plain(json.dumps(value, ensure_ascii=False))
    return plain(str(value))
