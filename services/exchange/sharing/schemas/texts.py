"""Texts, instants and names that bodies of requests and grants are made of."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from kit.clock import parse_rfc3339, rfc3339
from kit.ids import UUID_PATTERN

_RFC3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})", re.ASCII
)
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)


def _read_instant(value: Any) -> datetime:
    """Read RFC 3339 text with an offset, between the years 2000 and 2200."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or _RFC3339.fullmatch(value) is None:
        raise ValueError("write the instant as RFC 3339 text with an offset or Z")
    try:
        instant = parse_rfc3339(value)
    except OverflowError as error:
        raise ValueError("the instant lies outside the calendar") from error
    if not _EARLIEST <= instant < _LATEST:
        raise ValueError("the instant lies outside the years 2000 to 2199")
    return instant


Instant = Annotated[
    datetime,
    BeforeValidator(_read_instant),
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
_TEXT: Final = r"^[^\x00-\x09\x0b-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x09\x0b-\x1f\x7f]*$"
_LINE: Final = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
# Neither is blank: what the law demands a reason or a ground for gets one.
Text = Annotated[str, Field(min_length=1, max_length=2000, pattern=_TEXT)]
Line = Annotated[str, Field(min_length=1, max_length=200, pattern=_LINE)]
Uuid = Annotated[str, Field(pattern=UUID_PATTERN)]
ItemName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
OperationName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Purpose = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,62}$")]


class Body(BaseModel):
    """Base of all bodies."""

    model_config = ConfigDict(extra="forbid")


class Reason(Body):
    """Why: for the other side and for the log."""

    reason: Text
