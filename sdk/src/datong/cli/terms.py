"""Terms of requests and grants as options, and as people read them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from datong.errors import InputInvalid
from datong.operations.operation import Json

MASKS = ("name", "id_number", "mobile", "year", "pseudonym")

Items = Annotated[list[str] | None, typer.Option("--item", help="Item; repeatable.")]
Operations = Annotated[
    list[str] | None,
    typer.Option("--operation", help="Operation of the owner's service; repeatable."),
]
Purposes = Annotated[list[str] | None, typer.Option("--purpose", help="Purpose code; repeatable.")]
Filters = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        help="Only such rows: item=value,value or item:=[JSON texts] or item:from..until "
        "(until exclusive; either may be left out); repeatable, all apply.",
    ),
]
Masks = Annotated[
    list[str] | None,
    typer.Option("--mask", help=f"item=mask, one of {', '.join(MASKS)}; repeatable."),
]

_FILTER = re.compile(r"([a-z][a-z0-9_]{0,62})(:=|=|:)(.*)", re.DOTALL)


def read_filter(texts: Sequence[str] | None) -> Json | None:
    """Read the values of `--filter`; None when there is none.

    Raises:
        InputInvalid: another shape, or an item that is named twice.
    """
    if not texts:
        return None
    conditions: dict[str, Json] = {}
    for text in texts:
        condition = _condition(text)
        if condition["item"] in conditions:
            raise InputInvalid(f"--filter {text!r}: {condition['item']} is named twice.")
        conditions[condition["item"]] = condition
    return {"all": list(conditions.values())}


def _condition(text: str) -> Json:
    found = _FILTER.fullmatch(text)
    if found is None:
        raise InputInvalid(
            f"--filter {text!r} is no condition.",
            next_step="It reads item=value,value or item:=[JSON texts] or item:from..until.",
        )
    item, sign, rest = found.groups()
    if sign == ":":
        return {"item": item, **_range(rest, text)}
    values = rest.split(",") if sign == "=" else _json_texts(rest, text)
    return {"item": item, "in": values}


def _range(rest: str, text: str) -> Json:
    first, dots, last = rest.partition("..")
    bounds = {"from": first, "until": last}
    given = {name: bound for name, bound in bounds.items() if bound}
    if not dots or not given:
        raise InputInvalid(f"--filter {text!r}: a range reads from..until, at least one of both.")
    return given


def _json_texts(rest: str, text: str) -> list[str]:
    try:
        values = json.loads(rest)
    except ValueError as error:
        raise InputInvalid(f"--filter {text!r}: not JSON: {error}.") from error
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InputInvalid(f"--filter {text!r}: after := stands a JSON list of texts.")
    return values


def read_masks(texts: Sequence[str] | None) -> dict[str, str] | None:
    """Read the values of `--mask`; None when there is none.

    Raises:
        InputInvalid: another shape, an unknown mask, or an item that is named twice.
    """
    if not texts:
        return None
    masks: dict[str, str] = {}
    for text in texts:
        item, equals, mask = text.partition("=")
        if not equals or not item or item in masks or mask not in MASKS:
            raise InputInvalid(
                f"--mask {text!r} is no mask.",
                next_step=f"It reads item=mask, each item once; masks are {', '.join(MASKS)}.",
            )
        masks[item] = mask
    return masks


def read_terms(
    items: Sequence[str] | None,
    operations: Sequence[str] | None,
    purposes: Sequence[str] | None,
    filters: Sequence[str] | None,
    masks: Sequence[str] | None,
) -> dict[str, Any]:
    """The terms that options name, as parameters of an operation; None leaves one as it is."""
    return {
        "items": items or None,
        "operations": operations or None,
        "purposes": purposes or None,
        "row_filter": read_filter(filters),
        "masks": read_masks(masks),
    }


def readable(value: Mapping[str, Any]) -> Json:
    """A request, an answer or a grant with its filter, masks, law and steps as lines of text."""
    shown: Json = {}
    for name, member in value.items():
        if name == "row_filter":
            shown[name] = _filter_text(member)
        elif name == "masks":
            shown[name] = ", ".join(f"{item} as {mask}" for item, mask in (member or {}).items())
        elif name == "statutory":
            shown[name] = f"{member['title']} {member['article']}" if member else None
        elif name == "steps":
            shown[name] = "\n".join(map(_step_text, member or []))
        elif isinstance(member, Mapping):
            shown[name] = readable(member)
        else:
            shown[name] = member
    return {name: member for name, member in shown.items() if member not in (None, "", [], {})}


def _filter_text(row_filter: Mapping[str, Any] | None) -> str:
    return "\n".join(map(_condition_text, (row_filter or {}).get("all", [])))


def _condition_text(condition: Mapping[str, Any]) -> str:
    if condition.get("in") is not None:
        return f"{condition['item']} is {' or '.join(condition['in'])}"
    parts = [
        f"{word} {condition[word]}" for word in ("from", "until") if condition.get(word) is not None
    ]
    return " ".join([condition["item"], *parts])


def _step_text(step: Mapping[str, Any]) -> str:
    reason = f": {step['reason']}" if step.get("reason") else ""
    return f"{step['at']} {step['step']} by {step['actor']}{reason}"
