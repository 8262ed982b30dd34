"""The client's own log of calls: what was sent and what came of it.

One JSON object per line. `sent` is on disk before the first byte leaves; `answered` or `unknown`
follows. Joined with the platform's log on call ids, it proves that no call is missing there:
`datong verify --calls`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from datong.errors import CallLogFailed, InputInvalid
from datong.operations.operation import Answer, Operation


def new_call_id() -> str:
    """A new UUIDv7 (RFC 9562 section 5.7): ordered by time, unpredictable in the rest."""
    milliseconds = time.time_ns() // 1_000_000
    number = (milliseconds << 80) | int.from_bytes(os.urandom(10), "big")
    number = number & ~(0xF << 76) | 0x7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=number))


def now_text() -> str:
    """This instant, RFC 3339 UTC with microseconds and `Z`."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds // 1000:06d}Z"


class CallLog:
    """An append-only NDJSON file; several clients and processes may share it.

    A line is one write to a file opened for appending. Lines that wait at the same moment share one
    fsync, so that many calls at once cost little more than one.
    """

    def __init__(self, path: Path) -> None:
        """Open `path` for appending; it is created with mode 0600.

        Raises:
            InputInvalid: the file cannot be opened.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise InputInvalid(
                f"The call log {path} cannot be opened: {error.strerror}.",
                next_step="Name a file in a folder that you may write to.",
            ) from error
        self.path = path
        self._is_broken = False
        self._lock = Lock()
        self._waiting: Future[None] | None = None
        self._syncer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="datong-call-log")
        self._close_cut_line()

    def close(self) -> None:
        """Make everything durable and close the file."""
        self._syncer.shutdown(wait=True)
        os.fsync(self._file)
        os.close(self._file)

    def _close_cut_line(self) -> None:
        """Begin a new line when a crash cut the last one short."""
        with self.path.open("rb") as file:
            if (
                file.seek(0, os.SEEK_END)
                and file.seek(-1, os.SEEK_END) >= 0
                and file.read() != b"\n"
            ):
                os.write(self._file, b"\n")

    def _append(self, line: dict[str, Any]) -> None:
        data = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            try:
                if self._is_broken or os.write(self._file, data) != len(data):
                    raise OSError("the line was not written whole")
            except OSError as error:
                self._is_broken = True  # what follows would stand in the same line
                raise self._failed(error) from error

    def _failed(self, error: OSError) -> CallLogFailed:
        return CallLogFailed(
            f"The call log {self.path} cannot be written: {error}.",
            next_step="Make room on its disk, and open a new client.",
        )

    def _sync(self) -> Future[None]:
        """Ask for an fsync that begins after this moment."""
        with self._lock:
            if self._waiting is None:
                self._waiting = self._syncer.submit(self._fsync)
            return self._waiting

    def _fsync(self) -> None:
        with self._lock:
            self._waiting = None  # who comes from here on needs the next one
        os.fsync(self._file)

    async def sent(
        self, call: str, operation: Operation[Any], *, certificate: str | None, purpose: str | None
    ) -> None:
        """Record durably that a call is about to be sent.

        Raises:
            CallLogFailed: it is not on disk; do not send.
        """
        line: dict[str, Any] = {
            "event": "sent",
            "call": call,
            "at": now_text(),
            "operation": operation.name,
            "method": operation.method,
            "path": operation.path,
            "request_digest": hashlib.sha256(operation.body).hexdigest(),
            "request_bytes": len(operation.body),
        }
        if certificate is not None:
            line["certificate"] = certificate
        if purpose is not None:
            line["purpose"] = purpose
        self._append(line)
        try:
            # Shielded: the fsync serves other calls too, also when this one is cancelled.
            await asyncio.shield(asyncio.wrap_future(self._sync()))
        except OSError as error:
            self._is_broken = True
            raise self._failed(error) from error

    def answered(
        self,
        answer: Answer,
        operation: Operation[Any],
        *,
        code: str | None,
        digest: str,
        size: int,
    ) -> None:
        """Record the answer; durable at the latest with the next call.

        Args:
            code: reason code of a refusal.
            digest: SHA-256 of the body of the answer, hex.
            size: its length in bytes.
        """
        line: dict[str, Any] = {
            "event": "answered",
            "call": answer.call,
            "at": now_text(),
            "status": answer.status,
            "request_digest": hashlib.sha256(operation.body).hexdigest(),
            "request_bytes": len(operation.body),
            "answer_digest": digest,
            "answer_bytes": size,
        }
        known = {"code": code, "evidence": answer.evidence, "salt": answer.salt}
        line.update({name: value for name, value in known.items() if value is not None})
        self._append(line)

    def unknown(self, call: str, error: BaseException) -> None:
        """Record that no whole answer came; whether the call arrived is unknown."""
        self._append(
            {
                "event": "unknown",
                "call": call,
                "at": now_text(),
                "error": f"{type(error).__name__}: {error}",
            }
        )
