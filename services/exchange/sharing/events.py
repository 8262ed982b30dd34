"""Events that sharing publishes; mirrored in `contracts/events/sharing.*.v1.schema.json`."""

from typing import Any, Final

from kit.clock import rfc3339
from kit.events import Fact, State
from services.exchange.sharing.domain import Actor, Grant, Request

GRANT: Final = "sharing.grant.v1"
CHANGE: Final = "sharing.change.v1"

REQUEST_GRANTED: Final = "sharing.request-granted.v1"
REQUEST_REFUSED: Final = "sharing.request-refused.v1"
GRANT_ISSUED: Final = "sharing.grant-issued.v1"
GRANT_SUSPENDED: Final = "sharing.grant-suspended.v1"
GRANT_RESUMED: Final = "sharing.grant-resumed.v1"
GRANT_ENDED: Final = "sharing.grant-ended.v1"

_CRITICAL: Final = (
    "systems",
    "items",
    "modes",
    "operations",
    "purposes",
    "valid_from",
    "valid_until",
    "state",
)


def subject(grant: Grant) -> str:
    """Return `grant/<id>`, under which the bus knows the grant."""
    return f"grant/{grant.id}"


def state(grant: Grant) -> State:
    """Return how the grant is now."""
    data = {
        "id": grant.id,
        "resource": grant.resource,
        "entry": grant.entry,
        "entry_version": grant.entry_version,
        "owner": grant.owner,
        "consumer": grant.consumer,
        "share_class": grant.share_class,
        "basis": grant.basis,
        "state": grant.state.value,
        "reason": grant.reason,
        "critical": list(_CRITICAL),
        **_scope(grant),
    }
    return State(GRANT, subject(grant), grant.version, data)


def grant_fact(kind: str, grant: Grant, actor: Actor) -> Fact:
    """Return the fact that `actor` did what `kind` names to the grant.

    Members have the names that audit repeats in the log (`contracts/evidence.md`, section 8);
    `reason_text`, being free text, is not among them.
    """
    data: dict[str, Any] = {
        "grant": grant.id,
        "grant_version": grant.version,
        "request": grant.request,
        "resource": grant.resource,
        "entry": grant.entry,
        "entry_version": grant.entry_version,
        "owner": grant.owner,
        "consumer": grant.consumer,
        "share_class": grant.share_class,
        "state": grant.state.value,
        **_scope(grant),
    }
    if grant.reason is not None:
        data["reason_text"] = grant.reason
    return Fact(CHANGE, kind, subject(grant), data, actor.subject, actor.call)


def request_fact(request: Request, actor: Actor) -> Fact:
    """Return the fact that a request was granted or refused."""
    ask, refusal = request.ask, request.refusal
    data: dict[str, Any] = {
        "request": request.id,
        "resource": ask.resource,
        "entry": request.entry,
        "entry_version": request.entry_version,
        "owner": request.owner,
        "consumer": request.consumer,
        "share_class": request.share_class,
        "state": request.state.value,
        "basis": ask.basis,
        "scenario": ask.scenario,
        "systems": list(ask.systems),
        "items": list(ask.items),
        "modes": list(ask.modes),
        "purposes": list(ask.purposes),
        "valid_from": rfc3339(ask.valid_from),
        "valid_until": rfc3339(ask.valid_until),
    }
    if request.grant is not None:
        data["grant"] = request.grant
    if refusal is not None:
        data["reason"] = refusal.code
        data["legal_basis"] = {"title": refusal.law_title, "article": refusal.law_article}
    kind = REQUEST_GRANTED if refusal is None else REQUEST_REFUSED
    return Fact(CHANGE, kind, f"request/{request.id}", data, actor.subject, actor.call)


def _scope(grant: Grant) -> dict[str, Any]:
    return {
        "systems": list(grant.systems),
        "items": list(grant.items),
        "modes": list(grant.modes),
        "operations": list(grant.operations),
        "purposes": list(grant.purposes),
        "valid_from": rfc3339(grant.valid_from),
        "valid_until": rfc3339(grant.valid_until),
    }
