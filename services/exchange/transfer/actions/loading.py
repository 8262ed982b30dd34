"""Replace the rows of a dataset as a whole."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

from kit import outbox
from kit.canonical import NotStrictJson, strict_loads
from kit.db import Tx
from services.exchange.transfer import domain, events, store
from services.exchange.transfer.domain import Entry, Layout, refusals

MAX_LINE: Final = 1 << 20
MAX_BODY: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load left behind: count, digest, and the version of the entry it was checked by."""

    rows: int
    digest: str
    entry_version: int


async def load_rows(
    tx: Tx,
    entry: Entry,
    body: AsyncIterator[bytes],
    *,
    actor: str,
    call: str,
    at: datetime,
    content_digest: str | None = None,
) -> Loaded:
    """Replace all rows of `entry` by those of `body`, one JSON object per line.

    The body is read as it comes; no more than one chunk and one line of it is held.

    Args:
        actor: `system/<id>` of the owner.
        content_digest: `Content-Digest` of the body (RFC 9530), compared when given.

    Raises:
        RowsInvalid: with up to 50 pointers `/<line>/<item>`; the transaction must be undone.
        BodyTooLarge, ContentDigestMismatch: as their names say; likewise.
    """
    table = await store.create_table(tx, entry.layout)
    upload = _Upload(entry.layout)
    await store.copy_rows(tx, table, entry.layout, upload.copy_lines(body))
    upload.require_digest(content_digest)
    if not await store.add_indexes(tx, table, entry.layout):
        found = await store.repeated_keys(tx, table, entry.layout)
        first_item = entry.layout.key[0].name
        raise _rows_invalid(
            [
                (domain.row_pointer(line, first_item), f"the key came before in line {first}")
                for line, first in found
            ]
        )
    loaded = Loaded(upload.digest.count, upload.digest.hexdigest(), entry.version)
    await store.replace_rows(tx, entry, table, rows=loaded.rows, digest=loaded.digest, at=at)
    fact = events.rows_loaded(
        resource=entry.resource,
        entry=entry.id,
        entry_version=entry.version,
        agency=entry.agency,
        rows=loaded.rows,
        digest=loaded.digest,
        actor=actor,
        call=call,
    )
    await outbox.append(tx, fact)
    return loaded


class _Upload:
    """Turns a body into lines for COPY; after the first fault it only looks for more."""

    def __init__(self, layout: Layout) -> None:
        self._form = domain.RowForm(layout)
        self._errors: list[tuple[str, str]] = []
        self._line = 0
        self._hash = sha256()
        self._bytes = 0
        self.digest = domain.RowDigest()

    async def copy_lines(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield what to copy, chunk by chunk.

        Raises:
            RowsInvalid, BodyTooLarge: which ends the copying.
        """
        rest = b""
        async for chunk in body:
            self._hash.update(chunk)
            self._bytes += len(chunk)
            if self._bytes > MAX_BODY:
                raise refusals.BodyTooLarge(f"The body has more than {MAX_BODY} bytes.")
            *lines, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else (rest + chunk,)
            if len(rest) > MAX_LINE:
                lines, rest = [*lines, rest], b""
            copied = self._take(lines)
            if copied:
                yield copied
            # Queries of this process are answered between two chunks.
            await asyncio.sleep(0)
        if rest:
            copied = self._take([rest])
            if copied:
                yield copied
        if self._errors:
            raise _rows_invalid(self._errors)

    def require_digest(self, content_digest: str | None) -> None:
        """Check the digest that was sent with the body, if it is one that we know.

        Raises:
            ContentDigestMismatch: another body arrived.
        """
        if content_digest is None:
            return
        ours = f"sha-256=:{b64encode(self._hash.digest()).decode()}:"
        sent = [part.strip() for part in content_digest.split(",")]
        if any(part.startswith("sha-256=") and part != ours for part in sent):
            raise refusals.ContentDigestMismatch(
                "The body is not the one whose Content-Digest was sent.",
                facts={"content_digest": ours},
            )

    def _take(self, lines: list[bytes]) -> bytes:
        copied: list[str] = []
        for line in lines:
            self._line += 1
            faults: list[tuple[str, str]] = []
            texts = self._read(line, faults)
            if faults:
                self._add(faults)
            elif not self._errors:
                self.digest.add(self._form.canonical(texts))
                copied.append(store.copy_line(self._line, texts))
        return "".join(copied).encode() if not self._errors else b""

    def _read(self, line: bytes, faults: list[tuple[str, str]]) -> list[str | None]:
        try:
            row = strict_loads(line, max_bytes=MAX_LINE)
        except NotStrictJson as error:
            faults.append(("", str(error).rstrip(".")))
            return []
        if not isinstance(row, dict):
            faults.append(("", "a JSON object is expected"))
            return []
        return self._form.read(row, faults)

    def _add(self, faults: list[tuple[str, str]]) -> None:
        for item, fault in faults:
            self._errors.append((domain.row_pointer(self._line, item), fault))
        if len(self._errors) >= domain.MAX_ERRORS:
            raise _rows_invalid(self._errors[: domain.MAX_ERRORS])


def _rows_invalid(faults: list[tuple[str, str]]) -> refusals.RowsInvalid:
    errors = [(pointer, f"Line {_about(pointer)}: {fault}.") for pointer, fault in faults]
    return refusals.RowsInvalid(
        f"{len(errors)} faults were found and nothing was changed. {errors[0][1]}",
        errors=errors,
        facts={"faults": len(errors), "line": int(faults[0][0].split("/")[1])},
    )


def _about(pointer: str) -> str:
    """Return `/17/level` as `17, item level`."""
    line, _, item = pointer[1:].partition("/")
    return f"{line}, item {item.replace('~1', '/').replace('~0', '~')}" if item else line
