"""Signed notes and checkpoints against the vectors; Ed25519 by the cryptography package."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.audit.domain import notes
from services.audit.domain.notes import NoteRefused, VerifierKey
from services.audit.store.keys import is_signature

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "note.json").read_text("utf-8")
)
KEYS = {key["id"]: key for key in VECTORS["keys"]}


def trusted(case: dict[str, Any]) -> list[VerifierKey]:
    return [notes.parse_vkey(KEYS[name]["vkey"]) for name in case["trusted_keys"]]


def note_of(case: dict[str, Any]) -> bytes:
    return bytes.fromhex(case["note_hex"]) if "note_hex" in case else case["note"].encode()


def test_keys_are_derived_from_their_seeds() -> None:
    for key in VECTORS["keys"]:
        private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key["seed_hex"]))
        public = private.public_key().public_bytes_raw()
        assert public.hex() == key["public_key_hex"]
        made = VerifierKey(key["name"], key["signature_type"], public)
        assert (made.id.hex(), made.vkey) == (key["key_id_hex"], key["vkey"])
        assert notes.parse_vkey(key["vkey"]) == made


@pytest.mark.parametrize("case", VECTORS["accept"], ids=lambda case: case["name"])
def test_a_right_checkpoint_is_opened(case: dict[str, Any]) -> None:
    note = notes.open_note(note_of(case), trusted(case), is_signature)
    assert note.text == case["text"]
    assert len(note.verified) == case["verified_signatures"]
    assert len(note.unverified) == case["unverified_signatures"]
    checkpoint = notes.parse_checkpoint(note.text)
    assert checkpoint.origin == case["origin"]
    assert checkpoint.size == int(case["size"])
    assert checkpoint.root.hex() == case["root_hex"]
    assert list(checkpoint.extensions) == case["extensions"]
    assert checkpoint.text == case["text"]


@pytest.mark.parametrize("case", VECTORS["reject"], ids=lambda case: case["name"])
def test_a_wrong_note_is_refused_at_its_layer(case: dict[str, Any]) -> None:
    if case["layer"] == "note":
        with pytest.raises(NoteRefused):
            notes.open_note(note_of(case), trusted(case), is_signature)
        return
    note = notes.open_note(note_of(case), trusted(case), is_signature)
    with pytest.raises(NoteRefused):
        notes.parse_checkpoint(note.text)


def test_signing_gives_the_bytes_of_the_vectors() -> None:
    compared = 0
    for case in VECTORS["accept"]:
        key = KEYS[case["trusted_keys"][0]]
        if len(case["trusted_keys"]) > 1 or case["unverified_signatures"]:
            continue
        if key["signature_type"] != notes.ED25519:
            continue
        private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key["seed_hex"]))
        signed = notes.sign_note(case["text"], notes.parse_vkey(key["vkey"]), private.sign)
        assert signed == note_of(case)
        compared += 1
    assert compared >= 9


@pytest.mark.parametrize("case", VECTORS["vkey_reject"], ids=lambda case: case["why"])
def test_a_wrong_verifier_key_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(NoteRefused):
        notes.parse_vkey(case["vkey"])


def test_a_checkpoint_of_another_log_is_refused() -> None:
    case = next(c for c in VECTORS["context"] if "expected_origin" in c)
    (key,) = trusted(case)
    with pytest.raises(NoteRefused, match="of the log"):
        notes.open_checkpoint(note_of(case), key, case["expected_origin"], is_signature)


def test_two_right_checkpoints_of_one_size_can_differ_and_only_together_tell() -> None:
    case = next(c for c in VECTORS["context"] if "note_2" in c)
    (key,) = trusted(case)
    first, second = (
        notes.open_checkpoint(note.encode(), key, key.name, is_signature)
        for note in (case["note"], case["note_2"])
    )
    assert first.size == second.size
    assert first.root != second.root
