"""Operations of the catalogue: search, entries, drafts, approval, withdrawal."""

from __future__ import annotations

from collections.abc import Mapping
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

_ENTRY = "/catalog/v1/entries/{entry}"


def create_entry(entry: Mapping[str, Any]) -> Operation[Json]:
    """Create the draft of a new entry."""
    return post("create_entry", "/catalog/v1/entries", dict(entry))


def list_entries(
    *,
    agency: str | None = None,
    resource: str | None = None,
    text: str | None = None,
    share_class: str | None = None,
    state: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Operation[Page]:
    """List entries.

    Args:
        agency: only entries of this owner.
        resource: only the entry that makes this resource available.
        text: a piece of the name, summary or resource id.
        share_class: `unconditional`, `conditional` or `not_shared`.
        state: `published` by default; `draft` and `submitted` of one's own agency only.
    """
    path = with_query(
        "/catalog/v1/entries",
        agency=agency,
        resource=resource,
        text=text,
        share_class=share_class,
        state=state,
        limit=limit,
        cursor=cursor,
    )
    return get("list_entries", path, read_page)


def search_entries(
    q: str,
    *,
    agency: str | None = None,
    share_class: str | None = None,
    mode: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Operation[Json]:
    """Search published entries: `items`, best first, `total`, `facets` and `next`.

    Args:
        q: words; a hit has all of them. A Chinese word may be any piece of a text.
        agency: only entries of this owner.
        share_class: `unconditional`, `conditional` or `not_shared`.
        mode: `query`, `batch` or `call`.
    """
    path = with_query(
        "/catalog/v1/search",
        q=q,
        agency=agency,
        share_class=share_class,
        mode=mode,
        limit=limit,
        cursor=cursor,
    )
    return get("search_entries", path, read_object)


def list_search_misses(
    *, days: int | None = None, limit: int | None = None, cursor: str | None = None
) -> Operation[Page]:
    """List what was searched in vain, the most frequent first.

    Args:
        days: today and the days before, 30 by default and 90 at most.
    """
    path = with_query("/catalog/v1/search/misses", days=days, limit=limit, cursor=cursor)
    return get("list_search_misses", path, read_page)


def get_entry(entry: str) -> Operation[Json]:
    """The published version of an entry, and its draft for its own agency."""
    return get("get_entry", path_of(_ENTRY, entry=entry), read_object)


def get_entry_version(entry: str, version: int) -> Operation[Json]:
    """One immutable version of an entry."""
    path = path_of(_ENTRY + "/versions/{version}", entry=entry, version=str(version))
    return get("get_entry_version", path, read_object)


def put_draft(entry: str, draft: Mapping[str, Any], *, etag: str) -> Operation[Json]:
    """Replace the draft of an entry.

    Args:
        etag: `ETag` of the entry as it was read, with its quotation marks.
    """
    return Operation(
        "put_draft",
        "PUT",
        path_of(_ENTRY + "/draft", entry=entry),
        read_object,
        headers={"Content-Type": JSON, "If-Match": etag},
        body=json_body(dict(draft)),
    )


def create_draft(entry: str) -> Operation[Json]:
    """Begin the draft of the next version of a published entry."""
    return post("create_draft", path_of(_ENTRY + "/drafts", entry=entry), {})


def submit_entry(entry: str) -> Operation[Json]:
    """Submit the draft for approval."""
    return post("submit_entry", path_of(_ENTRY + "/submissions", entry=entry), {})


def approve_entry(entry: str) -> Operation[Json]:
    """Approve a submitted draft, which publishes it; never by the person who wrote it."""
    return post("approve_entry", path_of(_ENTRY + "/approvals", entry=entry), {})


def reject_entry(entry: str, reason: str) -> Operation[Json]:
    """Send a submitted draft back with a reason."""
    return post("reject_entry", path_of(_ENTRY + "/rejections", entry=entry), {"reason": reason})


def withdraw_entry(entry: str, reason: str) -> Operation[Json]:
    """Withdraw a published entry; nobody receives its data from then on."""
    return post("withdraw_entry", path_of(_ENTRY + "/withdrawals", entry=entry), {"reason": reason})
