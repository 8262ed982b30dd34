"""An auditor keeps checkpoints, and each new one must extend the last."""

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from datong import AsyncClient, InputInvalid, ProofFailed, read_checkpoints, watch_once

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "tlog.json").read_text("utf-8"))
CHECKPOINT = "/audit/v1/checkpoint"
PROOF = "/audit/v1/proofs/consistency"
ORIGIN = "datong.example/log"
KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
TYPED = b"\x01" + KEY.public_key().public_bytes(
    serialization.Encoding.Raw, serialization.PublicFormat.Raw
)
KEY_ID = hashlib.sha256(ORIGIN.encode() + b"\n" + TYPED).digest()[:4]
VKEY = f"{ORIGIN}+{KEY_ID.hex()}+{base64.b64encode(TYPED).decode()}"
STEP = next(
    case
    for case in VECTORS["consistency"]
    if case["tree"] == "records" and case["old_size"] < case["new_size"] and case["proof"]
)


def _note(size: int, root: str) -> bytes:
    text = f"{ORIGIN}\n{size}\n{base64.b64encode(bytes.fromhex(root)).decode()}\n"
    signature = base64.b64encode(KEY_ID + KEY.sign(text.encode())).decode()
    return f"{text}\n\u2014 {ORIGIN} {signature}\n".encode()


OLD = _note(STEP["old_size"], STEP["old_root"])
NEW = _note(STEP["new_size"], STEP["new_root"])


@pytest.fixture
def proving(double: Any, answering: Callable[..., Any]) -> Callable[..., None]:
    """Let the double answer the consistency proof from the vectors, or another one."""

    def prepare(hashes: list[str] | None = None) -> None:
        proof = [
            base64.b64encode(bytes.fromhex(text)).decode()
            for text in (STEP["proof"] if hashes is None else hashes)
        ]
        double.on(PROOF, answering({"proof": proof}))

    return prepare


async def _watch(place: Any, double: Any, file: Path) -> Any:
    async with AsyncClient(place.identity(double)) as client:
        return await watch_once(client, file, vkey=VKEY)


async def test_checkpoints_are_kept_as_the_log_grows(
    place: Any, double: Any, sending: Any, proving: Any
) -> None:
    file = place.folder / "checkpoints.ndjson"
    double.on(CHECKPOINT, sending(200, OLD), sending(200, OLD), sending(200, NEW))
    proving()

    first = await _watch(place, double, file)
    second = await _watch(place, double, file)
    third = await _watch(place, double, file)

    assert (first.size, first.is_new) == (STEP["old_size"], True)
    assert (second.size, second.is_new) == (STEP["old_size"], False)
    assert (third.size, third.root) == (STEP["new_size"], STEP["new_root"])
    assert read_checkpoints(file) == [OLD, NEW]
    (asked,) = double.of(PROOF)
    assert f"={STEP['old_size']}&" in asked.path
    assert asked.path.endswith(f"={STEP['new_size']}")


async def test_a_rewritten_past_is_an_alarm_and_nothing_is_kept(
    place: Any, double: Any, sending: Any, proving: Any
) -> None:
    file = place.folder / "checkpoints.ndjson"
    double.on(CHECKPOINT, sending(200, OLD), sending(200, NEW))
    proving([])

    await _watch(place, double, file)
    with pytest.raises(ProofFailed, match="rewritten"):
        await _watch(place, double, file)

    assert read_checkpoints(file) == [OLD]


async def test_a_shorter_log_and_another_root_of_one_size_are_alarms(
    place: Any, double: Any, sending: Any
) -> None:
    file = place.folder / "checkpoints.ndjson"
    other = _note(STEP["new_size"], STEP["old_root"])
    double.on(CHECKPOINT, sending(200, NEW), sending(200, OLD), sending(200, other))

    await _watch(place, double, file)
    with pytest.raises(ProofFailed, match="before"):
        await _watch(place, double, file)
    with pytest.raises(ProofFailed, match="rewritten"):
        await _watch(place, double, file)


async def test_a_checkpoint_of_another_key_is_not_kept(
    place: Any, double: Any, sending: Any
) -> None:
    file = place.folder / "checkpoints.ndjson"
    double.on(CHECKPOINT, sending(200, OLD.replace(b"AA", b"AB")[:-3] + b"A=\n"))

    with pytest.raises(ProofFailed, match="newest checkpoint"):
        await _watch(place, double, file)

    assert not file.exists()


async def test_a_file_or_key_of_another_form_is_named(
    place: Any, double: Any, sending: Any
) -> None:
    double.on(CHECKPOINT, sending(200, OLD))
    file = place.folder / "checkpoints.ndjson"
    file.write_text('{"no": "note"}\n')

    with pytest.raises(InputInvalid, match="no checkpoints"):
        await _watch(place, double, file)
    async with AsyncClient(place.identity(double)) as client:
        with pytest.raises(InputInvalid, match="malformed"):
            await watch_once(client, file, vkey="nonsense")


async def test_one_signed_note_is_read_as_a_checkpoint(place: Any) -> None:
    file = place.folder / "checkpoint"
    file.write_bytes(OLD)

    assert read_checkpoints(file) == [OLD]
