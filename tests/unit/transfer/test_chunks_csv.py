"""CSV by whole columns is what it is byte by byte, valid or broken."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kit.errors import DomainError
from services.exchange.transfer.domain import Checked, ChunkFormat, Layout, check_chunk
from tests.support.checking import LAYOUT, Found, Refused, check_rows, item, read_table

HEADER = ["id", "part", "name", "free", "level", "count", "amount", "flag", "born", "seen"]
VALID = dict(
    zip(
        HEADER,
        ["a1", "1", "名", "x", "a", "3", "12.50", "true", "2000-02-29", "2026-11-22T08:30:00Z"],
        strict=True,
    )
)
MARK = b"\xef\xbb\xbf"


def check(body: bytes, *, changes: bool = False, layout: Layout = LAYOUT) -> Checked:
    return check_chunk(body, ChunkFormat.CSV, layout, changes=changes)


def outcome(body: bytes, *, changes: bool) -> Found | Refused:
    try:
        checked = check(body, changes=changes)
    except DomainError as refused:
        return Refused(refused.code, str(refused.pointer))
    good = list(zip(*checked.table.to_pydict().values(), strict=True))
    return Found(good, [(fault.row, fault.item, fault.rule) for fault in checked.faults])


def expected(body: bytes, *, changes: bool) -> Found | Refused:
    rows = read_table(body, changes=changes)
    return rows if isinstance(rows, Refused) else check_rows(rows, changes=changes)


PLAIN = st.sampled_from(
    ["", "a", "b1", "级", "true", "false", "True", "0", "-0", "007", "-007", "+1", "1.0", "1 "]
) | st.sampled_from(
    ["9007199254740991", "9007199254740992", "0" * 30 + "5", "9" * 40, "12.500", "2026-11-22"]
)
TRICKY = st.sampled_from(["\n", "\r\n", "\r", '""', ",", '"', "\0", "\ufeff", " ", "a\nb", ""])
VALUES = PLAIN | TRICKY | st.text(st.characters(codec="utf-8"), max_size=4)


def write(value: str | None, quoted: bool) -> str:
    if value is None:
        return ""
    if quoted or value == "" or set(value) & set('",\r\n'):
        return '"' + value.replace('"', '""') + '"'
    return value


@st.composite
def documents(draw: st.DrawFn, names: list[str]) -> bytes:
    header = draw(st.permutations(names))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    lines = [header]
    for _ in range(draw(st.integers(0, 5))):
        row: dict[str, Any] = dict(VALID)
        for name in draw(st.sets(st.sampled_from(names), max_size=3)):
            row[name] = draw(st.none() | VALUES)
        lines.append([row.get(name) for name in header])
    quoted = draw(st.booleans())
    text = end.join(",".join(write(value, quoted) for value in line) for line in lines)
    return MARK * draw(st.booleans()) + (text + end * draw(st.booleans())).encode()


@given(documents([*HEADER, "_op"]))
def test_what_is_written_well_is_read_as_value_by_value(body: bytes) -> None:
    found = outcome(body, changes=True)

    assert isinstance(found, Found)
    assert found == expected(body, changes=True)


PIECES = st.sampled_from(
    [b'"', b'""', b",", b"\n", b"\r\n", b"\r", b"a", b"\0", b"id,part,name\n", b"x,1,y\n", b"_op,"]
)


@given(
    documents(["id", "part", "name"]) | st.just(b"id,part,name\n"),
    st.lists(PIECES, max_size=4),
    st.data(),
)
def test_broken_bytes_are_read_as_byte_by_byte(
    body: bytes, junk: list[bytes], data: st.DataObject
) -> None:
    text = body.decode()
    at = data.draw(st.integers(0, len(text)))
    gone = data.draw(st.integers(0, 3))
    body = text[:at].encode() + b"".join(junk) + text[at + gone :].encode()

    assert outcome(body, changes=False) == expected(body, changes=False)


@given(st.lists(PIECES, max_size=12).map(b"".join))
@example(b"id,part,name\na,1,b\n\n")
@example(b'id,part,name\na,1,"b')
@example(b'id,part,name\n"a\n\nb",1,c\nd,2"')
@example(b"id,part,name\ra,1,b")
@example(b"id,part,name\n\xef\xbb\xbfa,1,b")
@example(b"name,part,id,part,name\n")
def test_any_bytes_are_read_as_byte_by_byte(body: bytes) -> None:
    assert outcome(body, changes=False) == expected(body, changes=False)


ONE = Layout((item("t", "text", required=True, key=True),))


def test_no_value_and_empty_text_differ() -> None:
    body = b'id,part,name,free\na,1,b,\na,2,b,""\n'

    assert check(body).table.column("free").to_pylist() == [None, ""]


def test_an_empty_line_of_one_column_is_a_row_without_value() -> None:
    checked = check(b'\xef\xbb\xbf"t"\r\nx\r\n\r\n"y\r\n"', layout=ONE)

    assert checked.table.column("t").to_pylist() == ["x", "y\r\n"]
    assert [(fault.row, fault.rule) for fault in checked.faults] == [(2, "required")]


def test_a_header_alone_is_a_chunk_without_rows() -> None:
    assert check(b"t", layout=ONE).rows == 0
    assert check(b"t\n", layout=ONE).rows == 0


def test_integers_are_made_canonical() -> None:
    layout = Layout((item("n", "integer", required=True, key=True),))

    checked = check(
        b"n\n007\n-0\n-00012\n" + b"0" * 40 + b"9\n+1\n1.0\n\xef\xbc\x91\n", layout=layout
    )

    assert checked.table.column("n").to_pylist() == ["7", "0", "-12", "9"]
    assert [(fault.row, fault.rule) for fault in checked.faults] == [(n, "type") for n in (5, 6, 7)]


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        (b"", "csv-malformed", "/1"),
        (MARK, "csv-malformed", "/1"),
        (b"\n", "column-unknown", "/1/"),
        (b"id,part,name,other\n", "column-unknown", "/1/other"),
        (b"id,part,name,a/b~c\n", "column-unknown", "/1/a~1b~0c"),
        (b"id,part,name,_op\n", "column-unknown", "/1/_op"),
        (b"id,part,name,id\n", "csv-malformed", "/1/id"),
        (b"id,part\n", "column-missing", "/1/name"),
        (b'id,part,name\na,1,"b\n\n\n",\n', "csv-malformed", "/2"),
        (b'id,part,name\n"a\n",1,b\na,1\n', "csv-malformed", "/4"),
        (b'id,part,name\na,1,b\na,1,b"c\n', "csv-malformed", "/3"),
        (b'id,part,name\na,1,b\na,1,"b"c\n', "csv-malformed", "/3"),
        (b'id,part,name\na,1, "b"\n', "csv-malformed", "/2"),
        (b"id,part,name\na,1,b\n\n", "csv-malformed", "/3"),
        (b"id,part,name\na,1,b\rc\n", "csv-malformed", "/2"),
        (b"id,part,name\na,1,b\nc,2,\xff\n", "text-not-utf8", "/3"),
        (b"id,part,name\na,1,b\nc,2,\xed\xa0\x80\n", "text-not-utf8", "/3"),
    ],
)
def test_a_broken_chunk_is_refused_with_the_place(body: bytes, code: str, pointer: str) -> None:
    with pytest.raises(DomainError) as refused:
        check(body)

    assert (refused.value.code, refused.value.pointer) == (code, pointer)


def test_rows_that_delete_need_no_more_than_the_key() -> None:
    checked = check(b"_op,id,part\ndelete,a,1\nupsert,b,2\n,c,3\n", changes=True)

    assert checked.table.to_pylist()[0] | {"free": None} == {
        "_op": "delete",
        "_row": 1,
        **dict.fromkeys(HEADER),
        "id": "a",
        "part": "1",
    }
    assert [(fault.row, fault.item, fault.rule) for fault in checked.faults] == [
        (2, "name", "required"),
        (3, "name", "required"),
    ]


def test_values_with_line_feeds_keep_rows_numbered() -> None:
    rows = "".join(f'"a{n % 9}","{n}","x\n"\n' for n in range(100_000))

    checked = check(b"id,part,name\n" + rows.encode())

    assert (checked.rows, checked.quarantined) == (100_000, 0)
    assert checked.table.column("_row").to_pylist() == list(range(1, 100_001))


def test_more_rows_than_a_chunk_may_have_are_refused() -> None:
    with pytest.raises(DomainError) as refused:
        check(b"t\n" + b"x\n" * 1_000_001, layout=ONE)

    assert refused.value.code == "chunk-too-large"
