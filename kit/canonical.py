"""JSON that is signed, hashed or decided upon: strict reading, canonical writing (RFC 8785).

The canonical writer accepts what the platform's records and events hold: objects, arrays,
strings, booleans, null and integers of at most 53 bits. Non-integers are refused: amounts
travel as text.
"""

import json
from typing import Any, Final, NoReturn

import rfc8785

MAX_SAFE_INTEGER: Final = 2**53 - 1


class NotStrictJson(ValueError):
    """The bytes are not strict JSON (RFC 8259 within I-JSON, RFC 7493). The text says why."""


def canonical(value: Any) -> bytes:
    """Return `value` in canonical form (RFC 8785).

    Raises:
        ValueError: a float, an integer beyond 2^53 - 1, a lone surrogate, a key that is no text.
    """
    _require_plain(value)
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeError) as error:
        raise ValueError(f"no canonical form: {error}") from error


def _require_plain(value: Any) -> None:
    """Refuse floats anywhere; `rfc8785` itself refuses large integers and foreign types."""
    if isinstance(value, float):
        raise ValueError("floats have no place in records and events; use text")
    if isinstance(value, dict):
        for member in value.values():
            _require_plain(member)
    elif isinstance(value, list | tuple):
        for member in value:
            _require_plain(member)


def strict_loads(data: bytes, *, max_bytes: int = 1 << 20) -> Any:
    """Read strict JSON of at most `max_bytes`.

    That is: UTF-8 without byte order mark, no duplicate names, no NaN or Infinity, no lone
    surrogates, no integer that a double cannot hold.

    Raises:
        NotStrictJson: with one sentence that says what is wrong.
    """
    if len(data) > max_bytes:
        raise NotStrictJson(f"The document exceeds {max_bytes} bytes.")
    if data.startswith(b"\xef\xbb\xbf"):
        raise NotStrictJson("A byte order mark precedes the document.")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotStrictJson(f"Byte {error.start} is not UTF-8.") from error
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_number,
        )
        if "\\u" in text:
            _refuse_surrogates(value)
    except json.JSONDecodeError as error:
        raise NotStrictJson(f"Not JSON at character {error.pos}: {error.msg}.") from error
    except RecursionError as error:
        raise NotStrictJson("The document is nested too deeply.") from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise NotStrictJson(f"The name {name[:80]!r} occurs twice in one object.")
            seen.add(name)
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise NotStrictJson(f"{name} is not JSON.")


def _integer(text: str) -> int:
    if text == "-0":
        raise NotStrictJson("-0 loses its sign in canonical form; write 0.")
    # The length guard comes first: int() of a long digit string is quadratic.
    if len(text) > 17 or abs(int(text)) > MAX_SAFE_INTEGER:
        raise NotStrictJson("An integer exceeds 2^53 - 1; write it as text.")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise NotStrictJson("A number exceeds the range of a double.")
    return value


def _refuse_surrogates(value: Any) -> None:
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise NotStrictJson("A lone surrogate is not text.") from error
    elif isinstance(value, dict):
        for name, member in value.items():
            _refuse_surrogates(name)
            _refuse_surrogates(member)
    elif isinstance(value, list):
        for member in value:
            _refuse_surrogates(member)
