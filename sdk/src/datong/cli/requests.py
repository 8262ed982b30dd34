"""Commands on requests: what waits, asking, and every step to a grant or a refusal."""

from __future__ import annotations

from typing import Annotated

import typer

from datong.cli.options import Session
from datong.cli.terms import (
    Filters,
    Items,
    Masks,
    Operations,
    Purposes,
    read_filter,
    read_masks,
    read_terms,
    readable,
)
from datong.errors import InputInvalid
from datong.operations.operation import Json

PANEL = "Requests"
Limit = Annotated[int | None, typer.Option(min=1, max=200, help="Items of a page.")]
Cursor = Annotated[str | None, typer.Option(help="Go on after this page.")]
Request = Annotated[str, typer.Argument(help="Id of the request, as `datong work` shows it.")]
Reason = Annotated[str, typer.Option(help="Why; goes on record.")]
Version = Annotated[
    int | None,
    typer.Option(min=1, help="`version` of the request as you read it; another one is refused."),
]
_WORK = ("request", "step", "due", "resource", "consumer", "owner", "scenario")
_REQUESTS = ("id", "resource", "consumer", "owner", "state", "due", "created_at")


def add_commands(application: typer.Typer) -> None:
    """Add the commands that stand for themselves."""

    def add(name: str, function: object, example: str) -> None:
        command = application.command(name, epilog=f"Example: {example}", rich_help_panel=PANEL)
        command(function)  # type: ignore[type-var]

    add("work", _work, "datong work --as administrator")
    add(
        "request",
        _request,
        "datong request deaths --system ID --item id_number --item died "
        "--purpose benefit-check --basis 条例 --scenario 待遇核查 "
        "--mask id_number=id_number --filter area=330106 "
        "--from 2026-12-01T00:00:00Z --until 2027-12-01T00:00:00Z",
    )
    add("submit", _submit, "datong submit REQUEST --as head")
    add("ask", _ask, "datong ask REQUEST --reason 请说明使用范围")
    add("supplement", _supplement, "datong supplement REQUEST --text 仅限本市参保人员")
    add("approve", _approve, "datong approve REQUEST --mask name=name --until 2027-06-30T16:00:00Z")
    add("refuse", _refuse, "datong refuse REQUEST --reason 用途与职责不符")
    add("return", _return, "datong return REQUEST --reason 请缩小范围")
    add("confirm", _confirm, "datong confirm REQUEST --as owner-head")
    add("withdraw", _withdraw, "datong withdraw REQUEST --reason 不再需要")


def requests() -> typer.Typer:
    """`datong requests …`."""
    group = typer.Typer(help="Requests that one's agency made or received.", no_args_is_help=True)
    group.command("list", epilog="Example: datong requests list --state submitted")(_list)
    group.command("show", epilog="Example: datong requests show REQUEST")(_show)
    return group


def show(session: Session, request: Json, revision: str | None = None) -> None:
    """Print a request; tell people what to name to build on it at once from elsewhere."""
    session.output.object(request if session.output.as_json else readable(request))
    if revision is not None:
        session.output.note(f"to build on this at once from elsewhere: --after '{revision}'")


def _etag(version: int | None) -> str | None:
    return None if version is None else f'"{version}"'


def _work(context: typer.Context, limit: Limit = None, cursor: Cursor = None) -> None:
    """Show what waits for you, what is due first before others.

    `step` is what to do next: submit, supplement, confirm are commands of the same name; `answer`
    is done by approve, refuse, or ask.
    """
    session: Session = context.obj
    with session.client() as client:
        page = client.list_work(limit=limit, cursor=cursor)
    if not page.items and not session.output.as_json:
        session.output.line("nothing waits for you")
        return
    session.output.items(page.items, _WORK, following=page.next)


def _request(
    context: typer.Context,
    resource: Annotated[str, typer.Argument(help="Resource.")],
    system: Annotated[list[str], typer.Option(help="System that shall receive; repeatable.")],
    purpose: Annotated[list[str], typer.Option(help="Purpose code; repeatable.")],
    basis: Annotated[str, typer.Option(help="Legal or official ground.")],
    scenario: Annotated[str, typer.Option(help="What the data will be used for.")],
    from_: Annotated[str, typer.Option("--from", help="Beginning of the period, inclusive.")],
    until: Annotated[str, typer.Option(help="End of the period, exclusive.")],
    item: Items = None,
    mode: Annotated[
        list[str] | None,
        typer.Option(help="query (the default), batch, or call alone; repeatable."),
    ] = None,
    operation: Operations = None,
    filter_: Filters = None,
    mask: Masks = None,
    law: Annotated[
        str | None,
        typer.Option(help="Title of the law that entitles you to what is not shared otherwise."),
    ] = None,
    article: Annotated[str | None, typer.Option(help="Its article; with --law.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Repeat an earlier request safely.")
    ] = None,
) -> None:
    """Ask for a grant; of an unconditional resource it is issued at once.

    Of a conditional one, or of one that only a law (--law, --article) opens to you, a draft is
    made, which your sharing-office head submits.
    """
    session: Session = context.obj
    if (law is None) != (article is None):
        raise InputInvalid("--law and --article belong together.")
    modes = mode or (["call"] if operation else ["query"])
    with session.client() as client:
        answer = client.create_request(
            resource,
            systems=system,
            items=item or [],
            modes=modes,
            operations=operation or [],
            purposes=purpose,
            row_filter=read_filter(filter_),
            masks=read_masks(mask),
            statutory=None if law is None else {"title": law, "article": article or ""},
            basis=basis,
            scenario=scenario,
            valid_from=from_,
            valid_until=until,
            idempotency_key=idempotency_key,
        )
        show(session, answer, client.revisions.header())
    if answer.get("state") == "drafted":
        session.output.note(f"a draft; another person submits it: datong submit {answer['id']}")


def _list(
    context: typer.Context,
    resource: Annotated[str | None, typer.Option(help="Of this resource.")] = None,
    state: Annotated[
        str | None, typer.Option(help="drafted, submitted, answered, granted, refused, …")
    ] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> None:
    """List requests."""
    session: Session = context.obj
    with session.client() as client:
        page = client.list_requests(resource=resource, state=state, limit=limit, cursor=cursor)
    session.output.items(page.items, _REQUESTS, following=page.next)


def _show(context: typer.Context, request: Request) -> None:
    """Show one request with its steps."""
    session: Session = context.obj
    with session.client() as client:
        show(session, client.get_request(request))


def _submit(context: typer.Context, request: Request, version: Version = None) -> None:
    """Submit a draft that somebody else made (sharing-office head)."""
    session: Session = context.obj
    with session.client() as client:
        show(session, client.submit_request(request, etag=_etag(version)))


def _ask(context: typer.Context, request: Request, reason: Reason, version: Version = None) -> None:
    """Ask, once, for all that is missing (owner's resource administrator)."""
    session: Session = context.obj
    with session.client() as client:
        show(session, client.ask_supplement(request, reason, etag=_etag(version)))


def _supplement(
    context: typer.Context,
    request: Request,
    text: Annotated[str, typer.Option(help="What was missing.")],
    version: Version = None,
) -> None:
    """Add what was missing; what was asked for stays as it was signed."""
    session: Session = context.obj
    with session.client() as client:
        show(session, client.supplement_request(request, text, etag=_etag(version)))


def _approve(
    context: typer.Context,
    request: Request,
    item: Items = None,
    operation: Operations = None,
    purpose: Purposes = None,
    filter_: Filters = None,
    mask: Masks = None,
    until: Annotated[str | None, typer.Option(help="End of the period, exclusive.")] = None,
    reason: Annotated[str | None, typer.Option(help="Remark; goes on record.")] = None,
    version: Version = None,
) -> None:
    """Answer with yes (owner's resource administrator); your head confirms.

    Terms may only narrow what was asked for; what no option names stays as it was asked for.
    """
    session: Session = context.obj
    terms = read_terms(item, operation, purpose, filter_, mask)
    with session.client() as client:
        answer = client.answer_request(
            request, "approve", reason=reason, valid_until=until, etag=_etag(version), **terms
        )
        show(session, answer)


def _refuse(
    context: typer.Context, request: Request, reason: Reason, version: Version = None
) -> None:
    """Answer with no and say why (owner's resource administrator); your head confirms."""
    session: Session = context.obj
    with session.client() as client:
        answer = client.answer_request(request, "refuse", reason=reason, etag=_etag(version))
        show(session, answer)


def _return(
    context: typer.Context, request: Request, reason: Reason, version: Version = None
) -> None:
    """Return an answer to who gave it, for another one (owner's head)."""
    session: Session = context.obj
    with session.client() as client:
        show(session, client.return_answer(request, reason, etag=_etag(version)))


def _confirm(context: typer.Context, request: Request, version: Version = None) -> None:
    """Confirm an answer that somebody else gave; an approval issues the grant (owner's head)."""
    session: Session = context.obj
    with session.client() as client:
        answer = client.confirm_answer(request, etag=_etag(version))
        show(session, answer, client.revisions.header())


def _withdraw(
    context: typer.Context, request: Request, reason: Reason, version: Version = None
) -> None:
    """Withdraw a request of your agency that was not decided yet."""
    session: Session = context.obj
    with session.client() as client:
        show(session, client.withdraw_request(request, reason, etag=_etag(version)))
