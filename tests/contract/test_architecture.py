"""`docs/architecture.md` says where to add what: the places exist, and are the ones."""

import re
from typing import Final

import pytest
import yaml

from datong.applying import sections
from datong.cli.terms import MASKS
from datong.tables.layout import TYPES
from kit.topics import TOPICS
from services.catalog.domain import ItemType
from services.exchange.sharing.domain import masks as granted
from services.exchange.transfer.domain import masks as shown
from services.exchange.transfer.domain.values import ItemType as KeptType
from services.exchange.transfer.store.tables import TYPES as COLUMNS
from stack.folders import CHECKOUT

PLACES: Final = {
    "a mask": {"services/exchange/transfer/domain/masks.py": "class Mask(StrEnum)"},
    "a reason code": {"contracts/problems.yaml": "purpose-not-granted:"},
    "an item type": {
        "services/catalog/domain/items.py": "class ItemType(StrEnum)",
        "services/exchange/transfer/store/tables.py": "ItemType.DATETIME: ",
    },
    "a CLI command": {"sdk/src/datong/cli/application.py": "add_commands(application)"},
    "a topic": {"contracts/authority.yaml": "topics:", "kit/topics.py": "TOPICS"},
}
"""What is looked for, and the text that its place must hold."""


def _lines() -> dict[str, str]:
    text = (CHECKOUT / "docs/architecture.md").read_text(encoding="utf-8")
    section = text.split("## Where to add\n", 1)[1].split("\n## ", 1)[0]
    return dict(re.findall(r"^\* \*\*(.+?)\*\*: (.+)$", section, re.MULTILINE))


def test_five_questions_are_answered_in_five_lines() -> None:
    assert list(_lines()) == list(PLACES)


@pytest.mark.parametrize("what", PLACES)
def test_every_named_place_exists(what: str) -> None:
    named = re.findall(r"`([\w./-]+/[\w./-]*)`", _lines()[what])
    paths = [path for path in named if path != "domain/"]
    assert set(PLACES[what]) <= set(paths)
    for path in paths:
        assert (CHECKOUT / path).exists(), path
    for path, text in PLACES[what].items():
        assert text in (CHECKOUT / path).read_text(encoding="utf-8")


def test_the_places_of_a_mask_name_the_same_masks() -> None:
    masks = {mask.value for mask in granted.Mask}
    assert masks == {mask.value for mask in shown.Mask} == set(MASKS) == set(sections.MASKS)
    rows = (CHECKOUT / "contracts/rows.md").read_text(encoding="utf-8")
    schema = (CHECKOUT / "contracts/events/sharing.grant.v1.schema.json").read_text("utf-8")
    for mask in masks:
        assert f"`{mask}`" in rows
        assert f'"{mask}"' in schema


def test_the_places_of_an_item_type_name_the_same_types() -> None:
    types = {kind.value for kind in ItemType}
    assert types == {kind.value for kind in KeptType} == set(TYPES) == set(sections.TYPES)
    assert {kind.value for kind in COLUMNS} == types
    schema = (CHECKOUT / "contracts/events/catalog.entry.v1.schema.json").read_text("utf-8")
    for kind in types:
        assert f'"{kind}"' in schema


def test_the_places_of_a_topic_name_the_same_topics() -> None:
    authority = yaml.safe_load((CHECKOUT / "contracts/authority.yaml").read_text("utf-8"))
    assert set(authority["topics"]) == set(TOPICS)
    for topic in TOPICS:
        if topic != "gateway.call.v1":  # records of evidence, see contracts/evidence.md
            assert (CHECKOUT / f"contracts/events/{topic}.schema.json").exists(), topic
