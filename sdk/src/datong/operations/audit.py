"""Operations on evidence: checkpoints, proofs, records, gaps, packages."""

from __future__ import annotations

from datong.operations.operation import (
    Access,
    Json,
    Operation,
    Page,
    get,
    path_of,
    read_bytes,
    read_object,
    read_page,
    read_text,
    with_query,
)

PACKAGE_SECONDS = 300.0
"""Time allowed for a package."""


def get_checkpoint() -> Operation[bytes]:
    """The newest signed checkpoint of the log, unchecked. `watch` checks and keeps it."""
    return Operation(
        "get_checkpoint",
        "GET",
        "/audit/v1/checkpoint",
        read_bytes,
        access=Access.PUBLIC,
        idempotent=True,
    )


def get_log_key() -> Operation[str]:
    """The log's verifier key (vkey line). Note it once, and compare it by another way."""
    return Operation(
        "get_log_key",
        "GET",
        "/audit/v1/key",
        lambda answer: read_text(answer).strip(),
        access=Access.PUBLIC,
        idempotent=True,
    )


def get_tile(path: str) -> Operation[bytes]:
    """A tile or entry bundle (C2SP tlog-tiles).

    Args:
        path: below `tile/`, such as `0/000` or `entries/000.p/7`.
    """
    return get("get_tile", f"/audit/v1/tile/{path}", read_bytes)


def search_records(
    *,
    agency: str | None = None,
    caller_agency: str | None = None,
    owner_agency: str | None = None,
    resource: str | None = None,
    grant: str | None = None,
    call: str | None = None,
    purpose: str | None = None,
    case: str | None = None,
    caller: str | None = None,
    subject: str | None = None,
    type_: str | None = None,
    decision: str | None = None,
    reason: str | None = None,
    refused: bool | None = None,
    from_: str | None = None,
    until: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Operation[Page]:
    """Search the evidence; others than auditors see what concerns their own agency.

    Args:
        agency: caller's or owner's agency.
        caller: `system/<id>` or `person/<id>`.
        subject: of a fact, such as `grant/<id>`.
        type_: type of the record, such as `call` or `fact`.
        decision: `allowed` or `denied`.
        refused: only calls that were refused, by the gateway or by the service behind it.
        from_: RFC 3339 instant, inclusive.
        until: RFC 3339 instant, exclusive.
    """
    path = with_query(
        "/audit/v1/records",
        agency=agency,
        caller_agency=caller_agency,
        owner_agency=owner_agency,
        resource=resource,
        grant=grant,
        call=call,
        purpose=purpose,
        case=case,
        caller=caller,
        subject=subject,
        type_=type_,
        decision=decision,
        reason=reason,
        refused=refused,
        from_=from_,
        until=until,
        limit=limit,
        cursor=cursor,
    )
    return get("search_records", path, read_page)


def get_record(record: str) -> Operation[Json]:
    """One record: its bytes, an inclusion proof and the checkpoint that the proof leads to."""
    path = path_of("/audit/v1/records/{record}", record=record)
    return get("get_record", path, read_object)


def get_salt(record: str) -> Operation[Json]:
    """Salt of a record's digests, for the caller's and the owner's agency."""
    path = path_of("/audit/v1/records/{record}/salt", record=record)
    return get("get_salt", path, read_object)


def get_inclusion_proof(index: int, size: int) -> Operation[Json]:
    """Proof that a leaf is in the tree of `size` records."""
    path = with_query("/audit/v1/proofs/inclusion", index=index, size=size)
    return get("get_inclusion_proof", path, read_object)


def get_consistency_proof(old: int, new: int | None = None) -> Operation[Json]:
    """Proof that the tree of `new` records, or the newest, extends the tree of `old` records."""
    path = with_query("/audit/v1/proofs/consistency", old=old, new=new)
    return get("get_consistency_proof", path, read_object)


def get_gaps() -> Operation[Json]:
    """Sequence numbers that the log misses, and epochs that are open."""
    return get("get_gaps", "/audit/v1/gaps", read_object)


def get_package(*, from_: str | None = None, until: str | None = None) -> Operation[bytes]:
    """An evidence package (ZIP), whole or of the records in [`from_`, `until`)."""
    path = with_query("/audit/v1/packages", from_=from_, until=until)
    operation = get("get_package", path, read_bytes)
    return Operation(
        operation.name,
        operation.method,
        operation.path,
        operation.read,
        idempotent=True,
        headers={"Datong-Timeout": f"{PACKAGE_SECONDS:.0f}"},
        seconds=PACKAGE_SECONDS,
    )
