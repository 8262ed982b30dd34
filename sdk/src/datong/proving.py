"""Proves that one record is in the log, against what an auditor has noted."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datong.client.asynchronous import AsyncClient
from datong.errors import AnswerMalformed, InputInvalid, ProofFailed
from datong.operations.operation import Json
from datong.verifier import merkle, notes, strict
from datong.verifier.records import read_record

_NEXT = "Keep this answer and your checkpoints as evidence, and tell the other auditors."


@dataclass(frozen=True)
class Proved:
    """A record that is in the log.

    Attributes:
        record: its members, read from the proved bytes.
        leaf: its index in the log.
        size, root: of the signed tree that holds it; `root` in hex.
        noted: size of the auditor's own checkpoint that this tree was compared with.
        is_noted: whether the record lies under that checkpoint; otherwise it is younger, and lies
            under a later one that extends it.
    """

    record: Json
    leaf: int
    size: int
    root: str
    noted: int
    is_noted: bool

    def as_json(self) -> Json:
        """All of it, for programs."""
        return {
            "proved": True,
            "leaf": self.leaf,
            "size": self.size,
            "root": self.root,
            "noted": self.noted,
            "is_noted": self.is_noted,
            "record": self.record,
        }


async def prove_record(
    client: AsyncClient, record: str, *, vkey: str, checkpoints: Sequence[bytes]
) -> Proved:
    """Fetch a record and prove that it is in the log.

    The bytes are hashed here; the proof must lead from them to a root that the log's key has
    signed, and that tree must agree with the newest checkpoint that the auditor kept: extend it,
    or be extended by it.

    Args:
        client: of somebody who may read the record.
        record: its id.
        vkey: the log's verifier key, as the auditor noted it.
        checkpoints: signed checkpoints that the auditor kept; at least one.

    Raises:
        ProofFailed: any of that is not so.
        InputInvalid: the key is malformed, or there is no checkpoint.
        Refused: no such record, or not for this caller.
        Unreachable: no answer.
    """
    key = _key(vkey)
    if not checkpoints:
        raise InputInvalid(
            "There is no checkpoint of your own to compare with.",
            next_step="Keep one first: datong audit watch checkpoints.ndjson --key …",
        )
    answer = await client.get_record(record)
    try:
        kept = [notes.open_checkpoint(note, key) for note in checkpoints]
        noted = max(kept, key=lambda checkpoint: checkpoint.size)
        signed = notes.open_checkpoint(_text(answer, "checkpoint").encode(), key)
        for checkpoint in kept:
            notes.require_agreement(checkpoint, signed)
        data = _bytes(_text(answer, "bytes"))
        leaf = _count(answer, "leaf")
        merkle.check_inclusion(
            index=leaf,
            size=signed.size,
            leaf=merkle.leaf_hash(data),
            proof=_hashes(answer),
            root=signed.root,
        )
        await _require_one_log(client, noted, signed)
        found = read_record(data)
    except notes.NoteRefused as error:
        raise ProofFailed(f"A checkpoint is not the log's: {error}.", next_step=_NEXT) from error
    except merkle.ProofRefused as error:
        raise ProofFailed(f"The record is not proved: {error}.", next_step=_NEXT) from error
    except strict.NotStrict as error:
        raise ProofFailed(f"The bytes are no record: {error}.", next_step=_NEXT) from error
    if found["record"] != record:
        raise ProofFailed(f"The bytes are of record {found['record']}, not of {record}.")
    return Proved(
        record=found,
        leaf=leaf,
        size=signed.size,
        root=signed.root.hex(),
        noted=noted.size,
        is_noted=leaf < noted.size,
    )


async def _require_one_log(
    client: AsyncClient, first: notes.Checkpoint, second: notes.Checkpoint
) -> None:
    """Check that the larger of two trees extends the smaller one."""
    old, new = sorted((first, second), key=lambda checkpoint: checkpoint.size)
    if not 0 < old.size < new.size:
        return
    answer = await client.get_consistency_proof(old.size, new.size)
    merkle.check_consistency(
        old_size=old.size,
        new_size=new.size,
        old_root=old.root,
        new_root=new.root,
        proof=_hashes(answer),
    )


def _key(vkey: str) -> notes.LogKey:
    try:
        return notes.LogKey.from_vkey(vkey)
    except notes.NoteRefused as error:
        raise InputInvalid(f"The log's key is malformed: {error}.") from error


def _text(answer: Json, name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str):
        raise AnswerMalformed(f"The answer has no {name}.")
    return value


def _count(answer: Json, name: str) -> int:
    value = answer.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise AnswerMalformed(f"The answer has no {name}.")
    return value


def _hashes(answer: dict[str, Any]) -> list[bytes]:
    proof = answer.get("proof")
    if not isinstance(proof, list) or not all(isinstance(text, str) for text in proof):
        raise AnswerMalformed("The answer holds no proof.")
    return [_bytes(text) for text in proof]


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise AnswerMalformed("The answer holds no base64 where it should.") from error
