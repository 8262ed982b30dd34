"""How a version of an entry comes to be published.

A version goes draft → submitted → published → superseded or withdrawn; approving publishes, and
what was published never changes.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from kit.errors import DomainError, Kind
from services.catalog.domain.content import Content, require_valid


class VersionState(StrEnum):
    """Where a version stands; only draft and submitted ones can still change."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    PUBLISHED = "published"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"
    DISCARDED = "discarded"


class EntryUnknown(DomainError):
    """No such entry, or only a draft of another agency. The two look alike on purpose."""

    kind: ClassVar = Kind.NOT_FOUND
    code: ClassVar = "entry-unknown"


class ResourceTaken(DomainError):
    """Another entry has this resource id."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "resource-taken"


class EntryStateConflict(DomainError):
    """The entry is not in a state in which this can be done."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "entry-state-conflict"


class SamePerson(DomainError):
    """Somebody approves what he wrote or submitted himself."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "same-person"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: `person/<id>`, his agency, and the call by which he does."""

    subject: str
    agency: str
    call: str | None


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an entry, numbered from 1.

    Attributes:
        writers: subjects of all who wrote or submitted it; none of them may approve it.
        submitted_by, decided_by: subjects; of the last submission and its approval or rejection.
        reason: why it was rejected or withdrawn.
    """

    number: int
    state: VersionState
    content: Content
    writers: frozenset[str]
    written_at: datetime
    submitted_by: str | None = None
    submitted_at: datetime | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None
    published_at: datetime | None = None
    withdrawn_at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry with its living versions.

    Attributes:
        resource: plain id, unique; fixed once a version was published.
        revision: rises by one with each change; ETag of the entry and version of its state event.
        versions: the published or withdrawn one and the one in work; after a change also those
            that it superseded or discarded.
    """

    id: str
    agency: str
    resource: str
    revision: int
    created_at: datetime
    versions: tuple[Version, ...]

    @property
    def public(self) -> Version | None:
        """Return the version that every caller may see: the published or the withdrawn one."""
        return self._in({VersionState.PUBLISHED, VersionState.WITHDRAWN})

    @property
    def working(self) -> Version | None:
        """Return the version in work: a draft, or submitted for approval."""
        return self._in({VersionState.DRAFT, VersionState.SUBMITTED})

    @property
    def state(self) -> VersionState:
        """Return the state of the public version, or else of the one in work."""
        shown = self.public or self.working
        return VersionState.DISCARDED if shown is None else shown.state

    def _in(self, states: set[VersionState]) -> Version | None:
        return next((version for version in self.versions if version.state in states), None)

    def changed(self, *versions: Version, resource: str | None = None) -> "Entry":
        """Return the next revision, in which `versions` replace those of the same number."""
        kept = {version.number: version for version in (*self.versions, *versions)}
        return replace(
            self,
            revision=self.revision + 1,
            resource=resource or self.resource,
            versions=tuple(kept[number] for number in sorted(kept)),
        )


def create(entry_id: str, resource: str, content: Content, actor: Actor, now: datetime) -> Entry:
    """Return a new entry of the actor's agency with the draft of its first version.

    Raises:
        EntryInvalid, LegalBasisRequired: of `require_valid`.
    """
    require_valid(content)
    draft = Version(1, VersionState.DRAFT, content, frozenset({actor.subject}), now)
    return Entry(entry_id, actor.agency, resource, 1, now, (draft,))


def replace_draft(
    entry: Entry, resource: str, content: Content, actor: Actor, now: datetime
) -> Entry:
    """Return the entry with its draft rewritten.

    Raises:
        EntryStateConflict: there is no draft; it is submitted; the resource of a published entry
            would change.
        EntryInvalid, LegalBasisRequired: of `require_valid`.
    """
    draft = _in_work(entry, VersionState.DRAFT, "changed")
    require_valid(content)
    if resource != entry.resource and entry.public is not None:
        raise EntryStateConflict(
            "The resource of a published entry keeps its id.", pointer="/resource"
        )
    written = replace(
        draft, content=content, writers=draft.writers | {actor.subject}, written_at=now
    )
    return entry.changed(written, resource=resource)


def begin_draft(entry: Entry, actor: Actor, now: datetime) -> Entry:
    """Return the entry with the draft of its next version; the published one stays.

    The draft begins with the published content.

    Raises:
        EntryStateConflict: not published, withdrawn, or a draft exists.
    """
    published = _published(entry, "given a next version")
    if entry.working is not None:
        raise _conflict(entry, "given a next version", entry.working)
    writers = frozenset({actor.subject})
    draft = Version(published.number + 1, VersionState.DRAFT, published.content, writers, now)
    return entry.changed(draft)


def submit(entry: Entry, actor: Actor, now: datetime) -> Entry:
    """Return the entry with its draft submitted for approval.

    Raises:
        EntryStateConflict: there is no draft.
    """
    draft = _in_work(entry, VersionState.DRAFT, "submitted")
    return entry.changed(
        replace(
            draft,
            state=VersionState.SUBMITTED,
            writers=draft.writers | {actor.subject},
            submitted_by=actor.subject,
            submitted_at=now,
            decided_by=None,
            decided_at=None,
            reason=None,
        )
    )


def approve(entry: Entry, actor: Actor, now: datetime) -> Entry:
    """Return the entry with its submitted version published, in place of the one before.

    Raises:
        EntryStateConflict: nothing is submitted.
        SamePerson: the actor wrote or submitted it.
    """
    submitted = _in_work(entry, VersionState.SUBMITTED, "approved")
    _require_other_person(submitted, actor)
    approved = replace(
        submitted,
        state=VersionState.PUBLISHED,
        decided_by=actor.subject,
        decided_at=now,
        published_at=now,
    )
    if entry.public is None:
        return entry.changed(approved)
    return entry.changed(replace(entry.public, state=VersionState.SUPERSEDED), approved)


def reject(entry: Entry, reason: str, actor: Actor, now: datetime) -> Entry:
    """Return the entry with its submitted version a draft again.

    Raises:
        EntryStateConflict: nothing is submitted.
    """
    submitted = _in_work(entry, VersionState.SUBMITTED, "rejected")
    return entry.changed(
        replace(
            submitted,
            state=VersionState.DRAFT,
            decided_by=actor.subject,
            decided_at=now,
            reason=reason,
        )
    )


def withdraw(entry: Entry, reason: str, now: datetime) -> Entry:
    """Return the entry withdrawn for good; a version in work is discarded.

    Raises:
        EntryStateConflict: it is not published.
    """
    published = _published(entry, "withdrawn")
    withdrawn = replace(published, state=VersionState.WITHDRAWN, withdrawn_at=now, reason=reason)
    if entry.working is None:
        return entry.changed(withdrawn)
    return entry.changed(withdrawn, replace(entry.working, state=VersionState.DISCARDED))


def _published(entry: Entry, done: str) -> Version:
    version = entry.public
    if version is None or version.state is not VersionState.PUBLISHED:
        raise _conflict(entry, done, version or entry.working)
    return version


def _in_work(entry: Entry, state: VersionState, done: str) -> Version:
    version = entry.working
    if version is None or version.state is not state:
        raise _conflict(entry, done, version or entry.public)
    return version


def _conflict(entry: Entry, done: str, version: Version | None) -> EntryStateConflict:
    state = entry.state if version is None else version.state
    number = 0 if version is None else version.number
    return EntryStateConflict(
        f"Version {number} is {state}; it cannot be {done}.",
        facts={"state": state.value, "version": number},
    )


def _require_other_person(version: Version, actor: Actor) -> None:
    if actor.subject in version.writers:
        raise SamePerson(
            "Somebody who wrote or submitted this version cannot approve it.",
            facts={"version": version.number},
        )
