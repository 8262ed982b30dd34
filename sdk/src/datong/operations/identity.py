"""Operations of identity: agencies, people, systems, certificates, tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from datong.operations.operation import (
    FORM,
    JSON,
    Access,
    Json,
    Operation,
    Page,
    get,
    json_body,
    path_of,
    post,
    read_bytes,
    read_object,
    read_page,
    read_text,
    with_query,
)


def enrol(code: str, csr: str) -> Operation[Json]:
    """Exchange a one-time code and a CSR (PEM) for a certificate. See also `datong.enrol`."""
    return Operation(
        "enrol",
        "POST",
        "/identity/v1/enrolments",
        read_object,
        access=Access.PUBLIC,
        headers={"Content-Type": JSON},
        body=json_body({"code": code, "csr": csr}),
    )


def renew(csr: str) -> Operation[Json]:
    """A new certificate by the present one. See also `datong.renew`."""
    return Operation(
        "renew",
        "POST",
        "/identity/v1/renewals",
        read_object,
        access=Access.CERTIFICATE,
        headers={"Content-Type": JSON},
        body=json_body({"csr": csr}),
    )


def issue_token(client_id: str) -> Operation[Json]:
    """An access token bound to the certificate of the connection (RFC 8705 section 3).

    Args:
        client_id: id of the person or system (RFC 6749 section 2.2).
    """
    form = {"grant_type": "client_credentials", "client_id": client_id}
    return Operation(
        "issue_token",
        "POST",
        "/identity/v1/token",
        read_object,
        access=Access.CERTIFICATE,
        headers={"Content-Type": FORM},
        body=urlencode(form).encode(),
        idempotent=True,
    )


def get_ca() -> Operation[str]:
    """Certificate of the departments' CA (PEM)."""
    return Operation(
        "get_ca", "GET", "/identity/v1/ca", read_text, access=Access.PUBLIC, idempotent=True
    )


def get_crl() -> Operation[bytes]:
    """Certificate revocation list (DER), for outsiders."""
    return Operation(
        "get_crl", "GET", "/identity/v1/crl", read_bytes, access=Access.PUBLIC, idempotent=True
    )


def get_jwks() -> Operation[Json]:
    """Keys that sign access tokens (RFC 7517), for outsiders."""
    return Operation(
        "get_jwks", "GET", "/identity/v1/jwks", read_object, access=Access.PUBLIC, idempotent=True
    )


def get_me() -> Operation[Json]:
    """Who the platform takes the caller for."""
    return get("get_me", "/identity/v1/me", read_object)


def create_agency(agency: Mapping[str, Any]) -> Operation[Json]:
    """Create an agency and its first security officer; the answer holds that person's code."""
    return post("create_agency", "/identity/v1/agencies", dict(agency))


def list_agencies(*, limit: int | None = None, cursor: str | None = None) -> Operation[Page]:
    """List agencies."""
    path = with_query("/identity/v1/agencies", limit=limit, cursor=cursor)
    return get("list_agencies", path, read_page)


def get_agency(agency: str) -> Operation[Json]:
    """One agency."""
    path = path_of("/identity/v1/agencies/{agency}", agency=agency)
    return get("get_agency", path, read_object)


def suspend_agency(agency: str, reason: str) -> Operation[Json]:
    """Suspend an agency: its people and systems are refused."""
    path = path_of("/identity/v1/agencies/{agency}/suspensions", agency=agency)
    return post("suspend_agency", path, {"reason": reason})


def resume_agency(agency: str, reason: str) -> Operation[Json]:
    """Resume a suspended agency."""
    path = path_of("/identity/v1/agencies/{agency}/resumptions", agency=agency)
    return post("resume_agency", path, {"reason": reason})


def create_person(person: Mapping[str, Any]) -> Operation[Json]:
    """Register a person; the answer holds the person's one-time code."""
    return post("create_person", "/identity/v1/people", dict(person))


def list_people(
    *, agency: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Operation[Page]:
    """List people."""
    path = with_query("/identity/v1/people", agency=agency, limit=limit, cursor=cursor)
    return get("list_people", path, read_page)


def get_person(person: str) -> Operation[Json]:
    """One person."""
    return get("get_person", path_of("/identity/v1/people/{person}", person=person), read_object)


def set_roles(person: str, roles: Sequence[str], *, version: int) -> Operation[Json]:
    """Replace a person's roles.

    Args:
        version: of the person as it was read; another present version is refused.
    """
    return Operation(
        "set_roles",
        "PUT",
        path_of("/identity/v1/people/{person}/roles", person=person),
        read_object,
        headers={"Content-Type": JSON, "If-Match": f'"{version}"'},
        body=json_body({"roles": list(roles)}),
    )


def suspend_person(person: str, reason: str) -> Operation[Json]:
    """Suspend a person."""
    path = path_of("/identity/v1/people/{person}/suspensions", person=person)
    return post("suspend_person", path, {"reason": reason})


def resume_person(person: str, reason: str) -> Operation[Json]:
    """Resume a suspended person."""
    path = path_of("/identity/v1/people/{person}/resumptions", person=person)
    return post("resume_person", path, {"reason": reason})


def issue_person_code(person: str) -> Operation[Json]:
    """Issue another one-time code to a person."""
    path = path_of("/identity/v1/people/{person}/codes", person=person)
    return post("issue_person_code", path, {})


def create_system(system: Mapping[str, Any]) -> Operation[Json]:
    """Register a system; the answer holds its one-time code."""
    return post("create_system", "/identity/v1/systems", dict(system))


def list_systems(*, limit: int | None = None, cursor: str | None = None) -> Operation[Page]:
    """List the systems of one's agency."""
    path = with_query("/identity/v1/systems", limit=limit, cursor=cursor)
    return get("list_systems", path, read_page)


def get_system(system: str) -> Operation[Json]:
    """One system."""
    return get("get_system", path_of("/identity/v1/systems/{system}", system=system), read_object)


def suspend_system(system: str, reason: str) -> Operation[Json]:
    """Suspend a system."""
    path = path_of("/identity/v1/systems/{system}/suspensions", system=system)
    return post("suspend_system", path, {"reason": reason})


def resume_system(system: str, reason: str) -> Operation[Json]:
    """Resume a suspended system."""
    path = path_of("/identity/v1/systems/{system}/resumptions", system=system)
    return post("resume_system", path, {"reason": reason})


def issue_system_code(system: str) -> Operation[Json]:
    """Issue another one-time code to a system."""
    path = path_of("/identity/v1/systems/{system}/codes", system=system)
    return post("issue_system_code", path, {})


def list_credentials(
    *,
    agency: str | None = None,
    holder: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Operation[Page]:
    """List certificates, of an agency or of one person or system."""
    path = with_query(
        "/identity/v1/credentials", agency=agency, holder=holder, limit=limit, cursor=cursor
    )
    return get("list_credentials", path, read_page)


def revoke_credential(thumbprint: str, reason: str) -> Operation[Json]:
    """Revoke a certificate for good, and all that were renewed from it (`revoked` in the answer).

    Args:
        thumbprint: `x5t#S256`, 43 characters.
    """
    path = path_of("/identity/v1/credentials/{thumbprint}/revocations", thumbprint=thumbprint)
    return post("revoke_credential", path, {"reason": reason})
