"""The auditor's questions: who used a resource, what was refused, is this record in the log."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from datong.cli.options import Session, text_or_file
from datong.errors import InputInvalid
from datong.operations.audit import search_records
from datong.operations.operation import Json
from datong.proving import prove_record
from datong.watch import read_checkpoints

Since = Annotated[
    str,
    typer.Option(help="A time ago (30m, 1h, 7d) or an RFC 3339 instant, inclusive."),
]
Until = Annotated[
    str | None, typer.Option(help="Likewise, exclusive; now otherwise.", show_default=False)
]
_AGO = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_PAGE = 200
_RELEASES = frozenset({"call", "opened"})
"""Types of the first record of an answer: `closed` and others tell more about the same one."""
_USES = ("caller_agency", "caller", "purpose", "mode", "operation")
_REFUSALS = ("reason", "resource", "caller_agency")


def add_commands(group: typer.Typer) -> None:
    """Add the commands of this page to `datong audit`."""
    group.command("uses", epilog="Example: datong audit uses deaths --since 1h")(_uses)
    group.command("refusals", epilog="Example: datong audit refusals --since 1h")(_refusals)
    group.command(
        "prove",
        epilog="Example: datong audit prove RECORD --key log.vkey --checkpoint checkpoints.ndjson",
    )(_prove)


def instant(text: str, now: datetime) -> str:
    """Read `30m`, `1h`, `7d` before `now`, or an RFC 3339 instant as it is.

    Raises:
        InputInvalid: neither.
    """
    ago = _AGO.fullmatch(text)
    if ago is not None:
        before = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        return before.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise InputInvalid(
            f"{text!r} is no point in time.",
            next_step="It reads 30m, 1h or 7d (ago), or 2026-11-24T08:00:00Z.",
        )
    return text


def _uses(
    context: typer.Context,
    resource: Annotated[str, typer.Argument(help="Resource.")],
    since: Since = "1h",
    until: Until = None,
) -> None:
    """Who received data of a resource, and what for.

    Counts answers that were cleared for release, by agency, system and purpose, with their rows.
    """
    session: Session = context.obj
    found = _count(
        (
            record
            for record in _records(session, since, until, resource=resource, decision="allowed")
            if record["type"] in _RELEASES
            and record.get("mode") not in (None, "publish")
            and "reason" not in record
        ),
        _USES,
    )
    _print(session, found, _USES, "nobody received any of it")


def _refusals(
    context: typer.Context,
    since: Since = "1h",
    until: Until = None,
    resource: Annotated[str | None, typer.Option(help="Of this resource only.")] = None,
    agency: Annotated[str | None, typer.Option(help="Of calls of this agency only.")] = None,
) -> None:
    """What was refused, by reason; contracts/problems.yaml explains every reason.

    Some calls pass the gateway's checks and are refused by the service behind it, and some answers
    are cut by a permission that ends: those count too.
    """
    session: Session = context.obj
    refused = _records(session, since, until, resource=resource, caller_agency=agency, refused=True)
    # A platform that does not know this filter yet sends all records.
    found = _count((record for record in refused if "reason" in record), _REFUSALS)
    _print(session, found, _REFUSALS, "nothing was refused")


def _records(
    session: Session, since: str, until: str | None, **filters: str | bool | None
) -> Iterator[Json]:
    now = datetime.fromtimestamp(time.time(), UTC)
    end = None if until is None else instant(until, now)
    with session.client() as client:
        yield from client.every(
            search_records, from_=instant(since, now), until=end, limit=_PAGE, **filters
        )


def _count(records: Iterable[Json], names: Sequence[str]) -> list[Json]:
    """Count records by the members `names`, most frequent first."""
    groups: dict[tuple[str | None, ...], Json] = {}
    for record in records:
        named = tuple(record.get(name) for name in names)
        at = record["at"]
        group = groups.setdefault(
            named,
            {**dict(zip(names, named, strict=True)), "count": 0, "rows": 0}
            | {"first": at, "last": at},
        )
        group["count"] += 1
        group["rows"] += record.get("rows", 0)
        group["first"], group["last"] = min(group["first"], at), max(group["last"], at)
    return sorted(groups.values(), key=lambda group: -int(group["count"]))


def _print(session: Session, found: list[Json], names: Sequence[str], none: str) -> None:
    if session.output.as_json:
        session.output.items(found)
        return
    if not found:
        session.output.line(none)
        return
    used = [name for name in names if any(group[name] is not None for group in found)]
    rows = ("rows",) if any(group["rows"] for group in found) else ()
    session.output.items(found, (*used, "count", *rows, "first", "last"))
    session.output.note("what happened in the last moments may still be on its way to the index")


def _prove(
    context: typer.Context,
    record: Annotated[str, typer.Argument(help="Id of the record, as Datong-Evidence named it.")],
    key: Annotated[str, typer.Option(help="The log's verifier key as you noted it, or its file.")],
    checkpoint: Annotated[
        list[Path],
        typer.Option(help="Checkpoints that you kept: of `audit watch`, or one note; repeatable."),
    ],
) -> None:
    """Prove that a record is in the log that you have been watching.

    Its bytes are hashed here and followed to a root that the log's key has signed; that tree must
    extend your own checkpoint. Ends with 5 unless all of it is so.
    """
    session: Session = context.obj
    kept = [note for file in checkpoint for note in read_checkpoints(file)]
    with session.client() as client:
        proved = client.wait(
            prove_record(client.asynchronous, record, vkey=text_or_file(key), checkpoints=kept)
        )
    if session.output.as_json:
        session.output.document(proved.as_json())
        return
    session.output.object(proved.record)
    under = (
        f"it lies under your own checkpoint of {proved.noted} records"
        if proved.is_noted
        else f"which extends your own checkpoint of {proved.noted} records"
    )
    where = f"record {proved.leaf} of {proved.size} under the signed root {proved.root}"
    session.output.line(f"proved: {where}; {under}")
