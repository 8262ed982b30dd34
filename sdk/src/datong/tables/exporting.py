"""Writes a table of PostgreSQL or SQLite into a CSV file that can be published."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from datong.errors import InputInvalid, TableUnfit
from datong.tables.extra import require_extra
from datong.tables.layout import listed, quoted

_TEXTS: Final = {
    "boolean": "{}::text",
    "timestamp with time zone": """to_char({}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
}
_READ_ROWS: Final = 16_384


def export_table(url: str, table: str, file: Path) -> None:
    """Write all columns and rows of a table or view, ordered by its primary key.

    Values are written as `contracts/rows.md` wants them; no value is an empty field.

    Args:
        url: `postgresql://user:password@host:port/database` or `sqlite:///path`.
        table: its name, or `schema.name` in PostgreSQL.
        file: is replaced; only its owner may read it.

    Raises:
        InputInvalid: another kind of address, no such table, or packages are missing.
        StoreUnavailable: the database does not answer.
    """
    require_extra()
    file.touch(mode=0o600)
    if url.startswith(("postgresql://", "postgres://")):
        _export_postgres(url, table, file)
    else:
        _export_sqlite(url, table, file)


def _export_postgres(url: str, table: str, file: Path) -> None:
    import psycopg

    from datong.tables.postgres.connection import connect, said

    name = ".".join(map(quoted, table.split(".", 1)))
    with connect(url) as connection:
        found = connection.execute(
            "SELECT a.attname, format_type(a.atttypid, NULL), EXISTS (SELECT 1 FROM pg_index i "
            "WHERE i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY(i.indkey)) "
            "FROM pg_attribute a WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 "
            "AND NOT a.attisdropped ORDER BY a.attnum",
            [name],
        ).fetchall()
        if not found:
            raise _no_table(table)
        chosen = ", ".join(
            f"{_TEXTS.get(kind, '{}').format(quoted(column))} AS {quoted(column)}"
            for column, kind, _ in found
        )
        key = [column for column, _, is_key in found if is_key]
        # The same rows must give the same file, or a publication that broke is not resumed.
        order = listed(key) if key else ", ".join(map(str, range(1, len(found) + 1)))
        query = f"SELECT {chosen} FROM {name} ORDER BY {order}"  # noqa: S608
        try:
            with (
                file.open("wb") as target,
                connection.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT csv, HEADER)") as copy,
            ):
                for row in copy:
                    target.write(row)
        except psycopg.Error as error:
            raise TableUnfit(f"{table} cannot be read: {said(error)}.") from error


def _export_sqlite(url: str, table: str, file: Path) -> None:
    import sqlite3

    import pyarrow as pa
    from pyarrow import csv

    from datong.tables.sqlite import connect, path_of_address

    path = path_of_address(url)
    if not path.exists():
        raise InputInvalid(f"There is no file {path}.")
    connection = connect(path)
    try:
        found = connection.execute(f"PRAGMA table_info({quoted(table)})").fetchall()
        if not found:
            raise _no_table(table)
        names = [name for _, name, *_ in found]
        chosen = ", ".join(
            f"CAST(CASE {quoted(name)} WHEN 1 THEN 'true' WHEN 0 THEN 'false' "
            f"ELSE {quoted(name)} END AS TEXT)"
            if str(kind).upper() in ("BOOLEAN", "BOOL")
            else f"CAST({quoted(name)} AS TEXT)"
            for _, name, kind, *_ in found
        )
        key = [name for _, name, _, _, _, place in found if place]
        order = listed(key) if key else ", ".join(map(str, range(1, len(found) + 1)))
        rows = connection.execute(
            f"SELECT {chosen} FROM {quoted(table)} ORDER BY {order}"  # noqa: S608
        )
        schema = pa.schema([(name, pa.string()) for name in names])
        options = csv.WriteOptions(quoting_style="all_valid")
        with csv.CSVWriter(str(file), schema, write_options=options) as writer:
            while part := rows.fetchmany(_READ_ROWS):
                columns = [pa.array(column, pa.string()) for column in zip(*part, strict=True)]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    except sqlite3.Error as error:
        raise TableUnfit(f"{table} cannot be read: {error}.") from error
    finally:
        connection.close()


def _no_table(table: str) -> InputInvalid:
    return InputInvalid(f"There is no table {table} in that database.", next_step="Check --table.")
