"""Checks of one grant: state, period, mode, operation, purpose, items."""

from typing import Final

from gateway.domain.checks import Facts, Question, Rule, instant, readable


def _about(q: Question) -> Facts:
    grant = q.this_grant()
    return {"grant": grant.id, "grant_version": grant.version}


def _listed(values: frozenset[str]) -> str:
    return ", ".join(sorted(values)) or "none"


def _begun(q: Question) -> bool:
    valid_from = q.this_grant().valid_from
    return valid_from is None or q.now >= valid_from


def _begun_fact(q: Question) -> str:
    valid_from = q.this_grant().valid_from
    if valid_from is None:
        return "The grant has no first day."
    return f"The grant is valid from {instant(valid_from)}."


def _begun_refusal(q: Question) -> tuple[str, Facts]:
    grant = q.this_grant()
    begins = instant(grant.valid_from or 0)
    return f"The grant {grant.id} is not valid before {begins}.", {
        **_about(q),
        "valid_from": begins,
    }


def _running(q: Question) -> bool:
    valid_until = q.this_grant().valid_until
    return valid_until is None or q.now < valid_until


def _running_fact(q: Question) -> str:
    valid_until = q.this_grant().valid_until
    if valid_until is None:
        return "The grant has no last day."
    return f"The grant is valid until {instant(valid_until)}."


def _running_refusal(q: Question) -> tuple[str, Facts]:
    grant = q.this_grant()
    ended = instant(grant.valid_until or 0)
    return f"The grant {grant.id} expired at {ended}.", {**_about(q), "valid_until": ended}


def _stopped(q: Question, how: str) -> tuple[str, Facts]:
    grant, facts = q.this_grant(), _about(q)
    facts["owner"] = grant.owner
    if grant.reason is None:
        return f"The grant {grant.id} {how}.", facts
    facts["grant_reason"] = grant.reason
    return f"The grant {grant.id} {how}: {grant.reason}.", facts


def _mode_refusal(q: Question) -> tuple[str, Facts]:
    grant, mode = q.this_grant(), q.call.data or ""
    return (
        f"The grant {grant.id} does not cover the mode {mode}; it covers {_listed(grant.modes)}.",
        {**_about(q), "mode": mode, "granted": sorted(grant.modes)},
    )


def _operation_refusal(q: Question) -> tuple[str, Facts]:
    grant, operation = q.this_grant(), q.call.operation or ""
    return (
        f"The grant {grant.id} does not cover the operation {operation}; "
        f"it covers {_listed(grant.operations)}.",
        {**_about(q), "operation": operation, "granted": sorted(grant.operations)},
    )


def _purpose_missing(q: Question) -> tuple[str, Facts]:
    grant = q.this_grant()
    return (
        "The call states no purpose in Datong-Purpose; "
        f"the grant {grant.id} covers {_listed(grant.purposes)}.",
        {**_about(q), "granted": sorted(grant.purposes)},
    )


def _purpose_refusal(q: Question) -> tuple[str, Facts]:
    grant, purpose = q.this_grant(), q.call.purpose or ""
    return (
        f"The grant {grant.id} does not cover the purpose {purpose}; "
        f"it covers {_listed(grant.purposes)}.",
        {**_about(q), "purpose": purpose, "granted": sorted(grant.purposes)},
    )


def _items_refusal(q: Question) -> tuple[str, Facts]:
    grant = q.this_grant()
    missing = sorted(set(q.call.items or ()) - grant.items)
    return (
        f"The grant {grant.id} does not cover {', '.join(missing)}; "
        f"it covers {_listed(grant.items)}.",
        {**_about(q), "items": missing, "granted": sorted(grant.items)},
    )


def missing(q: Question) -> tuple[str, Facts]:
    """Return the refusal when no grant of the caller is left to test.

    It is the same for a grant that does not exist and for one of somebody else.
    """
    resource = q.call.resource or ""
    facts: Facts = {"resource": resource, "caller": q.caller()}
    if q.call.grant is not None:
        facts["grant"] = q.call.grant
        return (
            f"The grant {q.call.grant} named in Datong-Grant does not cover {q.caller()} "
            f"and the resource {resource}.",
            facts,
        )
    return f"No grant covers {q.caller()} and the resource {resource}.", facts


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
    readable("grant", "grant", lambda q: f"grant/{q.this_grant().id}"),
    Rule("grant-not-yet-valid", _begun, _begun_fact, _begun_refusal, "grant"),
    Rule("grant-expired", _running, _running_fact, _running_refusal, "grant"),
    Rule(
        "grant-suspended",
        lambda q: q.this_grant().state != "suspended",
        lambda q: "The grant is not suspended.",
        lambda q: _stopped(q, "is suspended"),
        "grant",
    ),
    Rule(
        # Whatever the state is beside the two that may allow again has ended the grant.
        "grant-ended",
        lambda q: q.this_grant().state in {"active", "suspended"},
        lambda q: "The grant was not ended.",
        lambda q: _stopped(q, "was ended"),
        "grant",
    ),
    Rule(
        "mode-not-granted",
        lambda q: q.call.data in q.this_grant().modes,
        lambda q: f"The mode {q.call.data} is granted.",
        _mode_refusal,
        "grant",
    ),
    Rule(
        "operation-not-granted",
        lambda q: q.call.operation is None or q.call.operation in q.this_grant().operations,
        lambda q: (
            "The call needs no operation."
            if q.call.operation is None
            else f"The operation {q.call.operation} is granted."
        ),
        _operation_refusal,
        "grant",
    ),
    Rule(
        "purpose-missing",
        lambda q: bool(q.call.purpose),
        lambda q: f"The call states the purpose {q.call.purpose}.",
        _purpose_missing,
        "grant",
    ),
    Rule(
        "purpose-not-granted",
        lambda q: q.call.purpose in q.this_grant().purposes,
        lambda q: f"The purpose {q.call.purpose} is granted.",
        _purpose_refusal,
        "grant",
    ),
    Rule(
        "items-not-granted",
        lambda q: q.call.items is None or q.this_grant().items.issuperset(q.call.items),
        lambda q: f"The grant covers {_listed(q.this_grant().items)}.",
        _items_refusal,
        "grant",
    ),
)
