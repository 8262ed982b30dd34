"""Rules of items, applied to whole columns."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from services.exchange.transfer.domain.chunks.blocks import (
    OPERATION,
    Block,
    Column,
    require_unpacked,
)
from services.exchange.transfer.domain.digests import escaped
from services.exchange.transfer.domain.entries import Item, Layout
from services.exchange.transfer.domain.ordering import ordered
from services.exchange.transfer.domain.refusals import PermissionUnreadable
from services.exchange.transfer.domain.values import MAX_KEY_BYTES, ItemType

MAX_FAULTS: Final = 10_000
"""Faults of one chunk that are told one by one; quarantined rows are counted beyond."""

UPSERT: Final = "upsert"
DELETE: Final = "delete"

_TYPES: Final = {
    ItemType.TEXT: "a text without the character U+0000 is expected",
    ItemType.INTEGER: "an integer of at most 2^53 - 1 is expected",
    ItemType.DECIMAL: 'a decimal number of at most 38 digits, such as "12.50", is expected',
    ItemType.BOOLEAN: "true or false is expected",
    ItemType.DATE: "a day of the calendar, YYYY-MM-DD, is expected",
    ItemType.DATETIME: "an instant such as 2026-11-22T08:30:00+08:00 is expected, with at most "
    "six decimals",
}
_LONGEST_ESCAPE: Final = 6


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a row was quarantined.

    Attributes:
        row: of the chunk, from 1.
        item: None when the whole row is meant.
        rule: `type`, `required`, `length`, `pattern`, `codes`, `range` or `operation`.
        detail: one sentence, without the value.
    """

    row: int
    item: str | None
    rule: str
    detail: str


@dataclass(frozen=True)
class Checked:
    """A chunk after it was checked.

    Attributes:
        table: the rows without fault: `_op` (`upsert` or `delete`), `_row` (`int64`, from 1, of
            the chunk), and the items in the order of the layout as canonical texts.
        rows: of the chunk.
        quarantined: rows with a fault.
        faults: by row; at most 10,000.
    """

    table: Any
    rows: int
    quarantined: int
    faults: list[Fault]


def check(blocks: Iterable[Block], layout: Layout) -> Checked:
    """Apply the rules of `layout` to all rows.

    Raises:
        ChunkTooLarge: the rows take too many bytes.
        PermissionUnreadable: a rule of an item cannot be applied.
    """
    checks = _Checks(layout)
    for block in blocks:
        checks.take(block)
    return checks.checked()


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule of one item.

    Attributes:
        breaks: returns per text whether it breaks the rule; null where there is no value.
    """

    name: str
    detail: str
    breaks: Any


class _Checks:
    """Goes through the blocks of one chunk."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._rules = [_rules_of(item) for item in layout.items]
        self._schema = pa.schema(
            [
                (OPERATION, pa.utf8()),
                ("_row", pa.int64()),
                *((item.name, pa.utf8()) for item in layout.items),
            ]
        )
        self._tables: list[Any] = []
        self._bytes = 0
        self._rows = 0
        self._quarantined = 0
        self._faults: list[Fault] = []

    def take(self, block: Block) -> None:
        """Check the next rows."""
        found = _Found(block.rows, MAX_FAULTS - len(self._faults))
        operation, deletes = _operations(block, found)
        columns = [
            self._checked(block, n, item, deletes, found)
            for n, item in enumerate(self._layout.items)
        ]
        self._check_key(columns, found)
        numbers = pc.add(_counted(block.rows), self._rows)
        table = pa.Table.from_arrays([operation, numbers, *columns], schema=self._schema)
        if found.bad is not None:
            table = table.filter(pc.invert(found.bad))
            self._quarantined += block.rows - table.num_rows
            names = [item.name for item in self._layout.items]
            self._faults += found.faults(self._rows + 1, names)
        self._rows += block.rows
        self._tables.append(table)
        self._bytes += table.nbytes
        require_unpacked(self._bytes)

    def checked(self) -> Checked:
        """Return what was found in all blocks."""
        table = pa.concat_tables(self._tables) if self._tables else self._schema.empty_table()
        return Checked(table, self._rows, self._quarantined, self._faults)

    def _checked(self, block: Block, n: int, item: Item, deletes: Any, found: "_Found") -> Any:
        """Return the texts of an item; note which break a rule of it."""
        column = block.columns.get(item.name) or Column(pa.nulls(block.rows, pa.utf8()))
        texts, wrong = column.texts, column.wrong
        if deletes is not None and not item.key:
            texts = pc.if_else(deletes, pa.scalar(None, pa.utf8()), texts)
            wrong = None if wrong is None else pc.and_not(wrong, deletes)
        if wrong is not None:
            found.note(wrong, n, "type", _TYPES[item.type])
        if (item.required or item.key) and texts.null_count:
            missing = pc.is_null(texts)
            if wrong is not None:
                missing = pc.and_not(missing, wrong)
            if deletes is not None and not item.key:
                missing = pc.and_not(missing, deletes)
            found.note(missing, n, "required", "a value is required")
        for rule in self._rules[n]:
            found.note(pc.fill_null(rule.breaks(texts), False), n, rule.name, rule.detail)
        return texts

    def _check_key(self, columns: list[Any], found: "_Found") -> None:
        """Note keys of several items that are too long together, in rows without other fault."""
        key = [n for n, item in enumerate(self._layout.items) if item.key]
        if len(key) < 2:
            return
        if sum(_longest(columns[n]) + 1 for n in key) <= MAX_KEY_BYTES:
            return
        weights = [pc.add(pc.fill_null(_weight(columns[n]), 0), 1) for n in key]
        long = pc.greater(reduce(pc.add, weights), MAX_KEY_BYTES)
        if found.bad is not None:
            long = pc.and_not(long, found.bad)
        detail = f"the key has more than {MAX_KEY_BYTES} bytes, as JSON"
        found.note(long, None, "length", detail)


class _Found:
    """Faults of one block."""

    def __init__(self, rows: int, room: int) -> None:
        self._rows = rows
        self._room = room
        self._noted: list[tuple[int, int, int, str, str]] = []
        self.bad: Any = None

    def note(self, mask: Any, item: int | None, rule: str, detail: str) -> None:
        """Note that the rows in `mask`, which has no null, break a rule of an item."""
        if not pc.any(mask).as_py():
            return
        self.bad = mask if self.bad is None else pc.or_(self.bad, mask)
        # Of each rule only as many as there is room for: the first rows are among them.
        at = -1 if item is None else item
        order = len(self._noted)
        rows = pc.indices_nonzero(mask).slice(0, self._room).to_pylist()
        self._noted += [(row, at, order, rule, detail) for row in rows]
        if len(self._noted) > 2 * MAX_FAULTS:
            self._noted = sorted(self._noted)[: self._room]

    def faults(self, first: int, names: list[str]) -> list[Fault]:
        """Return the faults in order; the first row of the block is number `first`."""
        faults: dict[tuple[int, int, str], Fault] = {}
        for row, at, _, rule, detail in sorted(self._noted):
            name = None if at < 0 else names[at]
            faults.setdefault((row, at, rule), Fault(first + row, name, rule, detail))
        return list(faults.values())[: self._room]


def _operations(block: Block, found: _Found) -> tuple[Any, Any]:
    """Return what is to be done with each row, and which are deletes; None when none are."""
    column = block.columns.get(OPERATION)
    if column is None:
        return pa.repeat(pa.scalar(UPSERT), block.rows), None
    texts = pc.fill_null(column.texts, UPSERT)
    wrong = pc.invert(pc.is_in(texts, pa.array([UPSERT, DELETE])))
    if column.wrong is not None:
        wrong = pc.or_(wrong, column.wrong)
    found.note(wrong, None, "operation", "upsert or delete is expected")
    deletes = pc.equal(texts, DELETE)
    return texts, deletes if pc.any(deletes).as_py() else None


def _rules_of(item: Item) -> list[_Rule]:
    """Return the rules of an item beyond type and presence, in the order of their names here."""
    rules = []
    if item.max_length is not None:
        most = item.max_length
        detail = f"at most {most} characters are expected"
        rules.append(_Rule("length", detail, lambda t: pc.greater(pc.utf8_length(t), most)))
    if item.type is ItemType.TEXT and (item.key or item.filterable):
        detail = f"at most {MAX_KEY_BYTES} bytes are expected, as JSON"
        rules.append(_Rule("length", detail, _is_heavy))
    if item.pattern is not None:
        whole = _whole(item.name, item.pattern)
        detail = "a text that matches the pattern of the item is expected"
        rules.append(
            _Rule("pattern", detail, lambda t: pc.invert(pc.match_substring_regex(t, whole)))
        )
    if item.codes is not None:
        codes = pa.array(item.codes, pa.utf8())
        detail = "one of the codes of the item is expected"
        rules.append(
            _Rule(
                "codes",
                detail,
                lambda t: pc.and_not(pc.is_valid(t), pc.is_in(t, codes)),
            )
        )
    rules.extend(_bounds_of(item))
    return rules


def _bounds_of(item: Item) -> list[_Rule]:
    rules = []
    for bound, breaks, side in (
        (item.minimum, pc.less, "least"),
        (item.maximum, pc.greater, "most"),
    ):
        if bound is not None:
            detail = f"at {side} {bound} is expected"
            limit = ordered(item.type, pa.scalar(bound, pa.utf8()))
            rules.append(_Rule("range", detail, _Beyond(item.type, limit, breaks)))
    return rules


@dataclass(frozen=True, slots=True)
class _Beyond:
    """Tells which values lie beyond a bound."""

    type: ItemType
    limit: Any
    breaks: Any

    def __call__(self, texts: Any) -> Any:
        return self.breaks(ordered(self.type, texts), self.limit)


def _whole(name: str, pattern: str) -> str:
    """Return `pattern` so that it matches whole texts only.

    Raises:
        PermissionUnreadable: it is no pattern.
    """
    whole = rf"\A(?:{pattern})\z"
    for form in (pattern, whole):
        try:
            pc.match_substring_regex(pa.array([""]), form)
        except pa.ArrowInvalid as error:
            raise PermissionUnreadable(
                f"The pattern of the item {name} cannot be read, so no row can be checked by it."
            ) from error
    return whole


def _is_heavy(texts: Any) -> Any:
    if _longest(texts) <= MAX_KEY_BYTES:
        return pa.repeat(pa.scalar(False), len(texts))
    return pc.greater(_weight(texts), MAX_KEY_BYTES)


def _longest(texts: Any) -> int:
    """Return a bound of the length of these texts as JSON."""
    longest: int = pc.max(pc.binary_length(texts)).as_py() or 0
    return longest * _LONGEST_ESCAPE + 2


def _weight(texts: Any) -> Any:
    """Return the length of each text as JSON in UTF-8, in bytes."""
    return pc.add(pc.binary_length(escaped(texts)), 2)


def _counted(rows: int) -> Any:
    """Return the numbers from 1 to `rows`."""
    return pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), rows))
