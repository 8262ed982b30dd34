"""The people of the demo have numbers of the right shape, and none is anybody's."""

import re
from datetime import date

import pytest

from stack.demo.adoptions import read_adoptions
from stack.demo.citizens import (
    NUMBER_PATTERN,
    check_digit,
    citizen_name,
    citizen_number,
    shown_name,
    shown_number,
)
from stack.demo.deaths import DEATHS_ENTRY, ROWS, areas_of, read_deaths
from stack.demo.divisions import HANGZHOU, read_table


def test_the_check_digit_is_that_of_the_standard() -> None:
    # The example of GB 11643-1999.
    assert check_digit("11010519491231002") == "X"
    assert check_digit("44052418800101001") == "4"


def test_no_number_is_of_a_place_where_anybody_could_have_been_born() -> None:
    provinces = set(read_table(("province",))["code"].to_pylist())
    numbers = (
        read_deaths()["id_number"].to_pylist() + read_adoptions()["adopter_number"].to_pylist()
    )
    assert len(set(read_deaths()["id_number"].to_pylist())) == ROWS
    for number in numbers:
        assert re.fullmatch(NUMBER_PATTERN, number)
        assert number[:2] not in provinces
        assert number[17] == check_digit(number[:17])
        assert number[6:14] < "2020"


@pytest.mark.parametrize("order", [-1, 1000])
def test_a_day_has_a_thousand_numbers(order: int) -> None:
    with pytest.raises(ValueError, match="no order"):
        citizen_number(date(1950, 1, 1), order)


def test_names_are_masked_whatever_their_length() -> None:
    names = {citizen_name(order) for order in range(200)}
    assert {len(name) for name in names} == {2, 3}
    for name in names:
        assert len(shown_name(name)) == len(name)
        assert shown_name(name)[1:].strip("*") == ""
    assert shown_number("990101195001010008") == "990101**********08"


def test_the_rows_have_the_items_of_the_entry() -> None:
    table = read_deaths()
    assert table.column_names == [item["name"] for item in DEATHS_ENTRY["items"]]
    assert set(areas_of(HANGZHOU)) < set(table["area"].to_pylist())
