"""Strict JSON (RFC 8259, RFC 7493) and its canonical form (RFC 8785)."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

import rfc8785

MAX_INTEGER = 2**53 - 1
_SURROGATE = re.compile("[\ud800-\udfff]")


class NotStrict(Exception):
    """Bytes that two JSON readers could understand differently, or that are no JSON at all."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise NotStrict("an object holds one name twice")
    return result


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > MAX_INTEGER:  # length first: int() is slow on digits
        raise NotStrict("an integer does not fit 53 bits")
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise NotStrict("a number is too large")
    return number


def _constant(name: str) -> NoReturn:
    raise NotStrict(f"{name} is not JSON")


def _refuse_surrogates(value: object) -> None:
    if isinstance(value, str):
        if _SURROGATE.search(value):
            raise NotStrict("a string holds a lone surrogate")
    elif isinstance(value, dict):
        for name, member in value.items():
            _refuse_surrogates(name)
            _refuse_surrogates(member)
    elif isinstance(value, list):
        for member in value:
            _refuse_surrogates(member)


def read(data: bytes) -> Any:
    """Parse strict JSON. Minus zero is read as zero, as RFC 8785 writes it.

    Raises:
        NotStrict: duplicate names, NaN, lone surrogates, a byte order mark, bad UTF-8, numbers that
            a double does not hold exactly as an integer or at all, nesting beyond reason, no JSON.
    """
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_pairs,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
        if "\\u" in text:  # raw UTF-8 cannot hold a surrogate, only an escape can
            _refuse_surrogates(value)
    except UnicodeDecodeError as error:
        raise NotStrict("the bytes are not UTF-8") from error
    except RecursionError as error:
        raise NotStrict("the JSON is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise NotStrict(f"not JSON: {error.msg} at character {error.pos}") from error
    return value


def _is_plain(value: object) -> bool:
    """Tell whether Python's own writer gives the canonical form: no floats, ASCII names."""
    if isinstance(value, dict):
        return all(name.isascii() and _is_plain(member) for name, member in value.items())
    if isinstance(value, list):
        return all(_is_plain(member) for member in value)
    if isinstance(value, int):
        return abs(value) <= MAX_INTEGER
    return not isinstance(value, float)


def canonical(value: Any) -> bytes:
    """Write a value in the canonical form of RFC 8785.

    Raises:
        NotStrict: the value has no canonical form (NaN, infinity, an integer beyond 53 bits).
    """
    try:
        if _is_plain(value):
            return json.dumps(
                value, ensure_ascii=False, sort_keys=True, separators=(",", ":")
            ).encode("utf-8")
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise NotStrict(f"no canonical form: {error}") from error


def read_canonical(data: bytes) -> Any:
    """Parse bytes that must already be the canonical form of what they say.

    Raises:
        NotStrict: not strict JSON, or written in another way than RFC 8785 prescribes.
    """
    value = read(data)
    if canonical(value) != data:
        raise NotStrict("the bytes are not in canonical form (RFC 8785)")
    return value
