"""Area codes, against vectors that were made outside the product."""

import json
import re
from pathlib import Path

import pytest

from services.identity.domain.names import LINE, NATION, is_area_code, is_division_code

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "codes.json").read_bytes())[
    "division"
]


@pytest.mark.parametrize("case", VECTORS["valid"], ids=lambda case: case["code"])
def test_a_code_of_gb_t_2260_is_accepted(case: dict[str, str]) -> None:
    assert is_division_code(case["code"])


@pytest.mark.parametrize("case", VECTORS["invalid"], ids=lambda case: case["reason"])
def test_anything_else_is_refused(case: dict[str, str]) -> None:
    assert not is_division_code(case["code"])


def test_only_the_nation_has_the_code_of_the_nation() -> None:
    assert is_area_code("nation", NATION)
    assert not is_area_code("city", NATION)
    assert is_area_code("nation", "110000")


@pytest.mark.parametrize("text", ["市民政局", "A", "a b", "Bureau № 7"])
def test_one_line_of_text_is_a_name(text: str) -> None:
    assert re.search(LINE, text)


@pytest.mark.parametrize("text", ["", " ", " a", "a ", "a\nb", "a\0b", "a\x7fb", "\ta"])
def test_control_characters_and_outer_white_space_are_not(text: str) -> None:
    assert not re.search(LINE, text)
