"""A layout is kept as JSON beside its dataset, and read back as it was."""

import json

from services.exchange.transfer.domain import Item, ItemType, Layout
from services.exchange.transfer.store.tables import from_json, to_json

PLAIN = Item("code", ItemType.TEXT, True, True, True)
KEPT = {"name": "code", "type": "text", "required": True, "key": True, "filterable": True}


def test_a_layout_comes_back_with_its_rules() -> None:
    layout = Layout(
        (
            PLAIN,
            Item(
                "kind", ItemType.TEXT, False, False, False, 3, r"\d{3}", ("111", "210"), None, None
            ),
            Item("born", ItemType.DATE, False, False, False, minimum="1949-10-01"),
            Item("level", ItemType.INTEGER, False, False, False, minimum="1", maximum="5"),
        )
    )

    assert from_json(json.loads(json.dumps(to_json(layout)))) == layout


def test_an_item_without_rules_is_kept_as_before_there_were_any() -> None:
    assert to_json(Layout((PLAIN,))) == [KEPT]
    assert from_json([KEPT]) == Layout((PLAIN,))
