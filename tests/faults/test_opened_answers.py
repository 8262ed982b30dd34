"""`kill -9` of a gateway amid a large answer: the log says that nobody knows how it ended."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from datong.errors import DatongError
from kit.clock import SystemClock, rfc3339
from kit.ids import uuid7
from stack.demo.entries import DIVISIONS_ENTRY, PURPOSE, publish_entry
from stack.settings import StackSettings
from stack.supervisor import Stack
from tests.support.data_path import Asked, FakePart, http
from tests.support.joined import records_of, run_verifier, shipped
from tests.support.owners import RESOURCE, Owner
from tests.support.processes import wait_until
from tests.support.town import TestTown, found_town

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOTS = ("gateway-slot-0", "gateway-slot-1")
LARGE = 4 << 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(session_directory: Path) -> AsyncIterator[TestTown]:
    directory = session_directory / "opened"
    async with Stack(
        directory / "platform",
        settings=StackSettings(postgres_url_file=None, kafka=None, stack_port=None),
    ) as stack:
        town = await found_town(stack, directory / "town")
        try:
            yield town
        finally:
            await town.close()


@pytest_asyncio.fixture(loop_scope="module")
async def owner(town: TestTown) -> AsyncIterator[Owner]:
    """A service whose entry is published, and granted to the consumer's system."""
    service = Owner(town.directory / "owner", town.stack.certificates.ca)
    address = (await service.start()).replace("127.0.0.1", "localhost")
    operations = [
        {"name": "list-all", "title": "全部", "method": "GET", "path": "/exports/all"},
        {"name": "strike-off", "title": "注销", "method": "DELETE", "path": "/enterprises/{code}"},
    ]
    content: dict[str, Any] = {
        "resource": RESOURCE,
        "name": "企业登记信息",
        "items": [],
        "modes": ["call"],
        "service": {
            "address": address,
            "ca": service.authority.pem,
            "operations": operations,
            "seconds": 30,
        },
    }
    await publish_entry(town.town, DIVISIONS_ENTRY | content)
    now = SystemClock().now()
    request = await town.client("requester").create_request(
        RESOURCE,
        systems=[town.identity("consumer").id],
        items=[],
        modes=["call"],
        operations=["list-all"],
        purposes=[PURPOSE],
        basis="优化营商环境条例",
        scenario="核验企业登记状态",
        valid_from=rfc3339(now - timedelta(minutes=1)),
        valid_until=rfc3339(now + timedelta(days=1)),
    )
    assert request["grant"]["id"]
    yield service
    await service.stop()


async def test_what_a_killed_worker_had_opened_ends_as_unknown(
    town: TestTown, owner: Owner
) -> None:
    client = town.client("consumer")
    whole = b"a" * LARGE
    owner_answers = http(200, whole)

    async def answer(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(owner_answers)
        await writer.drain()

    async def half(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(owner_answers[: LARGE // 2])
        await asyncio.sleep(60)

    owner.respond = answer
    read = await client.call_get(RESOURCE, "/exports/all", purpose=PURPOSE)
    assert (read.status, read.body) == (200, whole)
    with pytest.raises(DatongError, match="operation"):
        await client.call_delete(RESOURCE, "/enterprises/1", purpose=PURPOSE)

    owner.respond = half
    asked = len(owner.asked)
    calling = asyncio.create_task(
        client.call_get(RESOURCE, "/exports/all", purpose=PURPOSE, case=uuid7())
    )
    await wait_until(lambda: len(owner.asked) > asked, 20)

    async def opened() -> bool:
        page = await town.client("auditor").search_records(resource=RESOURCE, type_="opened")
        return len(page.items) == 2

    await wait_until(opened, 30, "the second opening is in the log")
    owner.respond = answer
    for slot in SLOTS:
        town.stack.kill(slot)
    with pytest.raises(DatongError):
        await calling
    for slot in SLOTS:
        await town.stack.wait_ready(slot)
    again = await client.call_get(RESOURCE, "/exports/all", purpose=PURPOSE)
    assert again.body == whole

    package = await shipped(town)
    records = records_of(package)
    streamed = [r for r in records if r["type"] in ("opened", "closed", "unknown")]
    by_call: dict[str, list[str]] = {}
    for record in streamed:
        by_call.setdefault(record["call"], []).append(record["type"])
    assert sorted(map(tuple, by_call.values())) == sorted(
        [("opened", "closed"), ("opened", "unknown"), ("opened", "closed")]
    )
    [unknown] = [record for record in streamed if record["type"] == "unknown"]
    [begun] = [record for record in streamed if record["record"] == unknown["of"]]
    assert unknown["record"] == begun["closing"]
    assert (unknown["resource"], unknown["operation"]) == (RESOURCE, "list-all")
    assert read.evidence in {r["record"] for r in streamed if r["type"] == "closed"}
    report = await run_verifier(town, package, town.calls)
    assert report["ok"], report["problems"]
