"""The verifier opens notes as independent implementations do (tests/vectors/note.json)."""

import json
from pathlib import Path
from typing import Any

import pytest

from datong.verifier import notes

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "note.json").read_text("utf-8"))
KEYS = {key["id"]: notes.LogKey.from_vkey(key["vkey"]) for key in VECTORS["keys"]}


def _bytes(case: dict[str, Any]) -> bytes:
    return bytes.fromhex(case["note_hex"]) if "note_hex" in case else case["note"].encode()


def _trusted(case: dict[str, Any]) -> list[notes.LogKey]:
    return [KEYS[name] for name in case["trusted_keys"]]


def test_every_verifier_key_is_read() -> None:
    for key in VECTORS["keys"]:
        read = KEYS[key["id"]]
        assert read.name == key["name"]
        assert read.key_id.hex() == key["key_id_hex"]
        assert read.public_key.hex() == key["public_key_hex"]
        assert notes.key_identity(read.name, bytes([read.kind]) + read.public_key) == read.key_id


def test_every_wrong_verifier_key_is_refused() -> None:
    for case in VECTORS["vkey_reject"]:
        with pytest.raises(notes.NoteRefused):
            notes.LogKey.from_vkey(case["vkey"])


@pytest.mark.parametrize("case", VECTORS["accept"], ids=lambda case: str(case["name"]))
def test_a_good_checkpoint_is_accepted(case: dict[str, Any]) -> None:
    opened = notes.open_note(_bytes(case), _trusted(case))
    checkpoint = notes.read_checkpoint(opened.text)

    assert opened.text == case["text"]
    assert len(opened.verified) == case["verified_signatures"]
    assert opened.unverified == case["unverified_signatures"]
    assert checkpoint.origin == case["origin"]
    assert checkpoint.size == case["size"]
    assert checkpoint.root.hex() == case["root_hex"]
    assert list(checkpoint.extensions) == case["extensions"]


@pytest.mark.parametrize("case", VECTORS["reject"], ids=lambda case: str(case["name"]))
def test_a_wrong_checkpoint_is_refused(case: dict[str, Any]) -> None:
    if case["layer"] == "checkpoint":
        opened = notes.open_note(_bytes(case), _trusted(case))
        with pytest.raises(notes.NoteRefused):
            notes.read_checkpoint(opened.text)
    else:
        with pytest.raises(notes.NoteRefused):
            notes.open_note(_bytes(case), _trusted(case))


def test_a_checkpoint_of_another_origin_is_refused() -> None:
    case = VECTORS["context"][0]

    with pytest.raises(notes.NoteRefused, match=r"log\.example\.cn/other"):
        notes.open_checkpoint(_bytes(case), KEYS["log-1"], origin=case["expected_origin"])


def test_two_roots_of_one_size_are_an_alarm() -> None:
    case = VECTORS["context"][1]
    first = notes.open_checkpoint(case["note"].encode(), KEYS["log-1"])
    second = notes.open_checkpoint(case["note_2"].encode(), KEYS["log-1"])

    with pytest.raises(notes.NoteRefused, match="rewritten"):
        notes.require_agreement(first, second)


def test_a_checkpoint_agrees_with_itself() -> None:
    first = notes.open_checkpoint(VECTORS["accept"][0]["note"].encode(), KEYS["log-1"])

    notes.require_agreement(first, first)
