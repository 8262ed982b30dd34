"""Rows: checked against the items, their canonical bytes, and the digest of many.

`contracts/rows.md` fixes the bytes; nothing here may change them.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from json.encoder import encode_basestring
from typing import Any, Final

from services.exchange.transfer.domain.digests import MODULUS
from services.exchange.transfer.domain.entries import Item, Layout
from services.exchange.transfer.domain.values import (
    CANONICAL,
    MAX_KEY_BYTES,
    ItemType,
    ValueRefused,
    is_bare,
)

MAX_ERRORS: Final = 50

Row = Sequence[str | None]
"""Canonical texts of one row in the order of the layout; None where there is no value."""


class RowDigest:
    """Count and Σ SHA-256(row) mod 2^256 of the rows added; the order does not matter."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def add(self, row: bytes) -> None:
        """Add the canonical bytes of one row."""
        self.count += 1
        self._sum += int.from_bytes(sha256(row).digest(), "big")
        if self._sum >= MODULUS:
            self._sum -= MODULUS

    def hexdigest(self) -> str:
        """Return the digest as 64 lower-case hexadecimal digits."""
        return f"{self._sum:064x}"


class RowForm:
    """Reads rows of one layout: which values fit, and which bytes stand for a row.

    What does not change from row to row is worked out once.
    """

    def __init__(self, layout: Layout) -> None:
        self._items = tuple(
            (item.name, CANONICAL[item.type], item.required or item.key, _limited(item))
            for item in layout.items
        )
        self._names = frozenset(layout.by_name)
        self._key = tuple(n for n, item in enumerate(layout.items) if item.key)
        # Members sort by their UTF-16 code units (RFC 8785 section 3.2.3).
        order = sorted(
            range(len(layout.items)), key=lambda n: layout.items[n].name.encode("utf-16-be")
        )
        self._written = tuple(
            (n, encode_basestring(layout.items[n].name) + ":", is_bare(layout.items[n].type))
            for n in order
        )

    def read(self, row: Mapping[str, Any], errors: list[tuple[str, str]]) -> list[str | None]:
        """Return the canonical texts of `row`; add item and sentence of each fault to `errors`.

        The texts mean something only when no fault was added.
        """
        texts: list[str | None] = []
        for name, canonical, required, limited in self._items:
            value = row.get(name)
            if value is None:
                if required:
                    errors.append((name, "a value is required"))
                texts.append(None)
                continue
            try:
                text = canonical(value)
            except ValueRefused as refused:
                errors.append((name, str(refused)))
                continue
            if limited and _weight(text) > MAX_KEY_BYTES:
                errors.append((name, f"at most {MAX_KEY_BYTES} bytes are expected, as JSON"))
            texts.append(text)
        if not row.keys() <= self._names:
            unknown = sorted(row.keys() - self._names)
            errors.extend((name[:80], "the entry has no such item") for name in unknown)
        if not errors and self._key_is_long(texts):
            errors.append(("", f"the key has more than {MAX_KEY_BYTES} bytes, as JSON"))
        return texts

    def canonical(self, row: Row) -> bytes:
        """Return the canonical bytes of a row that was read without fault."""
        parts = []
        for n, name, bare in self._written:
            text = row[n]
            if text is not None:
                parts.append(name + (text if bare else encode_basestring(text)))
        return ("{" + ",".join(parts) + "}").encode()

    def _key_is_long(self, texts: Row) -> bool:
        if len(self._key) < 2:
            return False
        return sum(_weight(texts[n] or "") + 1 for n in self._key) > MAX_KEY_BYTES


def _weight(text: str) -> int:
    """Return the length of `text` as JSON in UTF-8, in bytes."""
    return len(encode_basestring(text).encode())


def _limited(item: Item) -> bool:
    """Tell whether values must fit an index entry; only texts can be too long for one."""
    return item.type is ItemType.TEXT and (item.key or item.filterable)


def canonical_row(layout: Layout, row: Mapping[str, Any]) -> bytes:
    """Return the canonical bytes of one row, given as a JSON object.

    Raises:
        ValueRefused: it does not fit the items.
    """
    form = RowForm(layout)
    errors: list[tuple[str, str]] = []
    texts = form.read(row, errors)
    if errors:
        raise ValueRefused("; ".join(f"{name}: {fault}" for name, fault in errors))
    return form.canonical(texts)


def pointer_of(*members: str | int) -> str:
    """Return the JSON pointer (RFC 6901) that leads through `members`."""
    return "".join("/" + str(m).replace("~", "~0").replace("/", "~1") for m in members)


def row_pointer(line: int, item: str = "") -> str:
    """Return the pointer `/<line>/<item>`, or `/<line>` for a whole line; lines count from 1."""
    return pointer_of(line, item) if item else pointer_of(line)
