"""Canonical texts by whole columns: what `values.CANONICAL` makes of one value, of many at once.

`contracts/rows.md` section 3 has the forms, section 4 how formats write them.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from services.exchange.transfer.domain.chunks.blocks import Column
from services.exchange.transfer.domain.values import MAX_DIGITS, MAX_INTEGER, ItemType

_INTEGER: Final = r"\A-?0*[0-9]{1,16}\z"
_ZEROS: Final = r"\A(-?)0+([0-9])"
_DECIMAL: Final = r"\A-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?\z"
_DAY: Final = (
    "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    "|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
)
_DATE: Final = rf"\A{_DAY}\z"
_TIME: Final = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_DATETIME: Final = rf"\A{_DAY}T{_TIME}:[0-5][0-9](?:\.[0-9]{{1,6}})?(?:Z|[+-]{_TIME})\z"
_CANONICAL_LENGTH: Final = len("2026-11-22T00:30:00.000000Z")

MAX_SCALE: Final = 76
"""Decimals behind the point, or zeros before it, of an Arrow type."""

FIRST_DAY: Final = -719_162
"""0001-01-01 as days from 1970-01-01."""
LAST_DAY: Final = 2_932_896
"""9999-12-31 as days from 1970-01-01."""
_DAY_SECONDS: Final = 86_400
_MICROSECONDS: Final = 1_000_000


def where(right: Any, column: Any) -> Column:
    """Return `column` as far as `right` says so; what has a value and is not right is wrong."""
    right = pc.fill_null(right, False)
    wrong = pc.and_(pc.is_valid(column), pc.invert(right))
    if not pc.any(wrong).as_py():
        return Column(column)
    return Column(pc.if_else(right, column, pa.scalar(None, column.type)), wrong)


def _matching(pattern: str, column: Any) -> Column:
    return where(pc.match_substring_regex(column, pattern), column)


def from_texts(column: Any) -> Column:
    """Read texts: any, but no U+0000."""
    _, _, data = column.buffers()
    if data is None or b"\0" not in data.to_pybytes():
        return Column(column)
    return where(pc.invert(pc.match_substring(column, "\0")), column)


def from_written_integers(column: Any) -> Column:
    """Read integers that are written as text; leading zeros and `-0` are understood."""
    found = _matching(_INTEGER, column)
    texts = found.texts
    if pc.any(pc.match_substring_regex(texts, _ZEROS)).as_py():
        texts = pc.replace_substring_regex(texts, _ZEROS, r"\1\2")
    return _joined(found, from_integers(texts.cast(pa.int64())))


def from_integers(column: Any) -> Column:
    """Read an array of a signed or unsigned integer type."""
    if pa.types.is_uint64(column.type):
        found = where(pc.less_equal(column, pa.scalar(MAX_INTEGER, pa.uint64())), column)
        return Column(found.texts.cast(pa.utf8()), found.wrong)
    column = column.cast(pa.int64())
    right = pc.and_(
        pc.less_equal(column, pa.scalar(MAX_INTEGER, pa.int64())),
        pc.greater_equal(column, pa.scalar(-MAX_INTEGER, pa.int64())),
    )
    found = where(right, column)
    return Column(found.texts.cast(pa.utf8()), found.wrong)


def from_written_decimals(column: Any) -> Column:
    """Read decimal numbers of at most 38 digits that are written as text."""
    found = _matching(_DECIMAL, column)
    return _joined(found, _shortened(found.texts, pc.binary_length(found.texts)))


def from_decimals(column: Any) -> Column:
    """Read an array of a decimal type whose scale is at most 76, or -76 at least.

    A value has at most 38 digits in its canonical form.
    """
    scale = column.type.scale
    digits = _unscaled(column)
    if scale > 0:
        minus = pc.starts_with(digits, "-")
        digits = pc.utf8_lpad(pc.ascii_ltrim(digits, "-"), scale + 1, "0")
        texts = pc.binary_join_element_wise(
            pc.if_else(minus, "-", ""),
            pc.utf8_slice_codeunits(digits, 0, -scale),
            ".",
            pc.utf8_slice_codeunits(digits, -scale),
            "",
        )
    elif scale < 0:
        zeros = pc.if_else(pc.equal(digits, "0"), "", "0" * -scale)
        texts = pc.binary_join_element_wise(digits, zeros, "")
    else:
        texts = digits
    return _shortened(texts, None)


def _unscaled(column: Any) -> Any:
    """Return the digits of decimals as texts, with the point left out."""
    scale, bits = column.type.scale, column.type.bit_width
    if bits < 128:
        column = column.cast(pa.decimal128(38, scale))
    whole_type = pa.decimal256(76, 0) if bits == 256 else pa.decimal128(38, 0)
    valid, data = column.buffers()
    whole = pa.Array.from_buffers(whole_type, len(column), [valid, data], offset=column.offset)
    return whole.cast(pa.utf8())


def _shortened(texts: Any, sent_bytes: Any) -> Column:
    """Take trailing zeros of the fraction away; refuse what has too many digits.

    Args:
        sent_bytes: length of each text as it was sent; None counts digits of the shortened one.
    """
    point = pc.match_substring(texts, ".")
    short = texts
    if pc.any(point).as_py():
        short = pc.if_else(point, pc.ascii_rtrim(pc.ascii_rtrim(texts, "0"), "."), texts)
    short = pc.if_else(pc.equal(short, "-0"), "0", short)
    if sent_bytes is None:
        sent_bytes = pc.binary_length(short)
        point = pc.match_substring(short, ".")
    if (pc.max(sent_bytes).as_py() or 0) <= MAX_DIGITS:
        return Column(short)
    signs = pc.add(point.cast(pa.int32()), pc.starts_with(texts, "-").cast(pa.int32()))
    return where(pc.less_equal(pc.subtract(sent_bytes, signs), MAX_DIGITS), short)


def from_written_booleans(column: Any) -> Column:
    """Read booleans that are written `true` or `false`."""
    return where(pc.is_in(column, pa.array(["true", "false"])), column)


def from_booleans(column: Any) -> Column:
    """Read an array of booleans."""
    return Column(column.cast(pa.utf8()))


def from_written_dates(column: Any) -> Column:
    """Read days `YYYY-MM-DD` of the Gregorian calendar from the year 1."""
    right = pc.and_not(pc.match_substring_regex(column, _DATE), pc.starts_with(column, "0000"))
    return where(right, column)


def from_dates(column: Any) -> Column:
    """Read an array of `date32`."""
    days = column.cast(pa.int32())
    right = pc.and_(pc.greater_equal(days, FIRST_DAY), pc.less_equal(days, LAST_DAY))
    found = where(right, column)
    return Column(found.texts.cast(pa.utf8()), found.wrong)


def from_written_datetimes(column: Any) -> Column:
    """Read instants `YYYY-MM-DDThh:mm:ss[.ffffff]` with `Z` or `±hh:mm`."""
    right = pc.and_not(pc.match_substring_regex(column, _DATETIME), pc.starts_with(column, "0000"))
    found = where(right, column)
    ready = pc.and_(
        pc.equal(pc.binary_length(found.texts), _CANONICAL_LENGTH), pc.ends_with(found.texts, "Z")
    )
    if pc.all(ready).as_py() is not False:
        return found
    instants = found.texts.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    return _joined(found, _from_microseconds(instants))


def from_timestamps(column: Any) -> Column:
    """Read an array of timestamps with a time zone; more than six decimals are wrong."""
    unit = column.type.unit
    ticks = column.cast(pa.int64())
    if unit == "us":
        return _from_microseconds(ticks)
    if unit == "ns":
        whole = pc.divide(ticks, 1000)
        found = where(pc.equal(pc.multiply(whole, 1000), ticks), whole)
        return _joined(found, _from_microseconds(found.texts))
    in_second = 1 if unit == "s" else 1000
    # In range before multiplied, so that nothing overflows.
    found = where(_in_calendar(ticks, in_second), ticks)
    micro = pc.multiply(found.texts, pa.scalar(_MICROSECONDS // in_second, pa.int64()))
    return _joined(found, _from_microseconds(micro))


def _in_calendar(ticks: Any, in_second: int) -> Any:
    first = FIRST_DAY * _DAY_SECONDS * in_second
    last = (LAST_DAY + 1) * _DAY_SECONDS * in_second - 1
    return pc.and_(
        pc.greater_equal(ticks, pa.scalar(first, pa.int64())),
        pc.less_equal(ticks, pa.scalar(last, pa.int64())),
    )


def _from_microseconds(instants: Any) -> Column:
    found = where(_in_calendar(instants, _MICROSECONDS), instants)
    texts = found.texts.cast(pa.timestamp("us")).cast(pa.utf8())
    texts = pc.replace_substring(texts, " ", "T", max_replacements=1)
    return Column(pc.binary_join_element_wise(texts, "Z", ""), found.wrong)


def _joined(before: Column, after: Column) -> Column:
    """Return the values of `after`, wrong where either says so."""
    if before.wrong is None:
        return after
    if after.wrong is None:
        return Column(after.texts, before.wrong)
    return Column(after.texts, pc.or_(before.wrong, after.wrong))


FROM_CSV: Final[Mapping[ItemType, Callable[[Any], Column]]] = {
    ItemType.TEXT: from_texts,
    ItemType.INTEGER: from_written_integers,
    ItemType.DECIMAL: from_written_decimals,
    ItemType.BOOLEAN: from_written_booleans,
    ItemType.DATE: from_written_dates,
    ItemType.DATETIME: from_written_datetimes,
}
"""Per type how an array of texts is read, all values being written as text."""

FROM_JSON: Final[Mapping[ItemType, Callable[[Any], Column]]] = {
    **FROM_CSV,
    ItemType.INTEGER: from_integers,
    ItemType.BOOLEAN: from_booleans,
}
"""Per type how an array is read whose integers and booleans are such."""
