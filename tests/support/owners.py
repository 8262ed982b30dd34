"""A department's own service as a test wants it, its entry, a grant for it, and calls to it."""

import asyncio
import ssl
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from gateway.domain import Entry, Operation, OwnService
from kit.addresses import parse_https
from stack.certificates import Certificates, Pair
from tests.support.certificates import Authority
from tests.support.data_path import (
    Client,
    Credentials,
    FakePart,
    Said,
    World,
    answer_with,
    http,
    request,
)
from tests.support.permissions import CALLER, GRANT, OTHER_SYSTEM

RESOURCE = "enterprise-register"
ENTRY = "019aa400-0000-7000-8000-0000000000e7"
CALL_GRANT = "019aa450-0000-7000-8000-0000000000c7"
CODE = "91330106TQ0000065E"
READ = f"/call/{RESOURCE}/enterprises/{CODE}"
OPERATIONS = (
    Operation("read-enterprise", b"GET", "/enterprises/{code}"),
    Operation("find-enterprises", b"GET", "/enterprises"),
    Operation("list-all", b"GET", "/exports/all"),
    Operation("file-notice", b"POST", "/notices"),
    Operation("strike-off", b"DELETE", "/enterprises/{code}"),
)
GRANTED = frozenset({"read-enterprise", "find-enterprises", "list-all", "file-notice"})
"""All but `strike-off`."""


class Owner(FakePart):
    """A service that its department runs: TLS with a CA of its own; it asks who calls.

    Args:
        folder: for its certificate.
        gateway_ca: whose certificates it takes; the gateway's is one of them.
        hosts: names in its certificate.
        days: of life of the certificate.
    """

    def __init__(
        self,
        folder: Path,
        gateway_ca: Path,
        hosts: Sequence[str] = ("localhost",),
        *,
        days: float = 30,
    ) -> None:
        self.authority = Authority("Market regulator CA")
        pair = self.authority.issue(folder, "service", hosts, days=days)
        owner = Pair(pair.certificate, pair.key)
        super().__init__(Certificates(gateway_ca, {"owner": owner}, owner), "owner")
        self.respond = answer_with(http(200, b"{}", [("content-type", "application/json")]))

    @property
    def context(self) -> ssl.SSLContext:
        """Return how it speaks TLS; a test may change it before the start."""
        return self._context


def owner_for(world: World, **more: Any) -> Owner:
    """Return a service that takes the gateway of `world`; see `Owner`."""
    return Owner(world.folder / "owner", world.folder / "internal" / "ca.pem", **more)


async def serve(world: World, owner: Owner | None = None, **changed: Any) -> Owner:
    """Start a service, and let the caller's system call it; `changed` is of the service."""
    owner = owner or owner_for(world)
    world.services.append(owner)
    port = parse_https(await owner.start())[1]
    let_call(world, owner.authority.pem, port, **changed)
    return owner


def let_call(world: World, ca: str | None, port: int, /, **changed: Any) -> None:
    """Enter the entry of a service and a grant for it into the permission table."""
    service = replace(OwnService("localhost", port, ca, 5, OPERATIONS), **changed)
    world.table.entries[RESOURCE] = Entry(
        ENTRY, 1, "企业登记信息", "market-regulator", RESOURCE, "unconditional", "published",
        service=service,
    )  # fmt: skip
    world.table.grants[CALL_GRANT] = replace(
        world.table.grants[GRANT],
        id=CALL_GRANT,
        resource=RESOURCE,
        entry=ENTRY,
        owner="market-regulator",
        items=frozenset(),
        modes=frozenset({"call"}),
        operations=GRANTED,
    )


def let_another_call(world: World) -> Credentials:
    """Let a second system of the same agency call the service; return its certificate."""
    credentials = world.departments.issue("another")
    world.knows(credentials, holder=OTHER_SYSTEM)
    world.table.parties[f"system/{OTHER_SYSTEM}"] = replace(CALLER, id=OTHER_SYSTEM)
    grant = world.table.grants[CALL_GRANT]
    systems = grant.systems | {OTHER_SYSTEM}
    world.table.grants[CALL_GRANT] = replace(grant, systems=systems)
    return credentials


def suspend(world: World) -> None:
    """Suspend the grant for the service."""
    grant = world.table.grants[CALL_GRANT]
    world.table.grants[CALL_GRANT] = replace(grant, state="suspended", version=3)


def a_call(
    world: World,
    target: str = READ,
    fields: Sequence[tuple[str, str]] = (),
    *,
    method: str = "GET",
    body: bytes = b"",
    token: str | None = None,
) -> bytes:
    """Return the bytes of a call to the service, by the caller's system unless `token` says so."""
    named = [
        ("Host", "gateway.example"),
        ("Authorization", f"Bearer {token or world.token()}"),
        ("Datong-Purpose", "public-health"),
        *fields,
    ]
    return request(method, target, named, body)


async def read_chunked(client: Client, seconds: float = 20.0) -> Said:
    """Read one answer that comes in chunks."""
    async with asyncio.timeout(seconds):
        head = (await client.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head[:-4].split("\r\n")
        headers = {name.lower(): value for name, _, value in (f.partition(": ") for f in fields)}
        assert headers["transfer-encoding"] == "chunked"
        body = bytearray()
        while size := int(await client.reader.readuntil(b"\r\n"), 16):
            body += (await client.reader.readexactly(size + 2))[:-2]
        await client.reader.readexactly(2)
    return Said(int(line.split(" ")[1]), headers, bytes(body))


def in_chunks(body: bytes, size: int = 1 << 16, *, status: int = 200, end: bool = True) -> bytes:
    """Return the bytes of an answer in chunks; without `end` it never ends."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    head = b"HTTP/1.1 %d X\r\ntransfer-encoding: chunked\r\n\r\n" % status
    return head + chunks + (b"0\r\n\r\n" if end else b"")


def of_type(world: World, kind: str) -> list[dict[str, Any]]:
    """Return the records of a type."""
    return [record for record in world.evidence.records if record["type"] == kind]


def salted(salt: str, body: bytes) -> str:
    """Return the digest that a record has of `body` under the salt of the answer."""
    return sha256(urlsafe_b64decode(salt + "=") + sha256(body).digest()).hexdigest()
