"""Checks of who calls: certificate, token, agency, caller."""

from typing import Final

from gateway.domain.checks import SKEW, Facts, Question, Rule, instant, readable


def _known_and_current(q: Question) -> bool:
    credential = q.credential
    return credential is not None and (
        not credential.readable or credential.not_before - SKEW <= q.now < credential.not_after
    )


def _certificate_fact(q: Question) -> str:
    return f"The certificate is valid until {instant(q.this_credential().not_after)}."


def _certificate_refusal(q: Question) -> tuple[str, Facts]:
    credential = q.credential
    if credential is None:
        return (
            "The platform did not issue the certificate of this connection, or does not know it.",
            {"thumbprint": q.call.thumbprint or ""},
        )
    facts: Facts = {
        "not_before": instant(credential.not_before),
        "not_after": instant(credential.not_after),
    }
    if q.now >= credential.not_after:
        return f"The certificate expired at {instant(credential.not_after)}.", facts
    return f"The certificate is not valid before {instant(credential.not_before)}.", facts


def _token_good(q: Question) -> bool:
    claims = q.call.claims
    return claims is not None and claims.exp + SKEW > q.now


def _token_fact(q: Question) -> str:
    claims = q.call.claims
    return "" if claims is None else f"The access token is valid until {instant(claims.exp)}."


def _token_refusal(q: Question) -> tuple[str, Facts]:
    claims = q.call.claims
    if claims is None:
        return q.call.token_detail or "The access token is not one that the platform signed.", {}
    return (
        f"The access token expired at {instant(claims.exp)}.",
        {"expired_at": instant(claims.exp)},
    )


def _token_bound(q: Question) -> bool:
    claims, credential = q.call.claims, q.credential
    return (
        claims is not None
        and credential is not None
        and claims.x5t == credential.thumbprint
        and claims.sub == f"{credential.kind}/{credential.holder}"
    )


def _agency_active(q: Question) -> bool:
    """Hold for an unknown caller too: `caller-suspended` names it, two rules further on."""
    agency = q.agency
    return q.party is None or (agency is not None and (agency.active or not agency.readable))


def _agency_refusal(q: Question) -> tuple[str, Facts]:
    if q.agency is None:
        return "This gateway does not know the caller's agency.", {"caller": q.caller()}
    return f"The agency {q.agency.name} is suspended.", {"agency": q.agency.id}


def _caller_active(q: Question) -> bool:
    party = q.party
    return party is not None and (party.active or not party.readable)


def _caller_refusal(q: Question) -> tuple[str, Facts]:
    if q.party is None:
        return f"This gateway does not know {q.caller()}.", {"caller": q.caller()}
    return f"{q.party.name} ({q.party.subject}) is suspended.", {"caller": q.party.subject}


CERTIFICATE: Final = (
    Rule(
        "certificate-missing",
        lambda q: q.call.thumbprint is not None,
        lambda q: f"The connection presented the certificate {q.call.thumbprint}.",
        lambda q: ("The connection presented no client certificate.", {}),
    ),
    Rule("certificate-invalid", _known_and_current, _certificate_fact, _certificate_refusal),
    readable("certificate", "credential", lambda q: f"credential/{q.this_credential().thumbprint}"),
    Rule(
        "certificate-revoked",
        lambda q: q.credential is not None and q.credential.active,
        lambda q: "The certificate is not revoked.",
        lambda q: (
            f"The certificate of {q.caller()} was revoked.",
            {"thumbprint": q.this_credential().thumbprint},
        ),
        "credential",
    ),
)

TOKEN: Final = (
    Rule(
        "token-missing",
        lambda q: q.call.token_problem != "token-missing",  # noqa: S105 - a reason, no secret
        lambda q: "The call carries an access token.",
        lambda q: ("The call carries no bearer token in its Authorization header.", {}),
    ),
    Rule("token-invalid", _token_good, _token_fact, _token_refusal),
    Rule(
        "token-not-bound",
        _token_bound,
        lambda q: "The token is bound to the certificate of this connection.",
        lambda q: (
            "The token was issued to another certificate than the one of this connection.",
            {},
        ),
    ),
)

CALLER: Final = (
    Rule(
        "agency-suspended",
        _agency_active,
        lambda q: f"The agency {q.this_agency().name} is active.",
        _agency_refusal,
        "agency",
    ),
    readable("agency", "agency", lambda q: f"agency/{q.this_agency().id}"),
    Rule(
        "caller-suspended",
        _caller_active,
        lambda q: f"{q.this_party().name} ({q.caller()}) is active.",
        _caller_refusal,
    ),
    readable("caller", "party", lambda q: q.this_party().subject),
)

SYSTEM: Final = (
    Rule(
        "role-missing",
        lambda q: q.party is not None and q.party.kind == "system",
        lambda q: "The caller is a system.",
        lambda q: (
            "Systems query, receive and publish; a person asks for grants and approves.",
            {"roles": ["system"]},
        ),
        "party",
    ),
)
