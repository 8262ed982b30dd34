"""Composition root of sharing: settings in, running processes out."""

import time
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
from services.exchange.sharing.clients import Copies
from services.exchange.sharing.routes import grants, requests, steps
from services.exchange.sharing.settings import SharingSettings

PART: Final = "sharing"
BUS_SECONDS: Final = 2.0


def build_app(
    db: Db | None,
    copies: Copies,
    verifier: Verifier,
    *,
    clock: Clock,
    readers: Sequence[StateReader] = (),
    bus_seconds: float = BUS_SECONDS,
) -> FastAPI:
    """Return the application.

    Args:
        db: sharing's database; None only for an application that is never called.
        copies: what is known of callers, systems and entries.
        verifier: rules for tokens.
        readers: what `Datong-After` waits for.
        bus_seconds: how long an answer waits for the bus to acknowledge a change.
    """
    return create_app(
        PART,
        [requests.router, steps.router, grants.router],
        access=auth.Access(auth.DirectoryIdentities(copies.directory), verifier, clock),
        readers=readers,
        state={"db": db, "clock": clock, "bus_seconds": bus_seconds, "copies": copies},
    )


def openapi_app() -> FastAPI:
    """Return an application without environment, whose document is the service's contract."""
    return build_app(
        None, Copies(Directory(), lambda: False), Verifier("", ""), clock=SystemClock()
    )


async def run_api(settings: SharingSettings) -> None:
    """Serve the API until the process is told to stop."""
    db = Db(settings.postgres_url, PART)
    copies = Copies(Directory(), lambda: reader.is_fresh(time.monotonic()))
    reader = StateReader(
        kafka.client_options(settings),
        copies.handlers(),
        stale_after=settings.stale_after,
        on_unreadable=copies.on_unreadable,
    )
    app = build_app(
        db,
        copies,
        Verifier(settings.issuer, settings.audience),
        clock=SystemClock(),
        readers=[reader],
    )

    async def ready() -> bool:
        await db.ping()
        return reader.ready

    try:
        await serve.run_process(settings, app=app, background=[reader.run()], ready=ready)
    finally:
        await db.dispose()
