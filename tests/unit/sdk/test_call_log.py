"""The client's log of calls: whole lines, on disk before anything is sent."""

import asyncio
import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from datong import CallLog, CallLogFailed, InputInvalid
from datong.operations.data import query

ASKED = query("divisions", purpose="registration")


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


async def test_many_calls_at_once_share_whole_lines(tmp_path: Path) -> None:
    file = tmp_path / "new" / "calls.ndjson"
    first, second = CallLog(file), CallLog(file)
    try:
        await asyncio.gather(
            *(
                log.sent(str(number), ASKED, certificate=None, purpose="registration")
                for number in range(100)
                for log in (first, second)
            )
        )
    finally:
        first.close()
        second.close()

    calls = [line["call"] for line in _lines(file)]
    assert sorted(calls) == sorted([str(number) for number in range(100)] * 2)


async def test_a_call_is_on_disk_when_sent_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    durable: list[int] = []
    fsync = os.fsync

    def watched(file: int) -> None:
        fsync(file)
        durable.append(os.fstat(file).st_size)

    monkeypatch.setattr(os, "fsync", watched)
    log = CallLog(tmp_path / "calls.ndjson")
    try:
        for number in range(5):
            await log.sent(str(number), ASKED, certificate=None, purpose=None)
            assert durable[-1] == log.path.stat().st_size
    finally:
        log.close()


async def test_a_cancelled_call_does_not_cancel_the_fsync_of_others(tmp_path: Path) -> None:
    log = CallLog(tmp_path / "calls.ndjson")
    try:
        tasks = [
            asyncio.create_task(log.sent(str(number), ASKED, certificate=None, purpose=None))
            for number in range(20)
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        tasks[-1].cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        log.close()

    assert all(error is None for error in ended[:-1])


async def test_a_disk_that_fails_stops_the_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = CallLog(tmp_path / "calls.ndjson")
    with monkeypatch.context() as broken:

        def fails(_: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        broken.setattr(os, "fsync", fails)
        with pytest.raises(CallLogFailed, match="Input/output error"):
            await log.sent("1", ASKED, certificate=None, purpose=None)

    with pytest.raises(CallLogFailed):
        await log.sent("2", ASKED, certificate=None, purpose=None)
    log.close()


async def test_a_line_cut_by_a_crash_stands_alone(tmp_path: Path) -> None:
    file = tmp_path / "calls.ndjson"
    file.write_bytes(b'{"event":"sent","ca')

    log = CallLog(file)
    await log.sent("1", ASKED, certificate=None, purpose=None)
    log.close()

    first, second = file.read_bytes().splitlines()
    assert first == b'{"event":"sent","ca'
    assert json.loads(second)["call"] == "1"


def test_a_log_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputInvalid, match="cannot be opened"):
        CallLog(tmp_path)
