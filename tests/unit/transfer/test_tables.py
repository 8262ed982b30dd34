"""Tables of canonical texts as Arrow streams and as CSV of COPY."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.exchange.transfer.domain.tables import (
    BATCH_ROWS,
    CopyReader,
    from_stream,
    to_copy,
    to_stream,
)

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
_HARD = st.sampled_from(["", '"', '""', "\n", "\r\n", '"\n"', '\n"', ",", "\\.", "\\N", "\ufeff"])
_VALUE = st.none() | _TEXT | _HARD
_ROWS = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.tuples(*[_VALUE] * width), min_size=1, max_size=20)
)


def _table(rows: list[tuple[str | None, ...]]) -> Any:
    columns = zip(*rows, strict=True)
    return pa.table({f"c{n}": pa.array(column, pa.utf8()) for n, column in enumerate(columns)})


def _read(names: list[str], data: bytes, size: int) -> list[Any]:
    reader = CopyReader(names)
    tables = []
    for start in range(0, len(data), size):
        tables += reader.feed(data[start : start + size])
    return tables + reader.close()


@given(_ROWS, st.integers(1, 50))
def test_rows_come_back_from_copy_as_they_went(
    rows: list[tuple[str | None, ...]], size: int
) -> None:
    table = _table(rows)

    assert pa.concat_tables(_read(table.column_names, to_copy(table), size)) == table


@given(_ROWS, st.integers(1, 9))
def test_rows_come_back_whatever_pieces_are_parsed(
    rows: list[tuple[str | None, ...]], size: int
) -> None:
    table = _table(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.exchange.transfer.domain.tables._PARSE_BYTES", size)

        assert pa.concat_tables(_read(table.column_names, to_copy(table), size)) == table


def test_tables_from_copy_are_full_except_the_last() -> None:
    rows = BATCH_ROWS * 2 + 5
    table = pa.table({"c": pa.array([f"{n}\n" for n in range(rows)])})

    tables = _read(["c"], to_copy(table), 1 << 16)

    assert [part.num_rows for part in tables] == [BATCH_ROWS, BATCH_ROWS, 5]
    assert pa.concat_tables(tables) == table


def test_tables_of_long_rows_have_fewer() -> None:
    table = pa.table({"c": pa.array(["x" * (1 << 20)] * 70)})

    tables = _read(["c"], to_copy(table), 1 << 19)

    assert max(part.nbytes for part in tables) < 48 << 20
    assert pa.concat_tables(tables) == table


def test_nothing_copied_makes_no_table() -> None:
    assert CopyReader(["c"]).close() == []


def test_no_value_and_empty_text_differ_in_copy() -> None:
    table = pa.table({"a": pa.array(["", None]), "n": pa.array([1, 2])})

    assert to_copy(table) == b'"","1"\n,"2"\n'


def test_a_stream_is_read_back_in_batches_that_are_bounded() -> None:
    table = pa.table({"c": pa.array([str(n) for n in range(BATCH_ROWS + 1)])})

    again = from_stream(to_stream(table))

    assert again == table
    assert [len(chunk) for chunk in again.column("c").chunks] == [BATCH_ROWS, 1]


def test_the_same_rows_make_the_same_stream_however_they_are_chunked() -> None:
    table = pa.table({"a": ["x", None, "y"], "b": ["1", "2", "3"]})
    parts = pa.concat_tables([table.slice(0, 1), table.slice(1)])

    assert to_stream(parts.replace_schema_metadata({"by": "x"})) == to_stream(table)
