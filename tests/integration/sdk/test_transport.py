"""How calls travel: tokens, headers, the log of calls, connections that break."""

import asyncio
import hashlib
import json
import socket
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datong import (
    AnswerMalformed,
    AsyncClient,
    CertificateRefused,
    Client,
    InputInvalid,
    NoAnswerInTime,
    Refused,
    Revisions,
    ServerNotTrusted,
    Unreachable,
)
from datong.operations import sharing
from datong.operations.data import query

QUERY = "/data/v1/divisions/query"
ROWS = {"rows": [{"code": "330100", "name": "杭州市"}], "next": None}
Answering = Callable[..., Any]


def _log(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


async def test_a_query_carries_token_purpose_case_and_call_and_gives_rows(
    place: Any, double: Any, answering: Answering
) -> None:
    double.on(QUERY, answering(ROWS, Datong_Evidence="e1", Datong_Salt="s1"))

    async with AsyncClient(place.identity(double)) as client:
        rows = await client.query(
            "divisions", purpose="registration", key={"code": "330100"}, case="卫健〔2026〕7号"
        )

    (call,) = double.of(QUERY)
    assert call.json() == {"key": {"code": "330100"}}
    assert call.headers["authorization"] == "Bearer a.b.c"
    assert call.headers["datong-purpose"] == "registration"
    assert call.headers["datong-case"] == "卫健〔2026〕7号"
    assert call.headers["datong-call"] == rows.call
    assert rows.rows == ROWS["rows"]
    assert (rows.next, rows.evidence, rows.salt) == (None, "e1", "s1")
    (token,) = double.of("/identity/v1/token")
    assert token.body == b"grant_type=client_credentials&client_id=system"


async def test_a_token_is_fetched_once_and_kept_for_the_next_run(
    place: Any, double: Any, answering: Answering
) -> None:
    double.on(QUERY, answering(ROWS))
    identity = place.identity(double)

    async with AsyncClient(identity) as client:
        await asyncio.gather(*(client.query("divisions") for _ in range(8)))
    async with AsyncClient(identity) as client:
        await client.query("divisions")

    assert len(double.of("/identity/v1/token")) == 1
    assert stat.S_IMODE(identity.token_file.stat().st_mode) == 0o600


async def test_a_token_near_its_end_is_fetched_again(
    place: Any, double: Any, answering: Answering
) -> None:
    double.on("/identity/v1/token", answering({"access_token": "a.b.c", "expires_in": 0}))
    double.on(QUERY, answering(ROWS))

    async with AsyncClient(place.identity(double)) as client:
        await client.query("divisions")
        await client.query("divisions")

    assert len(double.of("/identity/v1/token")) == 2


async def test_a_refused_token_is_forgotten(place: Any, double: Any, answering: Answering) -> None:
    problem = {"code": "token-invalid", "title": "Access token not valid", "detail": "Expired."}
    double.on(QUERY, answering(problem, status=401), answering(ROWS))

    async with AsyncClient(place.identity(double)) as client:
        with pytest.raises(Refused):
            await client.query("divisions")
        await client.query("divisions")

    assert len(double.of("/identity/v1/token")) == 2


async def test_a_given_token_is_used_as_it_is(
    place: Any, double: Any, answering: Answering
) -> None:
    double.on(QUERY, answering(ROWS))

    async with AsyncClient(place.identity(double), token="x.y.z") as client:
        await client.query("divisions")

    assert double.of(QUERY)[0].headers["authorization"] == "Bearer x.y.z"
    assert double.of("/identity/v1/token") == []


@pytest.mark.parametrize(
    ("resource", "case"), [("x" * 70_000, None), ("divisions", "2026-\udcff")], ids=["long", "text"]
)
async def test_what_cannot_be_sent_is_told_and_not_on_record_as_sent(
    place: Any, double: Any, resource: str, case: str | None
) -> None:
    file = place.folder / "calls.ndjson"

    async with AsyncClient(place.identity(double), call_log=file) as client:
        with pytest.raises(InputInvalid):
            await client.query(resource, case=case)

    assert {line["operation"] for line in _log(file) if "operation" in line} <= {"issue_token"}


async def test_a_call_is_on_disk_before_it_is_sent_and_its_outcome_after(
    place: Any, double: Any, answering: Answering
) -> None:
    file = place.folder / "calls.ndjson"
    seen: list[dict[str, Any]] = []
    body = json.dumps(ROWS).encode()

    async def handler(received: Any) -> Any:
        lines = {line["call"]: line for line in _log(file)}
        seen.append(lines[received.headers["datong-call"]])
        return answering(ROWS, Datong_Evidence="e1", Datong_Salt="s1")

    double.handlers[QUERY] = handler
    identity = place.identity(double)
    async with AsyncClient(identity, call_log=file) as client:
        rows = await client.query("divisions", purpose="registration")

    assert seen[0]["event"] == "sent"
    assert seen[0]["operation"] == "query"
    assert seen[0]["purpose"] == "registration"
    assert seen[0]["certificate"] == identity.thumbprint
    last = _log(file)[-1]
    assert last["event"] == "answered"
    assert last["call"] == rows.call
    assert (last["status"], last["evidence"], last["salt"]) == (200, "e1", "s1")
    assert last["request_digest"] == hashlib.sha256(b"{}").hexdigest()
    assert last["answer_digest"] == hashlib.sha256(body).hexdigest()
    assert last["answer_bytes"] == len(body)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_a_refusal_explains_itself_and_its_code_is_logged(
    place: Any, double: Any, answering: Answering
) -> None:
    problem = {
        "code": "purpose-not-granted",
        "title": "Purpose not granted",
        "status": 403,
        "detail": "The grant covers registration.",
        "next_step": "State a granted purpose.",
        "who": "your agency's sharing-office head",
        "facts": {"granted": ["registration"]},
        "errors": [{"pointer": "/purpose", "detail": "other"}],
    }
    double.on(QUERY, answering(problem, status=403, Datong_Evidence="e7"))
    file = place.folder / "calls.ndjson"

    async with AsyncClient(place.identity(double), call_log=file) as client:
        with pytest.raises(Refused) as caught:
            await client.query("divisions", purpose="marketing")

    refused = caught.value
    assert (refused.code, refused.status, refused.evidence) == ("purpose-not-granted", 403, "e7")
    assert refused.facts == {"granted": ["registration"]}
    for text in ("Purpose not granted", "next step: State a granted", "/purpose", "granted: ["):
        assert text in str(refused)
    last = _log(file)[-1]
    assert (last["status"], last["code"], last["call"]) == (
        403,
        "purpose-not-granted",
        refused.call,
    )


async def test_an_answer_that_is_not_the_platforms_is_named(
    place: Any, double: Any, answering: Answering, sending: Any
) -> None:
    double.on(
        QUERY,
        sending(502, b"<html>bad gateway</html>"),
        answering({"detail": "no code"}, status=500),
        answering({"no": "rows"}),
        sending(200, b"no JSON"),
        sending(200, b"[]"),
    )

    async with AsyncClient(place.identity(double)) as client:
        for _ in range(5):
            with pytest.raises(AnswerMalformed):
                await client.query("divisions")


async def test_states_that_an_answer_named_are_sent_back_also_by_another_client(
    place: Any, double: Any, answering: Answering
) -> None:
    double.on("/sharing/v1/grants/g1/suspensions", answering(Datong_Revision="sharing.grant/g1@7"))
    double.on(QUERY, answering(ROWS))
    seen = Revisions()

    async with AsyncClient(place.identity(double, name="person"), revisions=seen) as person:
        await person.suspend_grant("g1", "leak suspected")
    async with AsyncClient(place.identity(double), revisions=seen) as system:
        await system.query("divisions")

    assert "datong-after" not in double.of("/sharing/v1/grants/g1/suspensions")[0].headers
    assert double.of(QUERY)[0].headers["datong-after"] == "sharing.grant/g1@7"


async def test_connections_are_kept_and_bounded(
    place: Any, double: Any, answering: Answering
) -> None:
    double.on(QUERY, answering(ROWS))

    async with AsyncClient(place.identity(double), connections=4) as client:
        await asyncio.gather(*(client.query("divisions") for _ in range(60)))

    assert len(double.of(QUERY)) == 60
    assert double.connections <= 4


async def test_an_idempotent_call_is_repeated_as_a_new_call_when_the_connection_breaks(
    place: Any, double: Any, answering: Answering
) -> None:
    double.on(QUERY, answering(ROWS), None, answering(ROWS))
    file = place.folder / "calls.ndjson"

    async with AsyncClient(place.identity(double), call_log=file) as client:
        await client.query("divisions")
        await client.query("divisions")

    ids = [received.headers["datong-call"] for received in double.of(QUERY)]
    bodies = {received.body for received in double.of(QUERY)}
    assert len(ids) == len(set(ids)) == 3
    assert len(bodies) == 1
    outcomes = {line["call"]: line["event"] for line in _log(file)}
    assert [outcomes[call] for call in ids] == ["answered", "unknown", "answered"]


async def test_a_call_that_changes_something_is_not_repeated(
    place: Any, double: Any, answering: Answering
) -> None:
    path = "/sharing/v1/grants/g1/suspensions"
    double.on(QUERY, answering(ROWS))
    double.on(path, None)

    async with AsyncClient(place.identity(double)) as client:
        await client.query("divisions")
        with pytest.raises(Unreachable, match="unknown"):
            await client.suspend_grant("g1", "leak suspected")

    assert len(double.of(path)) == 1


async def test_a_request_is_repeated_under_one_idempotency_key(
    place: Any, double: Any, answering: Answering
) -> None:
    double.on(QUERY, answering(ROWS))
    double.on("/sharing/v1/requests", None, answering({"id": "r1"}, status=201))

    async with AsyncClient(place.identity(double)) as client:
        await client.query("divisions")
        request = await client.create_request(
            "divisions",
            systems=["s1"],
            items=["code"],
            purposes=["registration"],
            basis="卫生健康条例",
            scenario="birth registration",
            valid_from="2026-11-24T00:00:00Z",
            valid_until="2027-11-24T00:00:00Z",
        )

    first, second = double.of("/sharing/v1/requests")
    assert request == {"id": "r1"}
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.body == second.body
    assert first.json()["modes"] == ["query"]


async def test_an_answer_cut_short_is_no_answer(
    place: Any, double: Any, answering: Answering
) -> None:
    double.on(QUERY, replace(answering(ROWS), cut=5))
    file = place.folder / "calls.ndjson"

    async with AsyncClient(place.identity(double), call_log=file, retries=0) as client:
        await client.fetch_token()
        with pytest.raises(Unreachable) as caught:
            await client.query("divisions")

    assert caught.value.call == _log(file)[-1]["call"]
    assert _log(file)[-1]["event"] == "unknown"


async def test_no_answer_in_time_is_said_and_not_repeated(place: Any, double: Any) -> None:
    never = asyncio.Event()

    async def handler(_: Any) -> Any:
        await never.wait()

    double.handlers[QUERY] = handler

    async with AsyncClient(place.identity(double)) as client:
        await client.fetch_token()
        with pytest.raises(NoAnswerInTime):
            await client.send(replace(query("divisions"), seconds=-4.8))
    never.set()

    assert len(double.of(QUERY)) == 1


async def test_a_cancelled_call_is_logged_as_unknown(place: Any, double: Any) -> None:
    file = place.folder / "calls.ndjson"
    arrived, never = asyncio.Event(), asyncio.Event()

    async def handler(_: Any) -> Any:
        arrived.set()
        await never.wait()

    double.handlers[QUERY] = handler
    async with AsyncClient(place.identity(double), call_log=file) as client:
        task = asyncio.create_task(client.query("divisions"))
        await asyncio.wait_for(arrived.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    never.set()

    assert _log(file)[-1]["event"] == "unknown"


async def test_a_certificate_of_another_ca_is_explained(
    place: Any, strict_double: Any, answering: Answering
) -> None:
    stranger = type(place.departments)("departments")
    identity = place.identity(strict_double, authority=stranger)

    async with AsyncClient(identity) as client:
        with pytest.raises(CertificateRefused) as caught:
            await client.get_me()

    assert "CA that the gateway does not know" in str(caught.value) or "does not accept" in str(
        caught.value
    )
    assert "enrol again" in (caught.value.next_step or "")
    assert strict_double.received == []


async def test_a_missing_certificate_is_explained(place: Any, strict_double: Any) -> None:
    async with AsyncClient(gateway=strict_double.address, server_ca=place.server_ca) as client:
        with pytest.raises(Unreachable):
            await client.get_checkpoint()


async def test_a_connection_closed_in_place_of_an_answer_points_to_the_certificate(
    place: Any, double: Any
) -> None:
    double.hangs_up_at_once = True

    async with AsyncClient(place.identity(double)) as client:
        with pytest.raises(CertificateRefused, match="does not accept the client certificate"):
            await client.get_me()


async def test_a_gateway_with_a_foreign_certificate_is_not_trusted(place: Any, double: Any) -> None:
    foreign = place.folder / "foreign.pem"
    foreign.write_bytes(type(place.departments)("foreign").pem())

    async with AsyncClient(gateway=double.address, server_ca=foreign) as client:
        with pytest.raises(ServerNotTrusted) as caught:
            await client.get_checkpoint()

    assert "--server-ca" in (caught.value.next_step or "")


async def test_a_gateway_that_is_not_there_is_unreachable(place: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        async with AsyncClient(gateway=f"localhost:{port}", server_ca=place.server_ca) as client:
            with pytest.raises(Unreachable, match="cannot be reached"):
                await client.get_checkpoint()


async def test_public_operations_need_no_certificate_and_no_token(
    place: Any, double: Any, sending: Any
) -> None:
    double.on("/audit/v1/key", sending(200, b"datong.example/log+00000000+AAAA\n"))

    async with AsyncClient(gateway=double.address, server_ca=place.server_ca) as client:
        key = await client.get_log_key()

    assert key == "datong.example/log+00000000+AAAA"
    assert "authorization" not in double.received[0].headers


async def test_lists_and_queries_are_read_page_by_page(
    place: Any, double: Any, answering: Answering
) -> None:
    grants = "/sharing/v1/grants"
    double.on(
        grants,
        answering({"items": [{"id": "1"}], "next": "c 1"}),
        answering({"items": [{"id": "2"}], "next": None}),
    )
    double.on(QUERY, answering({**ROWS, "next": "c2"}), answering(ROWS))

    async with AsyncClient(place.identity(double)) as client:
        found = [grant["id"] async for grant in client.every(sharing.list_grants, limit=1)]
        pages = [page async for page in client.query_pages("divisions", limit=1)]

    assert found == ["1", "2"]
    assert [received.path for received in double.of(grants)] == [
        f"{grants}?limit=1",
        f"{grants}?limit=1&cursor=c+1",
    ]
    assert len(pages) == 2
    assert [received.json().get("cursor") for received in double.of(QUERY)] == [None, "c2"]


async def test_a_package_is_kept_only_when_it_is_whole(
    place: Any, double: Any, sending: Any
) -> None:
    package = place.folder / "package.zip"
    body = bytes(200_000)
    double.on("/audit/v1/packages", sending(200, body, cut=5), sending(200, body))
    log = place.folder / "calls.ndjson"

    async with AsyncClient(place.identity(double), call_log=log) as client:
        with pytest.raises(Unreachable):
            await client.download_package(package)
        assert not package.exists()
        await client.download_package(package, from_="2026-11-24T00:00:00Z")

    assert package.read_bytes() == body
    assert _log(log)[-1]["answer_digest"] == hashlib.sha256(body).hexdigest()
    assert list(place.folder.glob("*.partial")) == []


async def test_a_refused_package_leaves_no_file(
    place: Any, double: Any, answering: Answering
) -> None:
    problem = {"code": "role-missing", "title": "Role missing", "detail": "Auditors only."}
    double.on("/audit/v1/packages", answering(problem, status=403))

    async with AsyncClient(place.identity(double)) as client:
        with pytest.raises(Refused, match="Auditors only"):
            await client.download_package(place.folder / "package.zip")

    assert list(place.folder.glob("package*")) == []


async def test_the_face_without_await_does_the_same(
    place: Any, double: Any, answering: Answering
) -> None:
    double.on(QUERY, answering({**ROWS, "next": "c2"}), answering(ROWS), answering(ROWS))
    double.on("/identity/v1/me", answering({"id": "system"}))
    double.on("/sharing/v1/grants", answering({"items": [{"id": "1"}], "next": None}))
    identity = place.identity(double)

    def run() -> None:
        with Client(identity) as client:
            assert client.get_me() == {"id": "system"}
            assert [page.next for page in client.query_pages("divisions")] == ["c2", None]
            assert list(client.every(sharing.list_grants)) == [{"id": "1"}]
            assert client.query("divisions").rows == ROWS["rows"]
            assert client.fetch_token() == "a.b.c"
        client.close()

    await asyncio.to_thread(run)

    assert double.connections == 1
