"""Reads YAML files item by item, with line numbers; a file of any length takes little memory.

YAML is read as its version 1.2 core schema says, so that `no`, `010` and `2026-12-01` stay the
texts that they look like. What a plain scalar is, is decided by what is expected in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from datong.applying.problems import Place, Problems, name_of
from datong.errors import InputInvalid

_LOADER: Any = getattr(yaml, "CLoader", yaml.Loader)
MAX_DEPTH = 20


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value as it is written; `plain` when without quotation marks."""

    text: str
    plain: bool
    place: Place

    @property
    def is_null(self) -> bool:
        """Whether nothing is stated."""
        return self.plain and self.text in ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    members: list[Node]
    place: Place


@dataclass(frozen=True, slots=True)
class Mapping:
    """Names with values; a name that stands twice is a problem of its own."""

    members: dict[str, Node]
    places: dict[str, Place]
    place: Place


Node = Scalar | Sequence | Mapping


class _Stopped(Exception):
    """The file cannot be read on; the problem is noted."""


def read_items(file: Path, problems: Problems) -> Iterator[tuple[str, Place, Node]]:
    """Give the items of each list at the top of a file, with the name and place of the list.

    Problems of form are noted; after one that hides what follows, the file ends.

    Raises:
        InputInvalid: the file cannot be opened.
    """
    try:
        stream = file.open("rb")
    except OSError as error:
        raise InputInvalid(f"{file} cannot be read: {error}.") from error
    with stream:
        events = _Events(stream, name_of(file), problems)
        try:
            yield from events.documents()
        except _Stopped:
            return


class _Events:
    def __init__(self, stream: Any, file: str, problems: Problems) -> None:
        self._file = file
        self._problems = problems
        self._events = yaml.parse(stream, Loader=_LOADER)

    def _place(self, event: Any) -> Place:
        return Place(self._file, event.start_mark.line + 1)

    def _next(self) -> Any:
        try:
            return next(self._events)
        except StopIteration:
            raise _Stopped from None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = 1 if mark is None else mark.line + 1
            self._stop(Place(self._file, line), f"not YAML: {error.problem}")
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            self._stop(Place(self._file, 1), f"not YAML: {error}")

    def _stop(self, place: Place, detail: str) -> Any:
        self._problems.add(place, detail)
        raise _Stopped

    def documents(self) -> Iterator[tuple[str, Place, Node]]:
        while True:
            event = self._next()
            if isinstance(event, yaml.MappingStartEvent):
                yield from self._sections()
            elif isinstance(event, yaml.StreamEndEvent):
                return
            elif isinstance(event, yaml.NodeEvent):
                if isinstance(event, yaml.ScalarEvent) and event.value == "":
                    continue  # an empty document
                self._stop(self._place(event), "a file holds lists by name, such as `agencies:`")

    def _sections(self) -> Iterator[tuple[str, Place, Node]]:
        seen: set[str] = set()
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            place = self._place(event)
            if not isinstance(event, yaml.ScalarEvent):
                self._stop(place, "a name is expected here")
            name = event.value
            if name in seen:
                self._problems.add(place, f"{name} stands twice")
            seen.add(name)
            event = self._next()
            if isinstance(event, yaml.SequenceStartEvent):
                while not isinstance(event := self._next(), yaml.SequenceEndEvent):
                    yield name, place, self._node(event)
                continue
            node = self._node(event)
            if not (isinstance(node, Scalar) and node.is_null):
                self._problems.add(place, f"{name} is a list")

    def _node(self, event: Any, depth: int = 0) -> Node:
        place = self._place(event)
        if depth > MAX_DEPTH:
            self._stop(place, "nested too deeply")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self._stop(place, "anchors and aliases are not read; write the value out")
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(event.value, event.style is None or event.style == "", place)
        if isinstance(event, yaml.SequenceStartEvent):
            members: list[Node] = []
            while not isinstance(event := self._next(), yaml.SequenceEndEvent):
                members.append(self._node(event, depth + 1))
            return Sequence(members, place)
        return self._mapping(place, depth)

    def _mapping(self, place: Place, depth: int) -> Mapping:
        found: dict[str, Node] = {}
        places: dict[str, Place] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            at = self._place(event)
            if not isinstance(event, yaml.ScalarEvent):
                self._stop(at, "a name is expected here")
            name = event.value
            if name in found:
                self._problems.add(at, f"{name} stands twice")
            places[name] = at
            found[name] = self._node(self._next(), depth + 1)
        return Mapping(found, places, place)
