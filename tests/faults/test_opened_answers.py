"""`kill -9` of a gateway amid a large answer: the log says that nobody knows how it ended."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from datong.errors import DatongError
from kit.clock import SystemClock, rfc3339
from kit.ids import uuid7
from stack.demo.entries import DIVISIONS_ENTRY, PURPOSE, publish_entry
from stack.settings import StackSettings
from stack.supervisor import Stack
from tests.support.data_path import Asked, FakePart, Respond, answer_with, http, request
from tests.support.joined import records_of, run_verifier, shipped
from tests.support.owners import RESOURCE, Owner
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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
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


def half_of(body: bytes) -> Respond:
    """Return a way to answer with the first half of a body, and to stand still then."""

    async def respond(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(http(200, body)[: len(body) // 2])
        await asyncio.sleep(60)

    return respond


async def kill_amid_an_answer(town: TestTown, owner: Owner) -> str:
    """Kill the workers when a caller has some of a large answer; return the id of its call."""
    identity = town.identity("consumer")
    await town.client("consumer").get_me()
    token = json.loads(identity.token_file.read_text("utf-8"))["access_token"]
    owner.respond = half_of(bytes(LARGE))
    address = urlsplit(f"https://{town.stack.address('gateway')}")
    reader, writer = await asyncio.open_connection(
        address.hostname, address.port, ssl=identity.tls()
    )
    call = uuid7()
    fields = [("Host", "gateway.example"), ("Authorization", f"Bearer {token}")]
    fields += [("Datong-Purpose", PURPOSE), ("Datong-Call", call)]
    writer.write(request("GET", f"/call/{RESOURCE}/exports/all", fields))
    async with asyncio.timeout(30):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        await reader.readexactly(LARGE // 4)
    for slot in SLOTS:
        town.stack.kill(slot)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await reader.readexactly(LARGE)
    writer.close()
    for slot in SLOTS:
        await town.stack.wait_ready(slot)
    return call


def by_call(records: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the types of the records of answers that streamed, by their calls."""
    found: dict[str, list[str]] = {}
    for record in records:
        if record["type"] in ("opened", "closed", "unknown"):
            found.setdefault(record["call"], []).append(record["type"])
    return found


async def test_what_a_killed_worker_had_opened_ends_as_unknown(
    town: TestTown, owner: Owner
) -> None:
    client = town.client("consumer")
    whole = bytes(LARGE)
    owner.respond = answer_with(http(200, whole))
    read = await client.call_get(RESOURCE, "/exports/all", purpose=PURPOSE)
    assert (read.status, read.body) == (200, whole)
    with pytest.raises(DatongError, match="operation"):
        await client.call_delete(RESOURCE, "/enterprises/1", purpose=PURPOSE)

    call = await kill_amid_an_answer(town, owner)
    owner.respond = answer_with(http(200, whole))
    again = await client.call_get(RESOURCE, "/exports/all", purpose=PURPOSE)
    assert again.body == whole

    package = await shipped(town)
    records = records_of(package)
    assert by_call(records) == {
        read.call: ["opened", "closed"],
        call: ["opened", "unknown"],
        again.call: ["opened", "closed"],
    }
    [unknown] = [record for record in records if record["type"] == "unknown"]
    [begun] = [record for record in records if record["record"] == unknown["of"]]
    assert unknown["record"] == begun["closing"]
    assert (unknown["resource"], unknown["operation"]) == (RESOURCE, "list-all")
    assert read.evidence in {r["record"] for r in records if r["type"] == "closed"}
    report = await run_verifier(town, package, town.calls)
    assert report["ok"], report["problems"]


async def test_without_its_opening_a_killed_workers_answer_is_nowhere_on_record(
    town: TestTown, owner: Owner
) -> None:
    """Control run: large answers begin without a record; the same look must miss this one."""
    for slot in SLOTS:
        plan = town.stack.plans[slot]
        town.stack.plans[slot] = replace(plan, arguments=("-m", "tests.faults.unopened_worker"))
        await town.stack.restart_process(slot)

    call = await kill_amid_an_answer(town, owner)

    records = records_of(await shipped(town))
    assert call not in by_call(records)
    assert call not in {record.get("call") for record in records}
