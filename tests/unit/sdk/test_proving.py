"""One record is proved against the auditor's own key and checkpoints."""

import asyncio
import base64
import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from datong.errors import AnswerMalformed, InputInvalid, ProofFailed
from datong.proving import Proved, prove_record


def _leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def _split(count: int) -> int:
    split = 1
    while split * 2 < count:
        split *= 2
    return split


def _root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1."""
    if len(leaves) == 1:
        return leaves[0]
    split = _split(len(leaves))
    return hashlib.sha256(b"\x01" + _root(leaves[:split]) + _root(leaves[split:])).digest()


def _inclusion(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962 section 2.1.1."""
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*_inclusion(index, leaves[:split]), _root(leaves[split:])]
    return [*_inclusion(index - split, leaves[split:]), _root(leaves[:split])]


def _consistency(old: int, leaves: list[bytes], *, whole: bool = True) -> list[bytes]:
    """RFC 6962 section 2.1.2."""
    if old == len(leaves):
        return [] if whole else [_root(leaves)]
    split = _split(len(leaves))
    if old <= split:
        return [*_consistency(old, leaves[:split], whole=whole), _root(leaves[split:])]
    return [*_consistency(old - split, leaves[split:], whole=False), _root(leaves[:split])]


def _texts(hashes: list[bytes]) -> list[str]:
    return [base64.b64encode(each).decode() for each in hashes]


@dataclass
class Served:
    """A platform that answers from a log; `change` lies in the answer on a record."""

    log: Any
    change: dict[str, Any]
    size: int | None = None

    async def get_record(self, record: str) -> dict[str, Any]:
        records = self.log.records[: self.size]
        index = next(i for i, data in enumerate(records) if json.loads(data)["record"] == record)
        return {
            "leaf": index,
            "bytes": base64.b64encode(records[index]).decode(),
            "proof": _texts(_inclusion(index, [_leaf(data) for data in records])),
            "checkpoint": self.log.checkpoint(self.size).decode(),
        } | self.change

    async def get_consistency_proof(self, old: int, new: int) -> dict[str, Any]:
        leaves = [_leaf(data) for data in self.log.records[:new]]
        return {"proof": _texts(_consistency(old, leaves))}


def _record(log: Any, index: int) -> str:
    return str(json.loads(log.records[index])["record"])


def _prove(served: Any, true: Any, index: int, *kept: bytes) -> Proved:
    work = prove_record(served, _record(true, index), vkey=true.signer.vkey, checkpoints=list(kept))
    return asyncio.run(work)


@pytest.mark.parametrize(
    ("index", "kept", "is_noted"), [(120, 300, True), (450, 300, False), (599, 600, True)]
)
def test_a_record_under_a_tree_that_extends_the_kept_one_is_proved(
    log: Any, index: int, kept: int, is_noted: bool
) -> None:
    proved = _prove(Served(log, {}), log, index, log.checkpoint(7), log.checkpoint(kept))

    assert (proved.leaf, proved.size, proved.noted) == (index, 600, kept)
    assert proved.is_noted is is_noted
    assert proved.as_json()["record"]["record"] == _record(log, index)


def test_a_kept_checkpoint_may_be_newer_than_the_answer(log: Any) -> None:
    assert _prove(Served(log, {}, size=400), log, 120, log.checkpoint(600)).noted == 600


def test_a_record_that_was_changed_is_not_proved(log: Any) -> None:
    changed = log.with_record(120, at="2026-11-24T09:00:00.000000Z")
    for served in (
        Served(changed, {}),
        Served(changed, {"checkpoint": log.checkpoint().decode()}),
        Served(log, {"bytes": base64.b64encode(changed.records[120]).decode()}),
        Served(log, {"leaf": 121}),
        Served(log, {"proof": []}),
    ):
        with pytest.raises(ProofFailed):
            _prove(served, log, 120, log.checkpoint(300))


def test_a_log_of_another_key_or_another_record_is_not_taken(log: Any) -> None:
    forged = replace(log, signer=replace(log.signer, seed=b"\x08" * 32))
    with pytest.raises(ProofFailed, match="checkpoint"):
        _prove(Served(forged, {}), log, 120, log.checkpoint(300))
    other = asyncio.run(Served(log, {}).get_record(_record(log, 121)))
    with pytest.raises(ProofFailed, match="not of"):
        _prove(Served(log, other), log, 120, log.checkpoint(300))


def test_nothing_is_proved_without_ones_own_notes(log: Any) -> None:
    with pytest.raises(InputInvalid, match="checkpoint"):
        _prove(Served(log, {}), log, 120)
    with pytest.raises(InputInvalid, match="key"):
        asyncio.run(
            prove_record(
                Served(log, {}),  # type: ignore[arg-type]
                _record(log, 1),
                vkey="x",
                checkpoints=[log.checkpoint()],
            )
        )


@pytest.mark.parametrize("change", [{"leaf": "1"}, {"bytes": "*"}, {"proof": None}, {"leaf": True}])
def test_an_answer_of_another_shape_is_malformed(log: Any, change: dict[str, Any]) -> None:
    with pytest.raises(AnswerMalformed):
        _prove(Served(log, change), log, 120, log.checkpoint(300))
