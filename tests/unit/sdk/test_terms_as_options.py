"""Terms of requests and grants: as options and as people read them."""

import pytest

from datong.cli.terms import read_filter, read_masks, read_terms, readable
from datong.errors import InputInvalid


def test_conditions_are_values_json_or_ranges() -> None:
    assert read_filter(["area=330106,330105", "born:1990-01-01..2000-01-01"]) == {
        "all": [
            {"item": "area", "in": ["330106", "330105"]},
            {"item": "born", "from": "1990-01-01", "until": "2000-01-01"},
        ]
    }
    assert read_filter(["born:..2000-01-01"]) == {"all": [{"item": "born", "until": "2000-01-01"}]}
    assert read_filter(['name:=["a,b", "c=d"]']) == {
        "all": [{"item": "name", "in": ["a,b", "c=d"]}]
    }
    assert read_filter(["at:2026-01-01T00:00:00Z.."]) == {
        "all": [{"item": "at", "from": "2026-01-01T00:00:00Z"}]
    }
    assert read_filter(None) is None


@pytest.mark.parametrize(
    "texts",
    [
        ["area"],
        ["Area=1"],
        ["born:.."],
        ["born:1990"],
        ["area:=[1]"],
        ["area:={}"],
        ["area:=["],
        ["area=1", "area=2"],
    ],
)
def test_what_is_no_condition_is_refused_with_its_text(texts: list[str]) -> None:
    with pytest.raises(InputInvalid, match=r"--filter"):
        read_filter(texts)


def test_masks_are_known_and_named_once() -> None:
    assert read_masks(["name=name", "id=pseudonym"]) == {"name": "name", "id": "pseudonym"}
    for wrong in (["name"], ["=name"], ["name=blur"], ["name=name", "name=year"]):
        with pytest.raises(InputInvalid, match=r"--mask"):
            read_masks(wrong)


def test_a_term_that_no_option_names_is_left_out() -> None:
    assert set(read_terms(None, [], None, None, None).values()) == {None}


def test_terms_and_steps_are_read_as_text() -> None:
    shown = readable(
        {
            "id": "r1",
            "row_filter": {
                "all": [
                    {"item": "area", "in": ["330106", "330105"], "from": None, "until": None},
                    {"item": "born", "in": None, "from": "1990-01-01", "until": None},
                ]
            },
            "masks": {"name": "name", "id_number": "id_number"},
            "statutory": {"title": "统计法", "article": "第十条"},
            "steps": [
                {"at": "t1", "step": "draft", "actor": "person/p", "reason": None},
                {"at": "t2", "step": "ask_supplement", "actor": "person/q", "reason": "范围"},
            ],
            "answer": None,
            "grant": {"id": "g1", "masks": {}, "row_filter": None},
        }
    )

    assert shown == {
        "id": "r1",
        "row_filter": "area is 330106 or 330105\nborn from 1990-01-01",
        "masks": "name as name, id_number as id_number",
        "statutory": "统计法 第十条",
        "steps": "t1 draft by person/p\nt2 ask_supplement by person/q: 范围",
        "grant": {"id": "g1"},
    }
