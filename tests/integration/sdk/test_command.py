"""The `datong` command: what it prints and how it ends."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import pytest

from datong.cli import run

Answering = Callable[..., Any]
QUERY = "/data/v1/divisions/query"
ROWS = {"rows": [{"code": "330100", "name": "杭州市"}], "next": None}


@pytest.fixture
def datong(
    place: Any, double: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Awaitable[tuple[int, str, str]]]:
    """Run the command as the test's system; return exit code, output, error output."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place.folder / "config"))
    monkeypatch.setenv("DATONG_IDENTITY_DIRECTORY", str(place.identity(double).directory))
    monkeypatch.delenv("DATONG_CALL_LOG", raising=False)

    async def command(*arguments: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(run, list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


async def test_a_query_prints_a_table_and_names_its_evidence(
    datong: Any, double: Any, answering: Answering
) -> None:
    double.on(QUERY, answering(ROWS, Datong_Evidence="e1"))

    code, out, error = await datong(
        "query", "divisions", "--purpose", "registration", "--key", "code=330100"
    )

    assert code == 0
    assert "杭州市" in out
    assert "evidence: e1" in error
    assert double.of(QUERY)[0].json() == {"key": {"code": "330100"}}


SEARCH = "/catalog/v1/search"
FOUND = {
    "items": [
        {
            "id": "e1",
            "resource": "deaths",
            "name": "死亡登记",
            "agency": "police",
            "modes": ["query"],
        }
    ],
    "total": 12,
    "facets": {
        "agency": [{"value": f"agency-{at}", "count": 2} for at in range(6)],
        "share_class": [{"value": "conditional", "count": 12}],
        "mode": [],
    },
    "next": "c",
}


async def test_a_search_prints_hits_and_what_they_are_of(
    datong: Any, double: Any, answering: Answering
) -> None:
    double.on(SEARCH, answering(FOUND))

    code, out, error = await datong("search", "死亡", "登记", "--mode", "query")
    _, document, _ = await datong("search", "死亡", "--json")

    assert code == 0
    assert "死亡登记" in out
    assert "12 found; agency: agency-0 2" in error
    assert "share_class: conditional 12" in error
    assert "--cursor c" in error
    assert json.loads(document) == FOUND
    asked = double.of(SEARCH)[0].path.partition("?")[2]
    assert parse_qs(asked) == {"q": ["死亡 登记"], "mode": ["query"]}


async def test_a_query_prints_json_and_takes_typed_values(
    datong: Any, double: Any, answering: Answering
) -> None:
    double.on(QUERY, answering({**ROWS, "next": "c"}), answering(ROWS))

    code, out, _ = await datong(
        "query", "divisions", "--where", "level:=2", "--item", "code", "--all", "--json"
    )

    assert code == 0
    found = json.loads(out)
    assert len(found["rows"]) == 2
    assert found["next"] is None
    assert len(found["evidence"]) == 2
    assert double.of(QUERY)[0].json() == {"where": {"level": 2}, "items": ["code"]}


async def test_a_refusal_ends_with_3_and_says_what_to_do(
    datong: Any, double: Any, answering: Answering
) -> None:
    problem = {
        "code": "grant-missing",
        "title": "No grant",
        "detail": "No grant covers this system.",
        "next_step": "Ask for it.",
    }
    double.on(QUERY, answering(problem, status=403))

    code, out, error = await datong("query", "divisions")
    as_json, _, described = await datong("query", "divisions", "--json")

    assert (code, as_json) == (3, 3)
    assert out == ""
    assert "grant-missing" in error
    assert error.count("Ask for it.") == 1
    assert json.loads(described)["error"]["next_step"] == "Ask for it."


async def test_an_absent_platform_ends_with_4(datong: Any, place: Any) -> None:
    code, _, error = await datong(
        "audit", "key", "--gateway", "localhost:1", "--server-ca", str(place.server_ca)
    )

    assert code == 4
    assert "cannot be reached" in error


@pytest.mark.parametrize(
    "arguments",
    [
        ["query"],
        ["no-such-command"],
        ["query", "divisions", "--key", "a=1", "--where", "b=2"],
        ["query", "divisions", "--key", "no-value"],
        ["query", "divisions", "--key", "a:=not json"],
        ["query", "divisions", "--limit", "1001"],
        ["load", "divisions", "/no/such/file"],
        ["catalogue", "create", "/no/such/file.yaml"],
        ["whoami", "--as", "nobody"],
        ["enrol", "no-code", "--gateway", "localhost:1"],
        ["enrol", "dt1.x.y"],
        ["verify", "p.zip", "--key", "k", "--checkpoint", "/no/such/file"],
    ],
)
async def test_wrong_usage_ends_with_2_and_no_traceback(datong: Any, arguments: list[str]) -> None:
    code, _, error = await datong(*arguments)

    assert code == 2
    assert error
    assert "Traceback" not in error


async def test_help_is_there_for_every_command(datong: Any) -> None:
    code, out, _ = await datong("--help")
    assert code == 0
    for group in ("catalogue", "grants", "requests", "audit", "agency", "person", "system"):
        assert group in out
        assert (await datong(group, "--help"))[0] == 0


async def test_an_entry_is_created_from_yaml_or_json(
    datong: Any, double: Any, place: Any, answering: Answering
) -> None:
    double.on("/catalog/v1/entries", answering({"id": "e1"}, status=201))
    (place.folder / "entry.yaml").write_text("name: 行政区划代码\nitems:\n  - name: code\n")
    (place.folder / "entry.json").write_text(
        '{"name": "行政区划代码", "items": [{"name": "code"}]}'
    )
    (place.folder / "list.json").write_text("[]")
    (place.folder / "broken.yml").write_text("a: [")

    for file in ("entry.yaml", "entry.json"):
        assert (await datong("catalogue", "create", str(place.folder / file)))[0] == 0
    for file in ("list.json", "broken.yml"):
        assert (await datong("catalogue", "create", str(place.folder / file)))[0] == 2

    first, second = double.of("/catalog/v1/entries")
    assert first.json() == second.json() == {"name": "行政区划代码", "items": [{"name": "code"}]}


async def test_a_suspension_names_the_state_to_wait_for(
    datong: Any, double: Any, answering: Answering
) -> None:
    double.on(
        "/sharing/v1/grants/g1/suspensions",
        answering({"on_bus": True}, Datong_Revision="sharing.grant/g1@7"),
    )
    double.on(QUERY, answering(ROWS))

    code, _, error = await datong("grants", "suspend", "g1", "--reason", "leak suspected")
    await datong("query", "divisions", "--after", "sharing.grant/g1@7")

    assert code == 0
    assert "--after 'sharing.grant/g1@7'" in error
    assert double.of("/sharing/v1/grants/g1/suspensions")[0].json() == {"reason": "leak suspected"}
    assert double.of(QUERY)[0].headers["datong-after"] == "sharing.grant/g1@7"


@pytest.mark.parametrize(
    ("options", "modes"),
    [
        ((), ["query"]),
        (("--mode", "batch"), ["batch"]),
        (("--mode", "query", "--mode", "batch"), ["query", "batch"]),
    ],
)
async def test_a_request_names_the_modes_of_receiving(
    datong: Any, double: Any, answering: Answering, options: tuple[str, ...], modes: list[str]
) -> None:
    double.on("/sharing/v1/requests", answering({"id": "r1"}, status=201))

    code, _, error = await datong(
        *("request", "divisions", "--system", "s1", "--item", "code"),
        *("--purpose", "registration", "--basis", "条例", "--scenario", "登记"),
        *("--from", "2026-12-01T00:00:00Z", "--until", "2027-12-01T00:00:00Z"),
        *options,
    )

    assert code == 0, error
    assert double.of("/sharing/v1/requests")[0].json()["modes"] == modes


async def test_an_explanation_lists_the_checks(
    datong: Any, double: Any, answering: Answering
) -> None:
    checks = [{"check": "grant-suspended", "passed": False, "fact": "suspended"}]
    double.on(
        "/gateway/v1/explanations",
        answering({"decision": "denied", "reason": "grant-suspended", "checks": checks}),
    )

    code, out, error = await datong("explain", "divisions", "--purpose", "registration")

    assert code == 0
    assert "suspended" in out
    assert "denied: grant-suspended" in error


async def test_lists_show_columns_and_the_next_cursor(
    datong: Any, double: Any, answering: Answering
) -> None:
    double.on("/sharing/v1/grants", answering({"items": [{"id": "g1"}], "next": "c2"}))
    double.on("/identity/v1/people", answering({"items": [], "next": None}))

    code, out, error = await datong("grants", "list")
    assert (code, "g1" in out, "--cursor c2" in error) == (0, True, True)
    assert "nothing found" in (await datong("person", "list", "--agency", "health"))[1]
    assert double.of("/identity/v1/people")[0].path == "/identity/v1/people?agency=health"


async def test_the_call_log_and_the_time_allowed_can_be_named(
    datong: Any, double: Any, place: Any, answering: Answering
) -> None:
    double.on(QUERY, answering(ROWS))
    log = place.folder / "calls.ndjson"

    await datong("--call-log", str(log), "query", "divisions", "--seconds=60")

    assert [json.loads(line)["event"] for line in log.read_text().splitlines()].count("sent") == 2
    assert double.of(QUERY)[0].headers["datong-timeout"] == "60"


async def test_whoami_and_token_work_locally_and_remotely(
    datong: Any, double: Any, answering: Answering
) -> None:
    double.on("/identity/v1/me", answering({"id": "system", "agency": "health"}))

    assert "health" in (await datong("whoami"))[1]
    local = json.loads((await datong("whoami", "--local", "--json"))[1])
    assert local["agency"] == "health"
    assert (await datong("token"))[1] == "a.b.c\n"
    assert json.loads((await datong("token", "--json"))[1])["access_token"] == "a.b.c"


async def test_the_key_of_the_log_is_printed_alone(datong: Any, double: Any, sending: Any) -> None:
    double.on("/audit/v1/key", sending(200, b"datong.example/log+00000000+AAAA\n"))

    assert (await datong("audit", "key"))[1] == "datong.example/log+00000000+AAAA\n"
