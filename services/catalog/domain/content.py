"""What an entry says: the elements of Decree 809, article 13, and the rules between them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from kit.errors import DomainError, Kind
from services.catalog.domain.items import (
    EntryInvalid,
    Item,
    require_distinct,
    require_fields,
    require_items,
)
from services.catalog.domain.service import Service, require_service


class ShareClass(StrEnum):
    """The three classes of Decree 809, article 14."""

    UNCONDITIONAL = "unconditional"
    CONDITIONAL = "conditional"
    NOT_SHARED = "not_shared"


class BasisKind(StrEnum):
    """What may exclude a resource from sharing (article 14); rules of a department may not."""

    LAW = "law"
    ADMINISTRATIVE_REGULATION = "administrative_regulation"
    STATE_COUNCIL_DECISION = "state_council_decision"


class Mode(StrEnum):
    """Ways of receiving data that the platform serves."""

    QUERY = "query"
    BATCH = "batch"
    CALL = "call"
    """The owner's own service is called; it stands alone."""


class DataFormat(StrEnum):
    """Format classes of the national compilation guide (2017), metadata element 7."""

    DATABASE = "database"
    SPREADSHEET = "spreadsheet"
    DOCUMENT = "document"
    IMAGE = "image"
    MEDIA = "media"
    SELF_DESCRIBED = "self_described"
    OTHER = "other"


class UpdateFrequency(StrEnum):
    """Update cycles of the national compilation guide, metadata element 11, and `irregular`."""

    REAL_TIME = "real_time"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    YEARLY = "yearly"
    IRREGULAR = "irregular"


class DataGrade(StrEnum):
    """Grades of the Data Security Law, article 21: core, important and general data."""

    CORE = "core"
    IMPORTANT = "important"
    GENERAL = "general"


class LegalBasisRequired(DomainError):
    """Class `not_shared` without the law that demands it."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "legal-basis-required"


@dataclass(frozen=True, slots=True)
class LegalBasis:
    """The provision that excludes a resource from sharing."""

    kind: BasisKind
    title: str
    article: str


@dataclass(frozen=True, slots=True)
class Content:
    """What one version of an entry says.

    Attributes:
        legal_basis: with class `not_shared` only, and always.
        share_conditions: scope and purposes; with class `conditional` only, and always.
        use_conditions: how whoever receives the data may use them; for every class.
        line, area: the line of business and the area that the data cover, in words.
        service: with mode `call` only, and always; such an entry may do without items.
    """

    name: str
    summary: str
    items: tuple[Item, ...]
    data_format: DataFormat
    update_frequency: UpdateFrequency
    share_class: ShareClass
    legal_basis: LegalBasis | None
    share_conditions: str | None
    modes: tuple[Mode, ...]
    use_conditions: str
    data_grade: DataGrade
    line: str | None
    area: str | None
    service: Service | None = None


def require_valid(content: Content) -> None:
    """Check what the schema of single members cannot say.

    Raises:
        EntryInvalid, LegalBasisRequired: with a pointer to the member.
    """
    _require_way(content)
    if content.service is None:
        require_items(content.items)
    else:
        require_fields(content.items)
    _require_class(content)
    require_distinct(content.modes, "/modes")
    if not content.modes and content.share_class is not ShareClass.NOT_SHARED:
        raise EntryInvalid("A shared resource names at least one mode.", pointer="/modes")


def _require_way(content: Content) -> None:
    """Check that an owner's service is called, and only that."""
    if Mode.CALL in content.modes and len(content.modes) > 1:
        raise EntryInvalid(
            "Mode call stands alone: a resource is hosted, or a service of its owner.",
            pointer="/modes",
        )
    if Mode.CALL in content.modes and content.service is None:
        raise EntryInvalid("Mode call needs the service that is called.", pointer="/service")
    if content.service is None:
        return
    if Mode.CALL not in content.modes:
        raise EntryInvalid("A service is made available by mode call.", pointer="/modes")
    require_service(content.service)


def _require_class(content: Content) -> None:
    share_class = content.share_class
    if share_class is ShareClass.NOT_SHARED and content.legal_basis is None:
        raise LegalBasisRequired(
            "Name the law, administrative regulation or State Council decision that excludes "
            "the resource from sharing.",
            pointer="/legal_basis",
        )
    if share_class is not ShareClass.NOT_SHARED and content.legal_basis is not None:
        raise EntryInvalid(
            "Only a resource that is not shared has a legal basis for it.", pointer="/legal_basis"
        )
    if share_class is ShareClass.CONDITIONAL and content.share_conditions is None:
        raise EntryInvalid(
            "Say under which conditions, to whom and for what the resource is shared.",
            pointer="/share_conditions",
        )
    if share_class is not ShareClass.CONDITIONAL and content.share_conditions is not None:
        raise EntryInvalid(
            "Only class conditional has conditions of sharing.", pointer="/share_conditions"
        )
