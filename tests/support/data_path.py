"""A gateway's data path on loopback: real TLS, real evidence, a part that says what a test wants.

The permission table is `PlainTable`; everything between the caller's socket and the part's is the
product's own.
"""

import asyncio
import inspect
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import wraps
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import uvloop
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from typing_extensions import override

from gateway.domain import Credential
from gateway.edge import Router, routes_of
from gateway.evidence import Evidence
from gateway.evidence.disk import Disk
from gateway.listener import (
    ClientFacingTls,
    DataPath,
    Listener,
    LocalAnswer,
    LocalCall,
    VerifiedTokens,
    listening_socket,
)
from gateway.settings import PARTS, GatewaySettings
from gateway.turn import Turn
from gateway.upstream import Deadlines, OwnerPools, Pool, SharedPool, any_address, owner_context
from gateway.upstream.breaker import REST_SECONDS
from gateway.upstream.owners import Allows, Resolve, resolve
from kit.addresses import is_public
from kit.ids import uuid7
from kit.tls import client_context
from kit.tokens import SigningKey, Verifier, VerifyingKey, thumbprint
from stack.certificates import Certificates, issue
from tests.support.permissions import SYSTEM, PlainTable, a_table

ISSUER = "https://identity.datong.example"
AUDIENCE = "https://datong.example"
CONTRACTS = Path(__file__).resolve().parents[2] / "contracts"


# ---- certificates ----


@dataclass(frozen=True)
class Credentials:
    """A client certificate with its key in one PEM file."""

    file: Path
    der: bytes

    @property
    def thumbprint(self) -> str:
        return thumbprint(self.der)


class DepartmentsCa:
    """A CA of the departments, or one that the platform does not know."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._certificate = (
            _builder(subject, subject, self._key.public_key(), timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, name: str, *, days: float = 30, usage: Any = None) -> Credentials:
        """Issue a client certificate; a negative number of days makes it expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            _builder(subject, self._certificate.subject, key.public_key(), timedelta(days=days))
            .add_extension(
                x509.ExtendedKeyUsage([usage or ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        file = self.folder / f"{name}.pem"
        file.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return Credentials(file, certificate.public_bytes(serialization.Encoding.DER))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + life)
    )


# ---- the part behind the gateway ----


@dataclass
class Asked:
    """A call as it reached the part."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the only value of a header; None without one."""
        values = [value for found, value in self.headers if found.lower() == name.lower()]
        assert len(values) <= 1
        return values[0] if values else None


Respond = Callable[["FakePart", Asked, asyncio.StreamWriter], Awaitable[None]]
ReadCall = Callable[["FakePart", asyncio.StreamReader], Awaitable[Asked]]


def http(
    status: int,
    body: bytes = b"",
    headers: Sequence[tuple[str, str]] = (),
    *,
    length: int | None = None,
) -> bytes:
    """Return the bytes of an answer with a Content-Length."""
    lines = [f"HTTP/1.1 {status} X"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines.append(f"content-length: {len(body) if length is None else length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def rows(body: bytes, *, items: str = "code,name", digest: str | None = None) -> bytes:
    """Return a hosted data answer as transfer gives it."""
    announced = sha256(body).hexdigest() if digest is None else digest
    return http(
        200,
        body,
        [
            ("content-type", "application/json"),
            ("datong-internal-rows", "1"),
            ("datong-internal-items", items),
            ("datong-internal-digest", announced),
        ],
    )


class FakePart:
    """A part that records what it is asked and answers as `respond` says.

    Attributes:
        read_call: how it reads a call, when not at once and whole.
    """

    def __init__(self, certificates: Certificates, part: str) -> None:
        self.asked: list[Asked] = []
        self.connections = 0
        self.host, self.port = "127.0.0.1", 0
        self.reads_bodies = True
        self.read_pause = 0.0
        self.read_call: ReadCall | None = None
        self.respond: Respond = answer_with(rows(b'{"rows":[],"next":null}'))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_verify_locations(certificates.ca)
        pair = certificates.parts[part]
        self._context.load_cert_chain(pair.certificate, pair.key)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> str:
        """Listen; return the address for the gateway's settings."""
        self._server = await asyncio.start_server(
            self._serve, self.host, self.port, ssl=self._context, limit=1 << 20
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return f"https://{self.host}:{self.port}"

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        self.cut()

    def cut(self) -> None:
        """Cut all connections, as a part that is killed does."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while True:
                if self.read_call is None:
                    asked = await self._read_call(reader)
                else:
                    asked = await self.read_call(self, reader)
                self.asked.append(asked)
                await self.respond(self, asked, writer)
        except (asyncio.IncompleteReadError, ConnectionError, OSError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _read_call(self, reader: asyncio.StreamReader) -> Asked:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head[:-4].split("\r\n")
        headers = [(name, value) for name, _, value in (field.partition(": ") for field in fields)]
        asked = Asked(line, headers, b"")
        length = asked.header("Content-Length")
        if not self.reads_bodies:
            return asked
        if length is not None:
            asked.body = await self._read_exactly(reader, int(length))
        elif asked.header("Transfer-Encoding") == "chunked":
            while size := int(await reader.readline(), 16):
                asked.body += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        return asked

    async def _read_exactly(self, reader: asyncio.StreamReader, length: int) -> bytes:
        """Read a body, with a pause after each piece when `read_pause` asks for it."""
        body = bytearray()
        while len(body) < length:
            piece = await reader.read(min(length - len(body), 1 << 16))
            if not piece:
                raise asyncio.IncompleteReadError(bytes(body), length)
            body += piece
            await asyncio.sleep(self.read_pause)
        return bytes(body)


def answer_with(data: bytes) -> Respond:
    """Return a way to answer every call with the same bytes."""

    async def respond(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return respond


# ---- the gateway ----


@dataclass
class FreshTable(PlainTable):
    """`PlainTable` with what the data path asks beside look-ups."""

    fresh: bool = True
    has_reached: bool = True

    def is_fresh(self, _monotonic: float) -> bool:
        return self.fresh

    def reached(self, _after: Sequence[Any]) -> bool:
        return self.has_reached

    async def wait_for(self, _after: Sequence[Any], _seconds: float) -> bool:
        await asyncio.sleep(0)
        return self.has_reached


class WatchedEvidence(Evidence):
    """The product's evidence; keeps the fields of every record for the test to look at."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.records: list[dict[str, Any]] = []
        self.counted: list[str] = []

    @override
    def append(self, fields: dict[str, Any], *rest: Any) -> None:
        super().append(fields, *rest)
        assert None not in fields.values()
        self.records.append(dict(fields))

    @override
    def count_refusal(self, code: str) -> None:
        super().count_refusal(code)
        self.counted.append(code)

    def calls(self) -> list[dict[str, Any]]:
        """Return the `call` records."""
        return [record for record in self.records if record["type"] == "call"]

    def withheld(self) -> list[dict[str, Any]]:
        """Return the `withheld` records."""
        return [record for record in self.records if record["type"] == "withheld"]


@dataclass
class Said:
    """An answer as the caller got it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """Return the code of a problem document."""
        assert self.headers["content-type"] == "application/problem+json"
        document = orjson.loads(self.body)
        assert document["status"] == self.status
        return str(document["code"])


class Client:
    """One TLS connection of a caller."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Send raw bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def read(self, seconds: float = 10.0) -> Said:
        """Read one answer."""
        async with asyncio.timeout(seconds):
            while True:
                head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                line, *fields = head[:-4].split("\r\n")
                status = int(line.split(" ")[1])
                if status >= 200:
                    break
            pairs = [field.partition(": ")[::2] for field in fields]
            headers = {name.lower(): value for name, value in pairs}
            assert len(headers) == len(pairs), "a header of the answer stands twice"
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Said(status, headers, body)

    async def call(self, data: bytes) -> Said:
        """Send raw bytes and read one answer."""
        await self.send(data)
        return await self.read()

    async def is_closed(self, seconds: float = 5.0) -> bool:
        """Tell whether the gateway closes the connection without another byte."""
        try:
            async with asyncio.timeout(seconds):
                return await self.reader.read(1) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        """Cut the connection."""
        self.writer.transport.abort()


@dataclass
class World:
    """A running data path and all around it."""

    folder: Path
    settings: GatewaySettings
    path: DataPath
    listener: Listener
    table: FreshTable
    evidence: WatchedEvidence
    part: FakePart
    departments: DepartmentsCa
    foreign: DepartmentsCa
    key: SigningKey
    caller: Credentials
    keys: dict[str, VerifyingKey]
    fatal: list[Exception]
    clients: list[Client] = field(default_factory=list)
    services: list[FakePart] = field(default_factory=list)
    """Owners' services that a test has started."""

    def token(self, credentials: Credentials | None = None, **changed: Any) -> str:
        """Return a token of the health commission's system, or one with other claims."""
        now = int(datetime.now(UTC).timestamp())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": f"system/{SYSTEM}",
            "jti": uuid7(),
            "iat": now,
            "exp": now + 600,
            "cnf": {"x5t#S256": (credentials or self.caller).thumbprint},
        }
        return self.key.sign(claims | changed)

    def knows(
        self, credentials: Credentials, *, kind: str = "system", holder: str = SYSTEM
    ) -> None:
        """Enter a certificate into the permission table."""
        now = datetime.now(UTC).timestamp()
        self.table.credentials[credentials.thumbprint] = Credential(
            credentials.thumbprint, kind, holder, "health-commission", now - 60, now + 3600, True
        )

    def client_context(self, credentials: Credentials | None = None) -> ssl.SSLContext:
        """Return a caller's TLS context; without credentials it presents no certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.folder / "internal" / "ca.pem")
        if credentials is not None:
            context.load_cert_chain(credentials.file)
        return context

    async def connect(self, credentials: Credentials | None = None) -> Client:
        """Open a connection of a caller."""
        context = self.client_context(credentials)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.listener.port, ssl=context, server_hostname="localhost"
        )
        client = Client(reader, writer)
        self.clients.append(client)
        return client

    def query(
        self,
        body: bytes = b'{"where":{}}',
        *,
        headers: Sequence[tuple[str, str]] = (),
        token: str | None = None,
        purpose: str | None = "public-health",
        resource: str = "xzqh-divisions",
    ) -> bytes:
        """Return the bytes of a data call."""
        fields = [
            ("Host", "gateway.example"),
            ("Authorization", f"Bearer {self.token() if token is None else token}"),
            ("Content-Type", "application/json"),
            *headers,
        ]
        if purpose is not None:
            fields.append(("Datong-Purpose", purpose))
        return request("POST", f"/data/v1/{resource}/query", fields, body)


def request(
    method: str, target: str, fields: Sequence[tuple[str, str]] = (), body: bytes = b""
) -> bytes:
    """Return the bytes of a call with a Content-Length when it has a body."""
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in fields]
    if body or method in ("POST", "PUT"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def open_world(
    folder: Path,
    *,
    disk: Disk | None = None,
    resolve_owner: Resolve = resolve,
    allow_address: Allows | None = None,
    owner_rest: float = REST_SECONDS,
    **changed: Any,
) -> World:
    """Start a data path with a part behind all addresses.

    Args:
        resolve_owner: how hosts of owners' services are looked up.
        allow_address: which of their addresses are connected to; as the settings say if not given.
        owner_rest: seconds for which a service that failed is left alone.
        changed: settings that differ from the defaults.
    """
    certificates = issue(folder / "internal", (*PARTS, "gateway"), datetime.now(UTC))
    part = FakePart(certificates, "transfer")
    url = await part.start()
    departments = DepartmentsCa(folder, "Departments' CA")
    ca_file = folder / "departments.pem"
    ca_file.write_text(departments.pem)
    own = certificates.parts["gateway"]
    values: dict[str, Any] = {
        "environment": "development",
        "trust_domain": "datong.local",
        "tls_certificate_file": own.certificate,
        "tls_key_file": own.key,
        "tls_ca_file": certificates.ca,
        "kafka": "127.0.0.1:1",
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "gateway": "gateway-0",
        "spool_directory": folder / "spool",
        "server_certificate_file": certificates.server.certificate,
        "server_key_file": certificates.server.key,
        "client_ca_file": ca_file,
        **{f"{name}_url": url for name in PARTS},
    }
    settings = GatewaySettings(**values | changed)
    settings.spool_directory.mkdir(parents=True, exist_ok=True)
    fatal: list[Exception] = []
    turn = Turn(asyncio.get_running_loop())
    evidence = WatchedEvidence(
        instance=settings.instance,
        directory=settings.spool_directory,
        slot=settings.slot,
        limit=settings.spool_limit,
        on_fatal=fatal.append,
        disk=disk,
        together=turn,
    )
    await evidence.start()
    key = SigningKey.generate()
    keys = {key.kid: VerifyingKey(key.jwk)}
    table = FreshTable(**vars(a_table()))
    deadlines = Deadlines(asyncio.get_running_loop())
    context = client_context(settings)
    contract = yaml.safe_load((CONTRACTS / "openapi" / "gateway.v1.yaml").read_text("utf-8"))
    path = DataPath(
        settings,
        router=Router(routes_of(contract)),
        table=table,
        evidence=evidence,
        tokens=VerifiedTokens(Verifier(ISSUER, AUDIENCE), lambda: keys),
        tls=ClientFacingTls(settings),
        # Every part's pool leads to the one fake part, which has the identity of transfer.
        pools={
            name: Pool(
                "transfer",
                url,
                context,
                "datong.local",
                deadlines,
                turn,
                settings.upstream_connections,
            )
            for name in PARTS
        }
        | {
            "transfer/slow": SharedPool(
                "transfer",
                url,
                context,
                "datong.local",
                deadlines,
                turn,
                settings.slow_connections,
                settings.slow_calls,
            )
        },
        owners=OwnerPools(
            lambda ca: owner_context(
                ca, settings.server_certificate_file, settings.server_key_file
            ),
            deadlines,
            turn,
            settings.owner_connections,
            settings.slow_calls,
            allows=allow_address or (any_address if settings.allow_private_owners else is_public),
            resolve=resolve_owner,
            rest=owner_rest,
        ),
        local={"explain": _explain},
        deadlines=deadlines,
        turn=turn,
    )
    deadlines.add(path)
    deadlines.start()
    listener = Listener(path, listening_socket("127.0.0.1:0"))
    listener.start()
    caller = departments.issue("caller")
    foreign = DepartmentsCa(folder, "Somebody's CA")
    world = World(
        folder,
        settings,
        path,
        listener,
        table,
        evidence,
        part,
        departments,
        foreign,
        key,
        caller,
        keys,
        fatal,
    )
    world.knows(caller)
    now = datetime.now(UTC).timestamp()
    for grant_id, grant in list(table.grants.items()):
        table.grants[grant_id] = _running(grant, now)
    return world


def _running(grant: Any, now: float) -> Any:
    return replace(grant, valid_from=now - 60, valid_until=now + 3600)


def _explain(call: LocalCall) -> LocalAnswer:
    return LocalAnswer(200, "application/json", orjson.dumps({"caller": call.caller.subject}))


async def close_world(world: World) -> None:
    """Stop everything that `open_world` started."""
    for client in world.clients:
        client.close()
    await world.listener.stop()
    world.path.deadlines.stop()
    for pool in world.path.pools.values():
        await pool.close()
    await world.path.owners.close()
    await world.evidence.stop()
    world.evidence.close()
    for part in (world.part, *world.services):
        await part.stop()


def with_world(**settings: Any) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """Make a test of an async function that takes a `World`, on uvloop as the product runs.

    Args:
        settings: settings of the gateway that differ from the defaults.
    """

    def wrap(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        @wraps(test)
        def run(tmp_path: Path, **arguments: Any) -> None:
            async def whole() -> None:
                world = await open_world(tmp_path, **settings)
                try:
                    await test(world, **arguments)
                finally:
                    await close_world(world)

            uvloop.run(whole())

        own = list(inspect.signature(test).parameters.values())[1:]
        folder = inspect.Parameter("tmp_path", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        run.__signature__ = inspect.Signature([folder, *own])  # type: ignore[attr-defined]
        del run.__wrapped__
        return run

    return wrap
