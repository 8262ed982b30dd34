"""Files are cut between rows, counted, and found again by their digest."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datong import InputInvalid
from datong.operations.operation import CSV, NDJSON
from datong.tables import open_source
from datong.tables.splitting import LineFile

value = st.text(st.sampled_from('a,"\n\r 杭'), max_size=6)
SLOW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)


def written(rows: list[list[str]], end: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
    return text.getvalue().encode()


def read(body: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(body.decode(), newline="")))


@SLOW
@given(
    rows=st.lists(st.lists(value, min_size=2, max_size=2), max_size=12),
    chunk_bytes=st.integers(60, 120),
    end=st.sampled_from(["\n", "\r\n"]),
    marked=st.booleans(),
    is_cut=st.booleans(),
)
def test_chunks_of_csv_hold_all_records_each_with_the_header(
    tmp_path: Path, rows: list[list[str]], chunk_bytes: int, end: str, marked: bool, is_cut: bool
) -> None:
    file = tmp_path / "rows.csv"
    data = written([["a", "b"], *rows], end)
    data = data.removesuffix(end.encode()) if is_cut else data
    file.write_bytes(b"\xef\xbb\xbf" * marked + data)

    source = LineFile(file, CSV, chunk_bytes=chunk_bytes)
    chunks = [read(body) for _, body in source.chunks()]

    assert source.rows == len(rows)
    assert {tuple(chunk[0]) for chunk in chunks} == {("a", "b")}
    assert [row for chunk in chunks for row in chunk[1:]] == rows
    assert all(len(body) <= chunk_bytes for _, body in source.chunks())
    number = 0
    lines = file.read_bytes().decode().split("\n")
    for place, chunk in enumerate(chunks):
        for row in range(1, len(chunk)):
            found = source.place(place, row)
            number += 1
            assert found.row == number
            assert found.line is not None
            rest = "\n".join(lines[found.line - 1 :])
            assert read(rest.encode())[0] == rows[number - 1]


def test_lines_of_a_chunk_are_lines_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(b'a\n"1\n1"\n2\n3\n4\n')

    source = LineFile(file, CSV, chunk_bytes=10)

    assert [body for _, body in source.chunks()] == [b'a\n"1\n1"\n2\n', b"a\n3\n4\n"][:2]
    assert source.line(0, 1) == 1
    assert source.line(0, 2) == 2
    assert source.line(1, 2) == 5
    assert source.line(1, 3) == 6


def test_ndjson_is_cut_at_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [json.dumps({"a": '"\\n'}) for _ in range(9)]
    file.write_text("\n".join(rows))

    with open_source(file, chunk_bytes=40) as source:
        bodies = [body for _, body in source.chunks()]

    assert b"".join(bodies).decode().split("\n") == rows
    assert (source.rows, len(bodies)) == (9, 5)
    assert source.place(1, 2).line == source.place(1, 2).row == 4
    assert source.content_type == NDJSON


def test_a_file_without_rows_is_one_chunk(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("a,b")

    source = LineFile(file, CSV)

    assert [body for _, body in source.chunks()] == [b"a,b\n"]
    assert source.rows == 0


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n"])
def test_a_csv_file_without_header_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(content)

    with pytest.raises(InputInvalid, match="is empty"):
        LineFile(file, CSV)


def test_a_quote_that_is_not_closed_is_told(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(b'a\n"' + b"1\n" * (17 << 19))

    with pytest.raises(InputInvalid, match="line 2: the row is longer"):
        LineFile(file, CSV)


def test_a_longer_row_than_a_chunk_is_a_chunk_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "rows.ndjson"
    file.write_bytes(b'{"a":"1"}\n{"a":"%s"}\n{"a":"2"}\n' % (b"x" * 100))

    source = LineFile(file, NDJSON, chunk_bytes=20)

    assert [len(body) for _, body in source.chunks()] == [10, 129, 10][:1] + [
        len(body) for _, body in list(source.chunks())[1:]
    ]
    assert source.rows == 3


def test_the_digest_tells_inputs_apart(tmp_path: Path) -> None:
    digests = set()
    for content in (b"a\n1\n", b"a\n2\n", b"b\n1\n", b"a\n1"):
        file = tmp_path / "rows.csv"
        file.write_bytes(content)
        digests.add(LineFile(file, CSV).digest)
        assert LineFile(file, CSV, chunk_bytes=5).digest in digests

    assert len(digests) == 4


@pytest.mark.parametrize("is_file", [True, False])
def test_arrow_is_batched_anew(tmp_path: Path, is_file: bool) -> None:
    table = pa.table(
        {
            "code": pa.array([str(number) for number in range(150_000)]),
            "kind": pa.array(["a", "b", None] * 50_000).dictionary_encode(),
        }
    )
    file = tmp_path / "rows.arrow"
    make = pa.ipc.new_file if is_file else pa.ipc.new_stream
    with make(str(file), table.schema) as writer:
        writer.write_table(table, max_chunksize=1000)

    with open_source(file) as source:
        chunks = [pa.ipc.open_stream(body).read_all() for _, body in source.chunks()]
        assert source.place(2, 1).row == 1 + chunks[0].num_rows + chunks[1].num_rows

    assert source.rows == 150_000
    assert max(chunk.num_rows for chunk in chunks) <= 65_536
    assert len(chunks) == 3
    assert pa.concat_tables(chunks).to_pylist() == table.to_pylist()
    assert chunks[0].schema.field("kind").type == pa.string()


def test_arrow_that_does_not_compress_is_cut_smaller(tmp_path: Path) -> None:
    import secrets

    values = [secrets.token_bytes(1 << 20).hex() for _ in range(20)]
    table = pa.table({"code": values})
    file = tmp_path / "rows.arrow"
    with pa.ipc.new_file(str(file), table.schema) as writer:
        writer.write_table(table)

    with open_source(file) as source:
        bodies = [body for _, body in source.chunks()]

    assert max(map(len, bodies)) <= 16 << 20
    rows = [row for body in bodies for row in pa.ipc.open_stream(body).read_all().to_pylist()]
    assert rows == table.to_pylist()


def test_an_empty_arrow_file_is_one_chunk(tmp_path: Path) -> None:
    schema: Any = pa.schema([("code", pa.string())])
    file = tmp_path / "rows.arrow"
    with pa.ipc.new_file(str(file), schema):
        pass

    with open_source(file) as source:
        ((_, body),) = source.chunks()

    assert pa.ipc.open_stream(body).read_all().num_rows == source.rows == 0


def test_what_is_not_arrow_is_told(tmp_path: Path) -> None:
    file = tmp_path / "rows.arrow"
    file.write_bytes(b"code\n1\n")

    with pytest.raises(InputInvalid, match="is not Arrow"), open_source(file):
        pass


def test_an_unknown_name_needs_a_format(tmp_path: Path) -> None:
    file = tmp_path / "rows.xlsx"
    file.write_bytes(b"x")

    with pytest.raises(InputInvalid, match="not known by its name"), open_source(file):
        pass
    with open_source(file, file_format="ndjson") as source:
        assert source.rows == 1


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    for name in ("rows.csv", "rows.arrow"):
        with pytest.raises(InputInvalid, match="cannot be read"), open_source(tmp_path / name):
            pass
