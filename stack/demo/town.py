"""Who takes part in the story: agencies, people and systems, each enrolled by certificate."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from datong import AsyncClient, CallLog, Identity, Revisions, enrol

BIG_DATA: Final = "hangzhou-big-data"
CIVIL_AFFAIRS: Final = "hangzhou-civil-affairs"
HEALTH: Final = "hangzhou-health"
EDUCATION: Final = "hangzhou-education"
AUDIT: Final = "hangzhou-audit"

AGENCIES: Final = (
    (BIG_DATA, "杭州市数据资源管理局"),
    (CIVIL_AFFAIRS, "杭州市民政局"),
    (HEALTH, "杭州市卫生健康委员会"),
    (EDUCATION, "杭州市教育局"),
    (AUDIT, "杭州市审计局"),
)
PEOPLE: Final = (
    ("registrar", CIVIL_AFFAIRS, "陈静", ["registrar"]),
    ("reviewer", CIVIL_AFFAIRS, "赵磊", ["reviewer"]),
    ("administrator", CIVIL_AFFAIRS, "孙敏", ["resource_administrator"]),
    ("requester", HEALTH, "周洁", ["sharing_office_head"]),
    ("education-requester", EDUCATION, "郑洁", ["sharing_office_head"]),
    ("auditor", AUDIT, "吴刚", ["auditor"]),
)
SYSTEMS: Final = (
    ("publisher", CIVIL_AFFAIRS, "区划管理系统"),
    ("consumer", HEALTH, "传染病直报系统"),
    ("stranger", HEALTH, "疫苗管理系统"),
    ("latecomer", EDUCATION, "入学服务系统"),
)


@dataclass
class Town:
    """Everybody's identities, and one log of calls for all of them.

    Attributes:
        directory: folder of the identities.
        identities: by short name: `operator`, `security:<agency>`, those of `PEOPLE`, `SYSTEMS`.
        calls: where every call is noted before it leaves.
        revisions: states seen, so that each sees what another has just done.
    """

    gateway: str
    server_ca: Path
    directory: Path
    calls: CallLog
    revisions: Revisions = field(default_factory=Revisions)
    identities: dict[str, Identity] = field(default_factory=dict)
    _clients: dict[str, AsyncClient] = field(default_factory=dict)

    def client(self, name: str) -> AsyncClient:
        """Return the client of somebody; it is kept open until `close`."""
        if name not in self._clients:
            self._clients[name] = self.new_client(name)
        return self._clients[name]

    def new_client(self, name: str, **more: Any) -> AsyncClient:
        """Return another client of somebody, to be closed by who asked for it."""
        return AsyncClient(
            self.identities[name], call_log=self.calls, revisions=self.revisions, **more
        )

    def anonymous(self) -> AsyncClient:
        """Return a client without a certificate, to be closed by who asked for it."""
        return AsyncClient(gateway=self.gateway, server_ca=self.server_ca, call_log=self.calls)

    async def enrol(self, name: str, code: str) -> None:
        """Turn a one-time code into the identity `name`."""
        self.identities[name] = await enrol(
            code,
            self.directory / name.replace(":", "-"),
            gateway=self.gateway,
            server_ca=self.server_ca,
            call_log=self.calls,
        )

    async def close(self) -> None:
        """Close all clients and the log of calls."""
        await asyncio.gather(*(client.close() for client in self._clients.values()))
        self.calls.close()


async def found(
    town: Town, codes: tuple[str, str], progress: Callable[[str], None] = lambda _: None
) -> None:
    """Enrol everybody on a platform on which nobody but the first two people exists.

    Args:
        town: with no identities yet.
        codes: the one-time codes of platform operator and security officer.
        progress: told who was enrolled.
    """
    await town.enrol("operator", codes[0])
    await town.enrol("security:platform", codes[1])
    progress("platform operator and security officer")
    for agency, name in AGENCIES:
        await _found_agency(town, agency, name)
        progress(name)
    await _add_all(town, PEOPLE, SYSTEMS)
    progress("people and systems")


@dataclass(frozen=True)
class Cast:
    """Agencies, people and systems that join a town together.

    Attributes:
        agencies: id and name.
        people: short name, agency, name and roles.
        systems: short name, agency and name.
    """

    agencies: Sequence[tuple[str, str]]
    people: Sequence[tuple[str, str, str, list[str]]]
    systems: Sequence[tuple[str, str, str]]


async def join(town: Town, cast: Cast) -> None:
    """Enrol a cast in a town that was founded; its people may belong to agencies of before."""
    for agency, name in cast.agencies:
        await _found_agency(town, agency, name)
    await _add_all(town, cast.people, cast.systems)


async def _add_all(
    town: Town,
    people: Sequence[tuple[str, str, str, list[str]]],
    systems: Sequence[tuple[str, str, str]],
) -> None:
    await asyncio.gather(*(_add_person(town, *person) for person in people))
    await asyncio.gather(*(_add_system(town, *system) for system in systems))


async def _found_agency(town: Town, agency: str, name: str) -> None:
    """Create an agency; its security officer enrols with the code in the answer."""
    made = await town.client("operator").create_agency(
        {
            "id": agency,
            "name": name,
            "level": "city",
            "area_code": "330100",
            "audits": agency == AUDIT,
            "competent": None if agency == BIG_DATA else BIG_DATA,
            "security_officer": {"name": f"{name}安全员"},
        }
    )
    await town.enrol(f"security:{agency}", made["security_officer"]["code"])


async def _add_person(town: Town, short: str, agency: str, name: str, roles: Sequence[str]) -> None:
    officer = town.client(f"security:{agency}")
    made = await officer.create_person({"agency": agency, "name": name, "roles": list(roles)})
    await town.enrol(short, made["code"])


async def _add_system(town: Town, short: str, agency: str, name: str) -> None:
    officer = town.client(f"security:{agency}")
    made = await officer.create_system({"agency": agency, "name": name})
    await town.enrol(short, made["code"])
