"""The data path end to end: what passes, what is refused, what is recorded."""

import asyncio
import contextlib
import socket
import ssl
from base64 import b64decode, urlsafe_b64decode
from dataclasses import replace
from hashlib import sha256

import pytest

from gateway.domain import Party
from kit.ids import uuid7
from tests.support.data_path import (
    Asked,
    FakePart,
    World,
    answer_with,
    http,
    request,
    rows,
    with_world,
)
from tests.support.permissions import GRANT, OTHER_SYSTEM, SYSTEM

CALL = "019aa500-0000-7000-8000-0000000000aa"
HOST = ("Host", "gateway.example")


def salted(salt: str, body: bytes) -> str:
    raw = urlsafe_b64decode(salt + "=")
    return sha256(raw + sha256(body).digest()).hexdigest()


@with_world()
async def test_a_granted_query_is_passed_on_recorded_and_answered(world: World) -> None:
    client = await world.connect(world.caller)
    body = b'{"where":{"level":"county"}}'
    answer = await client.call(world.query(body, headers=[("Datong-Call", CALL)]))
    assert (answer.status, answer.body) == (200, b'{"rows":[],"next":null}')
    [record] = world.evidence.calls()
    assert answer.headers["datong-call"] == record["call"] == CALL
    assert answer.headers["datong-evidence"] == record["record"]
    salt = answer.headers["datong-salt"]
    assert record["request_digest"] == salted(salt, body)
    assert record["answer_digest"] == salted(salt, answer.body)
    assert (record["request_bytes"], record["answer_bytes"]) == (len(body), len(answer.body))
    assert record["decision"] == "allowed"
    assert (record["route"], record["mode"], record["status"]) == ("query", "query", 200)
    assert (record["rows"], record["items"]) == (1, ["code", "name"])
    assert (record["grant"], record["grant_version"]) == (GRANT, 2)
    assert record["caller"] == f"system/{SYSTEM}"
    assert record["certificate"] == world.caller.thumbprint


@with_world()
async def test_the_part_gets_the_call_with_what_the_gateway_knows(world: World) -> None:
    client = await world.connect(world.caller)
    forged = [
        ("Datong-Internal-Certificate", "forged"),
        ("datong-internal-grant", "forged@9"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("Cookie", "a=b"),
    ]
    answer = await client.call(world.query(headers=forged))
    [asked] = world.part.asked
    assert asked.line == "POST /data/v1/xzqh-divisions/query HTTP/1.1"
    assert b64decode(asked.header("Datong-Internal-Certificate") or "") == world.caller.der
    assert asked.header("Datong-Internal-Grant") == f"{GRANT}@2"
    assert asked.header("Datong-Internal-Record") == answer.headers["datong-evidence"]
    assert asked.header("Datong-Call") == answer.headers["datong-call"]
    assert asked.header("Datong-Purpose") == "public-health"
    names = {name.lower() for name, _ in asked.headers}
    assert names.isdisjoint({"x-forwarded-for", "cookie"})


@with_world()
async def test_internal_headers_of_the_answer_stay_inside(world: World) -> None:
    client = await world.connect(world.caller)
    answer = await client.call(world.query())
    assert not [name for name in answer.headers if name.startswith("datong-internal")]


@with_world()
async def test_the_version_that_the_part_enforced_is_recorded(world: World) -> None:
    body = b"{}"
    fields = [
        ("datong-internal-digest", sha256(body).hexdigest()),
        ("datong-internal-enforced", f"{GRANT}@5"),
    ]
    world.part.respond = answer_with(http(200, body, fields))
    client = await world.connect(world.caller)
    assert (await client.call(world.query())).status == 200
    assert world.evidence.calls()[0]["grant_version"] == 5


@with_world()
async def test_connections_to_the_part_are_kept(world: World) -> None:
    client = await world.connect(world.caller)
    for _ in range(5):
        assert (await client.call(world.query())).status == 200
    assert world.part.connections == 1


# ---- refusals ----


@with_world()
async def test_each_refusal_of_a_data_call_has_its_code_and_a_record(world: World) -> None:
    client = await world.connect(world.caller)
    other = world.departments.issue("other")
    world.knows(other, holder=OTHER_SYSTEM)
    cases = [
        ("token-missing", world.query(token="").replace(b"Authorization: Bearer ", b"X: ")),
        ("token-invalid", world.query(token="a.b.c")),
        ("token-invalid", world.query(token=world.token(exp=1, iat=1))),
        ("token-not-bound", world.query(token=world.token(other))),
        ("purpose-missing", world.query(purpose=None)),
        ("purpose-not-granted", world.query(purpose="marketing")),
        ("resource-unknown", world.query(resource="no-such-thing")),
    ]
    for code, data in cases:
        answer = await client.call(data)
        assert answer.code == code
        record = world.evidence.calls()[-1]
        assert answer.headers["datong-evidence"] == record["record"]
        assert (record["decision"], record["reason"]) == ("denied", code)
        assert record["status"] == answer.status
        assert record["answer_digest"] == salted(answer.headers["datong-salt"], answer.body)
    assert world.part.asked == []
    assert (await client.call(world.query())).status == 200


@with_world()
async def test_without_a_certificate_the_refusal_is_readable_and_counted(world: World) -> None:
    client = await world.connect()
    answer = await client.call(world.query())
    assert (answer.status, answer.code) == (401, "certificate-missing")
    assert "datong-evidence" not in answer.headers
    assert world.evidence.calls() == []
    assert world.evidence.counted == ["certificate-missing"]


@with_world()
async def test_an_expired_certificate_gets_a_readable_refusal(world: World) -> None:
    expired = world.departments.issue("expired", days=-1)
    world.knows(expired)
    known = world.table.credentials[expired.thumbprint]
    world.table.credentials[expired.thumbprint] = replace(known, not_after=known.not_before + 1)
    client = await world.connect(expired)
    answer = await client.call(world.query(token=world.token(expired)))
    assert (answer.status, answer.code) == (401, "certificate-invalid")
    assert world.evidence.calls()[0]["certificate"] == expired.thumbprint


@with_world()
async def test_a_certificate_that_the_platform_did_not_issue_is_invalid(world: World) -> None:
    unknown = world.departments.issue("unknown")
    client = await world.connect(unknown)
    assert (await client.call(world.query())).code == "certificate-invalid"


@with_world()
async def test_a_certificate_of_an_unknown_authority_ends_the_handshake_and_is_counted(
    world: World,
) -> None:
    stranger = world.foreign.issue("stranger")
    client = await world.connect(stranger)
    assert await client.is_closed()
    assert dict(world.path.counts.handshakes_failed) == {"unknown-authority": 1}
    assert (await (await world.connect(world.caller)).call(world.query())).status == 200


@with_world()
async def test_an_authority_that_is_published_later_is_accepted_from_then_on(
    world: World,
) -> None:
    late = world.foreign.issue("late")
    world.knows(late)
    assert await (await world.connect(late)).is_closed()
    world.path.tls.take([world.departments.pem, world.foreign.pem])
    client = await world.connect(late)
    assert (await client.call(world.query(token=world.token(late)))).status == 200


@with_world()
async def test_a_revoked_certificate_is_refused_on_a_connection_that_is_open(world: World) -> None:
    client = await world.connect(world.caller)
    assert (await client.call(world.query())).status == 200
    known = world.table.credentials[world.caller.thumbprint]
    world.table.credentials[world.caller.thumbprint] = replace(known, active=False)
    assert (await client.call(world.query())).code == "certificate-revoked"


@with_world()
async def test_stale_permissions_refuse_data_and_leave_the_control_plane(world: World) -> None:
    world.table.fresh = False
    client = await world.connect(world.caller)
    assert (await client.call(world.query())).code == "permissions-stale"
    world.part.respond = answer_with(http(200, b"[]"))
    token = ("Authorization", f"Bearer {world.token()}")
    assert (await client.call(request("GET", "/catalog/v1/entries", [HOST, token]))).status == 200


@with_world()
async def test_a_state_that_is_not_reached_is_a_refusal_and_one_that_is_is_none(
    world: World,
) -> None:
    after = [("Datong-After", "sharing.grant/g1@7")]
    client = await world.connect(world.caller)
    world.table.has_reached = False
    assert (await client.call(world.query(headers=after))).code == "permissions-behind"
    world.table.has_reached = True
    assert (await client.call(world.query(headers=after))).status == 200


# ---- the second check ----


@with_world()
async def test_a_grant_that_is_suspended_during_the_call_releases_nothing(world: World) -> None:
    async def suspend_then_answer(
        _part: FakePart, _asked: Asked, writer: asyncio.StreamWriter
    ) -> None:
        grant = world.table.grants[GRANT]
        world.table.grants[GRANT] = replace(grant, state="suspended", version=3)
        writer.write(rows(b'{"rows":["secret"]}'))

    world.part.respond = suspend_then_answer
    client = await world.connect(world.caller)
    answer = await client.call(world.query())
    assert answer.code == "grant-suspended"
    assert b"secret" not in answer.body
    [record] = world.evidence.calls()
    assert (record["decision"], record["reason"]) == ("denied", "grant-suspended")
    assert record["grant_version"] == 3


@with_world()
async def test_a_grant_that_is_narrowed_during_the_call_releases_nothing(world: World) -> None:
    async def narrow_then_answer(
        _part: FakePart, _asked: Asked, writer: asyncio.StreamWriter
    ) -> None:
        grant = world.table.grants[GRANT]
        world.table.grants[GRANT] = replace(grant, items=frozenset({"code"}), version=3)
        writer.write(rows(b'{"rows":["secret"]}', items="code,name"))

    world.part.respond = narrow_then_answer
    client = await world.connect(world.caller)
    assert (await client.call(world.query())).code == "items-not-granted"


@with_world()
async def test_permissions_that_go_stale_during_the_call_release_nothing(world: World) -> None:
    async def go_stale_then_answer(
        _part: FakePart, _asked: Asked, writer: asyncio.StreamWriter
    ) -> None:
        world.table.fresh = False
        await asyncio.sleep(0.1)  # longer than a look at freshness holds
        writer.write(rows(b"{}"))

    world.part.respond = go_stale_then_answer
    client = await world.connect(world.caller)
    assert (await client.call(world.query())).code == "permissions-stale"


# ---- what the part says ----


@with_world()
@pytest.mark.parametrize(
    "said",
    [
        pytest.param(rows(b"{}", digest="0" * 64), id="another digest"),
        pytest.param(http(200, b"{}"), id="no digest"),
        pytest.param(
            http(200, b"{}", [("datong-internal-digest", "short")]), id="a digest that is none"
        ),
        pytest.param(
            http(
                200,
                b"{}",
                [
                    ("datong-internal-digest", sha256(b"{}").hexdigest()),
                    ("datong-internal-enforced", f"{CALL}@1"),
                ],
            ),
            id="another grant",
        ),
    ],
)
async def test_an_answer_that_does_not_fit_its_announcement_is_not_released(
    world: World, said: bytes
) -> None:
    world.part.respond = answer_with(said)
    client = await world.connect(world.caller)
    assert (await client.call(world.query())).code == "answer-mismatch"
    [record] = world.evidence.calls()
    assert (record["decision"], record["reason"]) == ("allowed", "answer-mismatch")


@with_world()
async def test_a_refusal_of_the_part_is_passed_on_with_its_reason_on_record(world: World) -> None:
    problem = b'{"code":"items-not-granted","status":403}'
    fields = [
        ("content-type", "application/problem+json"),
        ("datong-internal-reason", "items-not-granted"),
    ]
    world.part.respond = answer_with(http(403, problem, fields))
    client = await world.connect(world.caller)
    answer = await client.call(world.query())
    assert (answer.status, answer.body) == (403, problem)
    [record] = world.evidence.calls()
    assert (record["decision"], record["reason"], record["status"]) == (
        "allowed",
        "items-not-granted",
        403,
    )


# ---- the control plane ----


@with_world()
async def test_a_control_plane_call_is_passed_on_and_recorded(world: World) -> None:
    fields = [
        ("content-type", "application/json"),
        ("etag", '"4"'),
        ("location", "/catalog/v1/entries/e1"),
        ("datong-revision", "catalog.entry/e1@4"),
    ]
    world.part.respond = answer_with(http(201, b'{"id":"e1"}', fields))
    client = await world.connect(world.caller)
    token = ("Authorization", f"Bearer {world.token()}")
    key = ("Idempotency-Key", uuid7())
    answer = await client.call(
        request("POST", "/catalog/v1/entries", [HOST, token, key], b'{"name":"x"}')
    )
    assert answer.status == 201
    assert answer.headers["datong-revision"] == "catalog.entry/e1@4"
    assert answer.headers["etag"] == '"4"'
    assert world.part.asked[0].header("Idempotency-Key") == key[1]
    [record] = world.evidence.calls()
    assert (record["route"], record["decision"]) == ("create_entry", "allowed")
    assert "mode" not in record


@with_world()
async def test_a_certificate_route_needs_no_token(world: World) -> None:
    world.part.respond = answer_with(http(200, b'{"access_token":"t"}'))
    client = await world.connect(world.caller)
    form = b"grant_type=client_credentials&client_id=x"
    answer = await client.call(request("POST", "/identity/v1/token", [HOST], form))
    assert answer.status == 200
    stranger = await world.connect()
    refused = await stranger.call(request("POST", "/identity/v1/token", [HOST], form))
    assert refused.code == "certificate-missing"


@with_world()
async def test_a_public_route_passes_without_a_certificate_and_without_a_record(
    world: World,
) -> None:
    world.part.respond = answer_with(http(200, b"{}"))
    client = await world.connect()
    answer = await client.call(request("GET", "/identity/v1/jwks", [HOST]))
    assert answer.status == 200
    assert world.evidence.calls() == []
    assert world.part.asked[0].header("Datong-Internal-Certificate") is None


@with_world()
async def test_a_public_route_with_a_certificate_is_recorded(world: World) -> None:
    world.part.respond = answer_with(http(200, b"{}"))
    client = await world.connect(world.caller)
    answer = await client.call(request("GET", "/identity/v1/jwks", [HOST]))
    assert answer.headers["datong-evidence"] == world.evidence.calls()[0]["record"]
    assert world.part.asked[0].header("Datong-Internal-Certificate") is not None


@with_world()
async def test_an_answer_without_a_body_has_none(world: World) -> None:
    world.part.respond = answer_with(b"HTTP/1.1 204 No Content\r\n\r\n")
    client = await world.connect(world.caller)
    token = ("Authorization", f"Bearer {world.token()}")
    answer = await client.call(request("GET", "/catalog/v1/entries", [HOST, token]))
    assert answer.status == 204
    assert "content-length" not in answer.headers
    world.part.respond = answer_with(http(200, b"[]"))
    assert (await client.call(request("GET", "/catalog/v1/entries", [HOST, token]))).body == b"[]"


@with_world()
async def test_explanations_are_answered_here_after_the_same_checks(world: World) -> None:
    client = await world.connect(world.caller)
    token = ("Authorization", f"Bearer {world.token()}")
    body = b'{"resource":"xzqh-divisions"}'
    answer = await client.call(request("POST", "/gateway/v1/explanations", [HOST, token], body))
    assert answer.status == 200
    assert f"system/{SYSTEM}".encode() in answer.body
    assert world.evidence.calls()[0]["route"] == "explain"
    refused = await client.call(request("POST", "/gateway/v1/explanations", [HOST], body))
    assert refused.code == "token-missing"


@with_world()
async def test_a_person_may_not_query(world: World) -> None:
    official = world.departments.issue("official")
    person = "019aa500-0000-7000-8000-000000000019"
    world.knows(official, kind="person", holder=person)
    world.table.parties[f"person/{person}"] = Party(
        "person", person, "health-commission", "张敏", active=True
    )
    client = await world.connect(official)
    token = world.token(official, sub=f"person/{person}")
    assert (await client.call(world.query(token=token))).code == "role-missing"


# ---- evidence that cannot be written ----


@with_world(spool_limit=1 << 20)
async def test_a_full_spool_refuses_data_calls(world: World) -> None:
    client = await world.connect(world.caller)
    filler = "x" * 60_000
    while world.evidence.accepts:
        world.evidence.append(
            {"type": "beat", "filler": filler}, b"", lambda: None, lambda _error: None
        )
    answer = await client.call(world.query())
    assert answer.code == "evidence-unavailable"
    assert world.part.asked == []


def _call_and_end(port: int, call: bytes) -> bytes:
    """Send a call and the end of the connection in one segment; return what comes back."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing)
    answer = b""
    with socket.create_connection(("127.0.0.1", port), 5) as sock:
        shaken = False
        while not shaken:
            try:
                tls.do_handshake()
                shaken = True
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65_536))
        tls.write(call)
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.unwrap()
        sock.sendall(outgoing.read())
        while data := sock.recv(65_536):
            incoming.write(data)
            with contextlib.suppress(ssl.SSLError):
                answer += tls.read(65_536)
    return answer


@with_world()
async def test_a_caller_that_ends_with_its_call_still_hears_a_refusal(world: World) -> None:
    call = world.query(token=world.token())
    answer = await asyncio.to_thread(_call_and_end, world.listener.port, call)
    assert b"certificate-missing" in answer
