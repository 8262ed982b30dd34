"""Operations of sharing: requests, grants, what may be used."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from datong.operations.operation import (
    JSON,
    Json,
    Operation,
    Page,
    get,
    json_body,
    path_of,
    post,
    read_object,
    read_page,
    with_query,
)

_GRANT = "/sharing/v1/grants/{grant}"


def create_request(
    resource: str,
    *,
    systems: Sequence[str],
    items: Sequence[str],
    purposes: Sequence[str],
    basis: str,
    scenario: str,
    valid_from: str,
    valid_until: str,
    modes: Sequence[str] = ("query",),
    idempotency_key: str | None = None,
) -> Operation[Json]:
    """Ask for a grant; of an unconditional resource it is issued in the answer.

    Args:
        systems: ids of the systems of one's own agency that shall receive.
        basis: legal or official ground of the request.
        scenario: what the data will be used for.
        modes: ways of receiving, each offered by the entry: `query`, `batch`.
        valid_from: beginning of the period, inclusive.
        valid_until: end of the period, exclusive.
        idempotency_key: the same key with the same body is one request; new by default.
    """
    body: dict[str, Any] = {
        "resource": resource,
        "systems": list(systems),
        "items": list(items),
        "modes": list(modes),
        "purposes": list(purposes),
        "basis": basis,
        "scenario": scenario,
        "valid_from": valid_from,
        "valid_until": valid_until,
    }
    return Operation(
        "create_request",
        "POST",
        "/sharing/v1/requests",
        read_object,
        headers={
            "Content-Type": JSON,
            "Idempotency-Key": idempotency_key or str(uuid.uuid4()),
        },
        body=json_body(body),
        idempotent=True,
    )


def list_requests(
    *,
    resource: str | None = None,
    state: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Operation[Page]:
    """List the requests that one's agency made or received."""
    path = with_query(
        "/sharing/v1/requests", resource=resource, state=state, limit=limit, cursor=cursor
    )
    return get("list_requests", path, read_page)


def get_request(request: str) -> Operation[Json]:
    """One request with its grant."""
    path = path_of("/sharing/v1/requests/{request}", request=request)
    return get("get_request", path, read_object)


def list_grants(
    *,
    resource: str | None = None,
    state: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Operation[Page]:
    """List the grants that one's agency gave or received."""
    path = with_query(
        "/sharing/v1/grants", resource=resource, state=state, limit=limit, cursor=cursor
    )
    return get("list_grants", path, read_page)


def get_grant(grant: str) -> Operation[Json]:
    """One grant."""
    return get("get_grant", path_of(_GRANT, grant=grant), read_object)


def suspend_grant(grant: str, reason: str) -> Operation[Json]:
    """Suspend a grant. `on_bus` in the answer: within one second no gateway releases under it."""
    return post("suspend_grant", path_of(_GRANT + "/suspensions", grant=grant), {"reason": reason})


def resume_grant(grant: str, reason: str) -> Operation[Json]:
    """Resume a suspended grant."""
    return post("resume_grant", path_of(_GRANT + "/resumptions", grant=grant), {"reason": reason})


def end_grant(grant: str, reason: str) -> Operation[Json]:
    """End a grant for good."""
    return post("end_grant", path_of(_GRANT + "/endings", grant=grant), {"reason": reason})


def list_usable(
    *, system: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Operation[Page]:
    """What may be used now."""
    path = with_query("/sharing/v1/usable", system=system, limit=limit, cursor=cursor)
    return get("list_usable", path, read_page)
