"""Every route, called by people and systems of one agency on objects of others."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from datong.enrolment import NewKey
from stack.demo.entries import (
    DIVISIONS,
    DIVISIONS_ENTRY,
    EDUCATION_NEED,
    PURPOSE,
    publish_entry,
    request_divisions,
)
from stack.demo.procedure import Asked, draft
from stack.demo.town import CIVIL_AFFAIRS, EDUCATION, HEALTH, Cast, join
from stack.settings import StackSettings
from stack.supervisor import Stack
from tests.contract.parts import gateway_operations, read
from tests.e2e.outsider import Outsider
from tests.e2e.walk import DATA, PUBLIC, WALK, Ask, asks
from tests.support.load_connection import Reply
from tests.support.town import TestTown, found_town

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET: Final = "秘密"
"""Stands in every text of the other agencies that is not in the published catalogue."""

INSIDERS: Final = Cast(
    agencies=(),
    people=(
        ("insider", CIVIL_AFFAIRS, f"{SECRET}人员", ["technical_officer"]),
        (
            "intruder",
            EDUCATION,
            "全权人员",
            [
                *("registrar", "reviewer", "resource_administrator", "technical_officer"),
                *("sharing_office_head", "agency_head", "security_officer", "competent_officer"),
            ],
        ),
        ("intruder-reviewer", EDUCATION, "复核人员", ["reviewer"]),
    ),
    systems=(
        ("archive", CIVIL_AFFAIRS, f"{SECRET}系统"),
        ("bystander", EDUCATION, "旁观系统"),
    ),
)
"""The intruder holds every office of his own agency; `latecomer` is his system with a grant."""

OWN_RESOURCE: Final = "school-places"
SERVICE: Final = "enterprise-service"
ADDRESS: Final = "https://10.11.12.13:8443"
SERVICE_ENTRY: Final[dict[str, Any]] = DIVISIONS_ENTRY | {
    "resource": SERVICE,
    "name": "企业登记服务",
    "items": [],
    "share_class": "conditional",
    "share_conditions": "限于履行法定职责。",
    "modes": ["call"],
    "service": {
        "address": ADDRESS,
        "operations": [
            {"name": "enterprise", "title": "企业", "method": "GET", "path": "/enterprises/{code}"}
        ],
        "seconds": 5,
    },
}
DRAFT_ENTRY: Final = DIVISIONS_ENTRY | {
    "resource": "unpublished-plan",
    "name": f"{SECRET}目录",
    "summary": f"{SECRET}，未发布。",
}


@dataclass
class Scene:
    """Others' objects, and who walks over them.

    Attributes:
        objects: id for every parameter of a path and every name in the walk.
        secrets: texts that no answer to the intruder may hold, unless he said them in the call.
    """

    outsider: Outsider
    objects: dict[str, str]
    secrets: frozenset[str]
    seen: list[str] = field(default_factory=list)

    async def call(self, ask: Ask, who: str) -> Reply:
        """Make a call as somebody of the intruder's agency; nothing of others may come back."""
        reply = await self.outsider.ask(ask.method, ask.path, ask.body, name=who, **ask.headers)
        told = reply.body.decode("utf-8", "replace") + str(dict(reply.headers))
        leaked = {text for text in self.secrets if text in told and text not in ask.said}
        assert not leaked, f"{who} {ask.operation}: {leaked} in {told[:2000]}"
        assert reply.status < 500, f"{who} {ask.operation}: {told[:2000]}"
        self.seen.append(ask.operation)
        return reply

    def refused(self, ask: Ask, who: str, reply: Reply) -> str:
        """Check that an answer is a refusal by a known code; return the code."""
        where = f"{who} {ask.method} {ask.path}: {reply.status} {reply.body[:500]!r}"
        assert reply.status >= 400, f"answered: {where}"
        problem: dict[str, Any] = json.loads(reply.body)
        row = read("problems.yaml").get(problem["code"])
        assert row is not None, where
        assert row["status"] == reply.status, where
        assert problem["next_step"], where
        return str(problem["code"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(session_directory: Path) -> AsyncIterator[Scene]:
    """A platform on which the owner and a consumer have one object of every kind."""
    directory = session_directory / "two-agencies"
    settings = StackSettings(postgres_url_file=None, kafka=None, stack_port=None)
    async with Stack(directory / "platform", gateways=1, settings=settings) as stack:
        town = await found_town(stack, directory / "town")
        try:
            await join(town.town, INSIDERS)
            yield await _scene(town)
        finally:
            await town.close()


async def _scene(town: TestTown) -> Scene:
    people, consumer = town.town, town.client("consumer")
    batch = (await town.load())["id"]
    private = {
        "batch": batch,
        "draft": (await town.client("registrar").create_entry(DRAFT_ENTRY))["id"],
        "grant": town.grants["consumer"],
        "person": town.identity("insider").id,
        "system": town.identity("archive").id,
        "thumbprint": town.identity("archive").thumbprint,
    }
    asked = Asked(DIVISIONS, ["code"], PURPOSE, f"{SECRET}依据", f"{SECRET}场景")
    await publish_entry(people, SERVICE_ENTRY)
    for_service = Asked(
        SERVICE, (), PURPOSE, f"{SECRET}依据", f"{SECRET}场景", ("call",), ("enterprise",)
    )
    private["request"] = (await draft(people, "requester", for_service, "consumer"))["id"]
    granted = await draft(people, "requester", asked, "stranger")
    subscription = await consumer.subscribe(DIVISIONS, purpose=PURPOSE)
    private["subscription"] = subscription["id"]
    deliveries = await consumer.list_deliveries(
        DIVISIONS, subscription["id"], purpose=PURPOSE, wait=30
    )
    private["delivery"] = deliveries["items"][0]["id"]
    rows = await consumer.query(DIVISIONS, purpose=PURPOSE, key={"code": "33"}, case=SECRET)
    assert rows.evidence is not None
    assert rows.salt is not None
    private["record"] = rows.evidence

    # What the intruder's agency has of its own.
    own = DIVISIONS_ENTRY | {"resource": OWN_RESOURCE, "name": "学位"}
    await publish_entry(people, own, writer="intruder", approver="intruder-reviewer")
    await request_divisions(people, EDUCATION_NEED)

    others = {CIVIL_AFFAIRS, HEALTH}
    everybody = [each for each in people.identities.values() if each.agency in others]
    secrets = {SECRET, ADDRESS.removeprefix("https://"), rows.salt, granted["id"]}
    secrets |= {granted["grant"]["id"], *private.values()}
    secrets |= {each.id for each in everybody} | {each.thumbprint for each in everybody}
    objects = private | {
        "agency": CIVIL_AFFAIRS,
        "chunk": "0",
        "code": f"dt1.{'A' * 43}.{'A' * 43}",
        "csr": NewKey.generate().csr(),
        "draft_resource": DRAFT_ENTRY["resource"],
        "entry": private["draft"],
        "path": "0/000",
        "resource": DIVISIONS,
        "segment": "0",
        "version": "1",
    }
    return Scene(Outsider(town), objects, frozenset(secrets))


async def test_the_walk_knows_every_route() -> None:
    assert set(WALK) == set(gateway_operations())


@pytest.mark.parametrize("who", ["intruder", "bystander"])
async def test_nobody_reaches_objects_of_another_agency(scene: Scene, who: str) -> None:
    """The lists come first: what he names later stands in the records of his own calls."""
    calls = sorted(asks(scene.objects), key=lambda ask: not ask.answers)
    for ask in calls:
        reply = await scene.call(ask, who)
        if not ask.answers or reply.status >= 400:
            scene.refused(ask, who, reply)


@pytest.mark.parametrize("who", ["intruder", "bystander"])
async def test_a_published_entry_is_read_and_left_alone(scene: Scene, who: str) -> None:
    for entry in (scene.outsider.town.entry, await _service_entry(scene)):
        names = {
            name for name, (route, _) in gateway_operations().items() if "{entry}" in route.path
        }
        for ask in asks(scene.objects | {"entry": entry}, names):
            reply = await scene.call(ask, who)
            if ask.operation in PUBLIC:
                assert reply.status == 200
            else:
                assert scene.refused(ask, who, reply) in {"other-agency", "role-missing"}


async def test_a_service_of_another_agency_is_not_called(scene: Scene) -> None:
    names = {
        name
        for name, (_, row) in gateway_operations().items()
        if row.get("x-datong-data") == "call"
    }
    objects = scene.objects | {"resource": SERVICE, "path": "enterprises/91330100MA00000000"}
    for ask in asks(objects, names):
        assert (
            scene.refused(ask, "latecomer", await scene.call(ask, "latecomer")) == "grant-missing"
        )


async def test_a_right_of_ones_own_does_not_open_others_objects(scene: Scene) -> None:
    """The system has a grant for the same resource, and its agency a resource of its own."""
    for name, codes in DATA.items():
        _, row = gateway_operations()[name]
        own = {"resource": OWN_RESOURCE} if row["x-datong-data"] == "publish" else {}
        for ask in asks(scene.objects | own, {name}):
            headers = {**ask.headers, "Datong_Purpose": EDUCATION_NEED.purpose}
            ask = Ask(ask.operation, ask.method, ask.path, ask.body, headers, ask.answers)
            reply = await scene.call(ask, "latecomer")
            assert scene.refused(ask, "latecomer", reply) in codes, name


async def test_afterwards_everything_is_as_it_was(scene: Scene) -> None:
    town, objects = scene.outsider.town, scene.objects
    grant = await town.client("requester").get_grant(objects["grant"])
    request = await town.client("requester").get_request(objects["request"])
    entry = await town.client("registrar").get_entry(objects["draft"])
    assert (grant["state"], grant["version"]) == ("active", 1)
    assert (request["state"], request["version"]) == ("drafted", 1)
    assert entry["draft"]["summary"] == DRAFT_ENTRY["summary"]
    assert (
        await town.client("consumer").query(DIVISIONS, purpose=PURPOSE, key={"code": "33"})
    ).rows
    assert await town.client("archive").get_me()
    assert set(scene.seen) == set(WALK)
    for process in town.stack.plans:
        assert "Traceback" not in town.stack.log_file(process).read_text(encoding="utf-8"), process


async def _service_entry(scene: Scene) -> str:
    page = await scene.outsider.town.client("latecomer").list_entries(resource=SERVICE)
    return str(page.items[0]["id"])
