"""What transfer publishes."""

from kit.events import Fact


def rows_loaded(
    *,
    resource: str,
    entry: str,
    entry_version: int,
    agency: str,
    rows: int,
    digest: str,
    actor: str,
    call: str,
) -> Fact:
    """Return the fact that the rows of a dataset were replaced as a whole.

    Args:
        rows, digest: count and digest of the rows that are there now (`contracts/rows.md`).
        actor: `system/<id>` of the owner.
    """
    return Fact(
        topic="transfer.change.v1",
        type="transfer.rows-loaded.v1",
        subject=f"dataset/{entry}",
        data={
            "resource": resource,
            "entry": entry,
            "entry_version": entry_version,
            "agency": agency,
            "rows": rows,
            "digest": digest,
        },
        actor=actor,
        call=call or None,
    )
