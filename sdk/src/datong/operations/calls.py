"""Operations on services that their owners run: what comes back is theirs, status included."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from datong.operations.data import data_headers
from datong.operations.operation import JSON, Answer, Operation

OWNER_HEADER = "datong-owner"
"""The agency whose service answered; a refusal of the gateway does not have it."""


def _read(answer: Answer) -> Answer:
    return answer


def _call(
    name: str,
    resource: str,
    path: str,
    *,
    purpose: str | None,
    query: Mapping[str, str] | None = None,
    body: bytes = b"",
    content_type: str | None = None,
    accept: str | None = None,
    case: str | None = None,
    grant: str | None = None,
    seconds: float | None = None,
) -> Operation[Answer]:
    method = name.removeprefix("call_").upper()
    place = f"/call/{quote(resource, safe='')}/{quote(path.removeprefix('/'), safe='/')}"
    named = {"Accept": accept, "Content-Type": content_type if body else None}
    return Operation(
        name,
        method,
        f"{place}?{urlencode(query)}" if query else place,
        _read,
        headers=data_headers(purpose=purpose, case=case, grant=grant, seconds=seconds)
        | {header: value for header, value in named.items() if value is not None},
        body=body,
        idempotent=method == "GET",
        seconds=seconds,
    )


def call_get(
    resource: str,
    path: str,
    *,
    purpose: str | None = None,
    query: Mapping[str, str] | None = None,
    accept: str | None = None,
    case: str | None = None,
    grant: str | None = None,
    seconds: float | None = None,
) -> Operation[Answer]:
    """Read from an owner's own service.

    Args:
        path: of the operation, filled in, such as `/enterprises/91330106TQ0000065E`.
        query: parameters after the path.
        seconds: time for the answer, if it is less than the service has.

    Returns:
        Whatever the service answered; check its status.
    """
    return _call(
        "call_get",
        resource,
        path,
        purpose=purpose,
        query=query,
        accept=accept,
        case=case,
        grant=grant,
        seconds=seconds,
    )


def call_post(
    resource: str,
    path: str,
    body: bytes,
    *,
    purpose: str | None = None,
    query: Mapping[str, str] | None = None,
    content_type: str = JSON,
    case: str | None = None,
    grant: str | None = None,
    seconds: float | None = None,
) -> Operation[Answer]:
    """Send something to an owner's own service; see `call_get`."""
    return _call(
        "call_post",
        resource,
        path,
        purpose=purpose,
        query=query,
        body=body,
        content_type=content_type,
        case=case,
        grant=grant,
        seconds=seconds,
    )


def call_put(
    resource: str,
    path: str,
    body: bytes,
    *,
    purpose: str | None = None,
    query: Mapping[str, str] | None = None,
    content_type: str = JSON,
    case: str | None = None,
    grant: str | None = None,
    seconds: float | None = None,
) -> Operation[Answer]:
    """Put something into an owner's own service; see `call_get`."""
    return _call(
        "call_put",
        resource,
        path,
        purpose=purpose,
        query=query,
        body=body,
        content_type=content_type,
        case=case,
        grant=grant,
        seconds=seconds,
    )


def call_patch(
    resource: str,
    path: str,
    body: bytes,
    *,
    purpose: str | None = None,
    query: Mapping[str, str] | None = None,
    content_type: str = JSON,
    case: str | None = None,
    grant: str | None = None,
    seconds: float | None = None,
) -> Operation[Answer]:
    """Change something in an owner's own service; see `call_get`."""
    return _call(
        "call_patch",
        resource,
        path,
        purpose=purpose,
        query=query,
        body=body,
        content_type=content_type,
        case=case,
        grant=grant,
        seconds=seconds,
    )


def call_delete(
    resource: str,
    path: str,
    *,
    purpose: str | None = None,
    query: Mapping[str, str] | None = None,
    case: str | None = None,
    grant: str | None = None,
    seconds: float | None = None,
) -> Operation[Answer]:
    """Delete something in an owner's own service; see `call_get`."""
    return _call(
        "call_delete",
        resource,
        path,
        purpose=purpose,
        query=query,
        case=case,
        grant=grant,
        seconds=seconds,
    )
