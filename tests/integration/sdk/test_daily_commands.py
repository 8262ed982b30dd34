"""Commands of every day: work, requests and their steps, grants, the auditor's questions."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from datong.cli import run
from datong.cli.questions import instant
from datong.errors import InputInvalid

Answering = Callable[..., Any]
RECORD = "01990000-0000-7000-8000-000000000001"
NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)


@pytest.fixture
def datong(
    place: Any, double: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Awaitable[tuple[int, str, str]]]:
    """Run the command as the test's identity; return exit code, output, error output."""
    monkeypatch.setenv("DATONG_IDENTITY_DIRECTORY", str(place.identity(double).directory))
    monkeypatch.delenv("DATONG_CALL_LOG", raising=False)

    async def command(*arguments: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(run, list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


async def test_work_shows_what_waits_and_until_when(
    datong: Any, double: Any, answering: Answering
) -> None:
    work = {"request": "r1", "step": "answer", "due": "2026-12-08", "resource": "deaths"}
    double.on(
        "/sharing/v1/work",
        answering({"items": [work], "next": None}),
        answering({"items": [], "next": None}),
    )

    code, out, _ = await datong("work")

    assert code == 0
    assert all(text in out for text in work.values())
    assert (await datong("work"))[1] == "nothing waits for you\n"
    assert json.loads((await datong("work", "--json"))[1]) == {"items": [], "next": None}


ASK = [
    *("request", "deaths", "--system", "s1", "--purpose", "benefit-check"),
    *("--basis", "条例", "--scenario", "核查"),
    *("--from", "2026-12-01T00:00:00Z", "--until", "2027-12-01T00:00:00Z"),
]


async def test_a_conditional_request_is_asked_with_filter_masks_and_law(
    datong: Any, double: Any, answering: Answering
) -> None:
    double.on("/sharing/v1/requests", answering({"id": "r1", "state": "drafted"}, status=201))

    code, out, error = await datong(
        *ASK,
        *("--item", "id_number", "--item", "area", "--mask", "id_number=id_number"),
        *("--filter", "area=330106", "--law", "统计法", "--article", "第十条"),
    )

    assert code == 0
    assert "drafted" in out
    assert "datong submit r1" in error
    body = double.of("/sharing/v1/requests")[0].json()
    assert body["items"] == ["id_number", "area"]
    assert body["modes"] == ["query"]
    assert body["masks"] == {"id_number": "id_number"}
    assert body["row_filter"] == {"all": [{"item": "area", "in": ["330106"]}]}
    assert body["statutory"] == {"title": "统计法", "article": "第十条"}


async def test_operations_of_a_service_are_asked_for_with_mode_call(
    datong: Any, double: Any, answering: Answering
) -> None:
    double.on("/sharing/v1/requests", answering({"id": "r1"}, status=201))

    assert (await datong(*ASK, "--operation", "get-enterprise"))[0] == 0

    body = double.of("/sharing/v1/requests")[0].json()
    assert (body["modes"], body["operations"], body["items"]) == (["call"], ["get-enterprise"], [])


@pytest.mark.parametrize(
    ("arguments", "path", "body"),
    [
        (["submit", "r1"], "submissions", None),
        (["ask", "r1", "--reason", "范围"], "supplement-demands", {"reason": "范围"}),
        (["supplement", "r1", "--text", "本市"], "supplements", {"text": "本市"}),
        (["approve", "r1"], "answers", {"decision": "approve"}),
        (
            ["approve", "r1", "--item", "code", "--mask", "name=name", "--until", "2027-01-01"],
            "answers",
            {
                "decision": "approve",
                "items": ["code"],
                "masks": {"name": "name"},
                "valid_until": "2027-01-01",
            },
        ),
        (["refuse", "r1", "--reason", "否"], "answers", {"decision": "refuse", "reason": "否"}),
        (["return", "r1", "--reason", "缩小"], "returns", {"reason": "缩小"}),
        (["confirm", "r1"], "confirmations", None),
        (["withdraw", "r1", "--reason", "不需"], "withdrawals", {"reason": "不需"}),
    ],
)
async def test_a_step_of_a_request_is_one_command(
    datong: Any,
    double: Any,
    answering: Answering,
    arguments: list[str],
    path: str,
    body: dict[str, Any] | None,
) -> None:
    double.on(f"/sharing/v1/requests/r1/{path}", answering({"id": "r1", "state": "next"}))

    code, out, _ = await datong(*arguments)
    (received,) = double.of(f"/sharing/v1/requests/r1/{path}")

    assert code == 0
    assert "next" in out
    assert (received.json() if received.body else None) == body


async def test_a_step_may_name_the_version_that_was_read(
    datong: Any, double: Any, answering: Answering
) -> None:
    double.on("/sharing/v1/requests/r1/confirmations", answering({"id": "r1"}))

    await datong("confirm", "r1", "--version", "4")

    received = double.of("/sharing/v1/requests/r1/confirmations")[0]
    assert received.headers["if-match"] == '"4"'


async def test_a_grant_is_shown_narrowed_and_renewed(
    datong: Any, double: Any, answering: Answering
) -> None:
    grant = {
        "id": "g1",
        "masks": {"name": "name"},
        "row_filter": {"all": [{"item": "area", "in": ["330106"]}]},
        "validity": "valid",
    }
    double.on("/sharing/v1/grants/g1", answering(grant))
    double.on("/sharing/v1/grants/g1/narrowings", answering({"on_bus": True, "grant": grant}))
    double.on("/sharing/v1/grants/g1/renewals", answering({"id": "r2"}, status=201))

    _, out, _ = await datong("grants", "show", "g1")
    assert "area is 330106" in out
    assert "name as name" in out
    assert json.loads((await datong("grants", "show", "g1", "--json"))[1]) == grant
    await datong("grants", "narrow", "g1", "--item", "code", "--reason", "仅限代码")
    assert double.of("/sharing/v1/grants/g1/narrowings")[0].json() == {
        "reason": "仅限代码",
        "items": ["code"],
    }
    await datong("grants", "renew", "g1", "--until", "2028-12-01T00:00:00Z")
    assert double.of("/sharing/v1/grants/g1/renewals")[0].json() == {
        "valid_until": "2028-12-01T00:00:00Z"
    }


CALL = "/call/enterprises/enterprises/91330106"
PURPOSE = ("--purpose", "labour-inspection")


async def test_an_owners_service_is_called_and_answers_as_it_will(
    datong: Any, double: Any, sending: Any, tmp_path: Path
) -> None:
    named = {"Content-Type": "application/json", "Datong-Owner": "market", "Datong-Evidence": "e1"}
    double.on(CALL, sending(200, b'{"name":"\xe4\xba\x91"}', named))

    code, out, error = await datong("call", "enterprises", "/enterprises/91330106", *PURPOSE)
    assert (code, out) == (0, '{"name":"云"}')
    assert "market answered 200" in error
    assert "e1" in error
    (received,) = double.of(CALL)
    assert (received.method, received.headers["datong-purpose"]) == ("GET", "labour-inspection")

    _, out, _ = await datong("call", "enterprises", "/enterprises/91330106", *PURPOSE, "--json")
    told = json.loads(out)
    assert (told["status"], told["owner"], told["body"]) == (200, "market", {"name": "云"})

    file = tmp_path / "answer.json"
    arguments = ("call", "enterprises", "enterprises/91330106", *PURPOSE, "--output", str(file))
    assert (await datong(*arguments))[0] == 0
    assert file.read_bytes() == b'{"name":"\xe4\xba\x91"}'


async def test_a_call_takes_a_body_and_parameters(
    datong: Any, double: Any, sending: Any, tmp_path: Path
) -> None:
    double.on(CALL, sending(200, b"\xff", {"Datong-Owner": "market"}))
    body = tmp_path / "body.json"
    body.write_text('{"year": 2026}')
    call = ("call", "enterprises", "enterprises/91330106", *PURPOSE)

    _, out, _ = await datong(*call, "--body", str(body), "--parameter", "path=甲 乙", "--json")

    assert json.loads(out)["base64"] == "/w=="
    (received,) = double.of(CALL)
    assert (received.method, received.body) == ("POST", b'{"year": 2026}')
    assert received.path == f"{CALL}?path=%E7%94%B2+%E4%B9%99"
    assert received.headers["content-type"] == "application/json"


async def test_errors_of_an_owners_service_are_printed_and_end_with_three(
    datong: Any, double: Any, answering: Answering, sending: Any, tmp_path: Path
) -> None:
    file = tmp_path / "answer.json"
    call = ("call", "enterprises", "enterprises/91330106", *PURPOSE)
    double.on(CALL, sending(404, b"none", {"Datong-Owner": "market"}))

    assert (await datong(*call))[:2] == (3, "none")
    assert (await datong(*call, "--output", str(file)))[:2] == (3, "none")
    double.on(CALL, answering({"code": "operation-not-granted", "title": "No"}, status=403))
    code, _, error = await datong(*call, "--output", str(file))
    assert code == 3
    assert "operation-not-granted" in error
    assert list(tmp_path.glob("answer*")) == []
    for wrong in (
        ("--method", "TRACE"),
        ("--body", str(tmp_path / "absent")),
        ("--parameter", "x"),
        ("--method", "DELETE", "--body", "/dev/null"),
    ):
        assert (await datong(*call, *wrong))[0] == 2


async def test_an_argument_that_is_no_text_is_wrong_usage(datong: Any, double: Any) -> None:
    code, _, error = await datong("search", "\udcff")

    assert code == 2
    assert "UTF-8" in error


async def test_what_others_wrote_cannot_steer_the_terminal(
    datong: Any, double: Any, answering: Answering
) -> None:
    item = {"id": "g1", "resource": "x\x1b]0;owned\x07", "owner": "a\x9b2J"}
    double.on("/sharing/v1/grants", answering({"items": [item], "next": None}))
    problem = {"code": "parameter-invalid", "title": "No\x1b[2J", "detail": "d"}
    double.on("/catalog/v1/search", answering(problem, status=422))

    _, out, _ = await datong("grants", "list")
    _, _, error = await datong("search", "区划")

    assert "x" in out
    assert not {"\x1b", "\x9b", "\x07"} & set(out + error)


async def test_uses_are_counted_by_agency_system_and_purpose(
    datong: Any, double: Any, answering: Answering
) -> None:
    def record(at: str, **more: Any) -> dict[str, Any]:
        common = {"type": "call", "at": at, "caller_agency": "health", "caller": "system/s1"}
        return {**common, "purpose": "public-health", "mode": "query", "rows": 2, **more}

    double.on(
        "/audit/v1/records",
        answering({"items": [record("t5"), record("t4", caller="system/s2")], "next": "c"}),
        answering(
            {
                "items": [
                    record("t3"),
                    record("t2", mode="publish"),
                    record("t1", reason="owner-unavailable"),
                    record("t0", type="closed"),
                ],
                "next": None,
            }
        ),
    )

    code, out, _ = await datong("audit", "uses", "deaths", "--since", "1h", "--json")

    assert code == 0
    first, second = json.loads(out)["items"]
    assert (first["caller"], first["count"], first["rows"]) == ("system/s1", 2, 4)
    assert (first["first"], first["last"]) == ("t3", "t5")
    assert (second["caller"], second["count"]) == ("system/s2", 1)
    asked = double.of("/audit/v1/records")[0].path
    assert "resource=deaths" in asked
    assert "decision=allowed" in asked


async def test_refusals_are_counted_by_reason(
    datong: Any, double: Any, answering: Answering
) -> None:
    denied = {"type": "call", "at": "t1", "resource": "deaths", "caller_agency": "education"}
    items = [{**denied, "reason": "grant-missing"}, {**denied, "reason": "purpose-not-granted"}]
    by_the_service = [{**denied, "reason": "items-not-granted", "at": f"t{n}"} for n in "324"]
    double.on(
        "/audit/v1/records",
        answering({"items": [*items, items[1], *by_the_service, denied], "next": None}),
        answering({"items": [], "next": None}),
    )

    _, out, _ = await datong("audit", "refusals")
    lines = [line for line in out.splitlines() if "deaths" in line]

    reasons = ("items-not-granted", "purpose-not-granted", "grant-missing")
    assert all(reason in line for reason, line in zip(reasons, lines, strict=True))
    assert "t2" in lines[0]
    assert "t4" in lines[0]
    (asked,) = (call.path for call in double.of("/audit/v1/records"))
    assert "refused=true" in asked
    assert (await datong("audit", "refusals"))[1] == "nothing was refused\n"


def test_a_point_in_time_is_an_instant_or_some_time_ago() -> None:
    assert instant("1h", NOW) == "2026-11-24T07:00:00.000000Z"
    assert instant("90s", NOW) == "2026-11-24T07:58:30.000000Z"
    assert instant("2026-11-24T08:00:00+08:00", NOW) == "2026-11-24T08:00:00+08:00"
    for wrong in ("", "1", "1w", "0h", "yesterday", "2026-11-24", "2026-11-24T08:00:00"):
        with pytest.raises(InputInvalid):
            instant(wrong, NOW)
