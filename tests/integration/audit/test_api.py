"""The API over a real index and a real log folder, as the gateway calls it."""

import io
import json
import zipfile
from base64 import b64decode, urlsafe_b64decode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from datong.verifier.verification import verify
from kit.canonical import canonical
from kit.clock import SystemClock, rfc3339
from kit.db import Db
from kit.migrate import upgrade
from kit.tokens import Verifier
from services.audit.actions.commit import Committer
from services.audit.actions.index import Indexer
from services.audit.actions.intake import CALLS, Intake
from services.audit.app import build_app
from services.audit.domain import notes, search, tiles, tree
from services.audit.store import index
from services.audit.store.follower import LogFollower
from services.audit.store.keys import LogKey, is_signature
from services.audit.store.outside import OutsideCheckpoint
from tests.integration.audit.platform import ORIGIN, Gateway, Message, Place
from tests.support.callers import AUDIENCE, ISSUER, Identities, TestCaller, gateway_client
from tests.support.statements import LISTS, statements

SALT = bytes(range(32))
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Town:
    """An audit service with people, gateways and a log that grows by hand."""

    def __init__(self, place: Place, db: Db) -> None:
        self.place = place
        self.db = db
        self.identities = Identities()
        self.app = build_app(
            db,
            self.identities.directory,
            Verifier(ISSUER, AUDIENCE),
            LogFollower(place.store),
            origin=ORIGIN,
            clock=SystemClock(),
        )
        self.client = gateway_client(self.app)
        self.committer = Committer(
            place.store, OutsideCheckpoint(place.outside), place.key, SystemClock()
        )
        newest = self.committer.open()
        self.intake = Intake(
            self.committer.ledger(),
            newest.size,
            {},
            self.committer.load_digests,
            self.committer.load_record,
            SystemClock(),
        )
        self.indexer = Indexer(place.store, db, keep_salts=True)
        self.auditor = self.identities.person("audit-office", "auditor")
        self.log: list[bytes] = []

    async def add(self, *records: bytes, index: bool = True) -> None:
        """Commit records, each with `SALT`, and index them."""
        first = len(self.log)
        self.intake.take(
            Message(CALLS, 0, first + n, record, [("datong_salt", SALT)])
            for n, record in enumerate(records)
        )
        self.log += self.intake.records
        commit = self.committer.commit(self.intake.close(full=self.committer.next_is_full()))
        while index and not await self.indexer.step(commit):
            pass

    async def get(
        self, path: str, caller: TestCaller | None = None, **query: Any
    ) -> httpx.Response:
        """Ask as `caller`, or as the auditor."""
        headers = self.identities.headers(caller or self.auditor)
        names = {name.rstrip("_"): str(value) for name, value in query.items()}
        return await self.client.get(f"/audit/v1{path}", params=names, headers=headers)

    async def found(self, caller: TestCaller | None = None, **query: Any) -> list[int]:
        """Leaves that a search finds."""
        answer = await self.get("/records", caller, **query)
        assert answer.status_code == 200, answer.text
        return [item["leaf"] for item in answer.json()["items"]]


@pytest.fixture
async def town(tmp_path: Path, database_url: str) -> AsyncIterator[Town]:
    await upgrade(database_url, "services.audit")
    db = Db(database_url, "audit", pool=3)
    yield Town(Place(tmp_path, "", ""), db)
    await db.dispose()


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


def ids(records: list[bytes]) -> list[str]:
    return [json.loads(record)["record"] for record in records]


async def test_anyone_gets_the_checkpoint_and_the_key(town: Town) -> None:
    await town.add(*Gateway().records)
    key = (await town.client.get("/audit/v1/key")).text
    checkpoint = await town.client.get("/audit/v1/checkpoint")
    opened = notes.open_checkpoint(
        checkpoint.content, notes.parse_vkey(key.strip()), ORIGIN, is_signature
    )
    assert opened.size == 1
    assert checkpoint.headers["content-type"].startswith("text/plain")


async def test_an_auditor_reads_tiles_at_exactly_the_width_asked(town: Town) -> None:
    gateway = Gateway()
    for _ in range(299):
        gateway.call()
    await town.add(*gateway.records)
    full = await town.get("/tile/entries/000")
    assert tiles.decode_bundle(full.content) == gateway.records[:256]
    narrow = await town.get("/tile/entries/000.p/3")
    assert tiles.decode_bundle(narrow.content) == gateway.records[:3]
    assert len((await town.get("/tile/0/001.p/44")).content) == 44 * 32
    assert problem(await town.get("/tile/0/001.p/45")) == (404, "tile-unknown")
    assert problem(await town.get("/tile/0/001")) == (404, "tile-unknown")
    assert problem(await town.get("/tile/0/5")) == (422, "parameter-invalid")
    assert problem(await town.get("/tile/9/x")) == (422, "parameter-invalid")


async def test_every_record_can_be_proved(town: Town) -> None:
    gateway = Gateway()
    for _ in range(300):
        gateway.call()
    await town.add(*gateway.records)
    for leaf in (0, 255, 256, 300):
        record = ids(gateway.records)[leaf]
        proved = (await town.get(f"/records/{record}")).json()
        data = b64decode(proved["bytes"])
        assert data == gateway.records[leaf]
        checkpoint = notes.open_checkpoint(
            proved["checkpoint"].encode(), town.place.key.verifier, ORIGIN, is_signature
        )
        assert checkpoint.size == proved["size"] == 301
        assert tree.verify_inclusion(
            tree.leaf_hash(data),
            proved["leaf"],
            proved["size"],
            [b64decode(item) for item in proved["proof"]],
            checkpoint.root,
        )


async def test_proofs_lead_from_any_size_to_any_later_one(town: Town) -> None:
    gateway = Gateway()
    for _ in range(400):
        gateway.call()
    await town.add(*gateway.records)
    system = town.identities.system("health")
    for old, new in ((1, 401), (255, 256), (256, 300), (401, 401)):
        answer = (await town.get("/proofs/consistency", system, old=old, new=new)).json()
        assert tree.verify_consistency(
            old,
            new,
            b64decode(answer["old_root"]),
            b64decode(answer["new_root"]),
            [b64decode(item) for item in answer["proof"]],
        )
    answer = (await town.get("/proofs/inclusion", system, index=7, size=300)).json()
    assert tree.verify_inclusion(
        tree.leaf_hash(gateway.records[7]),
        7,
        300,
        [b64decode(item) for item in answer["proof"]],
        b64decode(answer["root"]),
    )
    assert (await town.get("/proofs/inclusion", system, index=400)).json()["size"] == 401


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/proofs/inclusion", {"index": 1}, (422, "proof-impossible")),
        ("/proofs/inclusion", {"index": 0, "size": 2}, (422, "proof-impossible")),
        ("/proofs/inclusion", {"index": -1}, (422, "parameter-invalid")),
        ("/proofs/inclusion", {"index": 2**53}, (422, "parameter-invalid")),
        ("/proofs/inclusion", {}, (422, "parameter-invalid")),
        ("/proofs/consistency", {"old": 0}, (422, "parameter-invalid")),
        ("/proofs/consistency", {"old": 2}, (422, "proof-impossible")),
        ("/proofs/consistency", {"old": "x"}, (422, "parameter-invalid")),
        ("/records", {"limit": 0}, (422, "parameter-invalid")),
        ("/records", {"limit": 201}, (422, "parameter-invalid")),
        ("/records", {"cursor": "%%"}, (400, "cursor-invalid")),
        ("/records", {"cursor": "WyJ4IiwxXQ"}, (400, "cursor-invalid")),
        ("/records", {"cursor": "WyIyMDI2LTExLTI0VDA4OjAwOjAwWiIsLTFd"}, (400, "cursor-invalid")),
        ("/records", {"agency": "A B"}, (422, "parameter-invalid")),
        ("/records", {"purpose": "a\0b"}, (422, "parameter-invalid")),
        ("/records", {"decision": "maybe"}, (422, "parameter-invalid")),
        ("/records", {"from": "yesterday"}, (422, "parameter-invalid")),
        ("/records", {"from": "2026-11-24T08:00:00"}, (422, "parameter-invalid")),
        ("/records", {"from": "0001-01-01T00:00:00+14:00"}, (422, "parameter-invalid")),
        ("/packages", {"until": "9999-12-31T23:59:59-14:00"}, (422, "parameter-invalid")),
        ("/records/nothing", {}, (422, "parameter-invalid")),
        ("/records/019aa5f0-0000-7000-8000-000000000001", {}, (404, "record-unknown")),
        ("/records/019aa5f0-0000-7000-8000-000000000001/salt", {}, (403, "role-missing")),
    ],
)
async def test_bad_input_is_a_precise_refusal(
    town: Town, path: str, query: dict[str, Any], expected: tuple[int, str]
) -> None:
    await town.add(*Gateway().records)
    assert problem(await town.get(path, **query)) == expected


async def test_search_filters_and_pages_newest_first(town: Town) -> None:
    gateway = Gateway()
    gateway.call(at=rfc3339(NOON), resource="divisions", purpose="a", case="2026-7")
    gateway.call(at=rfc3339(NOON + timedelta(hours=1)), resource="people", purpose="b")
    gateway.call(
        at=rfc3339(NOON + timedelta(hours=2)), decision="denied", reason="purpose-not-granted"
    )
    gateway.call(at=rfc3339(NOON - timedelta(hours=1)), caller_agency="police")
    await town.add(*gateway.records)
    fields = [json.loads(record) for record in gateway.records]
    assert (await town.found(resource="people")) == [2]
    assert (await town.found(purpose="a")) == [1]
    assert (await town.found(case="2026-7")) == [1]
    assert (await town.found(decision="denied")) == [3]
    assert (await town.found(reason="purpose-not-granted")) == [3]
    assert (await town.found(agency="police")) == [4]
    assert (await town.found(call=fields[1]["call"])) == [1]
    assert (await town.found(grant=fields[3]["grant"])) == [3]
    assert (await town.found(type="epoch")) == [0]
    assert (await town.found(agency="civil-affairs", type="call")) == [3, 2, 1, 4]
    window = {"from_": rfc3339(NOON), "until": "2026-11-24T22:00:00+08:00"}
    assert (await town.found(**window, type="call")) == [2, 1]
    seen: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await town.get("/records", type="call", limit=3, **cursor)).json()
        seen += [item["leaf"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert seen == [3, 2, 1, 4]


async def test_refusals_are_found_by_whoever_gave_them(town: Town) -> None:
    gateway = Gateway()
    gateway.call()
    gateway.call(decision="denied", reason="grant-missing", caller_agency="police")
    gateway.call(reason="items-not-granted", resource="people")
    gateway.add("closed", decision="allowed", reason="grant-suspended", resource="enterprises")
    gateway.add("closed", decision="allowed", resource="enterprises")
    gateway.add("withheld", reason="answer-mismatch")
    await town.add(*gateway.records)
    assert await town.found(refused="true") == [4, 3, 2]
    assert await town.found(refused="true", resource="people") == [3]
    assert await town.found(refused="true", decision="denied") == [2]
    assert await town.found(refused="false") == [6, 5, 4, 3, 2, 1, 0]
    police = town.identities.person("police", "security_officer")
    assert await town.found(police, refused="true") == [2]
    assert problem(await town.get("/records", refused="maybe")) == (422, "parameter-invalid")


async def test_refusals_of_a_long_time_are_read_without_what_was_released(town: Town) -> None:
    gateway = Gateway()
    for number in range(3000):
        gateway.call(**({} if number % 1000 else {"reason": "owner-unavailable"}))
    await town.add(*gateway.records)
    query = search.Query(refused=True, from_at=rfc3339(NOON - timedelta(days=9999)))
    async with town.db.begin() as tx:
        connection = await tx.connection()
        await connection.exec_driver_sql("ANALYZE record")
        before = await read_of("record", connection)
        assert len(await index.search(tx, query, None, 51)) == 3
        assert await read_of("record", connection) - before < 100


async def test_a_search_costs_the_same_statements_for_few_and_for_many(town: Town) -> None:
    assert LISTS["audit"] == {"search_records"}
    gateway = Gateway()

    async def costs() -> list[int]:
        found = []
        for query in ({}, {"limit": 200}, {"resource": "divisions"}, {"refused": "true"}):
            with statements() as sent:
                await town.found(None, **query)
            found.append(len(sent))
        return found

    gateway.call()
    await town.add(*gateway.records)
    await costs()  # connections and types are learned on first use
    few = await costs()
    made = len(gateway.records)
    for number in range(60):
        gateway.call(**({} if number % 2 else {"decision": "denied", "reason": "grant-missing"}))
    await town.add(*gateway.records[made:])

    assert len(await town.found(limit=200)) == made + 60
    assert await costs() == few


async def read_of(table: str, connection: AsyncConnection) -> int:
    """Return how many rows of a table this transaction has read."""
    statement = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname"
    return int(await connection.scalar(text(f"{statement} = '{table}'")))


async def test_others_than_auditors_see_what_concerns_their_agency(town: Town) -> None:
    gateway = Gateway()
    gateway.call(caller_agency="health", owner_agency="civil-affairs")
    gateway.call(caller_agency="police", owner_agency="health")
    gateway.call(caller_agency="police", owner_agency="civil-affairs")
    await town.add(*gateway.records)
    health = town.identities.person("health", "security_officer")
    assert sorted(await town.found(health)) == [1, 2]
    assert await town.found(health, agency="police") == [2]
    assert await town.found(health, caller_agency="civil-affairs") == []
    known = ids(gateway.records)
    assert (await town.get(f"/records/{known[2]}", health)).status_code == 200
    assert problem(await town.get(f"/records/{known[3]}", health)) == (404, "record-unknown")
    assert problem(await town.get(f"/records/{known[0]}", health)) == (404, "record-unknown")


async def test_the_salt_goes_to_both_agencies_and_to_nobody_else(town: Town) -> None:
    gateway = Gateway()
    gateway.call(caller_agency="health", owner_agency="civil-affairs")
    await town.add(*gateway.records)
    path = f"/records/{ids(gateway.records)[1]}/salt"
    for agency in ("health", "civil-affairs"):
        answer = await town.get(path, town.identities.person(agency, "agency_head"))
        assert urlsafe_b64decode(answer.json()["salt"] + "=") == SALT
    police = town.identities.person("police", "agency_head")
    assert problem(await town.get(path, police)) == (404, "record-unknown")
    assert problem(await town.get(path)) == (403, "role-missing")
    async with town.db.begin() as tx:
        await (await tx.connection()).exec_driver_sql("DELETE FROM salt")
    head = town.identities.person("health", "agency_head")
    assert problem(await town.get(path, head)) == (404, "salt-unknown")


async def test_gaps_name_holes_tails_conflicts_and_open_epochs(town: Town) -> None:
    first, second = Gateway("gateway-1/0"), Gateway("gateway-2/0")
    for _ in range(6):
        first.call()
    first.add("end")
    second.call()
    again = second.records[1].replace(b'"rows":1', b'"rows":2')
    follower = Gateway("gateway-3/0", previous_epoch="earlier", previous_sequence=2)
    await town.add(*first.records[:2], *first.records[4:], *second.records, again)
    await town.add(*follower.records)
    gaps = (await town.get("/gaps")).json()
    assert gaps["missing"] == [
        {"instance": "gateway-1/0", "epoch": first.epoch, "sequences": [[2, 3]]},
        {"instance": "gateway-3/0", "epoch": "earlier", "sequences": [[0, 2]]},
    ]
    assert [(item["instance"], item["last"]) for item in gaps["open"]] == [
        ("gateway-2/0", 1),
        ("gateway-3/0", 0),
    ]
    assert all(0 <= item["age_seconds"] < 60 for item in gaps["open"])
    assert gaps["conflicts"] == [
        {"instance": "gateway-2/0", "epoch": second.epoch, "sequences": [1]}
    ]
    await town.add(*first.records[2:4])
    gaps = (await town.get("/gaps")).json()
    assert [item["instance"] for item in gaps["missing"]] == ["gateway-3/0"]


def opened(answer: httpx.Response) -> tuple[dict[str, Any], bytes, dict[str, bytes]]:
    """Manifest, checkpoint and the other members of a package."""
    assert answer.status_code == 200, answer.text
    assert int(answer.headers["content-length"]) == len(answer.content)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as package:
        assert package.testzip() is None
        members = {info.filename: package.read(info) for info in package.infolist()}
        assert all(info.compress_type == zipfile.ZIP_STORED for info in package.infolist())
    return json.loads(members.pop("package.json")), members.pop("checkpoint"), members


def leaves_of(members: dict[str, bytes], size: int) -> list[bytes]:
    """Leaf hashes of a package, from bundles and leaf-hash tiles; nothing else is in it."""
    leaves: list[bytes] = []
    for number in range(-(-size // 256)):
        width = tiles.width_at(0, number, size)
        bundle = members.pop(tiles.Tile(None, number, width).path, None)
        if bundle is None:
            tile = members.pop(tiles.Tile(0, number, width).path)
            leaves += [tile[at : at + 32] for at in range(0, len(tile), 32)]
        else:
            leaves += [tree.leaf_hash(record) for record in tiles.decode_bundle(bundle)]
    assert members == {}
    return leaves


async def test_a_whole_package_holds_all_records_and_gives_the_root(town: Town) -> None:
    gateway = Gateway()
    for _ in range(600):
        gateway.call()
    await town.add(*gateway.records)
    claim, checkpoint, members = opened(await town.get("/packages"))
    assert claim["format"] == "datong-evidence-package/1"
    assert (claim["selection"], claim["first"], claim["last"]) == ("whole", 0, 601)
    assert sorted(members) == ["tile/entries/000", "tile/entries/001", "tile/entries/002.p/89"]
    known = notes.open_checkpoint(checkpoint, town.place.key.verifier, ORIGIN, is_signature)
    arrays = tree.LevelArrays()
    arrays.extend(leaves_of(members, 601))
    assert (known.size, known.root) == (601, arrays.root())


async def test_a_selected_package_is_widened_until_its_epochs_have_no_holes(town: Town) -> None:
    noisy, late = Gateway("gateway-1/0"), Gateway("gateway-2/0")
    for n in range(2000):
        noisy.call(at=rfc3339(NOON + timedelta(seconds=n)))
    late.call(at=rfc3339(NOON + timedelta(seconds=1000)))
    late.call(at=rfc3339(NOON + timedelta(seconds=1001)))
    # The second worker's middle record arrives long after its neighbours.
    await town.add(*noisy.records[:1000], late.records[0], late.records[2])
    await town.add(*noisy.records[1000:1400], late.records[1], *noisy.records[1400:])
    whole = {"from_": rfc3339(NOON + timedelta(seconds=1001)), "until": "2026-11-24T12:16:42Z"}
    claim, checkpoint, members = opened(await town.get("/packages", **whole))
    assert (claim["selection"], claim["from"]) == ("time", whole["from_"])
    assert claim["first"] % 256 == 0
    assert claim["first"] <= 1000
    assert claim["last"] >= 1403
    bundles = sorted(name for name in members if "entries" in name)
    assert bundles == [f"tile/entries/{n:03d}" for n in range(claim["first"] // 256, 6)]
    known = notes.open_checkpoint(checkpoint, town.place.key.verifier, ORIGIN, is_signature)
    arrays = tree.LevelArrays()
    arrays.extend(leaves_of(members, known.size))
    assert arrays.root() == known.root


async def test_a_package_of_a_time_without_records_still_gives_the_root(town: Town) -> None:
    await town.add(*Gateway().records)
    claim, checkpoint, members = opened(await town.get("/packages", until="1999-01-01T00:00:00Z"))
    assert (claim["first"], claim["last"]) == (0, 0)
    known = notes.open_checkpoint(checkpoint, town.place.key.verifier, ORIGIN, is_signature)
    assert leaves_of(members, 1) == [known.root]


async def test_a_package_of_the_empty_log_is_a_package(town: Town) -> None:
    claim, _, members = opened(await town.get("/packages"))
    assert (claim["size"], members) == (0, {})


async def test_a_log_that_was_never_opened_is_not_ready(town: Town, tmp_path: Path) -> None:
    town.app.state.follower = LogFollower(Place(tmp_path / "other", "", "").store)
    assert problem(await town.client.get("/audit/v1/checkpoint")) == (503, "log-not-open")
    assert problem(await town.client.get("/audit/v1/key")) == (503, "log-not-open")


async def test_roles_and_peers_are_checked(town: Town) -> None:
    await town.add(*Gateway().records)
    operator = town.identities.person("bureau", "platform_operator")
    system = town.identities.system("health")
    for path in ("/records", "/gaps", "/packages", "/tile/0/000.p/1"):
        for caller in (operator, system):
            assert problem(await town.get(path, caller)) == (403, "role-missing")
    outsider = gateway_client(town.app, peer="catalog")
    for path in ("/checkpoint", "/key", "/records"):
        answer = await outsider.get(f"/audit/v1{path}")
        assert problem(answer) == (403, "not-through-gateway")


async def test_the_offline_verifier_accepts_what_the_service_hands_out(
    town: Town, tmp_path: Path
) -> None:
    first = (await town.client.get("/audit/v1/checkpoint")).content
    gateway = Gateway()
    for n in range(700):
        gateway.call(at=rfc3339(NOON + timedelta(seconds=n)))
    gateway.add("end", at=rfc3339(NOON + timedelta(seconds=700)))
    await town.add(*gateway.records[:300])
    noted = (await town.client.get("/audit/v1/checkpoint")).content
    await town.add(*gateway.records[300:])
    town.intake.take([Message("catalog.change.v1", 0, 0, a_fact())])
    town.intake.take([Message(CALLS, 0, 702, b"no record")])
    commit = town.committer.commit(town.intake.close(full=False))
    assert await town.indexer.step(commit)
    window = {"from_": rfc3339(NOON + timedelta(seconds=400))}
    for name, query in (("whole", {}), ("time", window)):
        package = tmp_path / f"{name}.zip"
        package.write_bytes((await town.get("/packages", **query)).content)
        report = verify(package, vkey=town.place.key.verifier.vkey, checkpoints=[first, noted])
        assert report.problems == [], name
    other = verify(
        tmp_path / "whole.zip",
        vkey=LogKey(ORIGIN, bytes(32)).verifier.vkey,
        checkpoints=[noted],
    )
    assert other.problems != []


def a_fact() -> bytes:
    return canonical(
        {
            "specversion": "1.0",
            "id": "019aa5f0-0000-7000-8000-000000000001",
            "source": "/catalog",
            "type": "catalog.entry-published.v1",
            "subject": "entry/019aa5f0-0000-7000-8000-000000000002",
            "time": "2026-11-24T08:00:00Z",
            "datacontenttype": "application/json",
            "incarnation": 1732435200000,
            "sequence": 1,
            "actor": "person/019aa5f0-0000-7000-8000-000000000003",
            "data": {"agency": "civil-affairs", "resource": "divisions"},
        }
    )
