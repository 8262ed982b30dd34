"""Commands on grants: see, narrow, renew, suspend, resume, end; what may be used now."""

from __future__ import annotations

from typing import Annotated

import typer

from datong.cli.options import Session
from datong.cli.requests import Cursor, Limit, Reason, show
from datong.cli.terms import Filters, Items, Masks, Operations, Purposes, read_terms, readable
from datong.operations.operation import Json

Grant = Annotated[str, typer.Argument(help="Id of the grant.")]
_COLUMNS = ("id", "resource", "owner", "consumer", "state", "validity", "valid_until")
_USABLE = ("grant", "resource", "owner", "modes", "items", "purposes", "valid_until")


def add_commands(application: typer.Typer) -> None:
    """Add the command that stands for itself."""
    application.command("usable", epilog="Example: datong usable --as consumer")(_usable)


def grants() -> typer.Typer:
    """`datong grants …`."""
    group = typer.Typer(help="Grants that one's agency gave or received.", no_args_is_help=True)
    group.command("list", epilog="Example: datong grants list --resource divisions")(_list)
    group.command("show", epilog="Example: datong grants show GRANT")(_show)
    group.command(
        "narrow",
        epilog="Example: datong grants narrow GRANT --item code --filter area=330106 "
        "--reason 仅限本区",
    )(_narrow)
    group.command(
        "renew", epilog="Example: datong grants renew GRANT --until 2028-12-01T00:00:00Z"
    )(_renew)
    group.command("suspend", epilog="Example: datong grants suspend GRANT --reason 用途待核实")(
        _suspend
    )
    group.command("resume", epilog="Example: datong grants resume GRANT --reason 已核实")(_resume)
    group.command("end", epilog="Example: datong grants end GRANT --reason 职责已移交")(_end)
    return group


def _list(
    context: typer.Context,
    resource: Annotated[str | None, typer.Option(help="Of this resource.")] = None,
    state: Annotated[str | None, typer.Option(help="active, suspended or ended.")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> None:
    """List grants."""
    session: Session = context.obj
    with session.client() as client:
        page = client.list_grants(resource=resource, state=state, limit=limit, cursor=cursor)
    session.output.items(page.items, _COLUMNS, following=page.next)


def _show(context: typer.Context, grant: Grant) -> None:
    """Show what a grant covers, until when, and how it stands."""
    session: Session = context.obj
    with session.client() as client:
        found = client.get_grant(grant)
    session.output.object(found if session.output.as_json else readable(found))


def _narrow(
    context: typer.Context,
    grant: Grant,
    reason: Reason,
    item: Items = None,
    operation: Operations = None,
    purpose: Purposes = None,
    filter_: Filters = None,
    mask: Masks = None,
) -> None:
    """Leave less of a grant that your agency gave (resource administrator).

    What no option names stays. --mask and --filter name all that shall apply, those included that
    apply already.
    """
    session: Session = context.obj
    terms = read_terms(item, operation, purpose, filter_, mask)
    with session.client() as client:
        _changed(session, client.narrow_grant(grant, reason, **terms), client.revisions.header())


def _renew(
    context: typer.Context,
    grant: Grant,
    until: Annotated[str, typer.Option(help="New end of the period, exclusive.")],
    basis: Annotated[str | None, typer.Option(help="Ground, if it is another one.")] = None,
    scenario: Annotated[str | None, typer.Option(help="Use, if it is another one.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Repeat an earlier renewal safely.")
    ] = None,
) -> None:
    """Ask for a longer period of a grant to your agency; what it covers stays."""
    session: Session = context.obj
    with session.client() as client:
        answer = client.renew_grant(
            grant, until, basis=basis, scenario=scenario, idempotency_key=idempotency_key
        )
        show(session, answer, client.revisions.header())


def _suspend(context: typer.Context, grant: Grant, reason: Reason) -> None:
    """Suspend a grant: nothing is released under it until it is resumed."""
    session: Session = context.obj
    with session.client() as client:
        _changed(session, client.suspend_grant(grant, reason), client.revisions.header())


def _resume(context: typer.Context, grant: Grant, reason: Reason) -> None:
    """Resume a suspended grant."""
    session: Session = context.obj
    with session.client() as client:
        _changed(session, client.resume_grant(grant, reason), client.revisions.header())


def _end(context: typer.Context, grant: Grant, reason: Reason) -> None:
    """End a grant for good."""
    session: Session = context.obj
    with session.client() as client:
        _changed(session, client.end_grant(grant, reason), client.revisions.header())


def _changed(session: Session, answer: Json, revision: str | None) -> None:
    session.output.object(answer if session.output.as_json else readable(answer))
    if revision is not None:
        session.output.note(f"to build on this at once from elsewhere: --after '{revision}'")


def _usable(
    context: typer.Context,
    system: Annotated[str | None, typer.Option(help="For this system only.")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> None:
    """Show what may be used now."""
    session: Session = context.obj
    with session.client() as client:
        page = client.list_usable(system=system, limit=limit, cursor=cursor)
    session.output.items(page.items, _USABLE, following=page.next)
