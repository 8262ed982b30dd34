"""What the permission table knows: credentials, agencies, parties, entries and grants.

Every subject carries `readable`: false when its last state event could not be read, or restricts
by a field that this release does not know. What is not readable allows nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.domain.services import OwnService


@dataclass(frozen=True, slots=True)
class Credential:
    """A client certificate that the platform issued. Times are epoch seconds."""

    thumbprint: str
    kind: str
    """`person` or `system`."""
    holder: str
    agency: str
    not_before: float
    not_after: float
    active: bool
    readable: bool = True


@dataclass(frozen=True, slots=True)
class Agency:
    """A department, as far as a call depends on it."""

    id: str
    name: str
    active: bool
    readable: bool = True


@dataclass(frozen=True, slots=True)
class Party:
    """A person or a system: whoever holds a credential."""

    kind: str
    """`person` or `system`."""
    id: str
    agency: str
    name: str
    active: bool
    readable: bool = True

    @property
    def subject(self) -> str:
        """Return `system/<id>` or `person/<id>`, as tokens and records name it."""
        return f"{self.kind}/{self.id}"


@dataclass(frozen=True, slots=True)
class Entry:
    """The entry that makes a resource available: who owns it and how it may be shared."""

    id: str
    version: int
    name: str
    agency: str
    resource: str
    share_class: str
    """`unconditional`, `conditional` or `not_shared`."""
    state: str
    """`published`, `withdrawn`, or a state before publication."""
    law_title: str | None = None
    law_article: str | None = None
    service: OwnService | None = None
    """The owner's own service, for mode `call`."""
    readable: bool = True


@dataclass(frozen=True, slots=True)
class Grant:
    """A permission of one version. The period is [from, until), epoch seconds; None is open."""

    id: str
    version: int
    resource: str
    entry: str
    owner: str
    consumer: str
    systems: frozenset[str]
    items: frozenset[str]
    modes: frozenset[str]
    operations: frozenset[str]
    purposes: frozenset[str]
    valid_from: float | None
    valid_until: float | None
    state: str
    """`active`, `suspended` or `ended`."""
    reason: str | None = None
    statutory: str | None = None
    """The law that names the consumer as a recipient of what is not shared otherwise."""
    terms: str = ""
    """What stands for its row filter and masks, which are enforced in transfer: equal or not."""
    readable: bool = True

    @property
    def reference(self) -> str:
        """Return `<id>@<version>`, as internal headers name it."""
        return f"{self.id}@{self.version}"


class Permissions(Protocol):
    """What `decide` asks of the permission table. Every look-up is constant time and current."""

    @property
    def changes(self) -> int:
        """Return a number that rises with every state that the table takes."""
        ...

    def credential(self, thumbprint: str) -> Credential | None:
        """Return the credential with this x5t#S256 thumbprint."""
        ...

    def agency(self, agency_id: str) -> Agency | None:
        """Return the agency."""
        ...

    def party(self, kind: str, party_id: str) -> Party | None:
        """Return the person or system."""
        ...

    def entry_of(self, resource: str) -> Entry | None:
        """Return the entry that makes `resource` available; unreadable when two claim it."""
        ...

    def grant(self, grant_id: str) -> Grant | None:
        """Return the grant in its present version."""
        ...

    def grants_of(self, system: str, resource: str) -> Sequence[Grant]:
        """Return the grants of a system (plain id) for a resource in the order of their ids."""
        ...
