"""Masks show what `contracts/rows.md` says, of whole columns, and nothing more."""

import hmac
import json
import re
from base64 import b32encode
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.exchange.transfer.domain import ConsumerKeys, ItemType, Mask, mask

CONTRACT = (Path(__file__).parents[3] / "contracts" / "rows.md").read_text("utf-8")
VECTORS = json.loads(re.findall(r"```json\n(.*?)```", CONTRACT, re.DOTALL)[-1])
KEYS = ConsumerKeys(bytes.fromhex(VECTORS["master"]))
KEY = KEYS.pseudonyms("health")
TEXTS = st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])), max_size=8)


def shown(by: Mask, values: list[Any], kind: ItemType = ItemType.TEXT, key: bytes = KEY) -> Any:
    return mask(pa.array(values, pa.utf8()), by, kind, key).to_pylist()


@pytest.mark.parametrize("name", ["name", "id_number", "mobile", "year"])
def test_a_mask_shows_what_its_vectors_say(name: str) -> None:
    values, expected = zip(*VECTORS[name], strict=True)
    kind = ItemType.DATE if name == "year" else ItemType.TEXT

    assert shown(Mask(name), list(values), kind) == list(expected)


@pytest.mark.parametrize("agency", ["health", "police"])
def test_pseudonyms_are_those_of_their_agency(agency: str) -> None:
    values, expected = zip(*VECTORS["pseudonym"][agency], strict=True)
    key = KEYS.pseudonyms(agency)

    assert key.hex() == VECTORS["keys"][agency]
    assert shown(Mask.PSEUDONYM, list(values), key=key) == list(expected)
    assert shown(Mask.PSEUDONYM, ["7"], ItemType.INTEGER, key) == [expected[values.index("7")]]


@given(TEXTS)
def test_whole_columns_are_masked_as_value_by_value(values: list[str | None]) -> None:
    for by, first, last, least in (
        (Mask.NAME, 1, 0, 2),
        (Mask.ID_NUMBER, 6, 2, 15),
        (Mask.MOBILE, 3, 4, 11),
    ):
        assert shown(by, values) == [
            None
            if value is None
            else "*" * len(value)
            if len(value) < least
            else value[:first] + "*" * (len(value) - first - last) + value[len(value) - last :]
            for value in values
        ]
    assert shown(Mask.PSEUDONYM, values) == [
        None
        if value is None
        else b32encode(hmac.digest(KEY, value.encode(), "sha256")).decode().lower()[:26]
        for value in values
    ]


@given(st.from_regex(r"[0-9]{17}[0-9X]", fullmatch=True))
def test_neither_birthday_nor_number_survives_a_mask(number: str) -> None:
    (masked,) = shown(Mask.ID_NUMBER, [number])

    assert masked[6:16] == "*" * 10
    assert len(masked) == 18


@pytest.mark.parametrize("by", [Mask.NAME, Mask.ID_NUMBER, Mask.MOBILE])
@pytest.mark.parametrize("kind", [kind for kind in ItemType if kind is not ItemType.TEXT])
def test_a_mask_that_does_not_fit_the_type_shows_nothing(by: Mask, kind: ItemType) -> None:
    assert shown(by, ["1990-01-02", None], kind) == [None, None]


@pytest.mark.parametrize("kind", [kind for kind in ItemType if kind is not ItemType.DATE])
def test_only_a_day_has_a_year(kind: ItemType) -> None:
    assert shown(Mask.YEAR, ["1990-01-02"], kind) == [None]


@pytest.mark.parametrize("by", list(Mask))
def test_empty_and_chunked_columns_are_columns(by: Mask) -> None:
    kind = ItemType.DATE if by is Mask.YEAR else ItemType.TEXT
    whole = pa.array(["1990-01-02", None, "2026-12-31"], pa.utf8())
    parts = pa.chunked_array([whole.slice(0, 1), whole.slice(1)])

    assert mask(whole.slice(3), by, kind, KEY).to_pylist() == []
    assert mask(parts, by, kind, KEY).to_pylist() == mask(whole, by, kind, KEY).to_pylist()


def test_keys_are_apart_and_not_shown() -> None:
    outer, inner = KEYS.order("health")
    found = {KEYS.pseudonyms("health"), KEYS.pseudonyms("police"), outer, inner}

    assert len(found) == 4
    assert [len(block) for block in (outer, inner)] == [64, 64]
    assert VECTORS["master"] not in repr(KEYS)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_master_key_has_32_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        ConsumerKeys(bytes(length))
