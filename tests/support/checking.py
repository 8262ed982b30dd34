"""The rules of chunks, row by row in plain Python: what checks by whole columns must find."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Any

from kit.canonical import canonical
from services.exchange.transfer.domain import Item, ItemType, Layout, ValueRefused
from services.exchange.transfer.domain.values import CANONICAL

Row = dict[str, Any]


def item(name: str, kind: str, **rules: Any) -> Item:
    """Return an item; what is not said is false or no rule."""
    said = {"required": False, "key": False, "filterable": False} | rules
    return Item(name, ItemType(kind), **said)


LAYOUT = Layout(
    (
        item("id", "text", required=True, key=True, pattern="[a-z0-9]{1,3}|长+|\U00020000"),
        item("part", "integer", required=True, key=True),
        item("name", "text", required=True, max_length=5),
        item("free", "text", filterable=True),
        item("level", "text", codes=("a", "b", "级")),
        item("count", "integer", minimum="-5", maximum="1000"),
        item("amount", "decimal", minimum="-1.5", maximum="12345678901234567890.5"),
        item("flag", "boolean"),
        item("born", "date", minimum="1900-01-01", maximum="2100-12-31"),
        item(
            "seen",
            "datetime",
            minimum="1970-01-01T00:00:00.000000Z",
            maximum="2026-11-22T00:30:00.000000Z",
        ),
    )
)
"""Every type and every rule."""


@dataclass(frozen=True)
class Refused:
    """A chunk is refused as a whole."""

    code: str
    pointer: str


@dataclass(frozen=True)
class Found:
    """What is found in a chunk that is not refused.

    Attributes:
        good: `_op`, `_row` and the canonical texts of each row without fault.
        faults: row, item and rule, in order.
    """

    good: list[tuple[Any, ...]]
    faults: list[tuple[int, str | None, str]]


def canonical_row(items: Iterable[Item], texts: Sequence[str | None]) -> bytes:
    """Return the canonical bytes of canonical texts, by a canonicaliser of RFC 8785."""
    read: dict[ItemType, Callable[[str], Any]] = {
        ItemType.INTEGER: int,
        ItemType.BOOLEAN: "true".__eq__,
    }
    return canonical(
        {
            one.name: read.get(one.type, str)(text)
            for one, text in zip(items, texts, strict=True)
            if text is not None
        }
    )


def digest_of(rows: Iterable[bytes]) -> str:
    """Return Σ SHA-256(row) mod 2²⁵⁶."""
    total = sum(int.from_bytes(sha256(row).digest(), "big") for row in rows)
    return f"{total % 2**256:064x}"


class Wrong:
    """Stands for a value that its format does not write like this."""


def read_lines(body: bytes, *, changes: bool) -> list[Row] | Refused:
    """Read NDJSON line by line."""
    lines = body.split(b"\n")
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, 1):
        try:
            line.decode()
        except UnicodeDecodeError:
            return Refused("text-not-utf8", f"/{number}")
    names = set(LAYOUT.by_name) | ({"_op"} if changes else set())
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line.decode(), object_pairs_hook=_pairs, parse_constant=_none)
            json.dumps(row, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            return Refused("ndjson-malformed", f"/{number}")
        if not isinstance(row, dict):
            return Refused("ndjson-malformed", f"/{number}")
        unknown = [name for name in row if name not in names]
        if unknown:
            name = unknown[0][:80].replace("~", "~0").replace("/", "~1")
            return Refused("column-unknown", f"/{number}/{name}")
        rows.append(row)
    return rows


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError
    return dict(pairs)


def _none(_name: str) -> None:
    raise ValueError


Record = list[str | None]


class _Malformed(ValueError):
    """What is wrong begins in the record of this line."""


def _records(body: bytes) -> Iterator[Record]:
    """Read CSV character by character."""
    text = body.removeprefix(b"\xef\xbb\xbf").decode()
    at, line, width = 0, 1, 0
    while at < len(text):
        start, record = at, Record()
        while not record or text[at - 1] == ",":
            field, at = _field(text, at, line)
            record.append(field)
            if text[at : at + 1] == ",":
                at += 1
            elif at < len(text):
                at += text[at : at + 2] == "\r\n"
                if text[at] != "\n":
                    raise _Malformed(line)
                at += 1
                break
            else:
                break
        width = width or len(record)
        if len(record) != width:
            raise _Malformed(line)
        yield record
        line += text.count("\n", start, at)


def _field(text: str, at: int, line: int) -> tuple[str | None, int]:
    if text[at : at + 1] != '"':
        plain = re.compile('[^",\r\n]*').match(text, at)
        assert plain is not None
        return plain[0] or None, plain.end()
    value, at = "", at + 1
    while True:
        end = text.find('"', at)
        if end < 0:
            raise _Malformed(line)
        value, at = value + text[at:end], end + 1
        if text[at : at + 1] != '"':
            return value, at
        value, at = value + '"', at + 1


def read_table(body: bytes, *, changes: bool) -> list[Row] | Refused:
    """Read CSV into JSON values."""
    rows: list[Row] = []
    header: list[str] | None = None
    kinds = {name: one.type for name, one in LAYOUT.by_name.items()} | {"_op": ItemType.TEXT}
    try:
        for record in _records(body):
            if header is None:
                header = [name or "" for name in record]
                refused = _refused_header(header, changes=changes)
                if refused is not None:
                    return refused
                continue
            named = zip(header, record, strict=True)
            rows.append({name: from_text(kinds[name], text) for name, text in named})
    except _Malformed as malformed:
        return Refused("csv-malformed", f"/{malformed}")
    return Refused("csv-malformed", "/1") if header is None else rows


def _refused_header(header: list[str], *, changes: bool) -> Refused | None:
    for number, name in enumerate(header):
        if name in header[:number]:
            return Refused("csv-malformed", "/1/" + name.replace("~", "~0").replace("/", "~1"))
    for name in header:
        if name not in LAYOUT.by_name and not (changes and name == "_op"):
            return Refused("column-unknown", "/1/" + name.replace("~", "~0").replace("/", "~1"))
    for one in LAYOUT.items:
        if one.name not in header and (one.key or (one.required and "_op" not in header)):
            return Refused("column-missing", f"/1/{one.name}")
    return None


def from_text(kind: ItemType, text: str | None) -> Any:
    """Return the JSON value of what CSV holds."""
    if text is None:
        return None
    if kind is ItemType.INTEGER:
        return int(text) if re.fullmatch("-?[0-9]+", text, re.ASCII) else Wrong()
    if kind is ItemType.BOOLEAN:
        return {"true": True, "false": False}.get(text, Wrong())
    return text


def check_rows(rows: Iterable[Row], *, changes: bool) -> Found:
    """Check rows of JSON values one by one."""
    good, faults = [], []
    for number, row in enumerate(rows, 1):
        operation = row.get("_op") if changes else None
        operation = "upsert" if operation is None else operation
        found: list[tuple[str | None, str]] = []
        if operation not in ("upsert", "delete"):
            found.append((None, "operation"))
        texts: list[str | None] = []
        for one in LAYOUT.items:
            deleted = operation == "delete" and not one.key
            text, broken = (None, []) if deleted else _check(one, row.get(one.name))
            texts.append(text)
            found += [(one.name, rule) for rule in broken]
        if not found and sum(_weight(text or "") + 1 for text in texts[:2]) > 400:
            found.append((None, "length"))
        if found:
            faults += [(number, name, rule) for name, rule in found]
        else:
            good.append((operation, number, *texts))
    return Found(good, faults)


def _check(one: Item, value: Any) -> tuple[str | None, Sequence[str]]:
    if value is None:
        return None, ["required"] if one.required else []
    try:
        text = CANONICAL[one.type](value)
    except ValueRefused:
        return None, ["type"]
    broken = []
    long = one.max_length is not None and len(text) > one.max_length
    heavy = one.type is ItemType.TEXT and (one.key or one.filterable) and _weight(text) > 400
    if long or heavy:
        broken.append("length")
    if one.pattern is not None and not re.fullmatch(one.pattern, text):
        broken.append("pattern")
    if one.codes is not None and text not in one.codes:
        broken.append("codes")
    low, high = one.minimum, one.maximum
    if (low is not None and _order(one, text) < _order(one, low)) or (
        high is not None and _order(one, text) > _order(one, high)
    ):
        broken.append("range")
    return text, broken


def _order(one: Item, text: str) -> Any:
    return Decimal(text) if one.type in (ItemType.INTEGER, ItemType.DECIMAL) else text


def _weight(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode())
