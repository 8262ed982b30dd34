"""Rows into PostgreSQL and out of it by COPY, as CSV that Arrow writes and reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import psycopg
import pyarrow as pa
from pyarrow import csv

from datong.tables.digest import TableDigest
from datong.tables.layout import Item, quoted
from datong.tables.store import Arrived, segment_batches

BLOCK_BYTES: Final = 4 << 20
"""Bytes of CSV that are parsed and digested at once: memory stays flat."""

_WRITE: Final = csv.WriteOptions(include_header=False, quoting_style="all_valid")
_PARSE: Final = csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)


def canonical_expression(item: Item, prefix: str = "") -> str:
    """SQL that gives the canonical text of a column (`contracts/rows.md`, section 3).

    Needs the settings of this module's connections: ISO dates, time zone UTC.
    """
    column = prefix + quoted(item.name)
    if item.type == "decimal":
        return f"trim_scale({column})::text"
    if item.type == "datetime":
        return f"""to_char({column}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
    return f"{column}::text"


def copy_text(batch: Any) -> bytes:
    """A record batch as CSV for `COPY … (FORMAT csv)`: values quoted, no value empty."""
    sink = pa.BufferOutputStream()
    csv.write_csv(batch, sink, _WRITE)
    text: bytes = sink.getvalue().to_pybytes()
    return text


def copy_in(
    connection: psycopg.Connection[Any], command: str, arrived: Arrived, names: Sequence[str]
) -> int:
    """Copy some columns of a delivery; return how many rows the server took.

    Args:
        command: `COPY … FROM STDIN (FORMAT csv)`.
        names: columns of the segments, in the order of the command.
    """
    cursor = connection.cursor()
    texts = (
        copy_text(batch.select(list(names)))
        for segment in arrived.segments
        for batch in segment_batches(segment, arrived.items)
    )
    with cursor.copy(command) as copy:
        for text in ahead(texts):
            copy.write(text)
    return cursor.rowcount


def digest_of(
    connection: psycopg.Connection[Any], query: str, items: Sequence[Item]
) -> TableDigest:
    """Count and digest of a query whose columns are the canonical texts of `items`."""
    digest = TableDigest(items)
    names = [item.name for item in items]
    for block in ahead(_blocks(connection, query)):
        digest.add(parse_copy(block, names))
    return digest


def _blocks(connection: psycopg.Connection[Any], query: str) -> Iterator[bytes]:
    """A query as CSV, some thousand whole rows at a time."""
    block = bytearray()
    with connection.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT csv, FORCE_QUOTE *)") as copy:
        for row in copy:
            block += row
            if len(block) >= BLOCK_BYTES:
                yield bytes(block)
                block.clear()
    if block:
        yield bytes(block)


def ahead(items: Iterator[bytes]) -> Iterator[bytes]:
    """The same items; while one is used the next one is made in a thread.

    So the server works while Arrow does, and no more than two items are in memory.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        following = pool.submit(next, items, None)
        while (item := following.result()) is not None:
            following = pool.submit(next, items, None)
            yield item


def parse_copy(text: bytes, names: Sequence[str]) -> Any:
    """Whole rows of `COPY … TO STDOUT (FORMAT csv, FORCE_QUOTE *)` as a table of `utf8` columns."""
    return csv.read_csv(
        pa.BufferReader(text),
        read_options=csv.ReadOptions(column_names=list(names), block_size=len(text) + 1),
        parse_options=_PARSE,
        convert_options=csv.ConvertOptions(
            column_types={name: pa.string() for name in names},
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
        ),
    )
