"""What may stand where in a file: texts, numbers, lists, members; read with places."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from datong.applying import reading
from datong.applying.problems import Place, Problems

_WHOLE = re.compile(r"0|[1-9][0-9]{0,8}")


class Shape(Protocol):
    """What is expected at a place."""

    def read(self, node: reading.Node, problems: Problems) -> Any:
        """The plain value of a node; what does not fit is noted, and None given."""
        ...


def _kind(node: reading.Node) -> str:
    if isinstance(node, reading.Sequence):
        return "a list"
    return "a mapping" if isinstance(node, reading.Mapping) else f"`{node.text}`"


@dataclass(frozen=True)
class Text:
    """A text; a plain number or date counts as it is written.

    Attributes:
        pattern: what the whole text matches, described by `what`.
        choices: the only texts allowed, when named.
    """

    what: str = "a text"
    pattern: str | None = None
    choices: Collection[str] = ()
    limit: int = 2000

    def read(self, node: reading.Node, problems: Problems) -> str | None:
        """The text."""
        if not isinstance(node, reading.Scalar) or node.is_null or not node.text:
            problems.add(node.place, f"{self.what} is expected, not {_kind(node)}")
            return None
        text = node.text
        if self.choices and text not in self.choices:
            problems.add(node.place, f"`{text}` is none of {', '.join(self.choices)}")
        elif len(text) > self.limit:
            problems.add(node.place, f"a text of at most {self.limit} characters is expected")
        elif self.pattern and not re.fullmatch(self.pattern, text):
            problems.add(node.place, f"`{text}` is not {self.what}")
        else:
            return text
        return None


@dataclass(frozen=True)
class Instant:
    """An RFC 3339 instant with its offset."""

    def read(self, node: reading.Node, problems: Problems) -> str | None:
        """The instant, as it is written."""
        text = node.text if isinstance(node, reading.Scalar) else ""
        try:
            if datetime.fromisoformat(text).tzinfo is not None and len(text) > len("2026-12-01"):
                return text
        except ValueError:
            pass
        problems.add(node.place, f"an instant such as 2026-12-01T00:00:00Z, not {_kind(node)}")
        return None


@dataclass(frozen=True)
class Flag:
    """True or false."""

    def read(self, node: reading.Node, problems: Problems) -> bool | None:
        """The flag."""
        text = node.text if isinstance(node, reading.Scalar) and node.plain else ""
        if text not in ("true", "false"):
            problems.add(node.place, f"true or false is expected, not {_kind(node)}")
            return None
        return text == "true"


@dataclass(frozen=True)
class Whole:
    """A whole number from 0."""

    def read(self, node: reading.Node, problems: Problems) -> int | None:
        """The number."""
        text = node.text if isinstance(node, reading.Scalar) and node.plain else ""
        if not _WHOLE.fullmatch(text):
            problems.add(node.place, f"a whole number is expected, not {_kind(node)}")
            return None
        return int(text)


@dataclass(frozen=True)
class Many:
    """A list of one shape; `least` members, no text twice."""

    shape: Shape
    least: int = 0

    def read(self, node: reading.Node, problems: Problems) -> list[Any]:
        """The list, without members that do not fit."""
        if not isinstance(node, reading.Sequence):
            problems.add(node.place, f"a list is expected, not {_kind(node)}")
            return []
        if len(node.members) < self.least:
            problems.add(node.place, f"at least {self.least} is expected")
        found: list[Any] = []
        for member in node.members:
            value = self.shape.read(member, problems)
            if isinstance(value, str) and value in found:
                problems.add(member.place, f"`{value}` stands twice")
            elif value is not None:
                found.append(value)
        return found


@dataclass(frozen=True)
class Pairs:
    """Names of the file's own choice, each with a text."""

    name: Text
    value: Text

    def read(self, node: reading.Node, problems: Problems) -> dict[str, str]:
        """The pairs."""
        if not isinstance(node, reading.Mapping):
            problems.add(node.place, f"names with values are expected, not {_kind(node)}")
            return {}
        found: dict[str, str] = {}
        for name, member in node.members.items():
            place = node.places[name]
            known = self.name.read(reading.Scalar(name, plain=False, place=place), problems)
            value = self.value.read(member, problems)
            if known is not None and value is not None:
                found[known] = value
        return found


@dataclass(frozen=True)
class Members:
    """Named members, and no others."""

    shapes: Mapping[str, Shape]
    required: Collection[str] = field(default_factory=frozenset)

    def read(self, node: reading.Node, problems: Problems) -> dict[str, Any]:
        """The members that are stated."""
        if not isinstance(node, reading.Mapping):
            problems.add(node.place, f"members are expected, not {_kind(node)}")
            return {}
        found: dict[str, Any] = {}
        for name, member in node.members.items():
            shape = self.shapes.get(name)
            if shape is None:
                self._unknown(name, node.places[name], problems)
            elif isinstance(member, reading.Scalar) and member.is_null:
                continue
            else:
                found[name] = shape.read(member, problems)
        for name in self.required:
            if name not in found:
                problems.add(node.place, f"{name} is missing")
        return {name: value for name, value in found.items() if value is not None}

    def _unknown(self, name: str, place: Place, problems: Problems) -> None:
        problems.add(place, f"unknown key {name}{meant(name, self.shapes)}")


def meant(name: str, known: Collection[str]) -> str:
    """A hint at the known name that was probably meant, or at all of them."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; {near[0]} is meant?" if near else f"; known are {', '.join(known)}"
