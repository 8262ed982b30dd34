"""The entries of the story, as their owner writes them into the catalogue."""

from typing import Any, Final

from stack.demo.town import Town

DIVISIONS: Final = "division-codes"
ADOPTIONS: Final = "adoption-files"
PURPOSE: Final = "public-health"
OTHER_PURPOSE: Final = "marketing"
LAW: Final = "中华人民共和国民法典"
ARTICLE: Final = "第一千一百一十条"

DIVISIONS_ENTRY: Final[dict[str, Any]] = {
    "resource": DIVISIONS,
    "name": "行政区划代码",
    "summary": "全国省、市、县、乡四级行政区划的代码、名称和隶属关系。",
    "items": [
        {"name": "code", "title": "代码", "type": "text", "required": True, "key": True}
        | {"filterable": True},
        {"name": "name", "title": "名称", "type": "text", "required": True, "filterable": True},
        {"name": "level", "title": "级别", "type": "text", "required": True, "filterable": True},
        {"name": "parent_code", "title": "上级代码", "type": "text", "filterable": True},
    ],
    "data_format": "database",
    "update_frequency": "yearly",
    "share_class": "unconditional",
    "modes": ["query"],
    "use_conditions": "供履行职责使用。",
    "data_grade": "general",
}

ADOPTIONS_ENTRY: Final[dict[str, Any]] = DIVISIONS_ENTRY | {
    "resource": ADOPTIONS,
    "name": "收养登记档案",
    "summary": "收养登记档案目录；依法保密，不予共享。",
    "items": [
        {"name": "file", "title": "档案号", "type": "text", "required": True, "key": True},
    ],
    "share_class": "not_shared",
    "legal_basis": {"kind": "law", "title": LAW, "article": ARTICLE},
}


async def publish(town: Town, content: dict[str, Any]) -> str:
    """Have an entry written by the registrar and approved by the reviewer; return its id."""
    registrar, reviewer = town.client("registrar"), town.client("reviewer")
    entry: str = (await registrar.create_entry(content))["id"]
    await registrar.submit_entry(entry)
    await reviewer.approve_entry(entry)
    return entry
