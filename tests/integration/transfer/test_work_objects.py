"""Objects are immutable and named by their bytes; what no row names is swept."""

import os
import time
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from kit.clock import FixedClock, SystemClock
from services.exchange.transfer.actions.sweeping import sweep
from services.exchange.transfer.store import Context, FolderObjects, ObjectDamaged
from tests.integration.transfer.conftest import Town
from tests.integration.transfer.test_processes import environment, run

ROWS: list[dict[str, Any]] = [{"code": "330000", "name": "浙江省", "level": 1}]
DAY = 86_400.0


@pytest.fixture
def objects(tmp_path: Path) -> FolderObjects:
    return FolderObjects(tmp_path / "kept")


def age(objects: FolderObjects, name: str, seconds: float) -> None:
    """Let an object have been put so long ago."""
    then = time.time() - seconds
    os.utime(objects._path(name), (then, then))


def test_an_object_is_named_by_its_bytes(objects: FolderObjects, tmp_path: Path) -> None:
    name = objects.put(b"rows")

    assert name == sha256(b"rows").hexdigest()
    assert (tmp_path / "kept" / "segments" / name[:2] / name).read_bytes() == b"rows"
    assert objects.put(b"rows") == name
    assert objects.read(name) == b"rows"
    with objects.open(name) as file:
        assert file.read() == b"rows"
    assert list(objects.names()) == [name]


def test_a_damaged_object_is_not_read(objects: FolderObjects) -> None:
    name = objects.put(b"rows")
    objects._path(name).write_bytes(b"rowz")

    with pytest.raises(ObjectDamaged):
        objects.read(name)
    with pytest.raises(FileNotFoundError):
        objects.read("0" * 64)


def test_putting_an_object_again_makes_it_young(objects: FolderObjects) -> None:
    name = objects.put(b"rows")
    age(objects, name, 7200)
    assert list(objects.names(older_than=3600)) == [name]

    objects.put(b"rows")

    assert list(objects.names(older_than=3600)) == []
    assert not objects.remove(name, older_than=3600)
    assert objects.read(name) == b"rows"
    assert objects.remove(name)
    assert not objects.remove(name)


def test_a_removal_that_was_killed_is_taken_up(objects: FolderObjects) -> None:
    name = objects.put(b"rows")
    objects._path(name).rename(objects._path(name).with_suffix(".removed"))

    assert list(objects.names()) == [name]
    assert objects.remove(name)
    assert list(objects.names()) == []


def test_a_folder_that_is_gone_is_not_made_again(objects: FolderObjects, tmp_path: Path) -> None:
    (tmp_path / "kept").rename(tmp_path / "away")

    with pytest.raises(OSError, match="kept"):
        objects.put(b"rows")
    assert not (tmp_path / "kept").exists()


async def swept(town: Town, *, older_than: float = 0.0, chunk_retention: float = DAY) -> int:
    return await sweep(town.context, older_than=older_than, chunk_retention=chunk_retention)


def names(town: Town) -> set[str]:
    return set(town.context.objects.names())


async def test_objects_that_no_row_names_are_swept_once_they_are_old(town: Town) -> None:
    await town.publish_rows(ROWS)
    kept = names(town)
    orphan = town.context.objects.put(b"of a seal that was undone")

    assert await swept(town, older_than=60) == 0
    assert names(town) == {*kept, orphan}
    assert await swept(town) == 1
    assert names(town) == kept


async def test_chunks_of_a_batch_that_ended_are_swept_after_a_day(town: Town) -> None:
    batch = await town.publish_rows(ROWS)
    open_batch = await town.open()
    await town.put(open_batch, 0, [{**ROWS[0], "code": "1"}])
    assert await swept(town) == 0
    before = names(town)

    clock = FixedClock(SystemClock().now() + timedelta(days=1, minutes=1))
    later = Context(town.db, town.context.objects, clock)
    assert await sweep(later, older_than=0, chunk_retention=DAY) == 1

    assert len(before - names(town)) == 1
    page = (await town.call("GET", f"batches/{batch['id']}/chunks")).json()
    assert len(page["items"]) == 1  # what came is still told
    await town.seal(open_batch)
    await town.work()
    assert (await town.batch(open_batch))["state"] == "effective"


async def test_chunks_of_an_abandoned_batch_are_swept_at_once(town: Town) -> None:
    batch = await town.open()
    await town.put(batch, 0, ROWS)
    await town.call("POST", f"batches/{batch}/abandonments")

    assert await swept(town) == 1
    assert names(town) == set()


async def test_objects_are_swept_by_hand(town: Town, tmp_path: Path) -> None:
    values, _ = environment(tmp_path, town.url, "127.0.0.1:1")
    orphan = town.context.objects.put(b"orphan")
    leftover = town.context.objects.new_file()
    leftover.write_bytes(b"half")

    assert (await run(values, "sweep")).returncode == 0
    assert names(town) == {orphan}
    assert (await run(values, "sweep", "--older-than", "0")).returncode == 0
    assert names(town) == set()
    assert not leftover.exists()
    assert (await run(values, "sweep", "--older-than", "soon")).returncode == 2


async def test_an_object_that_a_killed_sweep_set_aside_is_there_again(town: Town) -> None:
    await town.publish_rows(ROWS)
    objects = town.context.objects
    assert isinstance(objects, FolderObjects)
    names = set(objects.names())
    for name in names:
        path = objects._path(name)
        path.rename(path.with_suffix(".removed"))

    await sweep(town.context, older_than=3600, chunk_retention=DAY)

    assert {name for name in names if objects.read(name)} == names


async def test_what_work_has_put_is_kept_until_the_work_is_done(town: Town) -> None:
    batch = await town.open()
    await town.put(batch, 0, ROWS)
    await town.seal(batch)
    objects = town.context.objects
    assert isinstance(objects, FolderObjects)
    name = objects.put(b"effects of a seal that takes very long")
    age(objects, name, 7200)
    async with town.db.begin() as tx:
        aged = text("UPDATE work SET created_at = now() - interval '3 hours'")
        await (await tx.connection()).execute(aged)

    await sweep(town.context, older_than=3600, chunk_retention=DAY)
    assert name in set(objects.names())

    await town.work()
    await sweep(town.context, older_than=3600, chunk_retention=DAY)
    assert name not in set(objects.names())


async def test_a_batch_that_nobody_seals_is_given_up_with_its_chunks(town: Town) -> None:
    old, new = await town.open(), await town.open()
    for batch in (old, new):
        await town.put(batch, 0, [{**ROWS[0], "name": batch}])
    async with town.db.begin() as tx:
        aged = text("UPDATE batch SET opened_at = now() - interval '8 days' WHERE id = :id")
        await (await tx.connection()).execute(aged.bindparams(id=old))

    await sweep(town.context, older_than=0, chunk_retention=DAY)

    assert (await town.batch(old))["state"] == "abandoned"
    assert (await town.batch(new))["state"] == "open"
    assert len(set(town.context.objects.names())) == 1
    assert (await town.put(old, 1, ROWS)).json()["code"] == "batch-not-open"
    async with town.db.begin() as tx:
        told = text("SELECT envelope::text FROM outbox WHERE envelope::text LIKE '%abandoned%'")
        (fact,) = (await (await tx.connection()).execute(told)).scalars()
    assert old in fact
    assert '"part/transfer"' in fact
