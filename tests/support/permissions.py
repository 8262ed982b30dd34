"""A permission table in plain dictionaries, and a call that it allows; a test changes one fact.

The health commission's system may query the civil-affairs bureau's divisions under one grant.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from gateway.domain import Agency, Call, Claims, Credential, Entry, Grant, Party

NOW = 1_790_000_000.0
DAY = 86_400.0
THUMBPRINT = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"
SYSTEM = "019aa500-0000-7000-8000-000000000005"
OTHER_SYSTEM = "019aa500-0000-7000-8000-000000000006"
OWNER_SYSTEM = "019aa500-0000-7000-8000-000000000007"
OWNER_THUMBPRINT = "B4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"
PERSON = "019aa500-0000-7000-8000-000000000009"
ENTRY = "019aa400-0000-7000-8000-0000000000e1"
GRANT = "019aa450-0000-7000-8000-000000000066"

CREDENTIAL = Credential(
    THUMBPRINT, "system", SYSTEM, "health-commission", NOW - DAY, NOW + DAY, active=True
)
CONSUMER = Agency("health-commission", "卫生健康委员会", active=True)
OWNER = Agency("civil-affairs", "民政局", active=True)
CALLER = Party("system", SYSTEM, "health-commission", "健康档案系统", active=True)
DIVISIONS = Entry(
    ENTRY, 3, "行政区划代码", "civil-affairs", "xzqh-divisions", "unconditional", "published"
)
READ_DIVISIONS = Grant(
    id=GRANT,
    version=2,
    resource="xzqh-divisions",
    entry=ENTRY,
    owner="civil-affairs",
    consumer="health-commission",
    systems=frozenset({SYSTEM}),
    items=frozenset({"code", "name"}),
    modes=frozenset({"query"}),
    operations=frozenset(),
    purposes=frozenset({"public-health", "statistics"}),
    valid_from=NOW - DAY,
    valid_until=NOW + DAY,
    state="active",
)
CLAIMS = Claims(f"system/{SYSTEM}", "019aa5f0-0000-7000-8000-0000000000f0", NOW + 300, THUMBPRINT)
QUERY = Call(
    "query",
    "caller",
    "transfer",
    "query",
    "xzqh-divisions",
    purpose="public-health",
    thumbprint=THUMBPRINT,
    claims=CLAIMS,
)
RECEIVE = replace(QUERY, route="list_deliveries", data="batch")
"""Allowed when the grant covers the mode `batch`."""
PUBLISH = replace(
    QUERY,
    route="open_batch",
    data="publish",
    purpose=None,
    thumbprint=OWNER_THUMBPRINT,
    claims=Claims(f"system/{OWNER_SYSTEM}", "t", NOW + 300, OWNER_THUMBPRINT),
)

_changes = count(1)


@dataclass
class PlainTable:
    """`gateway.domain.Permissions` over dictionaries; every look-up is a scan or a get."""

    credentials: dict[str, Credential] = field(default_factory=dict)
    agencies: dict[str, Agency] = field(default_factory=dict)
    parties: dict[str, Party] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)

    settled: int | None = None
    """What `changes` says as long as a test does not say that something has changed."""

    @property
    def changes(self) -> int:
        """Never the same twice, unless settled: a test may change the dictionaries as it likes."""
        return next(_changes) if self.settled is None else self.settled

    def credential(self, thumbprint: str) -> Credential | None:
        return self.credentials.get(thumbprint)

    def agency(self, agency_id: str) -> Agency | None:
        return self.agencies.get(agency_id)

    def party(self, kind: str, party_id: str) -> Party | None:
        return self.parties.get(f"{kind}/{party_id}")

    def entry_of(self, resource: str) -> Entry | None:
        return self.entries.get(resource)

    def grant(self, grant_id: str) -> Grant | None:
        return self.grants.get(grant_id)

    def grants_of(self, system: str, resource: str) -> Sequence[Grant]:
        found = [
            grant
            for grant in self.grants.values()
            if system in grant.systems and grant.resource == resource
        ]
        return sorted(found, key=lambda grant: grant.id)


def a_table(
    *,
    credential: dict[str, Any] | None = None,
    agency: dict[str, Any] | None = None,
    caller: dict[str, Any] | None = None,
    entry: dict[str, Any] | None = None,
    grant: dict[str, Any] | None = None,
    grants: Sequence[Grant] | None = None,
) -> PlainTable:
    """Return the table that allows `QUERY` and `PUBLISH`, with fields of subjects changed."""
    held = replace(CREDENTIAL, **(credential or {}))
    of_owner = replace(CREDENTIAL, thumbprint=OWNER_THUMBPRINT, holder=OWNER_SYSTEM)
    of_owner = replace(of_owner, agency="civil-affairs")
    consumer = replace(CONSUMER, **(agency or {}))
    party = replace(CALLER, **(caller or {}))
    divisions = replace(DIVISIONS, **(entry or {}))
    if grants is None:
        grants = [replace(READ_DIVISIONS, **(grant or {}))]
    return PlainTable(
        {held.thumbprint: held, of_owner.thumbprint: of_owner},
        {consumer.id: consumer, OWNER.id: OWNER},
        {
            party.subject: party,
            f"system/{OWNER_SYSTEM}": Party(
                "system", OWNER_SYSTEM, "civil-affairs", "区划地名系统", active=True
            ),
            f"person/{PERSON}": Party("person", PERSON, "health-commission", "张敏", active=True),
        },
        {divisions.resource: divisions},
        {grant.id: grant for grant in grants},
    )
