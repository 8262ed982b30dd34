"""Commands on data: query, explain."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from datong.cli.options import Session, members
from datong.errors import InputInvalid

Pairs = Annotated[list[str] | None, typer.Option(help="name=text, or name:=JSON; repeatable.")]
Case = Annotated[str | None, typer.Option(help="Own file number; goes on record.")]
Grant = Annotated[str | None, typer.Option(help="Id of the grant to use.")]
Purpose = Annotated[str | None, typer.Option(help="Purpose code; goes on record.")]


def add_commands(application: typer.Typer) -> None:
    """Add the commands of this page."""
    application.command(
        "query", epilog="Example: datong query divisions --purpose registration --key code=330100"
    )(_query)
    application.command(
        "explain", epilog="Example: datong explain divisions --purpose registration"
    )(_explain)


def _query(
    context: typer.Context,
    resource: str,
    purpose: Purpose = None,
    key: Pairs = None,
    where: Pairs = None,
    item: Annotated[list[str] | None, typer.Option(help="Wanted item; repeatable.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=1000, help="Rows of a page.")] = None,
    cursor: Annotated[str | None, typer.Option(help="Go on after this page.")] = None,
    case: Case = None,
    grant: Grant = None,
    whole: Annotated[bool, typer.Option("--all", help="Read all pages.")] = False,
) -> None:
    """Ask for rows of a granted resource, by key or by equality of items."""
    session: Session = context.obj
    if key and where:
        raise InputInvalid("Ask by --key or by --where, not by both.")
    wanted: dict[str, Any] = {
        "purpose": purpose,
        "key": members(key) if key else None,
        "where": members(where) if where else None,
        "items": item,
        "limit": limit,
        "cursor": cursor,
        "case": case,
        "grant": grant,
    }
    with session.client() as client:
        pages = list(client.query_pages(resource, **wanted)) if whole else []
        pages = pages or [client.query(resource, **wanted)]
    rows = [row for page in pages for row in page.rows]
    if session.output.as_json:
        evidence = [
            {"call": page.call, "evidence": page.evidence, "salt": page.salt} for page in pages
        ]
        session.output.document({"rows": rows, "next": pages[-1].next, "evidence": evidence})
        return
    session.output.items(rows, list(rows[0]) if rows else (), following=pages[-1].next)
    session.output.note(f"evidence: {', '.join(str(page.evidence) for page in pages)}")


def _explain(
    context: typer.Context,
    resource: str,
    mode: Annotated[str, typer.Option(help="Way of receiving data.")] = "query",
    purpose: Purpose = None,
    system: Annotated[str | None, typer.Option(help="Whose call; one's own otherwise.")] = None,
    grant: Grant = None,
    operation: Annotated[str | None, typer.Option(help="Operation of an owner's service.")] = None,
    item: Annotated[list[str] | None, typer.Option(help="Wanted item; repeatable.")] = None,
) -> None:
    """Show every check of a data call in order, without making the call."""
    session: Session = context.obj
    with session.client() as client:
        answer = client.explain(
            resource,
            mode=mode,
            purpose=purpose,
            system=system,
            grant=grant,
            operation=operation,
            items=item,
        )
    if session.output.as_json:
        session.output.document(answer)
        return
    checks = answer.get("checks")
    session.output.items(checks if isinstance(checks, list) else [], ("check", "passed", "fact"))
    reason, next_step = answer.get("reason"), answer.get("next_step")
    session.output.note(f"denied: {reason}. {next_step}" if reason else "allowed")
