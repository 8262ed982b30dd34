"""What an entry says: the elements of Decree 809, article 13, and the rules between them."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from kit.errors import DomainError, Kind

MAX_ITEMS: Final = 200


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


class ItemType(StrEnum):
    """Types of items; `contracts/rows.md` fixes their canonical bytes."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"


class Mode(StrEnum):
    """Ways of receiving data that the platform serves."""

    QUERY = "query"


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


class EntryInvalid(DomainError):
    """The members of the entry contradict each other."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "entry-invalid"


class LegalBasisRequired(DomainError):
    """Class `not_shared` without the law that demands it."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "legal-basis-required"


@dataclass(frozen=True, slots=True)
class Item:
    """One field of a resource. Key items identify a row; filterable ones may select rows."""

    name: str
    title: str
    type: ItemType
    required: bool
    key: bool
    filterable: bool


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


def require_valid(content: Content) -> None:
    """Check what the schema of single members cannot say.

    Raises:
        EntryInvalid, LegalBasisRequired: with a pointer to the member.
    """
    _require_items(content.items)
    _require_class(content)
    _require_distinct(content.modes, "/modes")
    if not content.modes and content.share_class is not ShareClass.NOT_SHARED:
        raise EntryInvalid("A shared resource names at least one mode.", pointer="/modes")


def _require_items(items: tuple[Item, ...]) -> None:
    if not 1 <= len(items) <= MAX_ITEMS:
        raise EntryInvalid(f"An entry has 1 to {MAX_ITEMS} items.", pointer="/items")
    _require_distinct([item.name for item in items], "/items", "/name")
    for index, item in enumerate(items):
        if item.key and not item.required:
            raise EntryInvalid("A key item is required.", pointer=f"/items/{index}/required")
    if not any(item.key for item in items):
        raise EntryInvalid("At least one item is a key, or rows have no name.", pointer="/items")


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


def _require_distinct(names: Iterable[str], pointer: str, member: str = "") -> None:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            raise EntryInvalid(f"{name} occurs twice.", pointer=f"{pointer}/{index}{member}")
        seen.add(name)
