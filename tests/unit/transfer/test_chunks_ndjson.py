"""NDJSON by whole columns is what it is row by row, valid or broken."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kit.errors import DomainError
from services.exchange.transfer.domain import Checked, ChunkFormat, Layout, check_chunk
from tests.support.checking import (
    LAYOUT,
    Found,
    Refused,
    check_rows,
    item,
    read_lines,
)

VALID: dict[str, Any] = {
    "id": "a1",
    "part": 1,
    "name": "名",
    "free": "x",
    "level": "a",
    "count": 3,
    "amount": "12.50",
    "flag": True,
    "born": "2000-02-29",
    "seen": "2026-11-22T08:30:00+08:00",
}


def check(body: bytes, *, changes: bool = False, layout: Layout = LAYOUT) -> Checked:
    return check_chunk(body, ChunkFormat.NDJSON, layout, changes=changes)


def outcome(body: bytes, *, changes: bool) -> Found | Refused:
    try:
        checked = check(body, changes=changes)
    except DomainError as refused:
        return Refused(refused.code, str(refused.pointer))
    good = list(zip(*checked.table.to_pydict().values(), strict=True))
    assert checked.quarantined == len({fault.row for fault in checked.faults})
    assert checked.rows == checked.quarantined + len(good)
    return Found(good, [(fault.row, fault.item, fault.rule) for fault in checked.faults])


def expected(body: bytes, *, changes: bool) -> Found | Refused:
    rows = read_lines(body, changes=changes)
    return rows if isinstance(rows, Refused) else check_rows(rows, changes=changes)


TEXTS = (
    st.sampled_from(
        [
            "",
            "a",
            "b1",
            "长长",
            "级",
            "\U00020000",
            "abcd",
            "a\n",
            "\0",
            "\x7f",
            '"',
            "123456",
            "}\n{",
        ]
    )
    | st.sampled_from(
        ["x" * 398, "x" * 399, '"' * 200, "x" * 390, "\x01" * 66, "\x01" * 67, "null", "}null{"]
    )
    | st.text(max_size=6)
)
NUMBERS = st.sampled_from(["0", "-0", "0.0", "1", "-5", "-6", "1000", "1001", "12.500", "-1.5"])
DIGITS = st.sampled_from(["1" * 38, "1" * 39, "-" + "1" * 38, "0." + "1" * 37, "0." + "1" * 38])
SPOILT = st.sampled_from(["01", "+1", ".5", "5.", "1e3", "", " 1", "\u0661", "1\n", "-", "-1.51"])
DECIMALS = NUMBERS | DIGITS | SPOILT | st.decimals(-10, 10, places=3).map(str)
LEAPS = ["2000-02-29", "1900-02-29", "2100-02-29", "2024-02-29", "2026-02-29", "0000-02-29"]
NO_DAYS = ["2026-04-31", "2026-13-01", "2026-00-10", "2026-01-32", "2026-01-00", "0000-01-01"]
BOUNDS = ["1899-12-31", "1900-01-01", "2101-01-01", "2100-12-31"]
NO_DATES = ["2026-1-2", "20260102", "2026-01-01T", "2026-01-01\n", ""]
DATES = st.dates().map(str) | st.sampled_from([*LEAPS, *NO_DAYS, *BOUNDS, *NO_DATES])
CLOCKS = st.sampled_from(["08:30:00", "24:00:00", "23:59:60", "23:59:59", "8:30:00", "08:30"])
PARTS = st.sampled_from(["", ".5", ".123456", ".1234567", ".", ".000000"])
ZONES = st.sampled_from(["Z", "+08:00", "-23:59", "+23:59", "+24:00", "+08:75", "", "z", "+0800"])
DATETIMES = (
    st.tuples(DATES | st.just("0001-01-01") | st.just("9999-12-31"), CLOCKS, PARTS, ZONES).map(
        lambda parts: f"{parts[0]}T{parts[1]}{parts[2]}{parts[3]}"
    )
    | st.datetimes().map(lambda at: at.isoformat() + "Z")
    | st.sampled_from(["2026-11-22 08:30:00Z", "2026-11-22T00:30:00.000001Z", "2026-11-22"])
)
INTEGERS = st.integers(-10, 1010) | st.sampled_from(
    [2**53, 2**53 - 1, -(2**53), -(2**53) + 1, 2**63, -(2**63), 10**40]
)
ODD = st.sampled_from([None, True, False, 0, 1, 1.0, 0.5, 1e30, [], {}, ["a"], {"a": 1}, "true"])
OPERATIONS = st.sampled_from(["upsert", "delete", "Delete", "", 1, None, True])


def value_of(kind: str) -> st.SearchStrategy[Any]:
    fitting = {
        "text": TEXTS,
        "integer": INTEGERS,
        "decimal": DECIMALS,
        "boolean": st.booleans(),
        "date": DATES,
        "datetime": DATETIMES,
    }
    return fitting[kind] | ODD if kind != "boolean" else st.booleans() | ODD


FIELDS = {one.name: value_of(one.type) for one in LAYOUT.items} | {"_op": OPERATIONS}
ROWS = st.fixed_dictionaries({}, optional=FIELDS).map(lambda row: VALID | row)
BARE_ROWS = st.fixed_dictionaries({}, optional=FIELDS)
FITTING_ROWS = st.fixed_dictionaries(
    {},
    optional={
        "free": TEXTS,
        "amount": NUMBERS,
        "born": DATES,
        "count": st.integers(-10, 1010),
        "seen": DATETIMES,
        "flag": st.none() | st.booleans(),
        "level": st.none() | TEXTS,
    },
).map(lambda row: VALID | row)


def write(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode()


LINES = ROWS.map(write) | ROWS.map(lambda row: json.dumps(row).encode()) | BARE_ROWS.map(write)
FRAGMENTS = st.sampled_from(
    [
        b'{"id":"a","id":"a"}',
        b'{"id":"a","\\u0069d":null}',
        b'{"part":NaN}',
        b'{"part":-Infinity}',
        b'{"part":01}',
        b'{"part":-0}',
        b'{"part":1e2}',
        b'{"part":1.0}',
        b'{"amount":1.5}',
        b'{"id":"\\ud800"}',
        b'{"id":"\\udc00\\ud800"}',
        b'{"\\ud800":1}',
        b'{"id":"\\ud840\\udc00"}',
        b'{"id":"\\u0000"}',
        b'{"id":"\x01"}',
        b'{"id":"\t"}',
        b'{"id":"\xff"}',
        b'{"id":"\xed\xa0\x80"}',
        b"\xef\xbb\xbf{}",
        b"",
        b" ",
        b"\r",
        b"{}",
        b" {}",
        b"{} ",
        b"{}\r",
        b"{}{}",
        b"{} {}",
        b"{}null",
        b"null",
        b"{},",
        b"[]",
        b"[{}]",
        b"1",
        b'"a"',
        b"{",
        b"}",
        b'{"id":"a"',
        b'{"id":"a",}',
        b'{"other":1}',
        b'{"a/b~c":1}',
        b'{"":null}',
        b'{"id":{"id":{"id":[[]]}}}',
        b'{"id":{"id":1,"id":1}}',
        b"{'id':'a'}",
        b'{"id":"a"}//',
        b"\x00",
        b"{}\x00",
        b"{}\x0c",
        b'{"id":"}',
        b'{"id":\xc2\xa0"a"}',
    ]
)
DOCUMENTS = st.tuples(
    st.lists(LINES | FRAGMENTS, max_size=6) | st.lists(LINES, max_size=12),
    st.sampled_from([b"\n", b"\r\n"]),
    st.booleans(),
).map(lambda parts: parts[1].join(parts[0]) + parts[1] * parts[2])


@given(DOCUMENTS, st.booleans())
@example(b"null\n", False)
@example(b"{}{}\n\n", False)
@example(b'{"id":"}\n{","part":1}', False)
@example(b"\n".join([b"{}", b"", b"{}{}"]), False)
def test_whatever_is_sent_is_read_as_line_by_line(body: bytes, changes: bool) -> None:
    assert outcome(body, changes=changes) == expected(body, changes=changes)


@given(st.lists(FITTING_ROWS, min_size=1, max_size=30))
def test_rows_of_the_right_json_types_are_checked_as_row_by_row(rows: list[dict[str, Any]]) -> None:
    body = b"\n".join(map(write, rows))

    assert outcome(body, changes=False) == check_rows(rows, changes=False)


@given(st.lists(LINES, min_size=1, max_size=4), st.binary(max_size=3), st.data())
def test_broken_bytes_are_read_as_line_by_line(
    lines: list[bytes], junk: bytes, data: st.DataObject
) -> None:
    body = b"\n".join(lines)
    at = data.draw(st.integers(0, len(body)))
    gone = data.draw(st.integers(0, 3))
    body = body[:at] + junk + body[at + gone :]

    assert outcome(body, changes=True) == expected(body, changes=True)


def _many(rows: int, hard: dict[int, bytes]) -> bytes:
    return b"\n".join(hard.get(n) or write(VALID | {"part": n}) for n in range(1, rows + 1))


def test_hard_rows_among_many_are_found_with_their_numbers() -> None:
    hard = {n: write(VALID | {"count": "3"}) for n in (1, 2, 65, 500, 3333, 9999, 10_000)}
    hard[777] = write(VALID | {"count": 5000})

    checked = check(_many(10_000, hard))

    assert [(fault.row, fault.rule) for fault in checked.faults] == [
        (n, "range" if n == 777 else "type") for n in sorted(hard)
    ]
    assert checked.table.num_rows == 10_000 - len(hard)
    numbers = checked.table.column("_row").to_pylist()
    assert numbers == [n for n in range(1, 10_001) if n not in hard]
    assert checked.table.column("part").to_pylist() == [str(n) for n in numbers]


def test_a_broken_line_among_many_is_named() -> None:
    with pytest.raises(DomainError) as refused:
        check(_many(20_000, {12_345: b'{"id": }'}))

    assert (refused.value.code, refused.value.pointer) == ("ndjson-malformed", "/12345")


def test_short_and_long_lines_are_rows_all_the_same() -> None:
    layout = Layout((item("k", "integer", required=True, key=True), item("t", "text")))
    short = b'{"k":1}\n' * 70_000
    long = b'{"k":2,"t":"%s"}\n' % (b"x" * (3 << 20))

    checked = check(short + long + short, layout=layout)

    assert (checked.rows, checked.quarantined) == (140_001, 0)
    assert checked.table.column("_row").to_pylist() == list(range(1, 140_002))
    assert checked.table.column("t").combine_chunks()[70_000].as_py() == "x" * (3 << 20)


def test_more_rows_than_a_chunk_may_have_are_refused() -> None:
    with pytest.raises(DomainError) as refused:
        check(b"{}\n" * 1_000_001)

    assert refused.value.code == "chunk-too-large"


def test_more_values_than_a_chunk_may_have_are_refused() -> None:
    items = [item(f"i{n}", "text") for n in range(199)]
    layout = Layout((item("k", "text", required=True, key=True), *items))

    with pytest.raises(DomainError) as refused:
        check(b'{"k":"a"}\n' * 400_000, layout=layout)

    assert refused.value.code == "chunk-too-large"


def test_faults_beyond_the_ten_thousandth_are_counted_only() -> None:
    checked = check(b"{}\n" * 30_000)

    assert (checked.rows, checked.quarantined) == (30_000, 30_000)
    assert len(checked.faults) == 10_000
    assert [(fault.row, fault.item) for fault in checked.faults[:3]] == [
        (1, "id"),
        (1, "part"),
        (1, "name"),
    ]
    assert checked.faults[-1].row == 3334


def test_a_document_nested_too_deeply_is_refused() -> None:
    with pytest.raises(DomainError) as refused:
        check(b'{"id":' + b"[" * 200_000 + b"]" * 200_000 + b"}")

    assert (refused.value.code, refused.value.pointer) == ("ndjson-malformed", "/1")


def test_a_fault_never_repeats_the_value() -> None:
    secret = "4403051990"
    row = dict.fromkeys(VALID, secret) | {"part": secret, "_op": secret}

    details = [fault.detail for fault in check(write(row), changes=True).faults]

    assert len(details) == 9
    assert not any(secret in detail for detail in details)


def test_no_rows_are_a_chunk() -> None:
    checked = check(b"")

    assert (checked.rows, checked.table.num_rows, checked.faults) == (0, 0, [])
    assert checked.table.column_names == ["_op", "_row", *LAYOUT.by_name]
