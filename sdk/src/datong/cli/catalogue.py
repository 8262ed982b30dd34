"""Commands on the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from datong.cli import searching
from datong.cli.options import Session, read_document

Entry = Annotated[str, typer.Argument(help="Id of the entry.")]
Reason = Annotated[str, typer.Option(help="Why; goes on record.")]
Document = Annotated[Path, typer.Argument(help="JSON or YAML file with the entry.")]
_COLUMNS = ("id", "resource", "name", "agency", "share_class")


def commands() -> typer.Typer:
    """`datong catalogue …`."""
    group = typer.Typer(help="Entries: what departments hold and share.", no_args_is_help=True)
    group.command("list", epilog="Example: datong catalogue list --text 区划")(_list)
    group.command("misses", epilog="Example: datong catalogue misses --days 7")(searching.misses)
    group.command("show", epilog="Example: datong catalogue show ENTRY")(_show)
    group.command("create", epilog="Example: datong catalogue create entry.yaml")(_create)
    group.command("edit", epilog="Example: datong catalogue edit ENTRY entry.yaml --revision 3")(
        _edit
    )
    group.command("draft", epilog="Example: datong catalogue draft ENTRY")(_draft)
    group.command("submit", epilog="Example: datong catalogue submit ENTRY")(_submit)
    group.command("approve", epilog="Example: datong catalogue approve ENTRY")(_approve)
    group.command(
        "reject", epilog="Example: datong catalogue reject ENTRY --reason 数据项说明不全"
    )(_reject)
    group.command(
        "withdraw", epilog="Example: datong catalogue withdraw ENTRY --reason 职责已移交"
    )(_withdraw)
    return group


def _list(
    context: typer.Context,
    agency: Annotated[str | None, typer.Option(help="Of this owner.")] = None,
    resource: Annotated[str | None, typer.Option(help="Of this resource.")] = None,
    text: Annotated[str | None, typer.Option(help="A piece of name or summary.")] = None,
    share_class: Annotated[str | None, typer.Option(help="Of this share class.")] = None,
    state: Annotated[str | None, typer.Option(help="published, draft, …")] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=200, help="Items of a page.")] = None,
    cursor: Annotated[str | None, typer.Option(help="Go on after this page.")] = None,
) -> None:
    """List entries."""
    session: Session = context.obj
    with session.client() as client:
        page = client.list_entries(
            agency=agency,
            resource=resource,
            text=text,
            share_class=share_class,
            state=state,
            limit=limit,
            cursor=cursor,
        )
    session.output.items(page.items, _COLUMNS, following=page.next)


def _show(
    context: typer.Context,
    entry: Entry,
    version: Annotated[int | None, typer.Option(help="An earlier version.")] = None,
) -> None:
    """Show an entry."""
    session: Session = context.obj
    with session.client() as client:
        if version is None:
            session.output.object(client.get_entry(entry))
        else:
            session.output.object(client.get_entry_version(entry, version))


def _create(context: typer.Context, file: Document) -> None:
    """Create the draft of a new entry."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.create_entry(read_document(file)))


def _edit(
    context: typer.Context,
    entry: Entry,
    file: Document,
    revision: Annotated[int, typer.Option(help="`revision` of the entry as you read it.")],
) -> None:
    """Replace the draft of an entry."""
    session: Session = context.obj
    with session.client() as client:
        draft = read_document(file)
        session.output.object(client.put_draft(entry, draft, etag=f'"{revision}"'))


def _draft(context: typer.Context, entry: Entry) -> None:
    """Begin the draft of the next version."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.create_draft(entry))


def _submit(context: typer.Context, entry: Entry) -> None:
    """Submit the draft for approval."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.submit_entry(entry))


def _approve(context: typer.Context, entry: Entry) -> None:
    """Approve a submitted draft, which publishes it."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.approve_entry(entry))


def _reject(context: typer.Context, entry: Entry, reason: Reason) -> None:
    """Send a submitted draft back."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.reject_entry(entry, reason))


def _withdraw(context: typer.Context, entry: Entry, reason: Reason) -> None:
    """Withdraw a published entry."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.withdraw_entry(entry, reason))
