"""Registering, suspending and resuming agencies, people and systems; changing roles."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic

from kit import outbox
from kit.db import Tx
from kit.events import Fact, State
from kit.ids import uuid7
from kit.problems import OtherAgency
from services.identity import events
from services.identity.domain.subjects import (
    Agency,
    AnySubject,
    Person,
    Role,
    Standing,
    System,
    in_state,
    require_assignable,
    require_keeps_office,
    require_not_own,
    with_roles,
)
from services.identity.events import By
from services.identity.store import subjects as store


@dataclass(frozen=True, slots=True)
class Changed(Generic[AnySubject]):
    """A subject after a change; `outbox` holds the rows to wait for."""

    subject: AnySubject
    outbox: list[int]


async def create_agency(tx: Tx, agency: Agency, by: By) -> None:
    """Register an agency.

    Raises:
        AgencyExists: its id is taken.
        AgencyUnknown: the competent department does not exist.
    """
    await store.add(tx, agency)
    await outbox.append(tx, events.state_of(agency), events.subject_created(agency, by))


async def create_person(tx: Tx, agency: Agency, name: str, roles: Iterable[Role], by: By) -> Person:
    """Register a person of `agency`.

    Raises:
        RolesConflict, RoleNotForAgency: see `require_assignable`.
    """
    person = Person(uuid7(), agency.id, name, require_assignable(roles, agency))
    await store.add(tx, person)
    await outbox.append(tx, events.state_of(person), events.subject_created(person, by))
    return person


async def create_system(tx: Tx, agency: str, name: str, by: By) -> System:
    """Register a system of `agency`."""
    system = System(uuid7(), agency, name)
    await store.add(tx, system)
    await outbox.append(tx, events.state_of(system), events.subject_created(system, by))
    return system


async def set_roles(
    tx: Tx,
    person_id: str,
    roles: Iterable[Role],
    by: By,
    require_version: Callable[[int], None],
) -> Person:
    """Replace the roles of a person.

    Args:
        require_version: takes the present version and raises when the change is from another.

    Raises:
        HolderUnknown, OtherAgency, OwnAccess, RolesConflict, RoleNotForAgency: as they say.
    """
    person = await store.find(tx, Person, person_id, lock=True)
    require_own(person.agency, by)
    require_version(person.version)
    agency = await store.find(tx, Agency, person.agency)
    held = require_assignable(roles, agency)
    require_keeps_office(person, held, by.actor)
    changed = with_roles(person, held)
    if changed is not person:
        await store.save(tx, changed)
        data = {
            "agency": person.agency,
            "roles": sorted(held),
            "roles_before": sorted(person.roles),
            "version": changed.version,
        }
        await outbox.append(
            tx,
            events.state_of(changed),
            events.change("roles-changed", "person", person_id, by, data),
        )
    return changed


async def change_state(
    tx: Tx,
    kind: type[AnySubject],
    subject_id: str,
    state: Standing,
    reason: str | None,
    by: By,
) -> Changed[AnySubject]:
    """Suspend or resume a subject.

    A repeated call changes nothing, but publishes the state again, so that its answer too says
    truly whether the bus has it. The row lock keeps that from overtaking a newer state.

    Args:
        by: a person of the subject's agency; for agencies the platform operator.

    Raises:
        AgencyUnknown, HolderUnknown, OtherAgency, OwnAccess: as they say.
    """
    subject = await store.find(tx, kind, subject_id, lock=True)
    if not isinstance(subject, Agency):
        require_own(subject.agency, by)
    if state is Standing.SUSPENDED:
        require_not_own(subject, by.actor, by.agency or "")
    changed = in_state(subject, state)
    told: list[State | Fact] = [events.state_of(changed)]
    if changed is not subject:
        await store.save(tx, changed)
        what = "suspended" if state is Standing.SUSPENDED else "resumed"
        data = {"agency": subject.agency, "reason": reason, "version": changed.version}
        told.append(events.change(f"{subject.kind}-{what}", subject.kind, subject_id, by, data))
    return Changed(changed, await outbox.append(tx, *told))


def require_own(agency: str, by: By) -> None:
    """Check that an object is of the caller's agency.

    Raises:
        OtherAgency: it is not.
    """
    if agency != by.agency:
        raise OtherAgency("It belongs to another agency.", facts={"agency": agency})
