"""Composition root of transfer: settings in, running processes out."""

import asyncio
from collections.abc import Sequence

from fastapi import FastAPI

from kit import auth, kafka, serve
from kit.app import create_app
from kit.clock import Clock, SystemClock
from kit.db import Db
from kit.directory import Directory
from kit.states import StateReader
from kit.tokens import Verifier
from services.exchange.transfer.consumer import Arrivals
from services.exchange.transfer.domain import ConsumerKeys, Copies
from services.exchange.transfer.routes import Waiting, router
from services.exchange.transfer.settings import TransferSettings
from services.exchange.transfer.store import FolderObjects, News, Objects, RowReader

PART = "transfer"


def build_app(
    db: Db | None,
    reader: RowReader | None,
    directory: Directory,
    waiting: Waiting,
    verifier: Verifier,
    *,
    clock: Clock,
    objects: Objects | None = None,
    news: News | None = None,
    keys: ConsumerKeys | None = None,
    readers: Sequence[StateReader] = (),
    loads: int = 2,
) -> FastAPI:
    """Return the application.

    Args:
        db: the database; None only for an application that is never called.
        reader: answers queries; likewise.
        objects: where chunks and segments lie; likewise.
        news: what calls wait for; likewise.
        keys: of pseudonyms; likewise.
        directory: where callers are looked up.
        waiting: our copies of entries and grants.
        verifier: rules for tokens.
        readers: what `Datong-After` waits for.
        loads: chunks that are checked at the same time; others wait.
    """
    return create_app(
        PART,
        [router],
        access=auth.Access(auth.DirectoryIdentities(directory), verifier, clock),
        readers=readers,
        state={
            "db": db,
            "reader": reader,
            "objects": objects,
            "news": news,
            "keys": keys,
            "waiting": waiting,
            "clock": clock,
            "loads": asyncio.Semaphore(loads),
        },
    )


def openapi_app() -> FastAPI:
    """Return an application without environment, whose document is the service's contract."""
    directory = Directory()
    arrivals = Arrivals(Copies(), directory)
    return build_app(None, None, directory, arrivals, Verifier("", ""), clock=SystemClock())


async def run_api(settings: TransferSettings) -> None:
    """Serve the API until the process is told to stop."""
    db = Db(settings.postgres_url, PART, pool=settings.connections)
    news = News(settings.postgres_url)
    rows = RowReader(settings.postgres_url, size=settings.query_connections)
    directory = Directory()
    arrivals = Arrivals(Copies(), directory)
    states = StateReader(
        kafka.client_options(settings),
        arrivals.handlers(),
        stale_after=settings.stale_after,
        on_unreadable=arrivals.on_unreadable,
    )
    app = build_app(
        db,
        rows,
        directory,
        arrivals,
        Verifier(settings.issuer, settings.audience),
        clock=SystemClock(),
        objects=FolderObjects(settings.object_directory),
        news=news,
        keys=ConsumerKeys(settings.pseudonym_key),
        readers=[states],
        loads=settings.loads,
    )

    async def ready() -> bool:
        await db.ping()
        return states.ready

    try:
        await serve.run_process(
            settings, app=app, background=[states.run(), news.run()], ready=ready
        )
    finally:
        await rows.close()
        await db.dispose()
