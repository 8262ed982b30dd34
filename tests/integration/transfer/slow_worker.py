"""A worker whose items wait for a file: `python -m … URL FOLDER NAME LEASE`.

Each item adds the worker's name to the table `done` in its result, makes the file `begun-NAME`
and waits until `go-NAME` is there.
"""

import asyncio
import sys
from pathlib import Path

from sqlalchemy import text

from kit.clock import SystemClock
from kit.db import Db
from services.exchange.transfer.store import Context, FolderObjects, Work
from services.exchange.transfer.worker import Worker


async def run(url: str, folder: Path, name: str, lease: float) -> None:
    async def wait(work: Work, context: Context) -> None:
        async with context.result(work) as tx:
            connection = await tx.connection()
            await connection.execute(
                text("INSERT INTO done VALUES (:name, :lane)").bindparams(name=name, lane=work.lane)
            )
            (folder / f"begun-{name}").touch()
            while not (folder / f"go-{name}").exists():
                await asyncio.sleep(0.02)

    db = Db(url, "transfer", pool=4)
    context = Context(db, FolderObjects(folder / "objects"), SystemClock())
    await Worker(url, context, {"wait": wait}, concurrency=1, lease=lease).run()


if __name__ == "__main__":
    url, folder, name, lease = sys.argv[1:]
    asyncio.run(run(url, Path(folder), name, float(lease)))
