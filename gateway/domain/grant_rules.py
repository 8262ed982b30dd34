"""Checks of one grant: state, period, mode, operation, purpose, items."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.domain.checks import Facts, Question, Rule, instant, unreadable
from gateway.domain.subjects import Grant


@dataclass(frozen=True, slots=True)
class GrantRule:
    """One check of one grant; see `Rule`. It is given the grant beside the question."""

    reason: str
    holds: Callable[[Question, Grant], bool]
    fact: Callable[[Question, Grant], str]
    refusal: Callable[[Question, Grant], tuple[str, Facts]]


def _about(grant: Grant) -> Facts:
    return {"grant": grant.id, "grant_version": grant.version}


def _listed(values: frozenset[str]) -> str:
    return ", ".join(sorted(values)) or "none"


def _begun(q: Question, grant: Grant) -> bool:
    valid_from = grant.valid_from
    return valid_from is None or q.now >= valid_from


def _begun_fact(_: Question, grant: Grant) -> str:
    valid_from = grant.valid_from
    if valid_from is None:
        return "The grant has no first day."
    return f"The grant is valid from {instant(valid_from)}."


def _begun_refusal(_: Question, grant: Grant) -> tuple[str, Facts]:
    begins = instant(grant.valid_from or 0)
    return f"The grant {grant.id} is not valid before {begins}.", {
        **_about(grant),
        "valid_from": begins,
    }


def _running(q: Question, grant: Grant) -> bool:
    valid_until = grant.valid_until
    return valid_until is None or q.now < valid_until


def _running_fact(_: Question, grant: Grant) -> str:
    valid_until = grant.valid_until
    if valid_until is None:
        return "The grant has no last day."
    return f"The grant is valid until {instant(valid_until)}."


def _running_refusal(_: Question, grant: Grant) -> tuple[str, Facts]:
    ended = instant(grant.valid_until or 0)
    return f"The grant {grant.id} expired at {ended}.", {**_about(grant), "valid_until": ended}


def _stopped(grant: Grant, how: str) -> tuple[str, Facts]:
    facts = _about(grant)
    facts["owner"] = grant.owner
    if grant.reason is None:
        return f"The grant {grant.id} {how}.", facts
    facts["grant_reason"] = grant.reason
    return f"The grant {grant.id} {how}: {grant.reason}.", facts


def _mode_refusal(q: Question, grant: Grant) -> tuple[str, Facts]:
    mode = q.call.data or ""
    return (
        f"The grant {grant.id} does not cover the mode {mode}; it covers {_listed(grant.modes)}.",
        {**_about(grant), "mode": mode, "granted": sorted(grant.modes)},
    )


def _operation_refusal(q: Question, grant: Grant) -> tuple[str, Facts]:
    operation = q.call.operation
    granted = {**_about(grant), "granted": sorted(grant.operations)}
    if not operation:
        return (
            "The method and path of the call fit no operation of the service; "
            f"the grant {grant.id} covers {_listed(grant.operations)}.",
            granted,
        )
    return (
        f"The grant {grant.id} does not cover the operation {operation}; "
        f"it covers {_listed(grant.operations)}.",
        {**granted, "operation": operation},
    )


def _purpose_missing(_: Question, grant: Grant) -> tuple[str, Facts]:
    return (
        "The call states no purpose in Datong-Purpose; "
        f"the grant {grant.id} covers {_listed(grant.purposes)}.",
        {**_about(grant), "granted": sorted(grant.purposes)},
    )


def _purpose_refusal(q: Question, grant: Grant) -> tuple[str, Facts]:
    purpose = q.call.purpose or ""
    return (
        f"The grant {grant.id} does not cover the purpose {purpose}; "
        f"it covers {_listed(grant.purposes)}.",
        {**_about(grant), "purpose": purpose, "granted": sorted(grant.purposes)},
    )


def _items_refusal(q: Question, grant: Grant) -> tuple[str, Facts]:
    missing = sorted(set(q.items or ()) - grant.items)
    return (
        f"The grant {grant.id} does not cover {', '.join(missing)}; "
        f"it covers {_listed(grant.items)}.",
        {**_about(grant), "items": missing, "granted": sorted(grant.items)},
    )


def missing(q: Question) -> tuple[str, Facts]:
    """Return the refusal when no grant of the caller is left to test.

    It is the same for a grant that does not exist and for one of somebody else.
    """
    resource = q.call.resource or ""
    facts: Facts = {"resource": resource, "caller": q.caller()}
    if q.named is not None:
        facts["grant"] = q.named
        return (
            f"The grant {q.named} named in Datong-Grant does not cover {q.caller()} "
            f"and the resource {resource}.",
            facts,
        )
    return f"No grant covers {q.caller()} and the resource {resource}.", facts


_NOT_ENDED: Final = frozenset({"active", "suspended"})

MISSING: Final = Rule(
    "grant-missing",
    lambda q: bool(q.candidates),
    lambda q: (
        "Grants for this system and resource: "
        + ", ".join(grant.id for grant in q.candidates)
        + "."
    ),
    missing,
)

GRANT: Final = (
    GrantRule(
        "permission-unreadable",
        lambda _, grant: grant.readable,
        lambda _, __: "The state of the grant is readable.",
        lambda _, grant: unreadable(f"grant/{grant.id}"),
    ),
    GrantRule("grant-not-yet-valid", _begun, _begun_fact, _begun_refusal),
    GrantRule("grant-expired", _running, _running_fact, _running_refusal),
    GrantRule(
        "grant-suspended",
        lambda _, grant: grant.state != "suspended",
        lambda _, __: "The grant is not suspended.",
        lambda _, grant: _stopped(grant, "is suspended"),
    ),
    GrantRule(
        # Whatever the state is beside the two that may allow again has ended the grant.
        "grant-ended",
        lambda _, grant: grant.state in _NOT_ENDED,
        lambda _, __: "The grant was not ended.",
        lambda _, grant: _stopped(grant, "was ended"),
    ),
    GrantRule(
        "mode-not-granted",
        lambda q, grant: q.call.data in grant.modes,
        lambda q, _: f"The mode {q.call.data} is granted.",
        _mode_refusal,
    ),
    GrantRule(
        "operation-not-granted",
        lambda q, grant: q.call.operation is None or q.call.operation in grant.operations,
        lambda q, _: (
            "The call needs no operation."
            if q.call.operation is None
            else f"The operation {q.call.operation} is granted."
        ),
        _operation_refusal,
    ),
    GrantRule(
        "purpose-missing",
        lambda q, _: bool(q.call.purpose),
        lambda q, _: f"The call states the purpose {q.call.purpose}.",
        _purpose_missing,
    ),
    GrantRule(
        "purpose-not-granted",
        lambda q, grant: q.call.purpose in grant.purposes,
        lambda q, _: f"The purpose {q.call.purpose} is granted.",
        _purpose_refusal,
    ),
    GrantRule(
        "items-not-granted",
        lambda q, grant: q.items is None or grant.items.issuperset(q.items),
        lambda _, grant: f"The grant covers {_listed(grant.items)}.",
        _items_refusal,
    ),
)
