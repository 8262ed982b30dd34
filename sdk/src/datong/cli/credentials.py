"""Commands on one's own identity: enrol, renew, token, whoami."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from datong import enrolment
from datong.cli.options import Session, text_or_file
from datong.errors import InputInvalid
from datong.identity import Identity


def add_commands(application: typer.Typer) -> None:
    """Add the commands of this page."""
    application.command("enrol", epilog="Example: datong enrol dt1.… --gateway host:8443")(_enrol)
    application.command("renew", epilog="Example: datong renew --as consumer")(_renew)
    application.command("token", epilog="Example: datong token --as consumer")(_token)
    application.command("whoami", epilog="Example: datong whoami --as consumer")(_whoami)


def _enrol(
    context: typer.Context,
    code: Annotated[
        str, typer.Argument(help="One-time code, or a file with it (which keeps it from `ps`).")
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite the identity in the folder.")
    ] = False,
) -> None:
    """Turn a one-time code into an identity: key, certificate, CA.

    The key is made here. The certificate is kept only when it comes from the CA whose digest the
    code carries. Needs --gateway; --server-ca when the system does not trust the gateway's CA.
    """
    session: Session = context.obj
    if session.gateway is None:
        raise InputInvalid("The address of the gateway is missing.", next_step="Add --gateway.")
    identity = asyncio.run(
        enrolment.enrol(
            enrolment.OneTimeCode.find(text_or_file(code)).text,
            session.identity_directory,
            gateway=session.gateway,
            server_ca=session.server_ca,
            call_log=session.call_log,
            replace=replace,
        )
    )
    _tell(session, "Enrolled", identity)


def _renew(context: typer.Context) -> None:
    """Replace key and certificate by means of the present ones."""
    session: Session = context.obj
    identity = asyncio.run(enrolment.renew(session.identity_directory, call_log=session.call_log))
    _tell(session, "Renewed", identity)


def _tell(session: Session, what: str, identity: Identity) -> None:
    session.output.done(
        f"{what} {identity.subject} of {identity.agency} in {identity.directory}; valid until "
        f"{identity.not_after}",
        _described(identity),
    )


def _described(identity: Identity) -> dict[str, object]:
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in asdict(identity).items()
    }


def _token(context: typer.Context) -> None:
    """Print an access token for this certificate, for use with curl."""
    session: Session = context.obj
    with session.client() as client:
        token = client.fetch_token()
    if session.output.as_json:
        session.output.document({"access_token": token, "token_type": "Bearer"})
    else:
        session.output.line(token or "")


def _whoami(
    context: typer.Context,
    local: Annotated[
        bool, typer.Option("--local", help="Only read the folder; do not ask the platform.")
    ] = False,
) -> None:
    """Who the platform takes this identity for."""
    session: Session = context.obj
    if local:
        session.output.object(_described(session.identity()))
        return
    with session.client() as client:
        session.output.object(client.get_me())
