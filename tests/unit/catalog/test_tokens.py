"""Tokens: whatever stands in a text is found by any piece of it, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog.domain import characters, tokens, without_numbers, words
from services.catalog.domain.tokens import GAP, normalise

HAN = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x4E08), min_size=1, max_size=12)
TEXTS = st.lists(st.one_of(HAN, st.sampled_from(["GB/T", " ", "，", "2260", "ａＢ"])), max_size=6)


def is_phrase(phrase: list[str], among: list[str]) -> bool:
    """What the engine asks of positions."""
    length = len(phrase)
    return any(among[at : at + length] == phrase for at in range(len(among) - length + 1))


@given(TEXTS, HAN)
def test_a_han_word_is_found_exactly_where_it_stands(parts: list[str], word: str) -> None:
    text = "".join(parts)
    (run,) = words(word)

    if len(word) == 1:
        assert (word in characters(text)) == (word in text)
    else:
        assert is_phrase(run.pairs, tokens(text)) == (word in text)


@given(TEXTS, TEXTS)
def test_no_phrase_reaches_from_one_text_into_the_next(first: list[str], second: list[str]) -> None:
    one, other = "".join(first), "".join(second)
    pairs = [a + b for a, b in zip(one[-1:], other[:1], strict=False)]

    together = tokens(one, other)

    assert [each for each in together if each != GAP] == [
        each for text in (one, other) for each in tokens(text) if each != GAP
    ]
    for pair in pairs:
        assert (pair in together) == (pair in tokens(one) + tokens(other))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("杭州市GDP数据", ["杭州", "州市", "gdp", "数据"]),
        ("张政，政区", ["张政", GAP, "政区"]),
        ("ＧＢ／Ｔ　２２６０", ["gb", "t", "2260"]),
        ("A股", ["a", "股"]),
        ("", []),
        ("——（）", []),
        ("བོད་ཡིག", ["བོད", "ཡིག"]),
        ("𠮷野家", ["𠮷野", "野家"]),
    ],
)
def test_a_text_falls_into_tokens(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


@given(st.text(max_size=40))
def test_tokens_hold_no_spaces_and_are_alike_for_alike_texts(text: str) -> None:
    found = tokens(text)

    assert all(each and each == "".join(each.split()) for each in found)
    assert tokens(normalise(text)) == found


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("身份证 330106199001011234", "身份证 #"),
        ("浙A12345", "浙 a12345"),
        ("浙A123456", "浙 #"),
        ("年度 2026", "年度 2026"),
        ("长" * 100, "长" * 60),
    ],
)
def test_numbers_are_not_kept_of_what_was_asked(query: str, kept: str) -> None:
    assert without_numbers(query, 60) == kept
