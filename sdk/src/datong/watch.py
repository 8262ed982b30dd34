"""Keeps the checkpoints that an auditor has seen: what makes rewriting the past detectable."""

from __future__ import annotations

import base64
import binascii
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datong.calls import now_text
from datong.client.asynchronous import AsyncClient
from datong.errors import AnswerMalformed, InputInvalid, ProofFailed
from datong.verifier import merkle, notes

_NEXT = "Keep this file and the answer as evidence, and tell the auditors of the other agencies."


@dataclass(frozen=True)
class Kept:
    """The newest checkpoint that is known to extend all kept ones."""

    size: int
    root: str
    is_new: bool
    """False when the log has not grown since the last one."""


def read_checkpoints(file: Path) -> list[bytes]:
    """Read signed checkpoints: an NDJSON file of `watch`, or one signed note.

    Raises:
        InputInvalid: the file cannot be read, or is neither.
    """
    try:
        data = file.read_bytes()
        if not data.startswith(b"{"):
            return [data]
        return [json.loads(line)["note"].encode() for line in data.splitlines() if line]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputInvalid(
            f"{file} holds no checkpoints: {error}.",
            next_step="Name the file that `datong audit watch` keeps, or one signed checkpoint.",
        ) from error


def keep_checkpoint(file: Path, note: bytes) -> None:
    """Append a checkpoint to the auditor's file, durably."""
    line = json.dumps({"at": now_text(), "note": note.decode()}, ensure_ascii=False)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line.encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def watch_once(client: AsyncClient, file: Path, *, vkey: str) -> Kept:
    """Fetch the newest checkpoint, prove that it extends the last kept one, and keep it.

    Args:
        client: of an auditor, or anonymous while the log has not grown.
        file: the auditor's own NDJSON file; created when absent.
        vkey: the log's verifier key, as noted.

    Raises:
        ProofFailed: not signed by the log, older than a kept one, or the past was rewritten.
        Refused: only auditors may fetch proofs.
        Unreachable: no answer.
    """
    key = _key(vkey)
    note = await client.get_checkpoint()
    newest = _open(note, key, "the newest checkpoint")
    kept = [_open(old, key, "a kept checkpoint") for old in _kept(file)]
    last = max(kept, key=lambda checkpoint: checkpoint.size, default=None)
    is_new = last is None or newest.size > last.size
    if last is not None:
        await _require_extension(client, last, newest)
    if is_new:
        keep_checkpoint(file, note)
    return Kept(newest.size, newest.root.hex(), is_new)


def _key(vkey: str) -> notes.LogKey:
    try:
        return notes.LogKey.from_vkey(vkey)
    except notes.NoteRefused as error:
        raise InputInvalid(f"The log's key is malformed: {error}.") from error


def _kept(file: Path) -> list[bytes]:
    return read_checkpoints(file) if file.exists() and file.stat().st_size else []


def _open(note: bytes, key: notes.LogKey, what: str) -> notes.Checkpoint:
    try:
        return notes.open_checkpoint(note, key)
    except notes.NoteRefused as error:
        raise ProofFailed(f"{what[0].upper()}{what[1:]}: {error}.", next_step=_NEXT) from error


async def _require_extension(
    client: AsyncClient, last: notes.Checkpoint, newest: notes.Checkpoint
) -> None:
    if newest.size < last.size:
        raise ProofFailed(
            f"The log shows {newest.size} records; it had {last.size} before.", next_step=_NEXT
        )
    try:
        notes.require_agreement(last, newest)
        if 0 < last.size < newest.size:
            answer = await client.get_consistency_proof(last.size, newest.size)
            merkle.check_consistency(
                old_size=last.size,
                new_size=newest.size,
                old_root=last.root,
                new_root=newest.root,
                proof=_hashes(answer),
            )
    except (notes.NoteRefused, merkle.ProofRefused) as error:
        raise ProofFailed(f"The past was rewritten: {error}.", next_step=_NEXT) from error


def _hashes(answer: dict[str, Any]) -> list[bytes]:
    try:
        return [base64.b64decode(text, validate=True) for text in answer["proof"]]
    except (KeyError, TypeError, binascii.Error, ValueError) as error:
        raise AnswerMalformed("The answer holds no consistency proof.") from error
