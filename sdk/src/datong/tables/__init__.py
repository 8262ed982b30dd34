"""Whole tables: publish one as a batch, receive one and keep it in step.

Needs the extra `tables` of this distribution (pyarrow, psycopg), except for publishing files of
CSV and NDJSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from datong.client import Client
from datong.errors import InputInvalid
from datong.operations.batches import MAX_CHUNK_BYTES, Mode
from datong.operations.deliveries import Beginning
from datong.operations.operation import CSV, NDJSON
from datong.settings import read_settings
from datong.tables.extra import require_extra
from datong.tables.patience import Patience
from datong.tables.publishing import OnProgress, Published, Publisher
from datong.tables.splitting import CHUNK_BYTES, LineFile, OnRead, Source

if TYPE_CHECKING:
    from datong.tables.receiving import OnStep, Received, Receiver

FORMATS = {
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".ipc": "arrow",
    ".feather": "arrow",
}
"""Formats of files by the ends of their names."""


def _nothing(*_: Any) -> None:
    """Tell nobody."""


@contextmanager
def open_source(
    what: Path | str,
    *,
    table: str | None = None,
    file_format: str | None = None,
    chunk_bytes: int = CHUNK_BYTES,
    on_read: OnRead | None = None,
) -> Iterator[Source]:
    """Something that can be published: a file, or a table of a database.

    Args:
        what: a file; or, with `table`, the address of a database.
        table: name of a table or view; it is exported to a temporary file first.
        file_format: `csv`, `ndjson` or `arrow`; by the name of the file otherwise.
        chunk_bytes: most bytes of a chunk of CSV or NDJSON, at most 16 MiB.
        on_read: told of the bytes read while the input is looked at for the first time.

    Raises:
        InputInvalid: it cannot be read.
    """
    if not 0 < chunk_bytes <= MAX_CHUNK_BYTES:
        raise InputInvalid(f"A chunk has at most {MAX_CHUNK_BYTES} bytes.")
    if table is not None:
        require_extra()
        from datong.tables.exporting import export_table

        with TemporaryDirectory(prefix="datong-") as folder:
            exported = Path(folder) / "table.csv"
            export_table(str(what), table, exported)
            yield LineFile(
                exported,
                CSV,
                chunk_bytes=chunk_bytes,
                name=table,
                has_lines=False,
                on_read=on_read,
            )
        return
    file = Path(what)
    kind = file_format or FORMATS.get(file.suffix.lower())
    if kind == "arrow":
        require_extra("pyarrow")
        from datong.tables.arrow_file import ArrowFile

        yield ArrowFile(file, on_read=on_read)
    elif kind in ("csv", "ndjson"):
        content_type = CSV if kind == "csv" else NDJSON
        yield LineFile(file, content_type, chunk_bytes=chunk_bytes, on_read=on_read)
    else:
        raise InputInvalid(
            f"The format of {file} is not known by its name.",
            next_step="Name it: csv, ndjson or arrow.",
        )


def publish(
    client: Client,
    resource: str,
    what: Path | str,
    *,
    table: str | None = None,
    mode: Mode = "snapshot",
    declared: Mapping[str, Any] | None = None,
    quarantine_limit: int = 0,
    is_trial: bool = False,
    again: bool = False,
    file_format: str | None = None,
    chunk_bytes: int = CHUNK_BYTES,
    patience: Patience | None = None,
    on_read: OnRead | None = None,
    on_progress: OnProgress = _nothing,
) -> Published:
    """Publish a file or a table of a database as one batch, and wait for the outcome.

    The same call after a crash goes on with the batch that it began. See `Publisher` and
    `open_source` for the arguments.

    Raises:
        Refused: the platform does not take the batch or a chunk.
        InputInvalid: the input cannot be read.
        Unreachable: no answer for too long.
    """
    with open_source(
        what, table=table, file_format=file_format, chunk_bytes=chunk_bytes, on_read=on_read
    ) as source:
        return Publisher(
            client,
            resource,
            source,
            mode=mode,
            declared=declared or {},
            quarantine_limit=quarantine_limit,
            is_trial=is_trial,
            again=again,
            patience=patience or Patience(),
            on_progress=on_progress,
        ).run()


def receive(
    client: Client,
    resource: str,
    *,
    into: str,
    table: str | None = None,
    from_: Beginning = "beginning",
    purpose: str | None = None,
    grant: str | None = None,
    renew: bool = False,
    seconds: float = 0.0,
    spool: Path | None = None,
    patience: Patience | None = None,
    on_step: OnStep = _nothing,
) -> list[Received]:
    """Bring a table of one's own up to date with a subscription; return what was applied.

    Args:
        into: `postgresql://user:password@host:port/database` or `sqlite:///path`.
        table: its name; the resource's with `_` for `-` by default.
        from_: `beginning` or `now`, for a new subscription.
        purpose: purpose code; a granted one is needed, and it goes on record.
        grant: id of the grant to use; the platform finds one when absent.
        renew: ask for the whole table anew, and wait for it.
        seconds: how long to wait for a delivery when there is none.
        spool: folder for what is on its way.
        on_step: told of each step.

    Raises:
        Refused: by the platform, for good.
        TableUnfit: the table is not what is delivered.
        Unreachable: the platform did not answer for too long.
        StoreUnavailable: one's own database did not.
    """
    with open_receiver(
        client,
        resource,
        into=into,
        table=table,
        from_=from_,
        purpose=purpose,
        grant=grant,
        spool=spool,
        patience=patience,
        on_step=on_step,
    ) as receiver:
        return list(receiver.catch_up(renew=renew, seconds=seconds))


@contextmanager
def open_receiver(
    client: Client,
    resource: str,
    *,
    into: str,
    table: str | None = None,
    from_: Beginning = "beginning",
    purpose: str | None = None,
    grant: str | None = None,
    spool: Path | None = None,
    patience: Patience | None = None,
    on_step: OnStep = _nothing,
) -> Iterator[Receiver]:
    """A receiver for a table of one's own; arguments as of `receive`."""
    require_extra("pyarrow")
    from datong.tables.receiving import Receiver
    from datong.tables.spool import Spool
    from datong.tables.store import open_store

    folder = spool or read_settings().cache / "spool" / resource
    store = open_store(into, table or resource.replace("-", "_"))
    opened = Spool(folder)
    try:
        yield Receiver(
            client,
            resource,
            store,
            opened,
            from_=from_,
            purpose=purpose,
            grant=grant,
            patience=patience or Patience(),
            on_step=on_step,
        )
    finally:
        opened.close()
        store.close()


__all__ = [
    "Patience",
    "Published",
    "Publisher",
    "open_receiver",
    "open_source",
    "publish",
    "receive",
]
