"""Deliveries at the gateway: a grant for batches, calls of both sides, a part that has segments."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256

from gateway.domain import Credential
from gateway.listener import ClientConnection
from tests.support.data_path import Asked, Credentials, FakePart, World, http, request
from tests.support.permissions import GRANT, OWNER_SYSTEM

BATCH = "019aa500-0000-7000-8000-0000000000b1"
SUBSCRIPTION = "019aa500-0000-7000-8000-0000000000c1"
DELIVERY = "019aa500-0000-7000-8000-0000000000d1"
RESOURCE = "/data/v1/xzqh-divisions"
CHUNK = f"{RESOURCE}/batches/{BATCH}/chunks/0"
SEGMENT = f"{RESOURCE}/deliveries/{DELIVERY}/segments/0"
DELIVERIES = f"{RESOURCE}/subscriptions/{SUBSCRIPTION}/deliveries?after=0&wait=30"
ARROW = "application/vnd.apache.arrow.stream"


def receives(world: World) -> None:
    """Make the caller's grant one for batches."""
    world.table.grants[GRANT] = replace(world.table.grants[GRANT], modes=frozenset({"batch"}))


def suspend(world: World) -> None:
    """Suspend the caller's grant."""
    grant = world.table.grants[GRANT]
    world.table.grants[GRANT] = replace(grant, state="suspended", version=grant.version + 1)


def an_owner(world: World, name: str = "owner") -> Credentials:
    """Return a certificate of the system that owns the resource."""
    credentials = world.departments.issue(name)
    now = datetime.now(UTC).timestamp()
    world.table.credentials[credentials.thumbprint] = Credential(
        credentials.thumbprint, "system", OWNER_SYSTEM, "civil-affairs", now - 60, now + 3600, True
    )
    return credentials


def owners_token(world: World, owner: Credentials) -> str:
    """Return a token of the owner's system for that certificate."""
    return world.token(owner, sub=f"system/{OWNER_SYSTEM}")


def received(
    world: World,
    target: str,
    fields: Sequence[tuple[str, str]] = (),
    *,
    method: str = "GET",
    body: bytes = b"",
    token: str | None = None,
) -> bytes:
    """Return the bytes of a call of the consumer's system."""
    return request(
        method,
        target,
        [
            ("Host", "gateway.example"),
            ("Authorization", f"Bearer {token or world.token()}"),
            ("Datong-Purpose", "public-health"),
            *fields,
        ],
        body,
    )


def published(
    world: World,
    owner: Credentials,
    target: str = CHUNK,
    fields: Sequence[tuple[str, str]] = (),
    *,
    method: str = "PUT",
) -> bytes:
    """Return the head of a call of the owner's system; without a body unless `fields` frame one."""
    lines = [f"{method} {target} HTTP/1.1", "Host: gateway.example"]
    lines += [f"Authorization: Bearer {owners_token(world, owner)}", f"Content-Type: {ARROW}"]
    lines += [f"{name}: {value}" for name, value in fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def a_delivery(body: bytes, *, status: int = 200, rows: int = 1, **changed: str) -> bytes:
    """Return a data answer as transfer gives it under a grant for batches.

    Args:
        changed: fields that differ or come in addition, `_` for `-`.
    """
    fields = {
        "content-type": "application/json",
        "datong-internal-rows": str(rows),
        "datong-internal-items": "code,name",
        "datong-internal-digest": sha256(body).hexdigest(),
        "datong-internal-enforced": f"{GRANT}@2",
    } | {name.replace("_", "-"): value for name, value in changed.items()}
    return http(status, body, list(fields.items()))


class Segments:
    """A way to answer: one segment, whole or a range of it, as transfer does.

    Args:
        pause: seconds between pieces of 64 KiB.

    Attributes:
        sent: bytes of bodies that the part could write so far.
    """

    def __init__(self, segment: bytes, pause: float = 0.0) -> None:
        self.segment = segment
        self.sent = 0
        self._pause = pause
        self._etag = f'"{sha256(segment).hexdigest()}"'

    async def __call__(self, _part: FakePart, asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.header("If-None-Match") == self._etag:
            writer.write(b"HTTP/1.1 304 Not Modified\r\netag: " + self._etag.encode() + b"\r\n\r\n")
            return
        whole = len(self.segment)
        first, last = self._range(asked)
        if first >= whole:
            problem = b'{"code":"range-not-satisfiable","status":416}'
            fields = [
                ("content-type", "application/problem+json"),
                ("content-range", f"bytes */{whole}"),
                ("datong-internal-reason", "range-not-satisfiable"),
            ]
            writer.write(http(416, problem, fields))
            return
        body = self.segment[first : last + 1]
        changed = {"content_type": ARROW, "etag": self._etag, "accept_ranges": "bytes"}
        if len(body) < whole:
            changed["content_range"] = f"bytes {first}-{last}/{whole}"
        head = a_delivery(body, status=206 if len(body) < whole else 200, rows=65_536, **changed)
        writer.write(head[: len(head) - len(body)])
        for at in range(0, len(body), 1 << 16):
            writer.write(body[at : at + (1 << 16)])
            await writer.drain()
            self.sent += len(body[at : at + (1 << 16)])
            await asyncio.sleep(self._pause)

    def _range(self, asked: Asked) -> tuple[int, int]:
        whole = len(self.segment)
        text = asked.header("Range")
        condition = asked.header("If-Range")
        if text is None or (condition is not None and condition != self._etag):
            return 0, whole - 1
        first, _, last = text.removeprefix("bytes=").partition("-")
        return int(first), min(int(last or whole), whole - 1)


def held_bodies(world: World) -> int:
    """Return how many bytes of request bodies lie in the gateway, buffers to the part included."""
    total = 0
    for connection in world.path.connections:
        assert isinstance(connection, ClientConnection)
        calls = [connection._call, *connection._waiting]
        total += sum(len(piece) for call in calls if call is not None for piece in call.pieces)
        total += len(connection._unfed)
    for pool in world.path.pools.values():
        for upstream in pool._open:
            if upstream._transport is not None:
                total += upstream._transport.get_write_buffer_size()
    return total
