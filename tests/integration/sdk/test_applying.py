"""`datong apply` against a platform that remembers what it was told."""

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from datong.cli import run

FILE = """\
agencies:
  - id: health
    name: 卫健委
    level: city
    area_code: 330100
    competent: big-data
    by: operator
    security_officer: {name: 李强, identity: health-security}
  - id: big-data
    name: 数据局
    level: city
    area_code: 330100
    by: operator
    security_officer: {name: 王芳, identity: big-data-security}
people:
  - {identity: registrar, agency: big-data, name: 陈静, roles: [registrar]}
  - {identity: reviewer, agency: big-data, name: 赵磊, roles: [reviewer]}
  - {identity: administrator, agency: big-data, name: 孙敏, roles: [resource_administrator]}
  - {identity: head, agency: big-data, name: 蒋勇, roles: [agency_head]}
  - {identity: drafter, agency: health, name: 韩梅, roles: [technical_officer]}
  - {identity: requester, agency: health, name: 周洁, roles: [sharing_office_head]}
systems:
  - {identity: consumer, agency: health, name: 传染病直报系统}
entries:
  - resource: divisions
    name: 行政区划代码
    summary: 代码和名称。
    share_class: conditional
    share_conditions: 仅限核查。
    items:
      - {name: code, title: 代码, type: text, key: true, required: true, filterable: true}
      - {name: name, title: 名称, type: text}
    data_format: database
    update_frequency: yearly
    modes: [query]
    use_conditions: 供履行职责使用。
    data_grade: general
    by: registrar
    approved_by: reviewer
requests:
  - resource: divisions
    systems: [consumer]
    items: [code, name]
    modes: [query]
    purposes: [public-health]
    basis: 传染病防治法第三十八条
    scenario: 统计
    valid_from: 2026-01-01T00:00:00Z
    valid_until: 2028-01-01T00:00:00Z
    by: drafter
    submitted_by: requester
    answered_by: administrator
    answer: {row_filter: {all: [{item: code, in: ["330106"]}]}, masks: {name: name}}
    confirmed_by: head
"""
_STEPS = {
    "submissions": ("submit", "submitted"),
    "answers": ("answer", "answered"),
    "confirmations": ("confirm", "granted"),
}


class Platform(dict[str, Any]):
    """Keeps agencies, people, systems, entries and requests; routes by pattern.

    Attributes:
        refused: resource whose requests are refused.
        cut: whether the next enrolment is cut off without an answer.
        cut_at: number of an approval of an entry whose answer is cut off.
    """

    def __init__(self, place: Any, double: Any, answering: Callable[..., Any]) -> None:
        super().__init__(double.handlers)
        self._place, self._answer = place, answering
        self.agencies: dict[str, Any] = {}
        self.holders: dict[str, Any] = {}
        self.entries: dict[str, Any] = {}
        self.requests: dict[str, Any] = {}
        self.refused: str | None = None
        self.cut = False
        self.cut_at = 0
        self._approvals = 0
        self._codes: dict[str, dict[str, Any]] = {}

    def __missing__(self, path: str) -> Any:
        name = re.sub(r"/[0-9]+(?=/|$)", "/one", path).removeprefix("/").replace("/", "_")
        method = getattr(self, name.replace("-", "_"))

        async def handler(received: Any) -> Any:
            return method(received)

        return handler

    def _page(self, items: Any) -> Any:
        return self._answer({"items": list(items), "next": None})

    def _holder(self, kind: str, agency: str, body: Any) -> dict[str, Any]:
        number = str(len(self.holders) + 1)
        holder = {"id": number, "agency": agency, "name": body["name"]}
        holder |= {"roles": sorted(body["roles"])} if "roles" in body else {}
        self.holders[number] = holder
        code = f"dt1.{number.zfill(43)}.{self._pin()}"
        self._codes[code] = {"kind": kind, **holder}
        return holder | {"code": code}

    def _pin(self) -> str:
        der = self._place.departments.certificate.public_bytes(serialization.Encoding.DER)
        return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()

    def identity_v1_agencies(self, received: Any) -> Any:
        if received.method == "GET":
            return self._page(self.agencies.values())
        body = received.json()
        assert body.get("competent") is None or body["competent"] in self.agencies
        officer = self._holder("person", body["id"], body["security_officer"])
        self.agencies[body["id"]] = {"line": None, "competent": None, "audits": False} | body
        return self._answer({**body, "security_officer": officer}, status=201)

    def _register(self, kind: str, received: Any) -> Any:
        agency = parse_qs(urlsplit(received.path).query).get("agency", [None])[0]
        if received.method == "GET":
            has = "roles" if kind == "person" else "id"
            return self._page(
                each
                for each in self.holders.values()
                if has in each and agency in (None, each["agency"])
            )
        caller = json.loads(received.headers["authorization"].removeprefix("Bearer "))
        return self._answer(self._holder(kind, caller["agency"], received.json()), status=201)

    def identity_v1_people(self, received: Any) -> Any:
        return self._register("person", received)

    def identity_v1_systems(self, received: Any) -> Any:
        return self._register("system", received)

    def identity_v1_token(self, received: Any) -> Any:
        client = parse_qs(received.body.decode())["client_id"][0]
        holder = self.holders.get(client, {"id": client, "agency": "platform"})
        token = json.dumps({"id": holder["id"], "agency": holder["agency"]})
        return self._answer({"access_token": token, "token_type": "Bearer", "expires_in": 600})

    def identity_v1_enrolments(self, received: Any) -> Any:
        if self.cut:
            self.cut = False
            return None
        body = received.json()
        about = self._codes.pop(body["code"])
        csr = x509.load_pem_x509_csr(body["csr"].encode())
        answer = {
            "certificate": self._place.departments.issue_pem(about["id"], csr.public_key()),
            "ca": self._place.departments.pem().decode(),
            "not_after": "2027-02-22T00:00:00Z",
        }
        return self._answer(answer | {n: about[n] for n in ("kind", "id", "agency")}, status=201)

    def catalog_v1_entries(self, received: Any) -> Any:
        if received.method == "GET":
            asked = parse_qs(urlsplit(received.path).query)
            state = asked.get("state", ["published"])[0]
            return self._page(e for e in self.entries.values() if e["state"] == state)
        number = str(len(self.entries) + 1)
        self.entries[number] = received.json() | {"id": number, "state": "draft"}
        return self._answer(self.entries[number], status=201)

    def catalog_v1_entries_one_submissions(self, received: Any) -> Any:
        return self._moved(received, "submitted")

    def catalog_v1_entries_one_approvals(self, received: Any) -> Any:
        answer = self._moved(received, "published")
        self._approvals += 1
        return None if self._approvals == self.cut_at else answer

    def _moved(self, received: Any, state: str) -> Any:
        entry = self.entries[received.path.split("/")[4]]
        entry["state"] = state
        return self._answer(entry)

    def sharing_v1_requests(self, received: Any) -> Any:
        if received.method == "GET":
            return self._page(self.requests.values())
        body = received.json()
        if body["resource"] == self.refused:
            problem = {"code": "class-not-shared", "title": "Not shared", "detail": "The law."}
            return self._answer(problem, status=403)
        number = str(len(self.requests) + 1)
        self.requests[number] = {
            "statutory": None,
            "row_filter": None,
            "masks": {},
            "answer": None,
            "grant": None,
            **body,
            "id": number,
            "version": 1,
            "state": "drafted",
            "steps": [],
            "renews": None,
            "consumer": "health",
        }
        return self._answer(self.requests[number], status=201)

    def sharing_v1_requests_one(self, received: Any) -> Any:
        return self._answer(self.requests[received.path.split("/")[4]])

    def _step(self, received: Any) -> Any:
        number, last = received.path.split("/")[4:]
        request = self.requests[number]
        assert received.headers["if-match"] == f'"{request["version"]}"'
        step, request["state"] = _STEPS[last]
        caller = json.loads(received.headers["authorization"].removeprefix("Bearer "))
        request["steps"].append({"step": step, "actor": f"person/{caller['id']}"})
        request["version"] += 1
        if step == "answer":
            request["answer"] = received.json()
        if step == "confirm":
            request["grant"] = {"id": "g1", "state": "active"}
        return self._answer(request)

    sharing_v1_requests_one_submissions = _step
    sharing_v1_requests_one_answers = _step
    sharing_v1_requests_one_confirmations = _step


Apply = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def platform(place: Any, double: Any, answering: Any) -> Platform:
    """An empty platform, whose operator is enrolled in `identities/operator`."""
    double.handlers = Platform(place, double, answering)
    del double.handlers["/identity/v1/token"]
    (place.folder / "identities").mkdir()
    place.identity(double, name="operator").directory.rename(
        place.folder / "identities" / "operator"
    )
    about = place.folder / "identities" / "operator" / "identity.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "kind": "person"}))
    kept: Platform = double.handlers
    return kept


@pytest.fixture
def apply(
    place: Any,
    platform: Platform,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Apply:
    """Apply a text as a file; return exit code, output, error output."""
    monkeypatch.delenv("DATONG_CALL_LOG", raising=False)
    identities: Path = place.folder / "identities"

    async def command(text: str, *options: str) -> tuple[int, str, str]:
        (place.folder / "town.yaml").write_text(text, "utf-8")
        arguments = ["apply", str(place.folder / "town.yaml"), "--identities", str(identities)]
        code = await asyncio.to_thread(run, [*arguments, *options])
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def _sections(out: str) -> dict[str, Any]:
    sections: dict[str, Any] = json.loads(out)["sections"]
    return sections


def _writes(double: Any) -> list[str]:
    return [
        each.path for each in double.received if each.method != "GET" and "token" not in each.path
    ]


async def test_everything_is_made_once_by_whom_the_file_names(
    apply: Apply, platform: Platform, double: Any
) -> None:
    code, out, error = await apply(FILE, "--json")

    assert code == 0, error
    made = {name: count["made"] for name, count in _sections(out).items()}
    assert made == {"agencies": 2, "people": 6, "systems": 1, "entries": 1, "requests": 1}
    assert [entry["state"] for entry in platform.entries.values()] == ["published"]
    (request,) = platform.requests.values()
    assert request["state"] == "granted"
    assert request["answer"]["masks"] == {"name": "name"}
    signed = [platform.holders[step["actor"].removeprefix("person/")]["name"]
              for step in request["steps"]]  # fmt: skip
    assert signed == ["周洁", "孙敏", "蒋勇"]

    double.received.clear()
    code, out, _ = await apply(FILE)
    assert code == 0
    assert out.endswith("nothing to do: everything is there as stated\n")
    assert _writes(double) == []


async def test_one_problem_and_nothing_is_sent(apply: Apply, double: Any) -> None:
    code, out, error = await apply(FILE.replace("level: city", "level: town", 1), "--json")

    assert code == 2
    (problem,) = json.loads(out)["problems"]
    assert problem["line"] == 4
    assert json.loads(error)["error"]["kind"] == "FilesInvalid"
    assert double.received == []
    assert (await apply(FILE, "--check"))[1].startswith("nothing wrong: 2 agencies")
    assert double.received == []


async def test_what_only_the_platform_knows_is_asked_before_anything_is_made(
    apply: Apply, double: Any
) -> None:
    text = FILE.replace("competent: big-data", "competent: province")
    text = text.replace("- resource: divisions\n    systems", "- resource: elsewhere\n    systems")

    code, _, error = await apply(text)

    assert code == 2
    assert "agency province is neither stated nor on the platform" in error
    assert "resource elsewhere is neither stated nor published" in error
    assert _writes(double) == []


async def test_what_is_there_in_another_way_is_told_and_left(
    apply: Apply, platform: Platform, double: Any
) -> None:
    await apply(FILE)
    platform.requests["1"]["grant"]["state"] = "suspended"
    double.received.clear()

    text = FILE.replace("name: 卫健委", "name: 卫生局").replace("[agency_head]", "[reviewer]")
    code, out, error = await apply(text.replace("name: 行政区划代码", "name: 区划"))

    assert code == 6
    assert "name is '卫健委', not '卫生局'" in error
    assert "roles is ['agency_head'], not ['reviewer']" in error
    assert "name is '行政区划代码', not '区划'" in error
    assert "the grant of request 1 is suspended" in error
    assert "nothing to do" not in out
    assert _writes(double) == []


async def test_a_refusal_is_told_and_the_rest_is_made(apply: Apply, platform: Platform) -> None:
    platform.refused = "divisions"

    code, out, error = await apply(FILE, "--json")

    assert code == 3
    assert _sections(out)["requests"]["failed"] == 1
    assert _sections(out)["entries"]["made"] == 1
    assert json.loads(out)["failures"][0]["detail"] == "class-not-shared: The law."
    assert "1 of the stated objects were refused" in error
    platform.refused = None
    assert _sections((await apply(FILE, "--json"))[1])["requests"]["made"] == 1


async def test_a_run_that_was_cut_off_goes_on_with_the_code_that_it_kept(
    apply: Apply, platform: Platform, place: Any
) -> None:
    platform.cut = True

    code, _, _ = await apply(FILE, "--at-once", "1")
    assert code == 4
    assert list((place.folder / "identities").glob("*.code"))
    code, out, error = await apply(FILE, "--json")

    assert code == 0, error
    assert _sections(out)["agencies"]["made"] == 2
    assert len(platform.agencies) == 2
    assert not list((place.folder / "identities").glob("*.code"))


async def test_a_run_whose_connection_breaks_looks_again_and_goes_on(
    apply: Apply, platform: Platform
) -> None:
    platform.cut_at = 1

    code, out, error = await apply(FILE, "--json")

    assert code == 0, error
    made = {name: count["made"] for name, count in _sections(out).items()}
    there = {name: count["there"] for name, count in _sections(out).items()}
    assert made == {"agencies": 2, "people": 6, "systems": 1, "entries": 0, "requests": 1}
    assert there == {"agencies": 0, "people": 0, "systems": 0, "entries": 1, "requests": 0}
    assert (len(platform.agencies), len(platform.entries), len(platform.requests)) == (2, 1, 1)


async def test_somebody_whose_identity_is_lost_is_not_registered_again(
    apply: Apply, place: Any, double: Any
) -> None:
    await apply(FILE)
    (place.folder / "identities" / "consumer").rename(place.folder / "moved")
    double.received.clear()

    code, _, error = await apply(FILE)

    assert code == 2
    assert "传染病直报系统 is registered at health" in error
    assert "datong system code" in error
    assert _writes(double) == []


async def test_an_answer_that_is_not_the_stated_one_is_not_confirmed(
    apply: Apply, platform: Platform
) -> None:
    await apply(FILE)
    platform.requests["1"] |= {"state": "answered", "grant": None}
    platform.requests["1"]["steps"][1]["actor"] = "person/somebody"

    code, _, error = await apply(FILE)

    assert code == 6
    assert "has an answer that is not the stated one" in error
    assert platform.requests["1"]["state"] == "answered"
