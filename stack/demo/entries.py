"""The entries of the story, as their owner writes them into the catalogue."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from kit.clock import SystemClock, rfc3339
from stack.demo.citizens import NUMBER_PATTERN
from stack.demo.divisions import LEVELS, LONGEST_NAME
from stack.demo.town import Town

DIVISIONS: Final = "division-codes"
ADOPTIONS: Final = "adoption-files"
PURPOSE: Final = "public-health"
OTHER_PURPOSE: Final = "marketing"
ITEMS: Final = ("code", "name", "parent_code")
"""What the health commission asks for; `level` is not among them."""

LAW: Final = "中华人民共和国民法典"
ARTICLE: Final = "第一千一百一十条"

DIVISIONS_ENTRY: Final[dict[str, Any]] = {
    "resource": DIVISIONS,
    "name": "行政区划代码",
    "summary": "全国省、市、县、乡、村五级区划的代码、名称和隶属关系。",
    "items": [
        {"name": "code", "title": "代码", "type": "text", "required": True, "key": True}
        | {"filterable": True, "pattern": "[0-9]{2}|[0-9]{4}|[0-9]{6}|[0-9]{9}|[0-9]{12}"},
        {"name": "name", "title": "名称", "type": "text", "required": True, "filterable": True}
        | {"max_length": LONGEST_NAME, "pattern": r"\S+"},
        {"name": "level", "title": "级别", "type": "text", "required": True, "filterable": True}
        | {"codes": list(LEVELS)},
        {"name": "parent_code", "title": "上级代码", "type": "text", "filterable": True}
        | {"pattern": "[0-9]{2}|[0-9]{4}|[0-9]{6}|[0-9]{9}"},
    ],
    "data_format": "database",
    "update_frequency": "yearly",
    "share_class": "unconditional",
    "modes": ["query", "batch"],
    "use_conditions": "供履行职责使用。",
    "data_grade": "general",
}

ADOPTIONS_ENTRY: Final[dict[str, Any]] = DIVISIONS_ENTRY | {
    "resource": ADOPTIONS,
    "name": "收养登记档案",
    "summary": "收养登记档案目录；依法保密，不予共享。",
    "items": [
        {"name": "file", "title": "档案号", "type": "text", "required": True, "key": True}
        | {"filterable": True},
        {"name": "adopter", "title": "收养人姓名", "type": "text", "required": True},
        {"name": "adopter_number", "title": "收养人公民身份号码", "type": "text", "required": True}
        | {"pattern": NUMBER_PATTERN},
        {"name": "registered_on", "title": "登记日期", "type": "date", "required": True},
    ],
    "share_class": "not_shared",
    "legal_basis": {"kind": "law", "title": LAW, "article": ARTICLE},
}


async def publish_entry(
    town: Town, content: dict[str, Any], *, writer: str = "registrar", approver: str = "reviewer"
) -> str:
    """Have an entry written and approved by two people of its owner; return its id."""
    registrar, reviewer = town.client(writer), town.client(approver)
    entry: str = (await registrar.create_entry(content))["id"]
    await registrar.submit_entry(entry)
    await reviewer.approve_entry(entry)
    return entry


@dataclass(frozen=True)
class Need:
    """Who needs the divisions, and what for.

    Attributes:
        requester, system: short names of who asks, and for which system.
        purpose: code that is stated on each call.
    """

    requester: str
    system: str
    purpose: str
    basis: str
    scenario: str


HEALTH_NEED: Final = Need(
    "requester",
    "consumer",
    PURPOSE,
    "传染病防治法第三十八条",
    "传染病病例按现住址统计到乡镇街道",
)
EDUCATION_NEED: Final = Need(
    "education-requester",
    "latecomer",
    "school-admission",
    "义务教育法第十二条",
    "按户籍所在地核对入学片区",
)


async def request_divisions(town: Town, need: Need = HEALTH_NEED) -> dict[str, Any]:
    """Have an agency ask for a system of its own; return the request with its grant."""
    now = SystemClock().now()
    request: dict[str, Any] = await town.client(need.requester).create_request(
        DIVISIONS,
        systems=[town.identities[need.system].id],
        items=list(ITEMS),
        modes=["query", "batch"],
        purposes=[need.purpose],
        basis=need.basis,
        scenario=need.scenario,
        valid_from=rfc3339(now - timedelta(minutes=1)),
        valid_until=rfc3339(now + timedelta(days=365)),
    )
    return request
