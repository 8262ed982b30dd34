"""The watermark event against its contract."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema

from services.audit.domain.epochs import Epoch
from services.audit.events import accepted, accepted_subject

EVENTS = Path(__file__).parents[3] / "contracts" / "events"


def schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (EVENTS / "audit.accepted.v1.schema.json").read_text("utf-8")
    )
    return found


def test_the_watermark_is_what_its_schema_and_example_say() -> None:
    example = json.loads((EVENTS / "examples" / "audit.accepted.v1.worker.json").read_text("utf-8"))
    epoch = Epoch(example["data"]["instance"], example["data"]["epoch"], 4711)
    event = json.loads(accepted(epoch, incarnation=1763971200000, commit=42, at=datetime.now(UTC)))
    for document in (example, event):
        jsonschema.validate(document, schema())
    changing = {"id": "", "time": ""}
    assert event | changing == example | changing
    assert accepted_subject(epoch) == example["subject"]


def test_a_hole_holds_the_watermark() -> None:
    epoch = Epoch("gateway-0/0", "e", 9, missing=[(3, 4)])
    event = json.loads(accepted(epoch, incarnation=1, commit=1, at=datetime.now(UTC)))
    assert event["data"]["sequence"] == 2
