"""Entries and their versions: rows in, domain objects out."""

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, or_, select

from kit.db import Tx, constraint_of
from services.catalog.domain import (
    BasisKind,
    Content,
    DataFormat,
    DataGrade,
    Entry,
    EntryUnknown,
    Item,
    ItemType,
    LegalBasis,
    Method,
    Mode,
    Operation,
    ResourceTaken,
    Service,
    ShareClass,
    UpdateFrequency,
    Version,
    VersionState,
)
from services.catalog.models import EntryRow, VersionRow

_LIVING = tuple(
    state.value
    for state in (
        VersionState.DRAFT,
        VersionState.SUBMITTED,
        VersionState.PUBLISHED,
        VersionState.WITHDRAWN,
    )
)


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list of entries is narrowed to; None narrows nothing.

    Attributes:
        state: of the version; draft and submitted ones are shown to `own_agency` only.
        text: a piece of name, summary or resource id, in any case of letters.
    """

    state: VersionState
    own_agency: str
    agency: str | None = None
    share_class: ShareClass | None = None
    resource: str | None = None
    text: str | None = None


async def add_entry(tx: Tx, entry: Entry) -> None:
    """Write a new entry.

    Raises:
        ResourceTaken: another entry has the resource id.
    """
    tx.add(
        EntryRow(
            id=entry.id,
            agency=entry.agency,
            resource=entry.resource,
            revision=entry.revision,
            created_at=entry.created_at,
        )
    )
    await _flush(tx, entry)
    await _save_versions(tx, entry)


async def save_entry(tx: Tx, entry: Entry) -> None:
    """Write a changed entry whose row is locked by `tx`.

    Raises:
        ResourceTaken: another entry has the resource id.
    """
    row = await tx.get_one(EntryRow, entry.id)
    row.resource = entry.resource
    row.revision = entry.revision
    await _flush(tx, entry)
    await _save_versions(tx, entry)


async def lock_entry(tx: Tx, entry_id: str) -> Entry:
    """Return the entry with its living versions, row-locked until `tx` ends.

    Raises:
        EntryUnknown: no such entry.
    """
    query = select(EntryRow).where(EntryRow.id == entry_id).with_for_update()
    row = (await tx.exec(query)).one_or_none()
    if row is None:
        raise EntryUnknown(f"Entry {entry_id} does not exist.")
    return (await _with_versions(tx, [row]))[0]


async def find_entry(tx: Tx, entry_id: str) -> Entry | None:
    """Return the entry with its living versions, or None."""
    row = await tx.get(EntryRow, entry_id)
    return None if row is None else (await _with_versions(tx, [row]))[0]


async def find_version(tx: Tx, entry_id: str, number: int) -> tuple[Entry, Version] | None:
    """Return one version and its entry (which holds that version only), or None."""
    query = (
        select(EntryRow, VersionRow)
        .join(VersionRow, col(VersionRow.entry) == col(EntryRow.id))
        .where(EntryRow.id == entry_id, VersionRow.number == number)
    )
    found = (await tx.exec(query)).one_or_none()
    if found is None:
        return None
    return read_entry(found[0], found[1])


async def list_entries(
    tx: Tx, filters: Filters, after: str | None, limit: int
) -> list[tuple[Entry, Version]]:
    """Return up to `limit` entries with an id greater than `after`, each with one version.

    One statement, whatever the number of entries and items.
    """
    query = (
        select(EntryRow, VersionRow)
        .join(VersionRow, col(VersionRow.entry) == col(EntryRow.id))
        .where(VersionRow.state == filters.state)
        .order_by(col(EntryRow.id))
        .limit(limit)
    )
    if filters.state in (VersionState.DRAFT, VersionState.SUBMITTED):
        query = query.where(EntryRow.agency == filters.own_agency)
    if filters.agency is not None:
        query = query.where(EntryRow.agency == filters.agency)
    if filters.share_class is not None:
        query = query.where(VersionRow.share_class == filters.share_class)
    if filters.resource is not None:
        query = query.where(EntryRow.resource == filters.resource)
    if filters.text is not None:
        text = filters.text
        query = query.where(
            or_(
                col(VersionRow.name).icontains(text, autoescape=True),
                col(VersionRow.summary).icontains(text, autoescape=True),
                col(EntryRow.resource).icontains(text, autoescape=True),
            )
        )
    if after is not None:
        # Said of both, so that whichever index is read, it is read from there on.
        query = query.where(EntryRow.id > after, VersionRow.entry > after)
    return [read_entry(entry, row) for entry, row in await tx.exec(query)]


async def lock_page(tx: Tx, after: str, limit: int) -> list[Entry]:
    """Return and lock the next entries in id order, to publish their states again."""
    query = (
        select(EntryRow)
        .where(EntryRow.id > after)
        .order_by(col(EntryRow.id))
        .limit(limit)
        .with_for_update()
    )
    return await _with_versions(tx, list(await tx.exec(query)))


async def _with_versions(tx: Tx, rows: list[EntryRow]) -> list[Entry]:
    query = (
        select(VersionRow)
        .where(
            col(VersionRow.entry).in_([row.id for row in rows]),
            col(VersionRow.state).in_(_LIVING),
        )
        .order_by(col(VersionRow.number))
    )
    found: dict[str, list[Version]] = {row.id: [] for row in rows}
    for version in await tx.exec(query):
        found[version.entry].append(_version(version))
    return [_entry(row, tuple(found[row.id])) for row in rows]


async def _flush(tx: Tx, entry: Entry) -> None:
    try:
        await tx.flush()
    except IntegrityError as error:
        if constraint_of(error) == "uq_entry_resource":
            raise ResourceTaken(
                f"Another entry has the resource id {entry.resource}.", pointer="/resource"
            ) from error
        raise


async def _save_versions(tx: Tx, entry: Entry) -> None:
    for version in entry.versions:
        row = await tx.get(VersionRow, (entry.id, version.number))
        if row is None:
            row = VersionRow(entry=entry.id, number=version.number, **_written(version.content))
            tx.add(row)
        elif row.state == VersionState.DRAFT:
            for name, value in _written(version.content).items():
                setattr(row, name, value)
        row.state = version.state.value
        row.writers = sorted(version.writers)
        row.written_at = version.written_at
        row.submitted_by = version.submitted_by
        row.submitted_at = version.submitted_at
        row.decided_by = version.decided_by
        row.decided_at = version.decided_at
        row.published_at = version.published_at
        row.withdrawn_at = version.withdrawn_at
        row.reason = version.reason
    await tx.flush()


def _written(content: Content) -> dict[str, Any]:
    return {
        "name": content.name,
        "summary": content.summary,
        "share_class": content.share_class.value,
        "content": asdict(content),
    }


def read_entry(row: EntryRow, row_of_version: VersionRow) -> tuple[Entry, Version]:
    """Return an entry that holds one version, and that version."""
    version = _version(row_of_version)
    return _entry(row, (version,)), version


def _entry(row: EntryRow, versions: tuple[Version, ...]) -> Entry:
    return Entry(row.id, row.agency, row.resource, row.revision, row.created_at, versions)


def _version(row: VersionRow) -> Version:
    return Version(
        row.number,
        VersionState(row.state),
        _content(row.content),
        frozenset(row.writers),
        row.written_at,
        row.submitted_by,
        row.submitted_at,
        row.decided_by,
        row.decided_at,
        row.published_at,
        row.withdrawn_at,
        row.reason,
    )


def _content(data: dict[str, Any]) -> Content:
    basis = data["legal_basis"]
    return Content(
        name=data["name"],
        summary=data["summary"],
        items=tuple(map(_item, data["items"])),
        data_format=DataFormat(data["data_format"]),
        update_frequency=UpdateFrequency(data["update_frequency"]),
        share_class=ShareClass(data["share_class"]),
        legal_basis=None
        if basis is None
        else LegalBasis(BasisKind(basis["kind"]), basis["title"], basis["article"]),
        share_conditions=data["share_conditions"],
        modes=tuple(Mode(mode) for mode in data["modes"]),
        use_conditions=data["use_conditions"],
        data_grade=DataGrade(data["data_grade"]),
        line=data["line"],
        area=data["area"],
        service=_service(data.get("service")),
    )


def _service(data: dict[str, Any] | None) -> Service | None:
    """Read a kept service; versions from before there were any lack the member."""
    if data is None:
        return None
    operations = tuple(
        Operation(each["name"], each["title"], Method(each["method"]), each["path"])
        for each in data["operations"]
    )
    return Service(data["address"], data["ca"], operations, data["seconds"])


def _item(data: dict[str, Any]) -> Item:
    """Read a kept item; versions from before items had rules lack the members of these."""
    codes = data.get("codes")
    return Item(
        data["name"],
        data["title"],
        ItemType(data["type"]),
        data["required"],
        data["key"],
        data["filterable"],
        data.get("max_length"),
        data.get("pattern"),
        None if codes is None else tuple(codes),
        data.get("minimum"),
        data.get("maximum"),
    )
