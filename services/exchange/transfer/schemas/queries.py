"""Wire shapes. The query's is read by hand: it is on the hot path, and its values are data."""

from typing import Any, Final

from services.exchange.transfer.domain import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    Query,
    pointer_of,
    refusals,
)

MAX_ITEMS: Final = 500
MAX_CURSOR: Final = 700

_OF_KEY: Final = frozenset({"key", "items"})
_OF_WHERE: Final = frozenset({"where", "items", "limit", "cursor"})

_VALUES: Final = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": MAX_ITEMS,
    "additionalProperties": {"type": ["string", "integer", "boolean", "null"]},
}
ITEMS_SCHEMA: Final[dict[str, Any]] = {
    "type": "array",
    "items": {"type": "string"},
    "minItems": 1,
    "maxItems": MAX_ITEMS,
    "uniqueItems": True,
    "description": "Items to answer; all granted ones when absent.",
}
QUERY_SCHEMA: Final[dict[str, Any]] = {
    "oneOf": [
        {
            "type": "object",
            "title": "QueryByKey",
            "required": ["key"],
            "additionalProperties": False,
            "properties": {
                "key": {**_VALUES, "description": "A value for each item of the key."},
                "items": ITEMS_SCHEMA,
            },
        },
        {
            "type": "object",
            "title": "QueryByFilters",
            "required": ["where"],
            "additionalProperties": False,
            "properties": {
                "where": {
                    **_VALUES,
                    "description": "Rows must have all these values; null matches none.",
                },
                "items": ITEMS_SCHEMA,
                "limit": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MAX_LIMIT,
                    "default": DEFAULT_LIMIT,
                },
                "cursor": {
                    "type": "string",
                    "maxLength": MAX_CURSOR,
                    "description": "`next` of the page before.",
                },
            },
        },
    ]
}
"""JSON Schema of a query, for the OpenAPI document; `read_query` is what decides."""

ROWS_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["rows", "next"],
    "properties": {
        "rows": {"type": "array", "items": {"type": "object", "additionalProperties": True}},
        "next": {"type": ["string", "null"], "description": "Cursor of the next page, if any."},
    },
}


def read_query(body: Any) -> Query:
    """Return the query that a JSON body asks for.

    Raises:
        QueryInvalid: with a pointer to the member that is wrong.
    """
    if not isinstance(body, dict):
        raise refusals.QueryInvalid("A JSON object is expected.", pointer="")
    by_key = "key" in body
    if by_key == ("where" in body):
        raise refusals.QueryInvalid("Exactly one of key and where is expected.", pointer="")
    for name in body:
        if name not in (_OF_KEY if by_key else _OF_WHERE):
            raise refusals.QueryInvalid(
                f"A query by {'key' if by_key else 'filters'} has no such member.",
                pointer=pointer_of(name[:80]),
            )
    return Query(
        by_key=by_key,
        match=_match(body, "key" if by_key else "where"),
        items=read_items(body.get("items")) if "items" in body else None,
        limit=_limit(body.get("limit", DEFAULT_LIMIT)),
        cursor=_cursor(body["cursor"]) if "cursor" in body else None,
    )


def _match(body: dict[str, Any], member: str) -> dict[str, Any]:
    values = body[member]
    if not isinstance(values, dict) or not 1 <= len(values) <= MAX_ITEMS:
        raise refusals.QueryInvalid(
            "An object with one to 500 items is expected.", pointer=pointer_of(member)
        )
    for name, value in values.items():
        if isinstance(value, dict | list | float):
            raise refusals.QueryInvalid(
                "A text, an integer, true, false or null is expected.",
                pointer=pointer_of(member, name[:80]),
            )
    return values


def read_items(value: Any) -> tuple[str, ...]:
    """Return the names that a member `items` lists.

    Raises:
        QueryInvalid: it is no list of one to 500 different names.
    """
    if (
        not isinstance(value, list)
        or not 1 <= len(value) <= MAX_ITEMS
        or not all(isinstance(name, str) for name in value)
        or len(set(value)) != len(value)
    ):
        raise refusals.QueryInvalid(
            "A list of one to 500 different names is expected.", pointer="/items"
        )
    return tuple(value)


def _limit(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MAX_LIMIT:
        raise refusals.QueryInvalid(
            f"An integer from 1 to {MAX_LIMIT} is expected.", pointer="/limit"
        )
    return value


def _cursor(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_CURSOR:
        raise refusals.QueryInvalid(
            f"A text of at most {MAX_CURSOR} characters is expected.", pointer="/cursor"
        )
    return value
