"""Writes a city as one YAML file for `datong apply`: synthetic, and the same for the same sizes.

Nine entries in ten are unconditional, one in twelve conditional, and the rest excluded by a law,
which names who may have them. What is not unconditional takes four people of two agencies to be
granted; some such requests are left for the owners to answer, so that work lists hold something.

    python -m bench.volume.town city.yaml --agencies 200 --entries 10000 --grants 50000
"""

import argparse
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

from bench.search.names import agencies, entries
from services.catalog.domain import Content

OPERATOR: Final = "operator"
AUDIT: Final = "agency-audit"
TOP: Final = 14
"""Agencies that stand directly under the first one; the others stand under one of these."""
STAFF: Final = (
    ("registrar", "registrar"),
    ("reviewer", "reviewer"),
    ("drafter", "technical_officer"),
    ("requester", "sharing_office_head"),
    ("administrator", "resource_administrator"),
    ("head", "agency_head"),
)
OPEN_SHARE: Final = 100
"""One request in so many more is left for the owner to answer."""
LAW: Final = {"title": "统计法", "article": "第二十四条"}
PURPOSE: Final = "public-service"


def main() -> None:
    """Write a file."""
    parser = argparse.ArgumentParser(prog="python -m bench.volume.town", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--agencies", type=int, default=200)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--grants", type=int, default=50_000)
    options = parser.parse_args()
    write_town(options.file, options.agencies, options.entries, options.grants)


def write_town(file: Path, agency_count: int, entry_count: int, grant_count: int) -> None:
    """Write `file`; JSON in its items is YAML too, and quickly written.

    Args:
        agency_count: 2 to 280, besides the auditor's.
        grant_count: fewer than `entry_count` for each agency but the owner.
    """
    most = entry_count * (agency_count - 2)
    if grant_count + grant_count // OPEN_SHARE > most:
        raise SystemExit(f"{entry_count} entries and {agency_count} agencies give {most} grants.")
    names = dict(agencies(agency_count))
    town = _Town(list(names), entry_count)
    with file.open("w", encoding="utf-8") as sink:
        _section(sink, "agencies", _agencies(names))
        _section(sink, "people", _people(list(names)))
        _section(sink, "systems", _systems(list(names)))
        _section(sink, "entries", town.entries())
        _section(sink, "requests", town.requests(grant_count))


def _section(sink: IO[str], name: str, items: Iterator[dict[str, Any]]) -> None:
    sink.write(f"{name}:\n")
    for item in items:
        sink.write(f"  - {json.dumps(item, ensure_ascii=False)}\n")


def _agencies(names: dict[str, str]) -> Iterator[dict[str, Any]]:
    ids = list(names)
    for at, (agency, name) in enumerate(names.items()):
        above = ids[0] if at <= TOP else ids[1 + at % TOP]
        yield _agency(agency, name) | {"competent": above}
    yield _agency(AUDIT, "杭州市审计局数据审计处") | {"audits": True}


def _agency(agency: str, name: str) -> dict[str, Any]:
    officer = {"name": f"{name}安全员", "identity": f"security-{agency}"}
    return {
        "id": agency,
        "name": name,
        "level": "city",
        "area_code": "330100",
        "by": OPERATOR,
        "security_officer": officer,
    }


def _people(ids: list[str]) -> Iterator[dict[str, Any]]:
    for agency in ids:
        for post, role in STAFF:
            person = {"identity": f"{post}-{agency}", "agency": agency, "name": f"{post} {agency}"}
            yield person | {"roles": [role]}
    yield {"identity": "auditor", "agency": AUDIT, "name": "auditor", "roles": ["auditor"]}


def _systems(ids: list[str]) -> Iterator[dict[str, Any]]:
    for agency in ids:
        yield {"identity": f"system-{agency}", "agency": agency, "name": f"业务系统 {agency}"}


class _Town:
    def __init__(self, ids: list[str], entry_count: int) -> None:
        self._ids = ids
        self._places = {agency: at for at, agency in enumerate(ids)}
        self._count = entry_count
        self._made: list[tuple[str, str, tuple[str, ...]]] = []
        self._year = datetime.now(UTC).year

    def entries(self) -> Iterator[dict[str, Any]]:
        for at, (entry, version) in enumerate(entries(self._count, agencies_of=len(self._ids))):
            content, share_class = version.content, _class(at)
            items = tuple(item.name for item in content.items)
            self._made.append((entry.agency, share_class, items))
            yield {
                "resource": entry.resource,
                "by": f"registrar-{entry.agency}",
                "approved_by": f"reviewer-{entry.agency}",
                "share_class": share_class,
                **_said(content),
                **_ground(share_class),
            }

    def requests(self, grant_count: int) -> Iterator[dict[str, Any]]:
        """Yield those that end in grants, and then those that wait for their owners."""
        for number in range(grant_count):
            yield self._request(number, "granted")
        asked = [at for at, (_, share_class, _) in enumerate(self._made) if share_class != OPENLY]
        for number in range(grant_count // OPEN_SHARE):
            rounds, at = divmod(number, len(asked))
            first = (grant_count // self._count + 1 + rounds) * self._count
            yield self._request(first + asked[at], "submitted")

    def _request(self, number: int, end: str) -> dict[str, Any]:
        rounds, at = divmod(number, self._count)
        owner, share_class, items = self._made[at]
        consumer = self._ids[(self._places[owner] + 1 + rounds) % len(self._ids)]
        request: dict[str, Any] = {
            "resource": f"resource-{at}",
            "systems": [f"system-{consumer}"],
            "items": list(items[:3]),
            "modes": ["query"],
            "purposes": [PURPOSE],
            "basis": "政务数据共享条例第十七条",
            "scenario": "办理事项时核对申请人所报的信息",
            "valid_from": f"{self._year}-01-01T00:00:00Z",
            "valid_until": f"{self._year + 2}-01-01T00:00:00Z",
        }
        if share_class == OPENLY:
            return request | {"by": f"requester-{consumer}"}
        request |= {"by": f"drafter-{consumer}", "submitted_by": f"requester-{consumer}"}
        if share_class == EXCLUDED:
            request["statutory"] = LAW
        if end == "submitted":
            return request
        return request | {
            "answered_by": f"administrator-{owner}",
            "answer": {"masks": {items[1]: "pseudonym"}},
            "confirmed_by": f"head-{owner}",
        }


OPENLY: Final = "unconditional"
EXCLUDED: Final = "not_shared"


def _class(number: int) -> str:
    if number % 60 == 0:
        return EXCLUDED
    return "conditional" if number % 12 == 0 else OPENLY


def _ground(share_class: str) -> dict[str, Any]:
    if share_class == EXCLUDED:
        return {"legal_basis": {"kind": "law", "title": "统计法", "article": "第二十五条"}}
    return {} if share_class == OPENLY else {"share_conditions": "限于履行法定职责时核对。"}


def _said(content: Content) -> dict[str, Any]:
    return {
        "name": content.name,
        "summary": content.summary,
        "items": [
            {
                "name": item.name,
                "title": item.title,
                "type": "text",
                "key": item.key,
                "required": item.required,
                "filterable": item.key,
            }
            for item in content.items
        ],
        "data_format": "database",
        "update_frequency": content.update_frequency.value,
        "modes": ["query", "batch"],
        "use_conditions": content.use_conditions,
        "data_grade": "general",
    }


if __name__ == "__main__":
    main()
