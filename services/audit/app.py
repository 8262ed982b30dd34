"""Composition root of audit's processes: the API, the log writer, the rebuild of the index."""

import asyncio
import signal
import threading
from collections.abc import Sequence

from fastapi import FastAPI
from typing_extensions import override

from kit import logging, migrate
from kit.app import create_app
from kit.auth import Access, DirectoryIdentities
from kit.clock import Clock, SystemClock
from kit.db import Db
from kit.directory import Directory
from kit.kafka import client_options
from kit.pages import PageProducer
from kit.serve import run_process
from kit.states import StateReader
from kit.tokens import Verifier
from services.audit.actions.commit import Committer, NotAnExtension, Superseded
from services.audit.actions.index import Indexer
from services.audit.consumer import Writer
from services.audit.routes import router
from services.audit.settings import Settings, WriterSettings
from services.audit.store.follower import LogFollower
from services.audit.store.keys import load_key
from services.audit.store.log import LogDamaged
from services.audit.store.objects import FolderStore
from services.audit.store.outside import OutsideCheckpoint

PART = "audit"
FATAL = 3
"""Exit status when the log is not ours to write, or not what it should be."""

LEFTOVER_SECONDS = 3600.0
"""Age of half-written files that a starting writer removes."""

log = logging.get_logger()


class OverwritingStore(FolderStore):
    """A store whose create-if-absent overwrites: the control run of the fencing test."""

    @override
    def create_if_absent(self, name: str, data: bytes) -> bool:
        """Create an object whether or not it exists; always says it was absent."""
        self.remove(name)
        return super().create_if_absent(name, data)


def build_app(
    db: Db | None,
    directory: Directory,
    verifier: Verifier,
    follower: LogFollower | None,
    *,
    origin: str,
    clock: Clock,
    readers: Sequence[StateReader] = (),
) -> FastAPI:
    """Return the application.

    Args:
        db: the search index; None, like `follower`, only for an application that is never called.
        directory: where callers are looked up.
        verifier: rules for their tokens.
        follower: reads the log.
        origin: name of the log, for packages.
        readers: what `Datong-After` waits for.
    """
    return create_app(
        PART,
        [router],
        access=Access(DirectoryIdentities(directory), verifier, clock),
        readers=readers,
        state={"db": db, "clock": clock, "follower": follower, "origin": origin},
    )


def openapi_app() -> FastAPI:
    """Return an application without environment, whose document is the service's contract."""
    return build_app(None, Directory(), Verifier("", ""), None, origin="", clock=SystemClock())


async def run_api(settings: Settings) -> None:
    """Serve the API until the process is told to stop."""
    db = Db(settings.postgres_url, PART)
    directory = Directory()
    reader = StateReader(
        client_options(settings),
        directory.handlers(),
        stale_after=settings.stale_after,
        on_unreadable=directory.on_unreadable,
    )
    app = build_app(
        db,
        directory,
        Verifier(settings.issuer, settings.audience),
        LogFollower(FolderStore(settings.object_directory)),
        origin=settings.log_origin,
        clock=SystemClock(),
        readers=[reader],
    )

    async def ready() -> bool:
        await db.ping()
        return reader.ready

    try:
        await run_process(settings, app=app, background=[reader.run()], ready=ready)
    finally:
        await db.dispose()


def writer(settings: WriterSettings) -> tuple[Writer, Db]:
    """Return the log writer and the database of its index."""
    clock = SystemClock()
    overwrite = settings.test_hook == "overwrite-commits"
    store = (OverwritingStore if overwrite else FolderStore)(settings.object_directory)
    store.remove_leftovers(clock.now().timestamp() - LEFTOVER_SECONDS)
    committer = Committer(
        store,
        OutsideCheckpoint(settings.last_checkpoint_file),
        load_key(settings.log_origin, settings.log_key_file),
        clock,
    )
    if settings.test_hook != "none":
        log.warning("a safeguard is off", hook=settings.test_hook)
        stop_at = settings.test_stop_at

        def stop(number: int) -> None:
            if number == stop_at:
                # Sent to this very thread: one sent to the process might be taken by another
                # thread, and this one would run on until that one is scheduled.
                signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

        committer.before_commit = stop
    db = Db(settings.postgres_url, PART, pool=2)
    options = client_options(settings)
    indexer = Indexer(store, db, keep_salts=True)
    return Writer(committer, options, PageProducer(options), indexer, clock), db


async def write(settings: WriterSettings) -> None:
    """Run the log writer until it is told to stop, or must."""
    made, db = writer(settings)

    async def ready() -> bool:
        return made.ready

    try:
        await run_process(settings, background=[made.run()], ready=ready)
    finally:
        await db.dispose()


async def rebuild(settings: Settings) -> None:
    """Empty the search index and fill it from the log."""
    db = Db(settings.postgres_url, PART, pool=2)
    indexer = Indexer(FolderStore(settings.object_directory), db, keep_salts=False)
    try:
        records = await indexer.rebuild(lambda done, size: log.info("indexed", done=done, of=size))
        log.info("index rebuilt", records=records)
    finally:
        await db.dispose()


def main(arguments: Sequence[str]) -> int:
    """Run one of `api | write | migrate | rebuild`; return the exit status."""
    command, *rest = arguments or ["help"]
    settings = (WriterSettings if command == "write" else Settings)()
    logging.configure(PART, settings.log_level)
    match command:
        case "write":
            return _run_writer(WriterSettings())
        case "api":
            asyncio.run(run_api(settings))
        case "rebuild":
            asyncio.run(rebuild(settings))
        case "migrate":
            asyncio.run(migrate.main(settings.postgres_url, "services.audit", rest))
        case _:
            raise SystemExit("usage: python -m services.audit api | write | migrate | rebuild")
    return 0


def _run_writer(settings: WriterSettings) -> int:
    """Run the writer; an error of the commit protocol is told in one line."""
    status = 0
    try:
        asyncio.run(write(settings))
    except* (Superseded, NotAnExtension, LogDamaged, ValueError) as group:
        for error in group.exceptions:
            log.error("the log cannot be written", error=repr(error))
        status = FATAL
    return status
