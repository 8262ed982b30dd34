"""May this system have these items now? By our own copy of the grant, whatever the gateway saw."""

from datetime import datetime

from kit.clock import rfc3339
from kit.errors import DomainError, FactValue
from services.exchange.transfer.domain import refusals
from services.exchange.transfer.domain.entries import PUBLISHED, QUERY, WITHDRAWN, Entry, Grant


def require_entry(entry: Entry | None, resource: str) -> Entry:
    """Return the entry that makes `resource` available.

    Raises:
        ResourceUnknown, PermissionUnreadable, ResourceWithdrawn: as their names say.
    """
    facts: dict[str, FactValue] = {"resource": resource}
    if entry is None:
        raise refusals.ResourceUnknown(
            f"No published entry makes a resource {resource} available.", facts=facts
        )
    if not entry.readable:
        raise refusals.PermissionUnreadable(
            "The state of the resource's entry cannot be read.", facts=facts
        )
    if entry.state == WITHDRAWN:
        raise refusals.ResourceWithdrawn(
            f"The entry of the resource {resource} was withdrawn.", facts=facts
        )
    return entry


def require_owner(entry: Entry, agency: str) -> None:
    """Check that `agency` may publish rows of `entry`.

    Raises:
        NotTheOwner, EntryNotPublished: as their names say.
    """
    if entry.agency != agency:
        raise refusals.NotTheOwner(
            f"The resource {entry.resource} belongs to the agency {entry.agency}.",
            facts={"resource": entry.resource, "owner": entry.agency},
        )
    if entry.state != PUBLISHED:
        raise refusals.EntryNotPublished(
            f"The entry of the resource {entry.resource} is not published.",
            facts={"resource": entry.resource, "state": entry.state},
        )


def require_grant(
    grant: Grant | None,
    *,
    system: str,
    entry: Entry,
    purpose: str | None,
    now: datetime,
    mode: str = QUERY,
) -> Grant:
    """Return the grant that lets `system` use `entry` by `mode` now, for `purpose`.

    Args:
        system: plain id.
        mode: `query` or `batch`.
        now: aware; `valid_from` is inclusive, `valid_until` exclusive.

    Raises:
        DomainError: the first check that fails, in the order of the design's reason codes.
    """
    if (
        grant is None
        or system not in grant.systems
        or (grant.resource, grant.entry) != (entry.resource, entry.id)
    ):
        raise refusals.GrantMissing(
            f"No grant covers the system {system} and the resource {entry.resource}.",
            facts={"resource": entry.resource, "system": system},
        )
    refusal = (
        _of_state(grant, now) or _of_mode_and_purpose(grant, mode, purpose)
        if grant.readable
        else refusals.PermissionUnreadable("The state of the grant cannot be read.")
    )
    if refusal is not None:
        raise refusal
    return grant


def _of_state(grant: Grant, now: datetime) -> DomainError | None:
    facts: dict[str, FactValue] = {"grant": grant.id, "grant_version": grant.version}
    if grant.valid_from is not None and now < grant.valid_from:
        begins = rfc3339(grant.valid_from)
        return refusals.GrantNotYetValid(
            f"The grant {grant.id} is not valid before {begins}.",
            facts=facts | {"valid_from": begins},
        )
    if grant.valid_until is not None and now >= grant.valid_until:
        ended = rfc3339(grant.valid_until)
        return refusals.GrantExpired(
            f"The grant {grant.id} expired at {ended}.", facts=facts | {"valid_until": ended}
        )
    if grant.reason is not None:
        facts["grant_reason"] = grant.reason
    if grant.state == "suspended":
        return refusals.GrantSuspended(f"The grant {grant.id} is suspended.", facts=facts)
    if grant.state != "active":
        return refusals.GrantEnded(f"The grant {grant.id} was ended.", facts=facts)
    return None


def _of_mode_and_purpose(grant: Grant, mode: str, purpose: str | None) -> DomainError | None:
    facts: dict[str, FactValue] = {"grant": grant.id, "grant_version": grant.version}
    if mode not in grant.modes:
        return refusals.ModeNotGranted(
            f"The grant {grant.id} does not cover the mode {mode}.",
            facts=facts | {"mode": mode, "granted": sorted(grant.modes)},
        )
    if not purpose:
        return refusals.PurposeMissing(
            "The call states no purpose in Datong-Purpose.",
            facts=facts | {"granted": sorted(grant.purposes)},
        )
    if purpose not in grant.purposes:
        return refusals.PurposeNotGranted(
            f"The grant {grant.id} does not cover the purpose {purpose}.",
            facts=facts | {"purpose": purpose, "granted": sorted(grant.purposes)},
        )
    return None
