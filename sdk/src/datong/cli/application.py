"""Puts the commands together; the options of the whole command live here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from datong.cli import (
    agencies,
    applying,
    audit,
    batches,
    calling,
    catalogue,
    credentials,
    data,
    deliveries,
    grants,
    proof,
    reconciliation,
    requests,
    searching,
)
from datong.cli.options import Session
from datong.cli.output import Output
from datong.client.asynchronous import SECONDS

HELP = """Share data between departments under the law, and prove what happened.

The options of this page may also stand after a command. Exit codes: 0 done, 1 unexpected, 2 wrong
usage or unusable identity, 3 refused, 4 unreachable, 5 a proof failed, 6 both sides
differ.
"""

EXAMPLES = """Examples:

datong enrol dt1.… --gateway gateway.example:8443 --server-ca ca.pem --as health

datong search 行政区划 --as health

datong query divisions --purpose registration --key code=330100 --as health

datong publish divisions divisions.csv --as civil-affairs

datong receive divisions --into postgresql://user@host/health --purpose registration --as health

datong verify package.zip --key log.vkey --checkpoint checkpoints.ndjson
"""


def build() -> typer.core.TyperGroup:
    """The whole command."""
    application = typer.Typer(
        name="datong",
        help=HELP,
        epilog=EXAMPLES,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )
    application.callback()(_options)
    for module in (
        credentials,
        searching,
        data,
        calling,
        batches,
        deliveries,
        reconciliation,
        requests,
        grants,
        applying,
        proof,
    ):
        module.add_commands(application)
    application.add_typer(catalogue.commands(), name="catalogue")
    application.add_typer(grants.grants(), name="grants")
    application.add_typer(requests.requests(), name="requests")
    application.add_typer(audit.commands(), name="audit")
    application.add_typer(agencies.agencies(), name="agency")
    application.add_typer(agencies.people(), name="person")
    application.add_typer(agencies.systems(), name="system")
    application.add_typer(agencies.credentials(), name="credentials")
    command = typer.main.get_command(application)
    if not isinstance(command, typer.core.TyperGroup):
        raise TypeError("the application has commands")
    return command


def _options(
    context: typer.Context,
    identity: Annotated[
        Path | None,
        typer.Option(help="Identity folder; DATONG_IDENTITY_DIRECTORY otherwise."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--as", help="Name of an identity in ~/.config/datong.")
    ] = None,
    gateway: Annotated[
        str | None, typer.Option(help="Address host:port; the identity's own otherwise.")
    ] = None,
    server_ca: Annotated[
        Path | None,
        typer.Option(help="CA of the gateway's server certificate; DATONG_SERVER_CA otherwise."),
    ] = None,
    call_log: Annotated[
        Path | None,
        typer.Option(help="Append every call to this file; DATONG_CALL_LOG otherwise."),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(help="Wait for this state first, as Datong-Revision named it."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(help="Time allowed for an answer.", min=0.1, max=300)
    ] = SECONDS,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    context.obj = Session.begin(
        output=Output(as_json=as_json),
        directory=identity,
        name=name,
        gateway=gateway,
        server_ca=server_ca,
        call_log=call_log,
        after=after,
        seconds=seconds,
    )
