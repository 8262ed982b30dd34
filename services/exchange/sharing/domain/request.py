"""Requests: who asks for what, and the answer that the share class of the resource gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final

from kit.errors import DomainError, Kind
from services.exchange.sharing.domain.grant import Actor, Grant, GrantState

MAX_YEARS: Final = 3
MAX_PURPOSES: Final = 20
UNCONDITIONAL: Final = "unconditional"
NOT_SHARED: Final = "not_shared"
PUBLISHED: Final = "published"


class Mode(StrEnum):
    """Ways of receiving data that can be asked for; the owner offers some of them."""

    QUERY = "query"
    BATCH = "batch"


class RequestState(StrEnum):
    """How a request was answered; in this release every answer is given at once."""

    GRANTED = "granted"
    REFUSED = "refused"


class RequestUnknown(DomainError):
    """No such request, or one between other agencies. The two look alike on purpose."""

    kind: ClassVar = Kind.NOT_FOUND
    code: ClassVar = "request-unknown"


class RequestInvalid(DomainError):
    """The members of the request contradict each other."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "request-invalid"


class PeriodInvalid(DomainError):
    """The period is empty, over, or longer than three years."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "period-invalid"


class SystemUnknown(DomainError):
    """No such system at the caller's agency."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "system-unknown"


class ResourceUnknown(DomainError):
    """No published entry makes the resource available."""

    kind: ClassVar = Kind.NOT_FOUND
    code: ClassVar = "resource-unknown"


class ResourceWithdrawn(DomainError):
    """The entry of the resource was withdrawn."""

    kind: ClassVar = Kind.NOT_FOUND
    code: ClassVar = "resource-withdrawn"


class EntryUnreadable(DomainError):
    """The state of the entry cannot be read, so nothing can be granted."""

    kind: ClassVar = Kind.UNAVAILABLE
    code: ClassVar = "permission-unreadable"


class ItemsUnknown(DomainError):
    """The entry has no item of this name."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "items-unknown"


class ModeNotOffered(DomainError):
    """The owner does not offer the resource in this mode."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "mode-not-offered"


class ClassConditionalClosed(DomainError):
    """Conditional resources cannot be asked for in this release."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "class-conditional-closed"


class ClassNotShared(DomainError):
    """A law excludes the resource from sharing; how a stored refusal is told to the caller."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "class-not-shared"


@dataclass(frozen=True, slots=True)
class Ask:
    """The elements of a request: Decree 809, article 20.

    Attributes:
        basis: legal or official ground. scenario: what the data will be used for.
        systems: ids of systems of the asking agency.
        modes: ways of receiving; the grant covers exactly these.
        valid_from, valid_until: aware; `[from, until)`.
    """

    basis: str
    scenario: str
    resource: str
    systems: tuple[str, ...]
    items: tuple[str, ...]
    modes: tuple[str, ...]
    purposes: tuple[str, ...]
    valid_from: datetime
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """What sharing knows of an entry from the catalogue's state topic."""

    id: str
    version: int
    owner: str
    resource: str
    state: str
    share_class: str
    law_title: str | None
    law_article: str | None
    items: tuple[str, ...]
    modes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal that the law demands; stored and told to the bus like a grant.

    Attributes:
        code: the row of `contracts/problems.yaml`.
        law_title, law_article: the provision that excludes the resource from sharing.
    """

    code: str
    law_title: str
    law_article: str


@dataclass(frozen=True, slots=True)
class Request:
    """A request with its answer: `grant` is the grant's id, `refusal` why there is none."""

    id: str
    requester: str
    consumer: str
    owner: str
    entry: str
    entry_version: int
    share_class: str
    ask: Ask
    state: RequestState
    grant: str | None
    refusal: Refused | None
    created_at: datetime


def require_valid(ask: Ask, now: datetime) -> None:
    """Check what can be checked without the resource.

    Raises:
        RequestInvalid: something is named twice, or a batch is asked for without items.
        PeriodInvalid: the period is empty, over already, or longer than three years.
    """
    for name in ("systems", "items", "modes", "purposes"):
        _require_distinct(getattr(ask, name), f"/{name}")
    if Mode.BATCH in ask.modes and not ask.items:
        raise RequestInvalid("A batch delivers at least one item.", pointer="/items")
    if ask.valid_until <= ask.valid_from:
        raise PeriodInvalid("The period ends before it begins.", pointer="/valid_until")
    if ask.valid_until <= now:
        raise PeriodInvalid("The period is over already.", pointer="/valid_until")
    if ask.valid_until > _years_after(ask.valid_from, MAX_YEARS):
        raise PeriodInvalid(f"The period is longer than {MAX_YEARS} years.", pointer="/valid_until")


def require_readable(ask: Ask, entry: Entry | None) -> Entry:
    """Return the entry of the resource asked for.

    Raises:
        ResourceUnknown, ResourceWithdrawn: as their names say.
    """
    if entry is None:
        raise ResourceUnknown(
            f"No published entry makes {ask.resource} available.", pointer="/resource"
        )
    if entry.state != PUBLISHED:
        raise ResourceWithdrawn(f"The entry of {ask.resource} was withdrawn.", pointer="/resource")
    return entry


def decide(ask: Ask, entry: Entry) -> Refused | None:
    """Decide on a valid request for a published entry; None grants it.

    Raises:
        ItemsUnknown, ModeNotOffered: more is asked for than there is.
        ClassConditionalClosed: such requests need the owner's approval, which comes later.
    """
    if entry.share_class == NOT_SHARED:
        return Refused(ClassNotShared.code, entry.law_title or "", entry.law_article or "")
    _require_within(ask.items, entry.items, "/items", ItemsUnknown, "The entry has no item {}.")
    _require_within(ask.modes, entry.modes, "/modes", ModeNotOffered, "{} is not offered.")
    if entry.share_class != UNCONDITIONAL:
        raise ClassConditionalClosed(
            "This resource is shared under conditions; such requests are not taken yet.",
            pointer="/resource",
            facts={"share_class": entry.share_class},
        )
    return None


def issue(
    grant_id: str, request_id: str, ask: Ask, entry: Entry, actor: Actor, now: datetime
) -> Grant:
    """Return the grant that covers exactly what was asked for."""
    return Grant(
        id=grant_id,
        version=1,
        request=request_id,
        resource=entry.resource,
        entry=entry.id,
        entry_version=entry.version,
        owner=entry.owner,
        consumer=actor.agency,
        share_class=entry.share_class,
        basis=ask.basis,
        systems=ask.systems,
        items=ask.items,
        modes=ask.modes,
        operations=(),
        purposes=ask.purposes,
        valid_from=ask.valid_from,
        valid_until=ask.valid_until,
        state=GrantState.ACTIVE,
        reason=None,
        created_at=now,
        changed_at=now,
    )


def is_visible(request: Request, actor: Actor) -> bool:
    """Tell whether the actor may know of the request."""
    return actor.sees_all or actor.agency in (request.consumer, request.owner)


def refusal(found: Refused) -> ClassNotShared:
    """Return the error that tells the caller of a stored refusal."""
    return ClassNotShared(
        f"{found.law_title}, {found.law_article}, excludes this resource from sharing.",
        pointer="/resource",
        facts={
            "legal_basis_title": found.law_title,
            "legal_basis_article": found.law_article,
        },
    )


def _require_distinct(names: Sequence[str], pointer: str) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise RequestInvalid(f"{name} is named twice.", pointer=f"{pointer}/{index}")


def _require_within(
    asked: Sequence[str],
    offered: Sequence[str],
    pointer: str,
    error: type[DomainError],
    text: str,
) -> None:
    for index, name in enumerate(asked):
        if name not in offered:
            raise error(text.format(name), pointer=f"{pointer}/{index}")


def _years_after(instant: datetime, years: int) -> datetime:
    """Return the same day and time `years` later; 1 March where there is no 29 February."""
    try:
        return instant.replace(year=instant.year + years)
    except ValueError:
        return instant.replace(year=instant.year + years, month=3, day=1)
