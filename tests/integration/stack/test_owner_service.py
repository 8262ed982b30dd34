"""The sample service as a process, called through a gateway: it lets in nobody else."""

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.domain import Operation
from kit.addresses import parse_https
from stack.owner_service.register import Register
from tests.support.data_path import World, with_world
from tests.support.owners import CALL_GRANT, RESOURCE, a_call, let_call, of_type, read_chunked
from tests.support.processes import wait_until

ROOT = Path(__file__).resolve().parents[3]


async def start(world: World) -> tuple[asyncio.subprocess.Process, dict[str, Any]]:
    """Start the service; return its process and what its entry says of it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "stack.owner_service",
        "--directory",
        str(world.folder / "market-regulator"),
        "--gateway-ca",
        str(world.folder / "internal" / "ca.pem"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        line = await process.stdout.readline()
    return process, json.loads(line)["service"]


def let_call_it(world: World, service: dict[str, Any]) -> None:
    operations = tuple(
        Operation(each["name"], each["method"].encode(), each["path"])
        for each in service["operations"]
    )
    let_call(world, service["ca"], parse_https(service["address"])[1], operations=operations)
    names = frozenset(operation.name for operation in operations)
    world.table.grants[CALL_GRANT] = replace(world.table.grants[CALL_GRANT], operations=names)


@with_world(allow_private_owners=True)
async def test_an_enterprise_is_read_through_the_gateway(world: World) -> None:
    process, service = await start(world)
    try:
        let_call_it(world, service)
        client = await world.connect(world.caller)
        [first, *_] = Register(1)

        read = await client.call(a_call(world, f"/call/{RESOURCE}/enterprises/{first.code}"))
        assert (read.status, json.loads(read.body)["name"]) == (200, first.name)
        assert read.headers["datong-owner"] == "market-regulator"
        missing = await client.call(a_call(world, f"/call/{RESOURCE}/enterprises/9133"))
        assert missing.status == 422
        found = await client.call(
            a_call(world, f"/call/{RESOURCE}/enterprises?name=%E6%9D%AD%E5%B7%9E")
        )
        assert len(json.loads(found.body)["enterprises"]) == 20

        await client.send(a_call(world, f"/call/{RESOURCE}/exports/enterprises"))
        export = await read_chunked(client)
        assert export.body.count(b"\n") == 20_000
        await wait_until(lambda: bool(of_type(world, "closed")))
        assert of_type(world, "closed")[0]["answer_bytes"] == len(export.body)

        assert process.stdout is not None
        said = json.loads(await process.stdout.readline())
        assert (said["agency"], said["purpose"]) == ("health-commission", "public-health")
        assert said["grant"] == f"{CALL_GRANT}@2"
    finally:
        process.terminate()
        await process.wait()

    gone = await client.call(a_call(world, f"/call/{RESOURCE}/enterprises/{first.code}"))
    assert gone.code == "owner-unavailable"


@with_world(allow_private_owners=True)
async def test_nobody_but_the_gateway_is_let_in(world: World) -> None:
    process, service = await start(world)
    try:
        context = world.client_context()
        context.load_verify_locations(cadata=service["ca"])
        host, port = parse_https(service["address"])

        async def ask() -> None:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname=host
            )
            writer.write(b"GET /enterprises?name=xx HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readexactly(1)

        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await ask()
    finally:
        process.terminate()
        await process.wait()
