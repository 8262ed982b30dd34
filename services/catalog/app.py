"""Composition root of the catalogue: settings in, running processes out."""

from collections.abc import Sequence
from typing import Final

from fastapi import FastAPI

from kit import auth, kafka, serve
from kit.app import create_app
from kit.clock import Clock, SystemClock
from kit.db import Db
from kit.directory import Directory
from kit.states import StateReader
from kit.tokens import Verifier
from services.catalog.routes import router
from services.catalog.settings import CatalogSettings

PART: Final = "catalog"
BUS_SECONDS: Final = 2.0


def build_app(
    db: Db | None,
    directory: Directory,
    verifier: Verifier,
    *,
    clock: Clock,
    readers: Sequence[StateReader] = (),
    bus_seconds: float = BUS_SECONDS,
    allow_private_owners: bool = False,
) -> FastAPI:
    """Return the application.

    Args:
        db: the catalogue's database; None only for an application that is never called.
        directory: where callers are looked up.
        verifier: rules for their tokens.
        readers: what `Datong-After` waits for.
        bus_seconds: how long an answer waits for the bus to acknowledge a change.
        allow_private_owners: whether services of owners may have private addresses.
    """
    return create_app(
        PART,
        [router],
        access=auth.Access(auth.DirectoryIdentities(directory), verifier, clock),
        readers=readers,
        state={
            "db": db,
            "clock": clock,
            "bus_seconds": bus_seconds,
            "allow_private_owners": allow_private_owners,
        },
    )


def openapi_app() -> FastAPI:
    """Return an application without environment, whose document is the service's contract."""
    return build_app(None, Directory(), Verifier("", ""), clock=SystemClock())


async def run_api(settings: CatalogSettings) -> None:
    """Serve the API until the process is told to stop."""
    db = Db(settings.postgres_url, PART)
    directory = Directory()
    reader = StateReader(
        kafka.client_options(settings),
        directory.handlers(),
        stale_after=settings.stale_after,
        on_unreadable=directory.on_unreadable,
    )
    app = build_app(
        db,
        directory,
        Verifier(settings.issuer, settings.audience),
        clock=SystemClock(),
        readers=[reader],
        allow_private_owners=settings.allow_private_owners,
    )

    async def ready() -> bool:
        await db.ping()
        return reader.ready

    try:
        await serve.run_process(settings, app=app, background=[reader.run()], ready=ready)
    finally:
        await db.dispose()
