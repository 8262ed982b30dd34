"""Arrow streams: types and values that items take, and streams that are not what they claim."""

import datetime as dt
import struct
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import DomainError
from services.exchange.transfer.domain import Checked, ChunkFormat, Layout, check_chunk, to_stream
from tests.support.checking import LAYOUT, check_rows, item
from tests.unit.transfer.test_chunks_ndjson import FITTING_ROWS, VALID

CODES = {"arrow-malformed", "schema-mismatch", "column-unknown", "column-missing"}
CODES |= {"chunk-too-large"}
ONE = Layout((item("t", "text", required=True, key=True),))


def check(body: Any, *, changes: bool = False, layout: Layout = LAYOUT) -> Checked:
    return check_chunk(body, ChunkFormat.ARROW, layout, changes=changes)


def of(kind: str, **rules: Any) -> Layout:
    """Return a layout of a key and one item of `kind`."""
    return Layout((item("k", "text", required=True, key=True), item("v", kind, **rules)))


def checked_values(kind: str, array: Any) -> list[str | None]:
    """Return the canonical texts of `array`; `wrong` stands for a fault of the type."""
    table = pa.table({"k": [str(n) for n in range(len(array))], "v": array})
    checked = check(to_stream(table), layout=of(kind))
    found = dict(
        zip(
            checked.table.column("_row").to_pylist(),
            checked.table.column("v").to_pylist(),
            strict=True,
        )
    )
    assert {(fault.item, fault.rule) for fault in checked.faults} <= {("v", "type")}
    wrong = {fault.row: "wrong" for fault in checked.faults}
    return [value for _, value in sorted((found | wrong).items())]


ARROW_TYPES = {"integer": pa.int64(), "boolean": pa.bool_()}


@given(st.lists(FITTING_ROWS, min_size=1, max_size=20), st.sampled_from([pa.utf8(), "large"]))
def test_texts_are_checked_as_row_by_row(rows: list[dict[str, Any]], text: Any) -> None:
    text = pa.large_utf8() if text == "large" else text
    schema = pa.schema(
        [(one.name, ARROW_TYPES.get(one.type, text)) for one in reversed(LAYOUT.items)]
    )
    body = to_stream(pa.Table.from_pylist(rows, schema=schema))

    checked = check(body)

    expected = check_rows(rows, changes=False)
    assert list(zip(*checked.table.to_pydict().values(), strict=True)) == expected.good
    assert [(fault.row, fault.item, fault.rule) for fault in checked.faults] == expected.faults


@pytest.mark.parametrize("kind", [pa.int8(), pa.int16(), pa.int32(), pa.int64()])
def test_signed_integers_are_read(kind: Any) -> None:
    assert checked_values("integer", pa.array([0, -7, None, 100], kind)) == ["0", "-7", None, "100"]


@pytest.mark.parametrize("kind", [pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()])
def test_unsigned_integers_are_read(kind: Any) -> None:
    assert checked_values("integer", pa.array([0, None, 200], kind)) == ["0", None, "200"]


def test_integers_that_json_cannot_hold_are_wrong() -> None:
    signed = pa.array([2**53 - 1, 2**53, -(2**53) + 1, -(2**53), -(2**63)])
    unsigned = pa.array([2**53 - 1, 2**53, 2**64 - 1], pa.uint64())

    assert checked_values("integer", signed) == [
        "9007199254740991",
        "wrong",
        "-9007199254740991",
        "wrong",
        "wrong",
    ]
    assert checked_values("integer", unsigned) == ["9007199254740991", "wrong", "wrong"]


@given(
    st.lists(st.none() | st.integers(-(10**38) + 1, 10**38 - 1), min_size=1, max_size=8),
    st.integers(-3, 38),
    st.booleans(),
)
def test_decimals_have_the_digits_of_their_value(
    unscaled: list[int | None], scale: int, wide: bool
) -> None:
    kind = pa.decimal256(76, scale) if wide else pa.decimal128(38, scale)
    whole = pa.array([None if n is None else Decimal(n) for n in unscaled], pa.decimal256(39, 0))
    narrow = whole.cast(pa.decimal256(76, 0) if wide else pa.decimal128(38, 0))
    array = pa.Array.from_buffers(kind, len(narrow), narrow.buffers())

    for value, number in zip(checked_values("decimal", array), unscaled, strict=True):
        if number is None:
            assert value is None
            continue
        text = f"{Decimal(number).scaleb(-scale, CONTEXT):f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        text = "0" if number == 0 else text
        digits = sum(character.isdigit() for character in text)
        assert value == (text if digits <= 38 else "wrong")


CONTEXT = __import__("decimal").Context(prec=100)


def test_days_are_those_of_the_calendar() -> None:
    days = pa.array([0, -719_162, -719_163, 2_932_896, 2_932_897, None, 2**31 - 1, -(2**31)])

    assert checked_values("date", days.cast(pa.int32()).cast(pa.date32())) == [
        "1970-01-01",
        "0001-01-01",
        "wrong",
        "9999-12-31",
        "wrong",
        None,
        "wrong",
        "wrong",
    ]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "+08:00", "No/Where"])
def test_instants_are_read_in_every_unit(unit: str, zone: str) -> None:
    ticks = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    array = pa.array([0, 1_796_083_200 * ticks, -ticks, None], pa.int64())

    assert checked_values("datetime", array.cast(pa.timestamp(unit, zone))) == [
        "1970-01-01T00:00:00.000000Z",
        "2026-12-01T00:00:00.000000Z",
        "1969-12-31T23:59:59.000000Z",
        None,
    ]


def test_instants_outside_the_calendar_or_finer_than_six_decimals_are_wrong() -> None:
    first, last = -62_135_596_800, 253_402_300_799

    def read(unit: str, *ticks: int) -> list[str | None]:
        array = pa.array(ticks, pa.int64()).cast(pa.timestamp(unit, "UTC"))
        return checked_values("datetime", array)

    low, high = "0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.000000Z"
    assert read("s", first, first - 1, last, last + 1, 2**63 - 1) == [
        low,
        "wrong",
        high,
        "wrong",
        "wrong",
    ]
    assert read("ms", first * 1000, first * 1000 - 1, -(2**63)) == [low, "wrong", "wrong"]
    assert read("us", last * 10**6, last * 10**6 + 10**6) == [high, "wrong"]
    assert read("ns", 1000, 1001, -1000, -1) == [
        "1970-01-01T00:00:00.000001Z",
        "wrong",
        "1969-12-31T23:59:59.999999Z",
        "wrong",
    ]


def test_booleans_are_read() -> None:
    assert checked_values("boolean", pa.array([True, False, None])) == ["true", "false", None]


REFUSED_TYPES = [
    ("text", pa.int64()),
    ("text", pa.binary()),
    ("text", pa.dictionary(pa.int32(), pa.utf8())),
    ("text", pa.run_end_encoded(pa.int32(), pa.utf8())),
    ("text", pa.string_view()),
    ("text", pa.list_(pa.utf8())),
    ("text", pa.struct([("a", pa.utf8())])),
    ("text", pa.map_(pa.utf8(), pa.utf8())),
    ("text", pa.null()),
    ("text", pa.json_(pa.utf8())),
    ("text", pa.dense_union([pa.field("a", pa.utf8())])),
    ("integer", pa.utf8()),
    ("integer", pa.float64()),
    ("integer", pa.bool_()),
    ("integer", pa.dictionary(pa.int8(), pa.int64())),
    ("decimal", pa.float64()),
    ("decimal", pa.int64()),
    ("decimal", pa.decimal128(38, 77)),
    ("decimal", pa.decimal128(38, -(2**31))),
    ("boolean", pa.int8()),
    ("boolean", pa.bool8()),
    ("boolean", pa.utf8()),
    ("date", pa.date64()),
    ("date", pa.timestamp("us", "UTC")),
    ("datetime", pa.timestamp("us")),
    ("datetime", pa.date32()),
    ("datetime", pa.time64("us")),
]


@pytest.mark.parametrize(("kind", "arrow"), REFUSED_TYPES, ids=str)
def test_a_column_of_another_type_is_refused(kind: str, arrow: Any) -> None:
    sink = pa.BufferOutputStream()
    schema = pa.schema([("k", pa.utf8()), ("v", arrow)])
    with pa.ipc.new_stream(sink, schema):
        pass

    with pytest.raises(DomainError) as refused:
        check(sink.getvalue(), layout=of(kind))

    assert (refused.value.code, refused.value.pointer) == ("schema-mismatch", "/v")


@pytest.mark.parametrize(
    ("names", "changes", "code", "pointer"),
    [
        (["k", "v", "w"], False, "column-unknown", "/w"),
        (["k", "_op"], False, "column-unknown", "/_op"),
        (["k", "a/b~c"], False, "column-unknown", "/a~1b~0c"),
        (["v"], False, "column-missing", "/k"),
        (["v", "_op"], True, "column-missing", "/k"),
        (["k", "k"], False, "schema-mismatch", "/k"),
        ([], False, "column-missing", "/k"),
    ],
)
def test_another_schema_is_refused(
    names: list[str], changes: bool, code: str, pointer: str
) -> None:
    body = to_stream(pa.Table.from_arrays([pa.array(["x"])] * len(names), names))

    with pytest.raises(DomainError) as refused:
        check(body, changes=changes, layout=of("text"))

    assert (refused.value.code, refused.value.pointer) == (code, pointer)


def test_a_column_may_be_missing_where_no_value_is_required() -> None:
    body = to_stream(pa.table({"k": ["a", "b"], "_op": ["delete", None]}))

    checked = check(body, changes=True, layout=of("text"))

    assert checked.table.to_pylist() == [
        {"_op": "delete", "_row": 1, "k": "a", "v": None},
        {"_op": "upsert", "_row": 2, "k": "b", "v": None},
    ]


def _stream(*tables: Any, compression: str | None = None, dictionary: bool = False) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, tables[0].schema, options=options) as writer:
        for table in tables:
            writer.write(table)
    return sink.getvalue().to_pybytes()


SMALL = pa.table({"t": ["a", "长长", ""]})


@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_batches_of_any_size_and_compression_are_rows_in_order(compression: str | None) -> None:
    tables = [SMALL.slice(0, 1), SMALL.slice(0, 0), SMALL.slice(1)]

    checked = check(_stream(*tables, compression=compression), layout=ONE)

    assert checked.table.column("t").to_pylist() == ["a", "长长", ""]
    assert checked.table.column("_row").to_pylist() == [1, 2, 3]


def test_a_stream_without_rows_is_a_chunk() -> None:
    assert check(_stream(SMALL.slice(0, 0)), layout=ONE).rows == 0


def test_bytes_that_unpack_to_too_much_are_refused_before_they_are_unpacked() -> None:
    body = _stream(pa.table({"t": ["x" * (270 << 20)]}), compression="zstd")
    assert len(body) < 1 << 20
    before = pa.total_allocated_bytes()

    with pytest.raises(DomainError) as refused:
        check(body, layout=ONE)

    assert refused.value.code == "chunk-too-large"
    assert pa.total_allocated_bytes() <= before


def test_more_rows_than_a_chunk_may_have_are_refused() -> None:
    body = _stream(pa.table({"t": pa.nulls(1_000_001, pa.utf8())}), compression="zstd")

    with pytest.raises(DomainError) as refused:
        check(body, layout=ONE)

    assert refused.value.code == "chunk-too-large"


def _with_offsets(*offsets: int) -> bytes:
    """Return a stream whose texts lie at `offsets` of four bytes."""
    good = struct.pack("<4i", 0, 1, 3, 4)
    body = _stream(pa.table({"t": ["a", "bc", "d"]}))
    assert body.count(good) == 1
    return body.replace(good, struct.pack("<4i", *offsets))


def test_texts_where_they_ought_to_lie_are_read() -> None:
    assert check(_with_offsets(0, 1, 3, 4), layout=ONE).rows == 3


TEXT = pa.table({"t": ["plain"]})
BROKEN = {
    "nothing": b"",
    "no stream": b"ARROW1\0\0" + bytes(64),
    "text": b"id,part\na,1\n",
    "zeros": bytes(64),
    "offsets backwards": _with_offsets(0, 3, 1, 4),
    "offsets beyond": _with_offsets(0, 1, 3, 1 << 30),
    "negative offsets": _with_offsets(-8, 1, 3, 4),
    "text not UTF-8": _stream(TEXT).replace(b"plain", b"pl\xffin"),
    "surrogates": _stream(TEXT).replace(b"plain", b"p\xed\xa0\x80n"),
    "cut in a buffer": _stream(TEXT)[:-20],
    "cut in the schema": _stream(TEXT)[:40],
    "bytes after the end": _stream(TEXT) + b"\0",
    "two streams": _stream(TEXT) * 2,
    "file": b"".join([b"ARROW1\0\0", _stream(TEXT)]),
    "no schema": _stream(TEXT)[8 + struct.unpack("<i", _stream(TEXT)[4:8])[0] :],
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_a_hostile_stream_is_refused(body: bytes) -> None:
    with pytest.raises(DomainError) as refused:
        check(body, layout=ONE)

    assert refused.value.code == "arrow-malformed"


def test_a_dictionary_among_the_messages_is_refused() -> None:
    plain = _stream(SMALL)
    schema = 8 + struct.unpack("<i", plain[4:8])[0]
    coded = _stream(pa.table({"t": pa.array(["a"]).dictionary_encode()}))
    start = 8 + struct.unpack("<i", coded[4:8])[0]

    with pytest.raises(DomainError) as refused:
        check(plain[:schema] + coded[start:], layout=ONE)

    assert refused.value.code == "arrow-malformed"


WIDE = pa.table(
    {
        one.name: pa.array([VALID[one.name], VALID[one.name]], ARROW_TYPES.get(one.type, pa.utf8()))
        for one in LAYOUT.items
    }
).set_column(8, "born", pa.array([dt.date(2000, 1, 1), None]))
WIDE = WIDE.set_column(6, "amount", pa.array([Decimal("1.5"), None], pa.decimal128(20, 2)))
VALID_STREAMS = [_stream(WIDE, WIDE, compression=how) for how in (None, "zstd", "lz4")]


@given(
    st.sampled_from(VALID_STREAMS),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_damaged_bytes_are_read_or_refused_and_nothing_else(
    body: bytes, damage: list[tuple[int, int]]
) -> None:
    damaged = bytearray(body)
    for at, byte in damage:
        damaged[at % len(damaged)] = byte
    _read_or_refuse(bytes(damaged))


@given(
    st.sampled_from(VALID_STREAMS),
    st.integers(0, 1 << 14),
    st.sampled_from([0, 1, -1, 7, 2**31 - 1, -(2**31), 2**62, -(2**63), 2**16, 1000]),
)
def test_damaged_numbers_are_read_or_refused_and_nothing_else(
    body: bytes, at: int, number: int
) -> None:
    at = at * 4 % (len(body) - 8)
    form = "<i" if -(2**31) <= number < 2**31 else "<q"
    damaged = bytearray(body)
    struct.pack_into(form, damaged, at, number)
    _read_or_refuse(bytes(damaged))


@given(st.sampled_from(VALID_STREAMS), st.data())
def test_a_cut_stream_is_read_or_refused_and_nothing_else(body: bytes, data: st.DataObject) -> None:
    _read_or_refuse(body[: data.draw(st.integers(0, len(body)))])


def _read_or_refuse(body: bytes) -> None:
    try:
        checked = check(body)
    except DomainError as refused:
        code = refused.code
    else:
        code = "column-unknown"
        checked.table.validate(full=True)
        checked.table.to_pylist()
    assert code in CODES
