"""Commands on requests and grants."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from datong.cli.options import Session

Limit = Annotated[int | None, typer.Option(min=1, max=200, help="Items of a page.")]
Cursor = Annotated[str | None, typer.Option(help="Go on after this page.")]
Resource = Annotated[str | None, typer.Option(help="Of this resource.")]
State = Annotated[str | None, typer.Option(help="In this state.")]
Reason = Annotated[str, typer.Option(help="Why; goes on record.")]
_GRANT_COLUMNS = ("id", "resource", "owner", "consumer", "state")


def add_commands(application: typer.Typer) -> None:
    """Add the commands that stand for themselves."""
    application.command(
        "request",
        epilog="Example: datong request divisions --system ID --item code --purpose registration "
        "--basis 条例 --scenario 登记 --from 2026-12-01T00:00:00Z --until 2027-12-01T00:00:00Z",
    )(_request)
    application.command("usable")(_usable)


def requests() -> typer.Typer:
    """`datong requests …`."""
    group = typer.Typer(help="Requests that one's agency made or received.", no_args_is_help=True)
    group.command("list")(_list_requests)
    group.command("show")(_show_request)
    return group


def grants() -> typer.Typer:
    """`datong grants …`."""
    group = typer.Typer(help="Grants that one's agency gave or received.", no_args_is_help=True)
    group.command("list")(_list_grants)
    group.command("show")(_show_grant)
    group.command("suspend")(_suspend)
    group.command("resume")(_resume)
    group.command("end")(_end)
    return group


def _request(
    context: typer.Context,
    resource: str,
    system: Annotated[list[str], typer.Option(help="System that shall receive; repeatable.")],
    item: Annotated[list[str], typer.Option(help="Wanted item; repeatable.")],
    purpose: Annotated[list[str], typer.Option(help="Purpose code; repeatable.")],
    basis: Annotated[str, typer.Option(help="Legal or official ground.")],
    scenario: Annotated[str, typer.Option(help="What the data will be used for.")],
    from_: Annotated[str, typer.Option("--from", help="Beginning of the period, inclusive.")],
    until: Annotated[str, typer.Option(help="End of the period, exclusive.")],
    mode: Annotated[
        list[str] | None,
        typer.Option(help="Way of receiving: query (the default) or batch; repeatable."),
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Repeat an earlier request safely.")
    ] = None,
) -> None:
    """Ask for a grant; of an unconditional resource it is issued at once."""
    session: Session = context.obj
    with session.client() as client:
        answer = client.create_request(
            resource,
            systems=system,
            items=item,
            purposes=purpose,
            basis=basis,
            scenario=scenario,
            valid_from=from_,
            valid_until=until,
            modes=mode or ["query"],
            idempotency_key=idempotency_key,
        )
        _show(session, answer, client.revisions.header())


def _show(session: Session, answer: dict[str, Any], revision: str | None) -> None:
    session.output.object(answer)
    if revision is not None:
        session.output.note(f"to build on this at once from elsewhere: --after '{revision}'")


def _usable(
    context: typer.Context,
    system: Annotated[str | None, typer.Option(help="For this system only.")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> None:
    """What may be used now."""
    session: Session = context.obj
    with session.client() as client:
        page = client.list_usable(system=system, limit=limit, cursor=cursor)
    session.output.items(page.items, following=page.next)


def _list_requests(
    context: typer.Context,
    resource: Resource = None,
    state: State = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> None:
    """List requests."""
    session: Session = context.obj
    with session.client() as client:
        page = client.list_requests(resource=resource, state=state, limit=limit, cursor=cursor)
    session.output.items(page.items, following=page.next)


def _show_request(context: typer.Context, request: str) -> None:
    """Show one request."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.get_request(request))


def _list_grants(
    context: typer.Context,
    resource: Resource = None,
    state: State = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> None:
    """List grants."""
    session: Session = context.obj
    with session.client() as client:
        page = client.list_grants(resource=resource, state=state, limit=limit, cursor=cursor)
    session.output.items(page.items, _GRANT_COLUMNS, following=page.next)


def _show_grant(context: typer.Context, grant: str) -> None:
    """Show one grant."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.get_grant(grant))


def _suspend(context: typer.Context, grant: str, reason: Reason) -> None:
    """Suspend a grant: nothing is released under it until it is resumed."""
    session: Session = context.obj
    with session.client() as client:
        _show(session, client.suspend_grant(grant, reason), client.revisions.header())


def _resume(context: typer.Context, grant: str, reason: Reason) -> None:
    """Resume a suspended grant."""
    session: Session = context.obj
    with session.client() as client:
        _show(session, client.resume_grant(grant, reason), client.revisions.header())


def _end(context: typer.Context, grant: str, reason: Reason) -> None:
    """End a grant for good."""
    session: Session = context.obj
    with session.client() as client:
        _show(session, client.end_grant(grant, reason), client.revisions.header())
