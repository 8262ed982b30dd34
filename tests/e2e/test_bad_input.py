"""Bad input of every kind over the real gateway: a precise refusal, evidence, and never a 500."""

import base64
import hashlib
import json
import re
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from stack.demo.entries import DIVISIONS
from stack.settings import StackSettings
from stack.supervisor import Stack
from tests.e2e.bad import HEADS, INVALID, MALFORMED, PATHS, TOKENS, UNKNOWN
from tests.e2e.outsider import GOOD_QUERY, QUERY, Outsider
from tests.support.joined import records_of
from tests.support.load_connection import ConnectionLost, Reply
from tests.support.processes import wait_until
from tests.support.town import found_town

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOTS = ("gateway-slot-0", "gateway-slot-1")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outsider(session_directory: Path) -> AsyncIterator[Outsider]:
    """A whole platform with a town on it, and somebody outside."""
    directory = session_directory / "bad-input"
    async with Stack(
        directory / "platform",
        settings=StackSettings(postgres_url_file=None, kafka=None, stack_port=None),
    ) as stack:
        town = await found_town(stack, directory / "town")
        await town.load()
        try:
            yield Outsider(town)
        finally:
            await town.close()


async def metrics(outsider: Outsider, slot: str) -> str:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://{outsider.town.stack.health(slot)}/metrics")
    return answer.text


# ---- tokens ----


@pytest.mark.parametrize("what", TOKENS)
async def test_a_forged_token_is_refused(outsider: Outsider, what: str) -> None:
    changes, code = TOKENS[what]
    token = await outsider.forge_token(**changes)

    reply = await outsider.ask("POST", QUERY, GOOD_QUERY, token=token)

    outsider.refused(reply, 401, code)
    assert reply.headers["www-authenticate"].startswith("Bearer")
    assert "datong-evidence" in reply.headers


async def test_somebody_elses_good_token_is_refused(outsider: Outsider) -> None:
    foreign = await outsider.token("stranger")
    reply = await outsider.ask("POST", QUERY, GOOD_QUERY, token=foreign)
    outsider.refused(reply, 401, "token-not-bound")


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "token-missing"),
        ("Basic dXNlcjpwYXNzd29yZA==", "token-missing"),
        ("Bearer", "token-missing"),
        ("Bearer a.b", "token-invalid"),
        ("Bearer a.b.c", "token-invalid"),
        ("Bearer " + "a" * 9000, "token-invalid"),
    ],
)
async def test_what_is_no_token_is_refused(
    outsider: Outsider, authorization: str | None, code: str
) -> None:
    reply = await outsider.ask("POST", QUERY, GOOD_QUERY, token=None, Authorization=authorization)
    outsider.refused(reply, 401, code)


# ---- certificates ----


async def test_no_certificate_is_refused_with_an_answer(outsider: Outsider) -> None:
    reply = await outsider.ask("POST", QUERY, GOOD_QUERY, name=None)
    outsider.refused(reply, 401, "certificate-missing")
    assert "datong-evidence" not in reply.headers


@pytest.mark.parametrize("days", [30, -1], ids=["unknown to identity", "expired"])
async def test_a_certificate_of_the_departments_ca_that_nobody_issued_gets_an_answer(
    outsider: Outsider, tmp_path: Path, days: int
) -> None:
    forged = outsider.forge_certificate(tmp_path, days=days)
    token = await outsider.token()
    reply = await outsider.ask("POST", QUERY, GOOD_QUERY, pem=forged, token=token)
    outsider.refused(reply, 401, "certificate-invalid")


async def test_a_certificate_of_an_unknown_ca_ends_in_a_tls_alert_that_is_counted(
    outsider: Outsider, tmp_path: Path
) -> None:
    foreign = outsider.foreign_certificate(tmp_path)
    internal = tmp_path / "internal.pem"
    pair = outsider.town.stack.certificates.parts["gateway"]
    internal.write_bytes(pair.certificate.read_bytes() + pair.key.read_bytes())

    for file in (foreign, internal):
        with pytest.raises((ConnectionLost, OSError)):
            await outsider.ask("POST", QUERY, GOOD_QUERY, pem=file, token="a.b.c")

    async def counted() -> bool:
        texts = [await metrics(outsider, slot) for slot in SLOTS]
        lines = re.findall(
            r"^datong_gateway_handshakes_failed_total.* ([\d.]+)$", "".join(texts), re.M
        )
        return sum(map(float, lines)) >= 2

    await wait_until(counted, 10, "both handshakes are counted")


# ---- requests ----


@pytest.mark.parametrize("what", HEADS)
async def test_a_malformed_request_is_refused_before_it_is_decided(
    outsider: Outsider, what: str
) -> None:
    data, status, code = HEADS[what]
    reply = await outsider.send(data.encode())
    outsider.refused(reply, status, code)
    if status == 405:
        assert reply.headers["allow"] == "GET"


# ---- bodies ----


@pytest.mark.parametrize("operation", PATHS)
@pytest.mark.parametrize("what", MALFORMED)
async def test_a_body_that_is_not_strict_json_is_refused(
    outsider: Outsider, what: str, operation: str
) -> None:
    path, name, headers = PATHS[operation]
    fields = {"Content_Type": "application/json", **headers}
    reply = await outsider.ask("POST", path, MALFORMED[what], name=name, **fields)
    outsider.refused(reply, 400, "body-malformed")


@pytest.mark.parametrize("operation", ["create_entry", "create_request", "create_system"])
async def test_no_body_at_all_is_refused(outsider: Outsider, operation: str) -> None:
    path, name, headers = PATHS[operation]
    reply = await outsider.ask("POST", path, name=name, **headers)
    outsider.refused(reply, 422, "body-invalid", "")


@pytest.mark.parametrize("what", INVALID)
async def test_a_body_that_does_not_fit_names_the_member(outsider: Outsider, what: str) -> None:
    operation, body, code, pointer = INVALID[what]
    path, name, headers = PATHS[operation]
    reply = await outsider.ask("POST", path, body, name=name, **headers)
    outsider.refused(reply, 422, code, pointer)


async def test_another_content_type_is_refused(outsider: Outsider) -> None:
    reply = await outsider.ask("POST", QUERY, GOOD_QUERY, Content_Type="text/plain")
    outsider.refused(reply, 415, "content-type-unsupported")


async def test_a_chunk_that_does_not_fit_is_refused_with_its_line_and_the_batch_stays_open(
    outsider: Outsider,
) -> None:
    rows = b'{"code":"11","name":"a","level":"province"}\n{"code":"12","colour":"red"}\n'
    opened = await outsider.ask(
        "POST",
        f"/data/v1/{DIVISIONS}/batches",
        b'{"mode":"changes"}',
        name="publisher",
        Idempotency_Key=str(uuid.uuid4()),
    )
    assert opened.status == 201, opened.body
    path = f"/data/v1/{DIVISIONS}/batches/{json.loads(opened.body)['id']}"
    digest = base64.b64encode(hashlib.sha256(rows).digest()).decode()

    async def put(**headers: str) -> Reply:
        return await outsider.ask(
            "PUT",
            f"{path}/chunks/0",
            rows,
            name="publisher",
            **({"Content_Type": "application/x-ndjson"} | headers),
        )

    outsider.refused(await put(), 400, "content-digest-missing")
    wrong = base64.b64encode(bytes(32)).decode()
    reply = await put(Content_Digest=f"sha-256=:{wrong}:")
    outsider.refused(reply, 400, "content-digest-mismatch")
    reply = await put(Content_Digest=f"sha-256=:{digest}:")
    outsider.refused(reply, 422, "column-unknown", "/2/colour")
    reply = await outsider.ask("GET", path, name="publisher")
    assert (json.loads(reply.body)["state"], json.loads(reply.body)["chunks"]) == ("open", 0)
    reply = await outsider.ask("POST", f"{path}/abandonments", name="publisher")
    assert json.loads(reply.body)["state"] == "abandoned"


# ---- versions, keys, ids ----


async def test_a_change_must_name_the_version_that_it_was_made_from(outsider: Outsider) -> None:
    officer, person = "security:hangzhou-health", outsider.town.identity("requester").id
    path, body = f"/identity/v1/people/{person}/roles", b'{"roles":["sharing_office_head"]}'

    missing = await outsider.ask("PUT", path, body, name=officer)
    outsider.refused(missing, 428, "precondition-required")
    for stale in ('"999"', '"abc"', "*"):
        reply = await outsider.ask("PUT", path, body, name=officer, If_Match=stale)
        outsider.refused(reply, 412, "precondition-failed")


async def test_an_idempotency_key_stands_for_one_body(outsider: Outsider) -> None:
    now = time.time()
    times = [
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + seconds)) for seconds in (-60, 86_400)
    ]
    request = {
        "resource": DIVISIONS,
        "systems": [outsider.town.identity("stranger").id],
        "items": ["code"],
        "purposes": ["public-health"],
        "modes": ["query"],
        "basis": "传染病防治法第三十八条",
        "scenario": "核对",
        "valid_from": times[0],
        "valid_until": times[1],
    }
    path, key = "/sharing/v1/requests", {"Idempotency_Key": str(uuid.uuid4())}

    without = await outsider.ask("POST", path, json.dumps(request).encode(), name="requester")
    outsider.refused(without, 400, "idempotency-key-required")
    first, again = [
        await outsider.ask("POST", path, json.dumps(request).encode(), name="requester", **key)
        for _ in range(2)
    ]
    assert (first.status, again.status) == (201, 201), first.body
    assert again.body == first.body
    other = json.dumps(request | {"items": ["code", "name"]}).encode()
    reused = await outsider.ask("POST", path, other, name="requester", **key)
    outsider.refused(reused, 422, "idempotency-key-reused")


@pytest.mark.parametrize("what", UNKNOWN)
async def test_what_does_not_exist_is_named(outsider: Outsider, what: str) -> None:
    path, name, code = UNKNOWN[what]
    outsider.refused(await outsider.ask("GET", path, name=name), 404, code)


async def test_an_unknown_resource_is_named(outsider: Outsider) -> None:
    reply = await outsider.ask("POST", "/data/v1/no-such/query", GOOD_QUERY)
    outsider.refused(reply, 404, "resource-unknown")


@pytest.mark.parametrize(
    ("query", "status", "code", "pointer"),
    [
        ("limit=0", 422, "parameter-invalid", "/query/limit"),
        ("limit=201", 422, "parameter-invalid", "/query/limit"),
        ("limit=many", 422, "parameter-invalid", "/query/limit"),
        ("cursor=e30", 400, "cursor-invalid", None),
        ("cursor=%FF", 400, "cursor-invalid", None),
    ],
)
async def test_a_parameter_that_does_not_fit_is_named(
    outsider: Outsider, query: str, status: int, code: str, pointer: str | None
) -> None:
    reply = await outsider.ask("GET", f"/catalog/v1/entries?{query}")
    outsider.refused(reply, status, code, pointer)


async def test_an_id_that_is_none_is_not_found_or_named(outsider: Outsider) -> None:
    for path in ("/catalog/v1/entries/abc", "/sharing/v1/grants/abc", "/identity/v1/people/abc"):
        reply = await outsider.ask("GET", path, name="requester")
        assert reply.status in (403, 404, 422), reply.body
        outsider.refused(reply, reply.status, json.loads(reply.body)["code"])


async def test_a_certificate_that_was_revoked_is_refused_at_once(outsider: Outsider) -> None:
    token = await outsider.token("stranger")
    officer = outsider.town.client("security:hangzhou-health")
    answer = await officer.revoke_credential(outsider.town.identity("stranger").thumbprint, "遗失")
    assert answer["on_bus"]

    async def refused() -> bool:
        reply = await outsider.ask("POST", QUERY, GOOD_QUERY, name="stranger", token=token)
        return reply.status == 401

    await wait_until(refused, 1.0, "the revocation is felt")
    reply = await outsider.ask("POST", QUERY, GOOD_QUERY, name="stranger", token=token)
    outsider.refused(reply, 401, "certificate-revoked")


# ---- afterwards ----


async def test_afterwards_everything_lives_and_nothing_was_a_500(outsider: Outsider) -> None:
    stack = outsider.town.stack
    assert {name: each.restarts for name, each in stack.watched.items() if each.restarts} == {}
    for process in stack.plans:
        await stack.wait_ready(process, 10)
        assert "Traceback" not in stack.log_file(process).read_text(encoding="utf-8"), process
    for slot in SLOTS:
        assert re.findall(r'^.*status="5\d\d".*$', await metrics(outsider, slot), re.M) == []

    reply = await outsider.ask("POST", QUERY, GOOD_QUERY)

    assert reply.status == 200
    assert [row["code"] for row in json.loads(reply.body)["rows"]] == ["33"]


async def test_every_refusal_is_on_record_or_counted(outsider: Outsider) -> None:
    ledger, stack = outsider.ledger, outsider.town.stack
    for slot in SLOTS:  # a worker that ends writes the summary of what it has counted
        await stack.restart_process(slot)

    async def all_recorded() -> bool:
        records = records_of(await outsider.town.download("evidence.zip"))
        told = {each["record"]: each.get("reason") for each in records}
        counted = sum(
            (Counter(each["counts"]) for each in records if "counts" in each), Counter[str]()
        )
        missing = {id_: code for id_, code in ledger.recorded.items() if told.get(id_) != code}
        return not missing and counted == ledger.counted

    await wait_until(all_recorded, 30, f"records of {len(ledger.recorded)} refusals")
