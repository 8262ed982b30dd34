"""An owner publishes files and tables; what broke is gone on with, what is wrong is located."""

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from datong import Client, InputInvalid, Refused, Unreachable, publish
from datong.cli import run
from datong.tables import Patience
from datong.tables.publishing import Progress, Published, Stage
from tests.support.taking import Taking

RESOURCE = "divisions"


class Crash(BaseException):
    """The process dies here."""


@pytest.fixture
def taking(double: Any, sending: Any) -> Taking:
    """The platform's side, answering every path of data."""
    made = Taking()

    async def handler(received: Any) -> Any:
        status, body, headers, cut = made.answer(received)
        return sending(status, body, headers, cut)

    class Paths(dict[str, Any]):
        def __missing__(self, path: str) -> Any:
            return handler

    double.handlers = Paths(double.handlers)
    return made


@pytest.fixture
def publishing(double: Any, place: Any) -> Callable[..., Awaitable[Published]]:
    """Publish as the test's system."""
    identity = place.identity(double)

    def publish_now(what: Any, options: dict[str, Any]) -> Published:
        with Client(identity) as client:
            patience = Patience(options.pop("seconds", 5))
            return publish(client, RESOURCE, what, patience=patience, **options)

    async def later(what: Any, **options: Any) -> Published:
        return await asyncio.to_thread(publish_now, what, options)

    return later


@pytest.fixture
def datong(
    place: Any, double: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Awaitable[tuple[int, str, str]]]:
    """Run the command as the test's system; return exit code, output, error output."""
    monkeypatch.setenv("DATONG_IDENTITY_DIRECTORY", str(place.identity(double).directory))
    monkeypatch.setenv("COLUMNS", "200")

    async def command(*arguments: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(run, list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def csv_file(folder: Path, *rows: str, name: str = "rows.csv") -> Path:
    file = folder / name
    file.write_text("code,name\n" + "".join(row + "\n" for row in rows), "utf-8")
    return file


ROWS = [f"{number},杭州市" for number in range(20)]


async def test_a_file_is_published_whole(taking: Taking, publishing: Any, tmp_path: Path) -> None:
    seen: list[Progress] = []

    published = await publishing(
        csv_file(tmp_path, *ROWS), chunk_bytes=100, on_progress=seen.append
    )

    (batch,) = taking.batches.values()
    assert published.is_effective
    assert batch.document["declared"] == {"rows": 20}
    rows = [row["code"] for chunk in sorted(batch.rows) for row in batch.rows[chunk]]
    assert rows == [str(number) for number in range(20)]
    assert published.sent_chunks == len(batch.bodies) == 3
    assert [step.stage for step in seen if step.stage is not Stage.UPLOADING] == [
        Stage.OPENED,
        Stage.SEALED,
        Stage.FINISHED,
    ]
    assert max(step.rows for step in seen) == 20


async def test_the_same_call_goes_on_after_a_crash(
    taking: Taking, publishing: Any, tmp_path: Path
) -> None:
    file = csv_file(tmp_path, *ROWS)

    def dies(progress: Progress) -> None:
        if progress.rows > 8:
            raise Crash

    with pytest.raises(Crash):
        await publishing(file, chunk_bytes=100, on_progress=dies)
    kept = len(next(iter(taking.batches.values())).bodies)
    published = await publishing(file, chunk_bytes=100)

    assert len(taking.batches) == 1
    assert published.is_effective
    assert published.reused_chunks >= 1
    assert published.reused_chunks + published.sent_chunks == len(taking.batches["batch-1"].bodies)
    assert kept >= 1


async def test_a_crash_after_the_seal_only_waits_for_the_outcome(
    taking: Taking, publishing: Any, tmp_path: Path
) -> None:
    file = csv_file(tmp_path, *ROWS)

    def dies(progress: Progress) -> None:
        if progress.stage is Stage.SEALED:
            raise Crash

    with pytest.raises(Crash):
        await publishing(file, on_progress=dies)
    published = await publishing(file)

    assert (published.is_effective, taking.puts) == (True, 1)


async def test_the_very_same_input_is_published_once_unless_asked_again(
    taking: Taking, publishing: Any, tmp_path: Path
) -> None:
    file = csv_file(tmp_path, *ROWS)
    await publishing(file)

    second = await publishing(file)
    third = await publishing(file, again=True)
    other = await publishing(csv_file(tmp_path, *ROWS[1:]))

    assert (second.was_effective, third.was_effective, other.was_effective) == (True, False, False)
    assert len(taking.batches) == 3


async def test_other_chunk_sizes_are_told(taking: Taking, publishing: Any, tmp_path: Path) -> None:
    file = csv_file(tmp_path, *ROWS)

    def dies(progress: Progress) -> None:
        if progress.stage is Stage.UPLOADING:
            raise Crash

    with pytest.raises(Crash):
        await publishing(file, chunk_bytes=100, on_progress=dies)
    with pytest.raises(InputInvalid, match="chunks of another size"):
        await publishing(file, chunk_bytes=120)


async def test_what_passes_is_waited_out(taking: Taking, publishing: Any, tmp_path: Path) -> None:
    taking.problems = [(503, "service-unavailable"), (503, "permissions-behind")]

    assert (await publishing(csv_file(tmp_path, *ROWS))).is_effective


async def test_a_platform_that_is_away_leaves_a_batch_to_go_on_with(
    taking: Taking, publishing: Any, double: Any, tmp_path: Path
) -> None:
    double.hangs_up_at_once = True
    with pytest.raises(Unreachable):
        await publishing(csv_file(tmp_path, *ROWS), seconds=0)
    double.hangs_up_at_once = False

    assert (await publishing(csv_file(tmp_path, *ROWS))).is_effective


async def test_a_refused_chunk_is_located_in_the_file_and_its_batch_abandoned(
    taking: Taking, publishing: Any, tmp_path: Path
) -> None:
    file = csv_file(tmp_path, *ROWS)

    def turns(progress: Progress) -> None:
        if progress.stage is Stage.UPLOADING and not taking.problems:
            taking.problems = [(422, "csv-malformed")] * 9

    with pytest.raises(Refused) as caught:
        await publishing(file, chunk_bytes=100, on_progress=turns)

    (error,) = caught.value.errors
    first = int(error["pointer"].removeprefix("/"))
    assert first > 2
    assert f"line {first} of rows.csv" in str(caught.value)
    assert taking.batches["batch-1"].document["state"] == "abandoned"


async def test_quarantined_rows_are_shown_with_their_lines(
    taking: Taking, datong: Any, tmp_path: Path
) -> None:
    file = csv_file(tmp_path, '1,"two\nlines"', "2,bad", *ROWS[3:], "20,bad")

    code, out, error = await datong("publish", RESOURCE, str(file), "--quarantine-limit", "2")

    assert code == 0
    assert "rows.csv, line 4" in out
    assert "rows.csv, line 22" in out
    assert "codes" in out
    assert "Effective: divisions has version 1" in error
    assert "20 of 20 rows, 2 quarantined" in error or "19 of 19 rows" in error


async def test_too_many_faults_end_with_3(taking: Taking, datong: Any, tmp_path: Path) -> None:
    file = csv_file(tmp_path, "1,bad", "2,b")

    code, out, error = await datong("publish", RESOURCE, str(file), "--json")

    shown = json.loads(out)
    assert code == 3
    assert shown["batch"]["refusal"]["code"] == "too-many-faults"
    assert shown["quarantine"] == [
        {"row": 1, "line": 2, "item": "name", "rule": "codes", "detail": "Not a code."}
    ]
    assert (await datong("publish", RESOURCE, str(file), "--quarantine-limit", "1"))[0] == 0
    code, _, error = await datong("publish", RESOURCE, str(file))
    assert (code, "Refused (too-many-faults)" in error) == (3, True)


async def test_a_dry_run_shows_the_quarantine_and_abandons(
    taking: Taking, datong: Any, tmp_path: Path
) -> None:
    file = csv_file(tmp_path, "1,bad", "2,b")

    code, out, error = await datong("publish", RESOURCE, str(file), "--dry-run")

    assert code == 3
    assert "rows.csv, line 2" in out
    assert "Checked and abandoned" in error
    assert taking.batches["batch-1"].document["state"] == "abandoned"
    assert (await datong("publish", RESOURCE, str(file), "--dry-run"))[0] == 3
    assert len(taking.batches) == 2


async def test_the_same_input_again_says_how_to_publish_it_again(
    taking: Taking, datong: Any, tmp_path: Path
) -> None:
    file = str(csv_file(tmp_path, *ROWS))
    await datong("publish", RESOURCE, file)

    code, _, error = await datong("publish", RESOURCE, file)
    other = str(csv_file(tmp_path, *ROWS[1:], name="other.csv"))
    await datong("publish", RESOURCE, other)
    late, _, late_error = await datong("publish", RESOURCE, file)

    assert (code, "nothing was sent" in error) == (0, True)
    assert (late, "other batches came after it" in late_error) == (3, True)
    assert (await datong("publish", RESOURCE, file, "--again"))[0] == 0


async def test_declared_counts_and_mode_are_sent(
    taking: Taking, datong: Any, tmp_path: Path
) -> None:
    file = tmp_path / "rows.ndjson"
    file.write_text('{"_op":"delete","code":"1"}\n{"code":"2"}\n')
    options = ("--mode", "changes", "--added", "1", "--updated", "0", "--deleted", "1")

    assert (await datong("publish", RESOURCE, str(file), *options))[0] == 0

    document = taking.batches["batch-1"].document
    assert document["mode"] == "changes"
    assert document["declared"] == {"added": 1, "updated": 0, "deleted": 1, "rows": 2}


async def test_a_table_of_postgresql_is_published(
    taking: Taking, publishing: Any, database_url: str
) -> None:
    with psycopg.connect(database_url) as database:
        database.execute("SET timezone = 'Asia/Shanghai'")
        database.execute(
            "CREATE TABLE t (code text PRIMARY KEY, n bigint, d numeric, b boolean, day date, "
            "seen timestamptz)"
        )
        database.execute(
            "INSERT INTO t VALUES ('b', 3, 12.50, true, '2026-11-22', '2026-11-22 08:30:00+08'), "
            "('a', NULL, NULL, NULL, NULL, NULL), ('', 0, -0.1, false, '0001-01-01', NULL)"
        )

    await publishing(database_url, table="t")
    again = await publishing(database_url, table="public.t")

    assert taking.batches["batch-1"].bodies[0].decode().splitlines() == [
        "code,n,d,b,day,seen",
        '"",0,-0.1,false,0001-01-01,',
        "a,,,,,",
        "b,3,12.50,true,2026-11-22,2026-11-22T00:30:00.000000Z",
    ]
    assert again.was_effective


async def test_a_table_of_sqlite_is_published(
    taking: Taking, publishing: Any, tmp_path: Path
) -> None:
    database = sqlite3.connect(tmp_path / "own.db")
    with database:
        database.execute("CREATE TABLE t (code TEXT PRIMARY KEY, n INTEGER, b BOOLEAN)")
        database.execute("INSERT INTO t VALUES ('b', 3, 1), ('a', NULL, NULL), ('', 0, 0)")
    database.close()

    published = await publishing(f"sqlite:///{tmp_path / 'own.db'}", table="t")

    assert taking.batches["batch-1"].rows[0] == [
        {"code": "", "n": "0", "b": "false"},
        {"code": "a", "n": "", "b": ""},
        {"code": "b", "n": "3", "b": "true"},
    ]
    assert published.sent_rows == 3


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
async def test_a_table_that_is_not_there_is_told(
    publishing: Any, database_url: str, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "own.db"
    sqlite3.connect(file).close()
    url = database_url if kind == "postgresql" else f"sqlite:///{file}"
    file.touch()

    with pytest.raises(InputInvalid, match="no table nowhere"):
        await publishing(url, table="nowhere")


@pytest.mark.parametrize(
    "arguments",
    [
        ("publish", RESOURCE),
        ("publish", RESOURCE, "rows.csv", "--table", "t"),
        ("publish", RESOURCE, "--from", "sqlite:///x"),
        ("publish", RESOURCE, "--from", "mysql://x", "--table", "t"),
        ("publish", RESOURCE, "nothing.csv"),
    ],
)
async def test_wrong_usage_ends_with_2(datong: Any, arguments: tuple[str, ...]) -> None:
    assert (await datong(*arguments))[0] == 2


async def test_batches_are_listed_abandoned_and_their_quarantine_kept(
    taking: Taking, datong: Any, tmp_path: Path
) -> None:
    file = csv_file(tmp_path, "1,bad", "2,b")
    await datong("publish", RESOURCE, str(file))
    kept = tmp_path / "faults.ndjson"

    assert "refused" in (await datong("batches", RESOURCE))[1]
    assert "codes" in (await datong("quarantine", RESOURCE, "batch-1"))[1]
    assert (await datong("quarantine", RESOURCE, "batch-1", "-o", str(kept)))[0] == 0
    assert [json.loads(line)["row"] for line in kept.read_text().splitlines()] == [1]
    assert "abandoned" in (await datong("abandon", RESOURCE, "batch-1"))[1]
