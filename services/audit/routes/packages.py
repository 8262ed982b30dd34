"""Evidence packages: a file is written first, so that its length and digest are known."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import IO, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from kit.app import StrictRoute
from kit.clock import Clock, rfc3339
from kit.db import Db
from kit.problems import declare
from services.audit.actions import package as packages
from services.audit.actions.package import write_package
from services.audit.domain import refusals
from services.audit.routes.asking import READING, Auditor, Database, From, Now, Until, View, instant
from services.audit.store import index
from services.audit.store.log import LogView

router = APIRouter(route_class=StrictRoute)

INDEX_SECONDS: Final = 5.0
CHUNK: Final = 1 << 20


@router.get(
    "/packages",
    response_class=Response,
    responses={
        200: {"content": {"application/zip": {}}},
        **READING,
        **declare("index-behind", "log-not-open"),
    },
)
async def get_package(
    request: Request,
    _caller: Auditor,
    view: View,
    db: Database,
    clock: Now,
    from_: From = None,
    until: Until = None,
) -> Response:
    """Evidence package for offline verification (ZIP, `contracts/package.md`).

    The whole log up to the newest checkpoint, or, with `from` or `until`, the records of that
    time with all that proves their inclusion and that none between them is left out.
    """
    if from_ is not None or until is not None:
        await _require_index(db, view, clock)
    selection = await packages.select(db, view, instant(from_), instant(until))
    origin: str = request.app.state.origin
    made_at = rfc3339(clock.now())
    file: IO[bytes] = await asyncio.to_thread(tempfile.TemporaryFile)

    def write() -> tuple[int, str]:
        write_package(file, view, selection, origin=origin, made_at=made_at)
        length = file.tell()
        file.seek(0)
        digest = sha256()
        while chunk := file.read(CHUNK):
            digest.update(chunk)
        file.seek(0)
        return length, digest.hexdigest()

    try:
        length, digest = await asyncio.to_thread(write)
    except BaseException:
        file.close()
        raise
    headers = {
        "Content-Length": str(length),
        "Content-Disposition": f'attachment; filename="evidence-{view.size}.zip"',
        "Cache-Control": "no-store",
        "Datong-Internal-Digest": digest,
    }
    return StreamingResponse(_chunks(file), media_type="application/zip", headers=headers)


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    try:
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            yield chunk
    finally:
        file.close()


async def _require_index(db: Db, view: LogView, clock: Clock) -> None:
    """Wait until the index has reached `view`.

    Raises:
        IndexBehind: it had not after `INDEX_SECONDS`.
    """
    deadline = clock.monotonic() + INDEX_SECONDS
    while True:
        async with db.begin() as tx:
            reached = await index.progress(tx)
        if reached.size >= view.size:
            return
        if clock.monotonic() >= deadline:
            raise refusals.IndexBehind(
                f"The index has {reached.size} of {view.size} records.",
                facts={"indexed": reached.size, "size": view.size},
            )
        await asyncio.sleep(0.05)
