"""Operations of sharing: requests and their steps, grants, what may be used."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
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

_REQUEST = "/sharing/v1/requests/{request}"
_GRANT = "/sharing/v1/grants/{grant}"

RowFilter = Mapping[str, Any]
"""`{"all": [{"item": …, "in": […]} | {"item": …, "from": …, "until": …}]}`; canonical texts."""


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
    operations: Sequence[str] = (),
    row_filter: RowFilter | None = None,
    masks: Mapping[str, str] | None = None,
    statutory: Mapping[str, str] | None = None,
    idempotency_key: str | None = None,
) -> Operation[Json]:
    """Ask for a grant; of an unconditional resource it is issued in the answer.

    Otherwise the request is drafted: somebody else of one's agency submits it.

    Args:
        systems: ids of the systems of one's own agency that shall receive.
        basis: legal or official ground of the request.
        scenario: what the data will be used for.
        items: none with the mode `call`.
        modes: ways of receiving, each offered by the entry: `query`, `batch`, or `call` alone.
        operations: of the owner's service, with the mode `call`.
        row_filter: which rows; all of them when None.
        masks: mask by item: `name`, `id_number`, `mobile`, `year`, `pseudonym`.
        statutory: `title` and `article` of the law that entitles one's agency to a resource that
            is not shared otherwise.
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
        "operations": list(operations),
    }
    more = {"row_filter": row_filter, "masks": masks, "statutory": statutory}
    body |= {name: dict(value) for name, value in more.items() if value is not None}
    return _created("create_request", "/sharing/v1/requests", body, idempotency_key)


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
    """One request with its steps, and with its grant."""
    return get("get_request", path_of(_REQUEST, request=request), read_object)


def submit_request(request: str, *, etag: str | None = None) -> Operation[Json]:
    """Submit a draft that somebody else made, to the owner.

    Args:
        etag: version that one has read, here as in every step; another one is refused.
    """
    return _step("submit_request", request, "submissions", None, etag)


def ask_supplement(request: str, reason: str, *, etag: str | None = None) -> Operation[Json]:
    """Ask, once, for all that is missing in a request to one's agency."""
    return _step("ask_supplement", request, "supplement-demands", {"reason": reason}, etag)


def supplement_request(request: str, text: str, *, etag: str | None = None) -> Operation[Json]:
    """Add what was missing in a request of one's agency."""
    return _step("supplement_request", request, "supplements", {"text": text}, etag)


def answer_request(
    request: str,
    decision: str,
    *,
    reason: str | None = None,
    items: Sequence[str] | None = None,
    operations: Sequence[str] | None = None,
    purposes: Sequence[str] | None = None,
    row_filter: RowFilter | None = None,
    masks: Mapping[str, str] | None = None,
    valid_until: str | None = None,
    etag: str | None = None,
) -> Operation[Json]:
    """Answer a request to one's agency; the answer counts once a head has confirmed it.

    Args:
        decision: `approve`, with terms that only narrow what was asked for, or `refuse`.
        reason: of a refusal always.
        items, operations, purposes, row_filter, masks, valid_until: as was asked for when None.
    """
    body = {"decision": decision, "reason": reason, "valid_until": valid_until}
    body |= _terms(items, operations, purposes, row_filter, masks)
    given = {name: value for name, value in body.items() if value is not None}
    return _step("answer_request", request, "answers", given, etag)


def return_answer(request: str, reason: str, *, etag: str | None = None) -> Operation[Json]:
    """Return an answer to who gave it, for another one."""
    return _step("return_answer", request, "returns", {"reason": reason}, etag)


def confirm_answer(request: str, *, etag: str | None = None) -> Operation[Json]:
    """Confirm an answer that somebody else gave; an approval issues or renews the grant."""
    return _step("confirm_answer", request, "confirmations", None, etag)


def withdraw_request(request: str, reason: str, *, etag: str | None = None) -> Operation[Json]:
    """Withdraw a request of one's agency that was not decided yet."""
    return _step("withdraw_request", request, "withdrawals", {"reason": reason}, etag)


def list_work(*, limit: int | None = None, cursor: str | None = None) -> Operation[Page]:
    """List the requests that wait for a step of one's own, what is due first before others."""
    path = with_query("/sharing/v1/work", limit=limit, cursor=cursor)
    return get("list_work", path, read_page)


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


def renew_grant(
    grant: str,
    valid_until: str,
    *,
    basis: str | None = None,
    scenario: str | None = None,
    idempotency_key: str | None = None,
) -> Operation[Json]:
    """Ask for a longer period of a grant to one's agency; the answer is a request.

    Args:
        valid_until: new end of the period, exclusive.
        basis, scenario: as they were said before when None.
        idempotency_key: the same key with the same body is one request; new by default.
    """
    said = {"valid_until": valid_until, "basis": basis, "scenario": scenario}
    body = {name: value for name, value in said.items() if value is not None}
    path = path_of(_GRANT + "/renewals", grant=grant)
    return _created("renew_grant", path, body, idempotency_key)


def narrow_grant(
    grant: str,
    reason: str,
    *,
    items: Sequence[str] | None = None,
    operations: Sequence[str] | None = None,
    purposes: Sequence[str] | None = None,
    row_filter: RowFilter | None = None,
    masks: Mapping[str, str] | None = None,
) -> Operation[Json]:
    """Leave less of a grant that one's agency gave; what is None stays as it is."""
    body = {"reason": reason} | _terms(items, operations, purposes, row_filter, masks)
    return post("narrow_grant", path_of(_GRANT + "/narrowings", grant=grant), body)


def list_usable(
    *, system: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Operation[Page]:
    """What may be used now."""
    path = with_query("/sharing/v1/usable", system=system, limit=limit, cursor=cursor)
    return get("list_usable", path, read_page)


def _created(name: str, path: str, body: Json, idempotency_key: str | None) -> Operation[Json]:
    return Operation(
        name,
        "POST",
        path,
        read_object,
        headers={
            "Content-Type": JSON,
            "Idempotency-Key": idempotency_key or str(uuid.uuid4()),
        },
        body=json_body(body),
        idempotent=True,
    )


def _step(
    name: str, request: str, step: str, body: Json | None, etag: str | None
) -> Operation[Json]:
    path = path_of(f"{_REQUEST}/{step}", request=request)
    headers = {} if body is None else {"Content-Type": JSON}
    if etag is not None:
        headers["If-Match"] = etag
    data = b"" if body is None else json_body(body)
    return Operation(name, "POST", path, read_object, headers=headers, body=data)


def _terms(
    items: Sequence[str] | None,
    operations: Sequence[str] | None,
    purposes: Sequence[str] | None,
    row_filter: RowFilter | None,
    masks: Mapping[str, str] | None,
) -> Json:
    """The terms that are given."""
    lists = {"items": items, "operations": operations, "purposes": purposes}
    objects = {"row_filter": row_filter, "masks": masks}
    terms: Json = {name: list(value) for name, value in lists.items() if value is not None}
    return terms | {name: dict(value) for name, value in objects.items() if value is not None}
