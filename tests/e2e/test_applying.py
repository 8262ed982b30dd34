"""`datong apply` on a whole platform: four people sign, a law names a recipient, problems stop."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from datong import AsyncClient, applying, enrol
from datong.applying import FilesInvalid, Report
from datong.operations import identity, sharing
from stack.settings import StackSettings
from stack.supervisor import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOWN = """\
agencies:
  - id: police
    name: 公安局
    level: city
    area_code: 330100
    by: operator
    security_officer: {name: 王芳, identity: police-security}
  - id: insurance
    name: 人社局
    level: city
    area_code: 330100
    competent: police
    by: operator
    security_officer: {name: 李强, identity: insurance-security}
people:
  - {identity: registrar, agency: police, name: 陈静, roles: [registrar]}
  - {identity: reviewer, agency: police, name: 赵磊, roles: [reviewer]}
  - {identity: administrator, agency: police, name: 孙敏, roles: [resource_administrator]}
  - {identity: head, agency: police, name: 蒋勇, roles: [agency_head]}
  - {identity: drafter, agency: insurance, name: 韩梅, roles: [technical_officer]}
  - {identity: requester, agency: insurance, name: 周洁, roles: [sharing_office_head]}
systems:
  - {identity: consumer, agency: insurance, name: 失业保险系统}
"""
DESCRIBED = """\
    summary: 姓名和日期。
    items:
      - {name: code, title: 编号, type: text, key: true, required: true, filterable: true}
      - {name: name, title: 姓名, type: text}
      - {name: cause, title: 原因, type: text}
    data_format: database
    update_frequency: daily
    modes: [query]
    use_conditions: 供履行职责使用。
    data_grade: general
    by: registrar
    approved_by: reviewer
"""
ENTRIES = f"""\
entries:
  - resource: deaths
    name: 死亡登记
    share_class: conditional
    share_conditions: 仅限核查。
{DESCRIBED}
  - resource: adoptions
    name: 收养登记
    share_class: not_shared
    legal_basis: {{kind: law, title: 民法典, article: 第一千一百一十条}}
{DESCRIBED}
"""
ASKED = """\
    systems: [consumer]
    items: [code, name]
    modes: [query]
    purposes: [unemployment-benefit]
    basis: 社会保险法第五十一条
    scenario: 核查领取资格
    valid_from: 2026-01-01T00:00:00Z
    valid_until: 2028-01-01T00:00:00Z
    by: drafter
    submitted_by: requester
    answered_by: administrator
    confirmed_by: head
"""
REQUESTS = f"""\
requests:
  - resource: deaths
    answer: {{row_filter: {{all: [{{item: code, in: ["330106"]}}]}}, masks: {{name: name}}}}
{ASKED}
  - resource: adoptions
    statutory: {{title: 社会保险法, article: 第七十五条}}
{ASKED}
"""
SIGNED = ["drafter", "requester", "administrator", "head"]


@dataclass
class Place:
    """A platform on which nobody but the operator is enrolled, and the folder of identities."""

    folder: Path

    @property
    def identities(self) -> Path:
        return self.folder / "identities"

    async def apply(self, *texts: str) -> Report:
        """Apply texts as files `0.yaml`, `1.yaml`, …"""
        files = [self.folder / f"{number}.yaml" for number in range(len(texts))]
        for file, text in zip(files, texts, strict=True):
            await asyncio.to_thread(file.write_text, text, "utf-8")
        return await applying.apply(files, identities=self.identities)

    async def refused(self, *texts: str) -> list[str]:
        """Apply texts that cannot be; return the problems as `<file>:<line>: <what>`."""
        with pytest.raises(FilesInvalid) as raised:
            await self.apply(*texts)
        return [problem.text.removeprefix(f"{self.folder}/") for problem in raised.value.problems]

    async def every(self, who: str, list_: Any) -> list[dict[str, Any]]:
        """Everything in a list, as `who` sees it."""
        async with AsyncClient(self.identities / who) as client:
            return [item async for item in client.every(list_)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(session_directory: Path) -> AsyncIterator[Place]:
    """A whole platform."""
    directory = session_directory / "applying"
    settings = StackSettings(postgres_url_file=None, kafka=None, stack_port=None)
    async with Stack(directory / "platform", settings=settings) as stack:
        operator, _ = await stack.bootstrap()
        made = Place(directory)
        made.identities.mkdir()
        await enrol(
            operator.read_text("utf-8").strip(),
            made.identities / "operator",
            gateway=stack.address("gateway"),
            server_ca=stack.certificates.ca,
        )
        yield made


def line(text: str, piece: str, after: str = "") -> int:
    """Number of the first line with `piece`, of those from `after` on."""
    return text[: text.index(piece, text.index(after))].count("\n") + 1


async def test_what_is_wrong_is_told_with_its_line_and_nothing_is_made(place: Place) -> None:
    whole = TOWN + ENTRIES + REQUESTS
    agency = line(whole, "- id: police")
    request = line(whole, "- resource: deaths", "requests:")
    unknown_key = whole.replace("level: city", "levl: city", 1)
    cycle = whole.replace("    by: operator", "    competent: insurance\n    by: operator", 1)

    assert await place.refused(unknown_key) == [
        f"0.yaml:{agency}: level is missing",
        f"0.yaml:{agency + 2}: unknown key levl; level is meant?",
    ]
    assert await place.refused(cycle) == [
        f"0.yaml:{agency}: a cycle in the tree of agencies: police → insurance → police"
    ]
    assert await place.refused(whole.replace("competent: police", "competent: province")) == [
        f"0.yaml:{line(whole, '- id: insurance')}: "
        "agency province is neither stated nor on the platform"
    ]
    assert await place.refused(
        whole.replace("requests:\n  - resource: deaths", "requests:\n  - resource: births")
    ) == [f"0.yaml:{request}: resource births is neither stated nor published"]
    assert await place.refused(whole.replace("items: [code, name]", "items: [code, nam]", 1)) == [
        f"0.yaml:{request}: unknown item nam; name is meant?",
        f"0.yaml:{request}: unknown masks: item name; nam is meant?",
    ]
    assert [each["id"] for each in await place.every("operator", identity.list_agencies)] == [
        "platform"
    ]


async def test_four_people_sign_what_is_conditional_and_what_a_law_opens(place: Place) -> None:
    report = await place.apply(TOWN, ENTRIES, REQUESTS)

    assert report.as_json()["failures"] == []
    assert report.sections["requests"].made == 2
    people = {
        each["id"]: each["name"]
        for who in ("police-security", "insurance-security")
        for each in await place.every(who, identity.list_people)
    }
    requests = {each["resource"]: each for each in await place.every("head", sharing.list_requests)}
    for asked in requests.values():
        signed = [people[step["actor"].removeprefix("person/")] for step in asked["steps"]]
        assert signed == ["韩梅", "周洁", "孙敏", "蒋勇"]
    grants = {each["resource"]: each for each in await place.every("head", sharing.list_grants)}
    assert grants["deaths"]["masks"] == {"name": "name"}
    assert grants["deaths"]["row_filter"]["all"][0]["in"] == ["330106"]
    assert grants["adoptions"]["statutory"] == {"title": "社会保险法", "article": "第七十五条"}
    assert {each["state"] for each in grants.values()} == {"active"}
    assert {each["state"] for each in requests.values()} == {"granted"}


async def test_again_it_changes_nothing_and_published_entries_are_checked_too(
    place: Place,
) -> None:
    again = await place.apply(TOWN, ENTRIES, REQUESTS)
    wrong = REQUESTS.replace("items: [code, name]", "items: [code, cuase]", 1)
    before = await place.every("head", sharing.list_requests)
    request = line(REQUESTS, "- resource: deaths")

    assert again.as_json()["changed"] is False
    assert await place.refused(
        TOWN, wrong.replace("masks: {name: name}", "masks: {code: name}")
    ) == [f"1.yaml:{request}: unknown item cuase; cause is meant?"]
    unfilterable = REQUESTS.replace(
        "    answer:", "    row_filter: {all: [{item: name, in: [x]}]}\n    answer:"
    )
    assert await place.refused(TOWN, unfilterable) == [
        f"1.yaml:{request}: row_filter: item name is not filterable"
    ]
    assert await place.every("head", sharing.list_requests) == before
