"""What no honest caller sends is refused readably, and costs no more than an honest call."""

import pyarrow as pa
import pytest

from kit.errors import DomainError
from kit.http import encode_cursor
from services.exchange.transfer.domain import ChunkFormat, check_chunk
from tests.integration.transfer.conftest import OWNER, RESOURCE, Problem, Town
from tests.support.checking import LAYOUT

MANY = [f"c{number}" for number in range(300_000)]


async def test_a_cursor_with_a_text_that_no_database_takes_is_refused(
    town: Town, problem: Problem
) -> None:
    cursor = encode_cursor(["2026-01-01T00:00:00Z", "a\0b"])
    officer = town.identities.person(OWNER, "technical_officer")

    problem(await town.call("GET", f"batches?cursor={cursor}"), 400, "cursor-invalid")
    reports = f"/data/v1/{RESOURCE}/reconciliations?cursor={cursor}"
    headers = town.identities.headers(officer)
    problem(await town.client.get(reports, headers=headers), 400, "cursor-invalid")


@pytest.mark.parametrize("number", [1 - 2**53, -2, 2**53 - 1])
async def test_a_cursor_beyond_all_chunks_is_before_or_after_them(town: Town, number: int) -> None:
    batch = await town.open()

    answer = await town.call("GET", f"batches/{batch}/chunks?cursor={encode_cursor([number])}")

    assert (answer.status_code, answer.json()) == (200, {"items": [], "next": None})


def test_a_name_that_occurs_twice_among_very_many_is_found_in_one_pass() -> None:
    header = ",".join([*MANY, "z", "z"]).encode() + b"\n"
    table = pa.table([pa.array([], pa.utf8())] * 50_002, names=[*MANY[:50_000], "z", "z"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)

    for body, chunk_format, code in (
        (pa.py_buffer(header), ChunkFormat.CSV, "csv-malformed"),
        (sink.getvalue(), ChunkFormat.ARROW, "schema-mismatch"),
    ):
        with pytest.raises(DomainError, match="twice") as refused:
            check_chunk(body, chunk_format, LAYOUT, changes=False)
        assert refused.value.code == code
