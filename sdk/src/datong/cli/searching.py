"""Commands that search the catalogue."""

from __future__ import annotations

from typing import Annotated

import typer

from datong.cli.options import Session
from datong.operations.operation import Json

Limit = Annotated[int | None, typer.Option(min=1, max=200, help="Items of a page.")]
Cursor = Annotated[str | None, typer.Option(help="Go on after this page.")]
_COLUMNS = ("id", "resource", "name", "agency", "share_class", "modes")
_SHOWN = 5
"""Values of a facet that people are told."""


def add_commands(application: typer.Typer) -> None:
    """Add the commands that stand for themselves."""
    application.command("search", epilog="Example: datong search 死亡 登记 --mode query")(_search)


def misses(
    context: typer.Context,
    days: Annotated[
        int | None, typer.Option(min=1, max=90, help="Today and the days before.")
    ] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> None:
    """List what was searched in vain, the most frequent first."""
    session: Session = context.obj
    with session.client() as client:
        page = client.list_search_misses(days=days, limit=limit, cursor=cursor)
    session.output.items(page.items, following=page.next)


def _search(
    context: typer.Context,
    words: Annotated[list[str], typer.Argument(help="A hit has all of them.")],
    agency: Annotated[str | None, typer.Option(help="Of this owner.")] = None,
    share_class: Annotated[str | None, typer.Option(help="Of this share class.")] = None,
    mode: Annotated[str | None, typer.Option(help="query, batch or call.")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> None:
    """Search published entries by name, summary, items, agency or resource."""
    session: Session = context.obj
    with session.client() as client:
        found = client.search_entries(
            " ".join(words),
            agency=agency,
            share_class=share_class,
            mode=mode,
            limit=limit,
            cursor=cursor,
        )
    output = session.output
    if output.as_json:
        output.document(found)
        return
    output.items(found["items"], _COLUMNS, following=found.get("next"))
    if found["total"]:
        output.note(f"{found['total']} found; {_facets(found['facets'])}")


def _facets(facets: Json) -> str:
    """Return the greatest numbers of each facet, in one line."""
    told = []
    for name, counts in facets.items():
        shown = ", ".join(f"{each['value']} {each['count']}" for each in counts[:_SHOWN])
        told.append(f"{name}: {shown}{', …' if len(counts) > _SHOWN else ''}")
    return "; ".join(told)
