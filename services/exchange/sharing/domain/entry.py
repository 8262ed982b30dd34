"""Entries, as far as sharing depends on them: who owns what, in which class, with which items."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from kit.errors import DomainError, Kind

UNCONDITIONAL: Final = "unconditional"
CONDITIONAL: Final = "conditional"
NOT_SHARED: Final = "not_shared"
PUBLISHED: Final = "published"


class Mode(StrEnum):
    """Ways of receiving data that can be asked for; the owner offers some of them."""

    QUERY = "query"
    BATCH = "batch"
    CALL = "call"


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


class EntryStale(DomainError):
    """The catalogue has not been heard of lately, so the entry may have changed."""

    kind: ClassVar = Kind.UNAVAILABLE
    code: ClassVar = "permissions-stale"


class ClassNotShared(DomainError):
    """A law excludes the resource from sharing; how a stored refusal is told to the caller."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "class-not-shared"


@dataclass(frozen=True, slots=True)
class Law:
    """A provision: title of the law, and its article."""

    title: str
    article: str


@dataclass(frozen=True, slots=True)
class Item:
    """One item of an entry.

    Attributes:
        type: `text` and so on, as the catalogue names it; it may be one unknown here.
        key: part of the key. filterable: rows may be chosen by it.
    """

    name: str
    type: str
    key: bool = False
    filterable: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """What sharing knows of an entry from the catalogue's state topic.

    Attributes:
        law: the provision that excludes the resource from sharing.
        operations: names of the operations of the owner's service, if it is one.
    """

    id: str
    version: int
    owner: str
    resource: str
    state: str
    share_class: str
    law: Law | None
    items: tuple[Item, ...]
    modes: tuple[str, ...]
    operations: tuple[str, ...] = ()

    def item(self, name: str) -> Item | None:
        """Return the item of this name, or None."""
        return next((item for item in self.items if item.name == name), None)


def require_published(resource: str, entry: Entry | None, pointer: str | None = None) -> Entry:
    """Return the entry of `resource`; `pointer` is where the body names the resource.

    Raises:
        ResourceUnknown, ResourceWithdrawn: as their names say.
        EntryUnreadable: it has a share class that this release does not know.
    """
    if entry is None:
        raise ResourceUnknown(f"No published entry makes {resource} available.", pointer=pointer)
    if entry.state != PUBLISHED:
        raise withdrawn(resource, pointer)
    if entry.share_class not in (UNCONDITIONAL, CONDITIONAL, NOT_SHARED):
        raise EntryUnreadable(f"The share class of {resource} is not known to this release.")
    return entry


def excluded_by(entry: Entry, statutory: Law | None) -> Law | None:
    """Return the law that keeps the entry from a recipient whom `statutory` names, or None."""
    if entry.share_class != NOT_SHARED or statutory is not None:
        return None
    return entry.law or Law("", "")


def withdrawn(resource: str, pointer: str | None = None) -> ResourceWithdrawn:
    """Return the error for a resource whose entry was withdrawn."""
    return ResourceWithdrawn(f"The entry of {resource} was withdrawn.", pointer=pointer)


def not_shared(law: Law, pointer: str | None = None) -> ClassNotShared:
    """Return the error that names the law to the caller."""
    return ClassNotShared(
        f"{law.title}, {law.article}, excludes this resource from sharing.",
        pointer=pointer,
        facts={"legal_basis_title": law.title, "legal_basis_article": law.article},
    )
