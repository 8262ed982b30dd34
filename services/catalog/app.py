"""Composition root of the catalogue: settings in, running processes out."""

from collections.abc import Sequence
from typing import Final

from fastapi import FastAPI

from kit import auth, kafka, outbox, serve
from kit.app import create_app
from kit.clock import Clock, SystemClock
from kit.db import Db
from kit.directory import Directory
from kit.notices import listen
from kit.states import StateReader
from kit.tokens import Verifier
from services.catalog.actions import Searching
from services.catalog.routes import router
from services.catalog.settings import ApiSettings

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
    searching: Searching | None = None,
) -> FastAPI:
    """Return the application.

    Args:
        db: the catalogue's database; None only for an application that is never called.
        directory: where callers are looked up.
        verifier: rules for their tokens.
        readers: what `Datong-After` waits for.
        bus_seconds: how long an answer waits for the bus to acknowledge a change.
        allow_private_owners: whether services of owners may have private addresses.
        searching: answers searches; without it they are refused.
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
            "searching": searching,
        },
    )


def openapi_app() -> FastAPI:
    """Return an application without environment, whose document is the service's contract."""
    return build_app(None, Directory(), Verifier("", ""), clock=SystemClock())


async def run_api(settings: ApiSettings) -> None:
    """Serve the API until the process is told to stop."""
    db = Db(settings.postgres_url, PART)
    directory = Directory()
    reader = StateReader(
        kafka.client_options(settings),
        directory.handlers(),
        stale_after=settings.stale_after,
        on_unreadable=directory.on_unreadable,
    )
    searching = Searching(
        db,
        settings.index_directory,
        lambda: {each.id: each.name for each in directory.agencies.values()},
        ready=lambda: reader.ready,
    )
    app = build_app(
        db,
        directory,
        Verifier(settings.issuer, settings.audience),
        clock=SystemClock(),
        readers=[reader],
        allow_private_owners=settings.allow_private_owners,
        searching=searching,
    )

    async def ready() -> bool:
        await db.ping()
        return reader.ready

    try:
        await serve.run_process(
            settings,
            app=app,
            background=[
                reader.run(),
                searching.run(),
                # Every change of an entry is told on the bus, and so on this channel.
                listen(settings.postgres_url, outbox.APPENDED, searching.wake),
            ],
            ready=ready,
        )
    finally:
        await db.dispose()
