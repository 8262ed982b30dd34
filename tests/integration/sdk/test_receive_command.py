"""`datong receive`, `deliveries` and `reconcile`: what they print and how they end."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from datong.cli import run
from datong.errors import InputInvalid
from datong.tables.extra import require_extra
from tests.support.delivering import Delivering, Row

BATCH = "019d9b5e-8f00-7c3a-8d11-2f6a5b7c8d91"
RECONCILIATIONS = "/data/v1/divisions/reconciliations"
FIGURES = {"added": 1, "updated": 0, "deleted": 0, "rows": 6, "digest": "a" * 64}


def row(code: str) -> Row:
    return {"code": code, "name": "杭州市"}


@pytest.fixture
def delivering(double: Any, sending: Any) -> Delivering:
    """The platform's side, answering every path of data that has no answer yet."""
    made = Delivering()

    async def handler(received: Any) -> Any:
        status, body, headers, cut = made.answer(received)
        return sending(status, body, headers, cut)

    class Paths(dict[str, Any]):
        def __missing__(self, path: str) -> Any:
            return handler

    double.handlers = Paths(double.handlers)
    return made


@pytest.fixture
def datong(
    place: Any, double: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Awaitable[tuple[int, str, str]]]:
    """Run the command as the test's system; return exit code, output, error output."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(place.folder / "cache"))
    monkeypatch.setenv("DATONG_IDENTITY_DIRECTORY", str(place.identity(double).directory))
    monkeypatch.setenv("COLUMNS", "250")

    async def command(*arguments: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(run, list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


@pytest.fixture
def receiving(datong: Any, tmp_path: Path) -> Callable[..., Awaitable[tuple[int, str, str]]]:
    """Run `datong receive divisions` into a file of SQLite."""
    into = f"sqlite:///{tmp_path / 'own.db'}"

    async def command(*arguments: str) -> tuple[int, str, str]:
        found: tuple[int, str, str] = await datong(
            "receive", "divisions", "--into", into, "--purpose", "registration", *arguments
        )
        return found

    return command


async def test_figures_are_printed_when_both_sides_agree(
    delivering: Delivering, receiving: Any, double: Any
) -> None:
    delivering.table([row("1"), row("2")])

    code, out, error = await receiving()

    assert code == 0
    assert "2 added, 0 updated, 0 deleted; 2 rows" in out
    assert delivering.made[0].figures["digest"] in out
    assert "delivery 1: table of 2 rows" in error
    asked = [call for call in double.received if call.path.startswith("/data/")]
    assert {call.headers["datong-purpose"] for call in asked} == {"registration"}
    assert "nothing new" in (await receiving())[2]


async def test_a_difference_is_shown_with_both_sides_and_ends_with_6(
    delivering: Delivering, receiving: Any, tmp_path: Path
) -> None:
    delivering.table([row("1"), row("2")])
    await receiving()
    database = sqlite3.connect(tmp_path / "own.db")
    with database:
        database.execute("DELETE FROM divisions WHERE code = '1'")
    database.close()
    delivering.change(row("3"))

    code, out, error = await receiving()

    assert code == 6
    assert "BOTH SIDES DIFFER" in out
    assert "1 of 1 receipts differ" in error
    assert "--renew" in error
    lines = [line for line in out.splitlines() if " rows " in line]
    assert lines
    assert "yes" in lines[0]
    assert (await receiving("--renew"))[0] == 0


async def test_programs_read_one_document(delivering: Delivering, receiving: Any) -> None:
    delivering.table([row("1")])

    code, out, error = await receiving("--json")

    document = json.loads(out)
    assert (code, error) == (0, "")
    assert (document["agreed"], document["table"]) == (True, "divisions")
    assert document["deliveries"][0]["consumer"] == delivering.made[0].figures


async def test_following_writes_a_line_per_delivery_until_it_is_stopped(
    delivering: Delivering, receiving: Any
) -> None:
    delivering.table([row("1")])
    delivering.change(row("2"))
    answer, asked = delivering.answer, 0

    def stop_when_idle(received: Any) -> Any:
        nonlocal asked
        asked += "after=2" in received.path
        if asked:
            problem = {"code": "grant-ended", "title": "Ended", "detail": "The grant ended."}
            body = json.dumps(problem).encode()
            return 403, body, {"Content-Type": "application/problem+json"}, 0
        return answer(received)

    delivering.answer = stop_when_idle  # type: ignore[method-assign]

    code, out, error = await receiving("--follow", "--json")

    assert code == 3
    assert [json.loads(line)["sequence"] for line in out.splitlines()] == [1, 2]
    assert "grant-ended" in error


async def test_an_address_may_stand_in_a_file(
    delivering: Delivering, datong: Any, tmp_path: Path
) -> None:
    delivering.table([row("1")])
    file = tmp_path / "own.url"
    file.write_text(f"sqlite:///{tmp_path / 'own.db'}\n")

    assert (await datong("receive", "divisions", "--into", str(file), "--table", "t"))[0] == 0
    database = sqlite3.connect(tmp_path / "own.db")
    assert database.execute("SELECT count(*) FROM t").fetchall() == [(1,)]
    database.close()


@pytest.mark.parametrize("into", ["mysql://host/db", "nothing", "sqlite:///"])
async def test_what_is_no_database_is_refused(datong: Any, into: str) -> None:
    code, _, error = await datong("receive", "divisions", "--into", into)

    assert (code, "postgresql://user:password@host:port/database" in error) == (2, True)


async def test_deliveries_are_listed_for_every_subscription(
    delivering: Delivering, datong: Any, double: Any, answering: Any
) -> None:
    delivering.table([row("1"), row("2"), row("3")])
    page = {"items": [delivering.subscription()], "next": None}
    double.on("/data/v1/divisions/subscriptions", answering(page))

    code, out, _ = await datong("deliveries", "divisions", "--purpose", "registration")
    document = json.loads((await datong("deliveries", "divisions", "--json"))[1])

    assert (code, "pending" in out, "table" in out) == (0, True, True)
    assert [found["sequence"] for found in document["items"]] == [1]


def _reconciled(state: str) -> dict[str, Any]:
    other = {**FIGURES, "digest": "b" * 64}
    return {
        "batch": BATCH,
        "version": 2,
        "sealed_at": "2026-11-25T08:00:00.000000Z",
        "declared": {"rows": 3, "added": 1},
        "platform": {
            **{name: FIGURES[name] for name in ("added", "updated", "deleted", "digest")},
            "rows": 1,
            "quarantined": 2,
            "unchanged": 0,
            "table_rows": 6,
        },
        "deliveries": [
            {
                "delivery": "d",
                "sequence": 2,
                "subscription": "s",
                "agency": "health",
                "system": "y",
                "kind": "changes",
                "state": state,
                "platform": None if state == "pending" else FIGURES,
                "consumer": None if state == "pending" else other,
                "received_at": None,
            }
        ],
        "state": state,
    }


@pytest.mark.parametrize(("state", "ends"), [("agreed", 0), ("pending", 0), ("differs", 6)])
async def test_figures_stand_side_by_side(
    datong: Any, double: Any, answering: Any, state: str, ends: int
) -> None:
    double.on(RECONCILIATIONS, answering({"items": [_reconciled(state)], "next": None}))

    code, out, _ = await datong("reconcile", "divisions", "--batch", BATCH)

    assert code == ends
    assert "declared" in out
    assert "platform, version 2" in out
    assert "health, delivery 2" in out
    assert ("the platform's figures of it" in out) == (state == "differs")
    assert double.of(RECONCILIATIONS)[0].path.endswith(f"?batch={BATCH}")


async def test_days_are_days_in_shanghai(datong: Any, double: Any, answering: Any) -> None:
    day = {"day": "2026-11-25", "batches": 1, "differs": 0}
    double.on(RECONCILIATIONS + "/days", answering({"items": [day]}))

    code, out, _ = await datong("reconcile", "divisions", "--days", "--until", "2026-11-25")

    assert (code, "2026-11-25" in out) == (0, True)
    (asked,) = double.of(RECONCILIATIONS + "/days")
    assert asked.path.endswith("?from=2026-11-19&until=2026-11-25")
    assert (await datong("reconcile", "divisions", "--days", "--from", "25.11.2026"))[0] == 2


def test_a_missing_package_is_told_with_the_command_that_installs_it() -> None:
    with pytest.raises(InputInvalid, match="needs no_such_package") as caught:
        require_extra("pyarrow", "no_such_package")

    assert "pip install 'datong[tables]'" in str(caught.value.next_step)


def test_lines_are_published_without_the_packages_for_tables() -> None:
    program = (
        "import sys; sys.modules['pyarrow'] = sys.modules['psycopg'] = None\n"
        "import datong, datong.cli.application, datong.tables.publishing\n"
        "datong.cli.application.build()\n"
    )

    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
