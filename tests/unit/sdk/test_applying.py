"""Files of `datong apply`: what is wrong is told with its line, before anything is sent."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.volume.town import write_town
from datong.applying import FilesInvalid, check_files
from datong.applying import sections as stated_sections
from datong.applying.scopes import scope_of
from datong.errors import InputInvalid

CONTRACTS = Path(__file__).parents[3] / "contracts" / "openapi"

TOWN = """\
agencies:
  - id: big-data
    name: 数据局
    level: city
    area_code: 330100
    competent: big-data
    by: operator
    security_officer: {name: 王芳, identity: big-data-security}
  - id: health
    name: 卫健委
    level: city
    area_code: 330100
    competent: big-data
    by: operator
    security_officer: {name: 李强, identity: health-security}
people:
  - {identity: registrar, agency: big-data, name: 陈静, roles: [registrar]}
  - {identity: reviewer, agency: big-data, name: 赵磊, roles: [reviewer]}
  - {identity: requester, agency: health, name: 周洁, roles: [sharing_office_head]}
systems:
  - {identity: consumer, agency: health, name: 传染病直报系统}
"""
ENTRY = """\
entries:
  - resource: divisions
    name: 行政区划代码
    summary: 代码和名称。
    share_class: unconditional
    items:
      - {name: code, title: 代码, type: text, key: true, required: true, filterable: true}
      - {name: name, title: 名称, type: text}
    data_format: database
    update_frequency: yearly
    modes: [query]
    use_conditions: 供履行职责使用。
    data_grade: general
    by: registrar
    approved_by: reviewer
"""
REQUEST = """\
requests:
  - resource: divisions
    systems: [consumer]
    items: [code, name]
    modes: [query]
    purposes: [public-health]
    row_filter: {all: [{item: code, in: ["330106", "330105"]}]}
    masks: {name: name}
    basis: 传染病防治法第三十八条
    scenario: 统计
    valid_from: 2026-01-01T00:00:00Z
    valid_until: 2028-01-01T00:00:00Z
    by: requester
"""
WHOLE = TOWN + ENTRY + REQUEST

Check = Callable[..., dict[str, int]]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Check texts as files `0.yaml`, `1.yaml`, …; the operator is enrolled."""
    operator = tmp_path / "identities" / "operator"
    operator.mkdir(parents=True)
    about = {"kind": "person", "id": "p0", "agency": "platform", "gateway": "localhost:1"}
    (operator / "identity.json").write_text(json.dumps(about), "utf-8")

    def run(*texts: str) -> dict[str, int]:
        files = []
        for number, text in enumerate(texts):
            files.append(tmp_path / f"{number}.yaml")
            files[-1].write_text(text, "utf-8")
        return check_files(files, identities=tmp_path / "identities")

    return run


def _problems(check: Check, *texts: str) -> list[tuple[int, str]]:
    with pytest.raises(FilesInvalid) as raised:
        check(*texts)
    return [(each.place.line, each.detail) for each in raised.value.problems]


def _line(text: str, piece: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if piece in line)


COUNTS = {"agencies": 2, "people": 3, "systems": 1, "entries": 1, "requests": 1}


def test_a_whole_town_is_right_in_one_file_or_several(check: Check) -> None:
    assert check(WHOLE) == COUNTS
    assert check(REQUEST, ENTRY, TOWN) == COUNTS
    assert check(f"{TOWN}---\n{ENTRY}---\n{REQUEST}---\n") == COUNTS
    assert check("") == dict.fromkeys(COUNTS, 0)
    assert check("agencies:\n") == dict.fromkeys(COUNTS, 0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("area_code: 330100", "area_cod: 330100", "unknown key area_cod; area_code is meant?"),
        ("people:", "peoples:", "unknown key peoples; people is meant?"),
        ("requests:", "grants:", "unknown key grants"),
        ("title: 代码, ", "", "title is missing"),
        ("filterable: true", "filterable: yes", "true or false is expected, not `yes`"),
        ("key: true", "key: true, key: true", "key stands twice"),
        ("type: text, key", "type: string, key", "`string` is none of text, integer"),
        ("level: city", "level: [city]", "expected, not a list"),
        ("modes: [query]", "modes: query", "a list is expected, not `query`"),
        ("[code, name]", "[code, code]", "`code` stands twice"),
        ("roles: [registrar]", "roles: [admiral]", "`admiral` is none of"),
        ("id: health", "id: Health", "`Health` is not an id"),
        ("id: health", "id: big-data", "agency big-data is stated twice; first at"),
        ("identity: reviewer", "identity: registrar", "identity registrar is stated twice"),
        ("by: operator", "by: nobody", "identity nobody is not in"),
        ("agency: health, name: 周洁", "agency: big-data, name: 周洁", "not of big-data"),
        ("by: registrar", "by: requester", "reviewer is of big-data, not of health"),
        ("approved_by: reviewer", "approved_by: registrar", "registrar wrote the entry"),
        ("by: registrar", "by: consumer", "consumer is a system, not a person"),
        ("by: requester", "by: stranger", "stranger is neither stated nor in"),
        ("[consumer]", "[requester]", "requester is a person, not a system"),
        ("items: [code, name]", "items: [code, nam]", "unknown item nam; name is meant?"),
        ("item: code, in", "item: name, in", "item name is not filterable"),
        ("item: code, in", "item: code, until: z, in", "either in, or from or until"),
        ("masks: {name: name}", "masks: {level: name}", "unknown masks: item level"),
        ("masks: {name: name}", "masks: {name: blur}", "`blur` is none of name"),
        ("2028-01-01T00:00:00Z", "2025-01-01T00:00:00Z", "ends before it begins"),
        ("2028-01-01T00:00:00Z", "2028-01-01", "an instant such as"),
        ("by: requester", "by: requester\n    answered_by: reviewer", "needs submitted_by"),
        ("by: requester", "by: requester\n    submitted_by: requester", "signs twice"),
        ("by: requester", "by: requester\n    answer: {}", "answer needs answered_by"),
        ("name: 卫健委", "name: &n 卫健委", "anchors and aliases are not read"),
        ("name: 卫健委", "name: 卫健委\n  broken", "not YAML"),
        ("name: 卫健委", "name: \t卫健委: x: y", "not YAML"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(
    check: Check, old: str, new: str, said: str
) -> None:
    text = WHOLE.replace(old, new)

    assert any(said in detail for _, detail in _problems(check, text)), _problems(check, text)


def test_a_problem_names_its_very_line(check: Check) -> None:
    text = WHOLE.replace("area_code: 330100", "area_cod: 330100").replace("[code, name]", "[cod]")
    found = dict(_problems(check, text))

    assert found[_line(text, "area_cod")].startswith("unknown key")
    assert [line for line, detail in _problems(check, text) if "unknown item cod" in detail] == [
        _line(text, "requests:") + 1
    ]


def test_a_cycle_in_the_tree_of_agencies_is_shown(check: Check) -> None:
    text = WHOLE.replace("competent: big-data", "competent: health", 1)

    assert _problems(check, text) == [
        (2, "a cycle in the tree of agencies: big-data → health → big-data")
    ]


def test_the_synthetic_city_is_right_and_always_the_same(tmp_path: Path, check: Check) -> None:
    files = [tmp_path / "city.yaml", tmp_path / "again.yaml"]
    for file in files:
        write_town(file, agency_count=8, entry_count=120, grant_count=300)
    text, again = (file.read_text("utf-8") for file in files)

    assert text == again
    assert check(text) == {
        "agencies": 9,
        "people": 8 * 6 + 1,
        "systems": 8,
        "entries": 120,
        "requests": 303,
    }
    requests = yaml.safe_load(text)["requests"]
    assert sum("confirmed_by" in each for each in requests) == 25
    assert sum("statutory" in each for each in requests) == 6
    with pytest.raises(SystemExit, match="give 720 grants"):
        write_town(files[0], agency_count=8, entry_count=120, grant_count=720)


def test_the_same_request_twice_is_refused_whatever_its_words(check: Check) -> None:
    again = REQUEST.replace("统计", "核查").replace('["330106", "330105"]', '["330105", "330106"]')

    found = _problems(check, WHOLE, again)
    assert len(found) == 1
    assert "the same is asked for at" in found[0][1]
    assert check(WHOLE, REQUEST.replace("330105", "330104"))["requests"] == 2


def test_every_problem_is_told_at_once(check: Check) -> None:
    broken = WHOLE.replace("level: city", "level: town").replace("by: requester", "by: x")

    assert len(_problems(check, broken)) == 3


def test_a_file_that_is_no_mapping_or_not_there_is_refused(check: Check, tmp_path: Path) -> None:
    for text in ("- a\n", "just text\n", "agencies: 7\n", "? [a]\n: b\n", "\x00"):
        assert _problems(check, text)
    with pytest.raises(InputInvalid, match="cannot be read"):
        check_files([tmp_path / "absent.yaml"], identities=tmp_path)


def test_a_folder_of_somebody_else_is_not_taken_for_the_stated_one(
    check: Check, tmp_path: Path
) -> None:
    folder = tmp_path / "identities" / "consumer"
    folder.mkdir()
    about = {"kind": "system", "id": "s1", "agency": "education", "gateway": "localhost:1"}
    (folder / "identity.json").write_text(json.dumps(about), "utf-8")

    assert any("is a system of education" in detail for _, detail in _problems(check, WHOLE))


def test_a_scope_is_the_same_as_files_and_platform_write_it() -> None:
    stated = yaml.safe_load(REQUEST.replace("2026-01-01T00:00:00Z", '"2026-01-01T08:00:00+08:00"')
                            .replace("2028-01-01T00:00:00Z", '"2028-01-01T00:00:00Z"'))  # fmt: skip
    request = stated["requests"][0]
    shown: dict[str, Any] = {
        **request,
        "items": ["name", "code"],
        "operations": [],
        "statutory": None,
        "scenario": "别的",
        "valid_from": "2026-01-01T00:00:00.000000Z",
        "row_filter": {
            "all": [{"item": "code", "in": ["330105", "330106"], "from": None, "until": None}]
        },
    }

    scope = scope_of(request, "health", ["s1"])
    assert scope == scope_of(shown, "health", ["s1"])
    changes: list[dict[str, Any]] = [{"masks": {}}, {"items": ["code"]}, {"resource": "other"}]
    for change in changes:
        assert scope_of(shown | change, "health", ["s1"]) != scope
    assert scope_of(shown, "education", ["s1"]) != scope
    assert scope_of(shown, "health", ["s2"]) != scope


BODIES = [
    ("identity", "NewAgency", stated_sections.AGENCIES, {"by"}),
    ("identity", "NewPerson", stated_sections.PEOPLE, {"by", "identity"}),
    ("identity", "NewSystem", stated_sections.SYSTEMS, {"by", "identity"}),
    ("catalog", "EntryContent", stated_sections.ENTRIES, {"by", "approved_by"}),
    ("catalog", "ItemShape", stated_sections.ITEM, set()),
    ("catalog", "ServiceShape", stated_sections.SERVICE, set()),
    (
        "sharing",
        "RequestBody",
        stated_sections.REQUESTS,
        {"by", "submitted_by", "answered_by", "confirmed_by", "answer"},
    ),
]


def _schemas(service: str) -> dict[str, Any]:
    contract = json.loads((CONTRACTS / f"{service}.v1.json").read_text("utf-8"))
    schemas: dict[str, Any] = contract["components"]["schemas"]
    return schemas


@pytest.mark.parametrize(("service", "body", "shape", "own"), BODIES)
def test_members_are_those_of_the_api(service: str, body: str, shape: Any, own: set[str]) -> None:
    schema = _schemas(service)[body]

    assert set(shape.shapes) == set(schema["properties"]) | own
    assert set(schema["required"]) <= set(shape.required)


def test_members_of_an_answer_are_those_of_the_api() -> None:
    schema = _schemas("sharing")["AnswerBody"]

    assert set(stated_sections.ANSWER.shapes) | {"decision"} == set(schema["properties"])


@pytest.mark.parametrize(
    ("service", "name", "choices"),
    [
        ("catalog", "DataFormat", stated_sections.FORMATS),
        ("catalog", "UpdateFrequency", stated_sections.FREQUENCIES),
        ("catalog", "ShareClass", stated_sections.CLASSES),
        ("catalog", "BasisKind", stated_sections.BASES),
        ("catalog", "DataGrade", stated_sections.GRADES),
        ("catalog", "ItemType", stated_sections.TYPES),
        ("catalog", "Method", stated_sections.METHODS),
        ("catalog", "Mode", stated_sections.MODES),
        ("sharing", "Mask", stated_sections.MASKS),
        ("identity", "Level", stated_sections.LEVELS),
        ("identity", "Role", stated_sections.ROLES),
    ],
)
def test_choices_are_those_of_the_api(service: str, name: str, choices: tuple[str, ...]) -> None:
    assert set(choices) == set(_schemas(service)[name]["enum"])
