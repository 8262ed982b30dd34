"""Events that sharing publishes; mirrored in `contracts/events/sharing.*.v1.schema.json`."""

from collections.abc import Mapping
from typing import Any, Final

from kit.clock import rfc3339
from kit.events import Fact, State
from services.exchange.sharing.domain import Actor, Grant, Law, Request, RequestState, Step, Terms
from services.exchange.sharing.domain.filters import as_data

GRANT: Final = "sharing.grant.v1"
CHANGE: Final = "sharing.change.v1"

REQUEST_DRAFTED: Final = "sharing.request-drafted.v1"
REQUEST_GRANTED: Final = "sharing.request-granted.v1"
REQUEST_REFUSED: Final = "sharing.request-refused.v1"
GRANT_ISSUED: Final = "sharing.grant-issued.v1"
GRANT_RENEWED: Final = "sharing.grant-renewed.v1"
GRANT_NARROWED: Final = "sharing.grant-narrowed.v1"
GRANT_SUSPENDED: Final = "sharing.grant-suspended.v1"
GRANT_RESUMED: Final = "sharing.grant-resumed.v1"
GRANT_ENDED: Final = "sharing.grant-ended.v1"

STEPS: Final[Mapping[Step, str]] = {
    Step.DRAFT: REQUEST_DRAFTED,
    Step.SUBMIT: "sharing.request-submitted.v1",
    Step.ASK_SUPPLEMENT: "sharing.supplement-asked.v1",
    Step.SUPPLEMENT: "sharing.request-supplemented.v1",
    Step.ANSWER: "sharing.request-answered.v1",
    Step.RETURN: "sharing.answer-returned.v1",
    Step.WITHDRAW: "sharing.request-withdrawn.v1",
}
"""The fact of each step but the last one, which grants or refuses."""

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
_OPTIONAL_CRITICAL: Final = ("row_filter", "masks")
"""Restrict as well, but stand in a state only when there is one."""


def subject(grant: Grant) -> str:
    """Return `grant/<id>`, under which the bus knows the grant."""
    return f"grant/{grant.id}"


def state(grant: Grant) -> State:
    """Return how the grant is now."""
    scope = _grant_scope(grant)
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
        "critical": [*_CRITICAL, *(name for name in _OPTIONAL_CRITICAL if name in scope)],
        **scope,
    }
    return State(GRANT, subject(grant), grant.version, data)


def grant_fact(kind: str, grant: Grant, actor: Actor, reason: str | None = None) -> Fact:
    """Return the fact that `actor` did what `kind` names to the grant.

    Members have the names that audit repeats in the log (`contracts/evidence.md`, section 8);
    `reason_text`, being free text, is not among them.

    Args:
        reason: why, as the actor said it.
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
        **_grant_scope(grant),
    }
    if reason is not None:
        data["reason_text"] = reason
    return Fact(CHANGE, kind, subject(grant), data, actor.subject, actor.call)


def request_fact(request: Request, actor: Actor) -> Fact:
    """Return the fact of the last step of a request; of an ended one, how it was decided."""
    ask, taken = request.ask, request.steps[-1]
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
        **_scope(ask.terms, ask.statutory),
        "valid_from": rfc3339(ask.valid_from),
        "valid_until": rfc3339(ask.valid_until),
    }
    if request.renews is not None:
        data["renews"] = request.renews
    if request.grant is not None:
        data["grant"] = request.grant
    if request.due is not None:
        data["due"] = request.due.isoformat()
    if taken.reason is not None:
        data["reason_text"] = taken.reason
    if request.answer is not None:
        data["answer"] = {
            "decision": request.answer.decision.value,
            **_scope(request.answer.terms, None),
            "valid_until": rfc3339(request.answer.valid_until),
        }
    _tell_refusal(request, data)
    return Fact(CHANGE, _kind(request), f"request/{request.id}", data, actor.subject, actor.call)


def _kind(request: Request) -> str:
    if request.state is RequestState.GRANTED:
        return REQUEST_GRANTED
    if request.state is RequestState.REFUSED:
        return REQUEST_REFUSED
    return STEPS[request.steps[-1].step]


def _tell_refusal(request: Request, data: dict[str, Any]) -> None:
    refusal = request.refusal
    if refusal is None:
        return
    if refusal.code is not None:
        data["reason"] = refusal.code
    if refusal.reason is not None:
        data["reason_text"] = refusal.reason
    if refusal.law is not None:
        data["legal_basis"] = _law(refusal.law)


def _grant_scope(grant: Grant) -> dict[str, Any]:
    return {
        "systems": list(grant.systems),
        **_scope(grant.terms, grant.statutory),
        "valid_from": rfc3339(grant.valid_from),
        "valid_until": rfc3339(grant.valid_until),
    }


def _scope(terms: Terms, statutory: Law | None) -> dict[str, Any]:
    scope: dict[str, Any] = {
        "items": list(terms.items),
        "modes": list(terms.modes),
        "operations": list(terms.operations),
        "purposes": list(terms.purposes),
    }
    if terms.row_filter:
        scope["row_filter"] = {"all": as_data(terms.row_filter)}
    if terms.masks:
        scope["masks"] = {name: mask.value for name, mask in terms.masks.items()}
    if statutory is not None:
        scope["statutory"] = _law(statutory)
    return scope


def _law(law: Law) -> dict[str, str]:
    return {"title": law.title, "article": law.article}
