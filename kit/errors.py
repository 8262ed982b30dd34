"""Errors that say how to react, never which HTTP status to send.

`kit.problems` is the only place that turns a code into a status; consumers of events read the
kind to decide between retrying (`UNAVAILABLE`) and parking (everything else).
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import ClassVar

FactValue = str | int | bool | list[str]


class Kind(StrEnum):
    """How a caller may react to a refusal. Only `UNAVAILABLE` is worth a retry as it is."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    CONFLICT = "conflict"
    PRECONDITION = "precondition"
    UNAVAILABLE = "unavailable"


class DomainError(Exception):
    """An expected refusal.

    Subclasses name the fact (`EntryNotFound`) and set `kind` and `code`; `code` has a row in
    `contracts/problems.yaml`.

    Args:
        detail: one sentence for the caller: no secrets, SQL or personal data.
        pointer: RFC 6901 pointer to the member of the request body that is wrong.
        facts: the facts that decided, for programs.
        errors: pointer and sentence of each wrong member, when there can be several.
    """

    kind: ClassVar[Kind]
    code: ClassVar[str]

    def __init__(
        self,
        detail: str,
        *,
        pointer: str | None = None,
        facts: Mapping[str, FactValue] | None = None,
        errors: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.pointer = pointer
        self.errors = tuple(errors) or (() if pointer is None else ((pointer, detail),))
        self.facts: dict[str, FactValue] = dict(facts or {})
