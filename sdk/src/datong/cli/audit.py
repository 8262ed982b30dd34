"""Commands of auditors on the log: search, record, gaps, package, key, checkpoint, watch."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from datong.cli import questions
from datong.cli.options import Session, text_or_file
from datong.watch import Kept, watch_once

From = Annotated[str | None, typer.Option("--from", help="RFC 3339 instant, inclusive.")]
Until = Annotated[str | None, typer.Option(help="RFC 3339 instant, exclusive.")]
_COLUMNS = ("record", "at", "type", "resource", "decision", "reason")


def commands() -> typer.Typer:
    """`datong audit …`."""
    group = typer.Typer(help="Evidence: ask it, prove it, watch it.", no_args_is_help=True)
    questions.add_commands(group)
    group.command(
        "search", epilog="Example: datong audit search --resource deaths --decision denied"
    )(_search)
    group.command("record", epilog="Example: datong audit record RECORD")(_record)
    group.command("salt", epilog="Example: datong audit salt RECORD")(_salt)
    group.command("gaps", epilog="Example: datong audit gaps")(_gaps)
    group.command("package", epilog="Example: datong audit package evidence.zip")(_package)
    group.command("key", epilog="Example: datong audit key > log.vkey")(_key)
    group.command("checkpoint", epilog="Example: datong audit checkpoint")(_checkpoint)
    group.command(
        "watch", epilog="Example: datong audit watch checkpoints.ndjson --key log.vkey --every 60"
    )(_watch)
    return group


def _search(
    context: typer.Context,
    agency: Annotated[str | None, typer.Option(help="Caller's or owner's agency.")] = None,
    resource: Annotated[str | None, typer.Option(help="Resource.")] = None,
    grant: Annotated[str | None, typer.Option(help="Grant.")] = None,
    decision: Annotated[str | None, typer.Option(help="allowed or denied.")] = None,
    reason: Annotated[
        str | None, typer.Option(help="Reason code, of contracts/problems.yaml.")
    ] = None,
    purpose: Annotated[str | None, typer.Option(help="Purpose code.")] = None,
    case: Annotated[str | None, typer.Option(help="The caller's file number.")] = None,
    caller: Annotated[str | None, typer.Option(help="system/ID or person/ID.")] = None,
    call: Annotated[str | None, typer.Option(help="Call id.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="call, fact, …")] = None,
    from_: From = None,
    until: Until = None,
    limit: Annotated[int | None, typer.Option(min=1, max=200, help="Items of a page.")] = None,
    cursor: Annotated[str | None, typer.Option(help="Go on after this page.")] = None,
) -> None:
    """Search records."""
    session: Session = context.obj
    with session.client() as client:
        page = client.search_records(
            agency=agency,
            resource=resource,
            grant=grant,
            decision=decision,
            reason=reason,
            purpose=purpose,
            case=case,
            caller=caller,
            call=call,
            type_=kind,
            from_=from_,
            until=until,
            limit=limit,
            cursor=cursor,
        )
    session.output.items(page.items, _COLUMNS, following=page.next)


def _record(context: typer.Context, record: str) -> None:
    """Show one record with its inclusion proof."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.get_record(record))


def _salt(context: typer.Context, record: str) -> None:
    """Show the salt of a record's digests."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.get_salt(record))


def _gaps(context: typer.Context) -> None:
    """Show what the log misses."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.get_gaps())


def _package(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Where to write the ZIP file.")],
    from_: From = None,
    until: Until = None,
) -> None:
    """Download an evidence package for `datong verify`."""
    session: Session = context.obj
    with session.client() as client:
        answer = client.download_package(file, from_=from_, until=until)
    session.output.done(
        f"{file} written; check it with: datong verify {file} --key … --checkpoint …",
        {"file": str(file), "bytes": file.stat().st_size, "evidence": answer.evidence},
    )


def _key(context: typer.Context) -> None:
    """Print the log's verifier key. Note it once, and compare it by another way."""
    session: Session = context.obj
    with session.public_client() as client:
        vkey = client.get_log_key()
    if session.output.as_json:
        session.output.document({"vkey": vkey})
    else:
        session.output.line(vkey)


def _checkpoint(context: typer.Context) -> None:
    """Print the newest signed checkpoint, unchecked."""
    session: Session = context.obj
    with session.public_client() as client:
        note = client.get_checkpoint().decode()
    if session.output.as_json:
        session.output.document({"note": note})
    else:
        session.output.line(note.removesuffix("\n"))


def _watch(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Your own file of checkpoints; appended to.")],
    key: Annotated[str, typer.Option(help="The log's verifier key, or a file that holds it.")],
    every: Annotated[
        float | None, typer.Option(min=1, help="Go on, with this many seconds in between.")
    ] = None,
) -> None:
    """Keep the newest checkpoint, after proving that it extends the last kept one."""
    session: Session = context.obj
    vkey = text_or_file(key)
    with session.public_client() as client:
        while True:
            kept = client.wait(watch_once(client.asynchronous, file, vkey=vkey))
            _tell(session, kept, file)
            if every is None:
                return
            time.sleep(every)


def _tell(session: Session, kept: Kept, file: Path) -> None:
    what = "kept" if kept.is_new else "nothing new"
    session.output.done(
        f"{what}: {kept.size} records, root {kept.root}, in {file}",
        {"size": kept.size, "root": kept.root, "is_new": kept.is_new},
    )
