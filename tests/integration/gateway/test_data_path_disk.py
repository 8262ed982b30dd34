"""A disk that fails or hangs: nothing leaves without its record, and everybody is told."""

import asyncio
import threading
from pathlib import Path

import uvloop
from typing_extensions import override

from gateway.evidence.disk import LocalDisk, LocalFile, SpoolFile
from tests.support.data_path import World, answer_with, close_world, open_world, rows
from tests.support.processes import wait_until


class FailingFile(LocalFile):
    """A segment whose sync fails or waits when the disk is told to."""

    def __init__(self, path: Path, disk: "FailingDisk") -> None:
        super().__init__(path)
        self._disk = disk

    @override
    def sync(self) -> None:
        self._disk.may_sync.wait()
        if self._disk.fails:
            raise OSError(5, "Input/output error")
        super().sync()


class FailingDisk(LocalDisk):
    """A file system that can be made to fail or to hang."""

    def __init__(self) -> None:
        self.fails = False
        self.may_sync = threading.Event()
        self.may_sync.set()

    @override
    def create(self, path: Path) -> SpoolFile:
        return FailingFile(path, self)


def on_failing_disk(tmp_path: Path, test: object, **settings: object) -> None:
    async def whole() -> None:
        disk = FailingDisk()
        world = await open_world(tmp_path, disk=disk, **settings)
        try:
            await test(world, disk)  # type: ignore[operator]
        finally:
            disk.may_sync.set()
            await close_world(world)

    uvloop.run(whole())


def test_after_the_first_failed_sync_nothing_is_released(tmp_path: Path) -> None:
    async def test(world: World, disk: FailingDisk) -> None:
        client, other = await world.connect(world.caller), await world.connect(world.caller)
        assert (await client.call(world.query())).status == 200
        disk.fails = True
        answer = await client.call(world.query())
        assert (answer.status, answer.code) == (503, "evidence-unavailable")
        assert "datong-evidence" not in answer.headers
        disk.fails = False
        later = await other.call(world.query())
        assert later.code == "evidence-unavailable"
        assert len(world.part.asked) == 2
        assert len(world.fatal) == 1
        assert world.path.in_hand == 0

    on_failing_disk(tmp_path, test)


def test_a_call_whose_record_hangs_is_refused_in_time_and_withheld_later(tmp_path: Path) -> None:
    async def test(world: World, disk: FailingDisk) -> None:
        client = await world.connect(world.caller)
        assert (await client.call(world.query())).status == 200
        disk.may_sync.clear()
        answer = await client.call(world.query(headers=[("Datong-Timeout", "0.3")]))
        assert answer.code == "evidence-unavailable"
        disk.may_sync.set()
        async with asyncio.timeout(5):
            while not world.evidence.withheld():
                await asyncio.sleep(0.01)
        assert world.evidence.withheld()[0]["of"] == world.evidence.calls()[1]["record"]
        assert (await client.call(world.query())).status == 200

    on_failing_disk(tmp_path, test)


def test_a_permission_that_went_while_the_record_hung_releases_nothing(tmp_path: Path) -> None:
    async def test(world: World, disk: FailingDisk) -> None:
        client = await world.connect(world.caller)
        assert (await client.call(world.query())).status == 200
        disk.may_sync.clear()
        await client.send(world.query())
        async with asyncio.timeout(5):
            while len(world.evidence.calls()) < 2:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)  # longer than a decision holds without being made again
        world.table.grants.clear()
        disk.may_sync.set()
        answer = await client.read()
        assert answer.code == "grant-missing"
        assert world.evidence.withheld()[0]["reason"] == "grant-missing"

    on_failing_disk(tmp_path, test)


def test_a_caller_that_left_while_the_record_of_a_large_answer_hung_frees_the_part(
    tmp_path: Path,
) -> None:
    async def test(world: World, disk: FailingDisk) -> None:
        world.part.respond = answer_with(rows(b"x" * (4 << 20)))
        client = await world.connect(world.caller)
        disk.may_sync.clear()
        await client.send(world.query())
        await wait_until(lambda: len(world.evidence.calls()) == 1)
        client.close()
        await wait_until(lambda: not world.path.connections)
        disk.may_sync.set()
        await wait_until(lambda: world.path.in_hand == 0)
        await wait_until(lambda: world.path.pools["transfer"].connections == 0)
        assert len(world.evidence.withheld()) == 1

    on_failing_disk(tmp_path, test)
