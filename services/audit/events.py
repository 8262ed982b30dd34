"""Events that audit publishes: how far the records of each epoch are in the log."""

from datetime import datetime
from typing import Final

from kit.canonical import canonical
from kit.events import State, envelope
from kit.ids import uuid7
from services.audit.domain.epochs import Epoch

ACCEPTED: Final = "audit.accepted.v1"


def accepted_subject(epoch: Epoch) -> str:
    """Return the subject of an epoch's watermark: the Kafka key."""
    return f"accepted/{epoch.instance}/{epoch.epoch}"


def accepted(epoch: Epoch, *, incarnation: int, commit: int, at: datetime) -> bytes:
    """Return the event that everything of `epoch` up to its watermark is in a committed checkpoint.

    Args:
        incarnation: of the log.
        commit: number of the newest commit; the state's version.
    """
    state = State(
        ACCEPTED,
        accepted_subject(epoch),
        commit,
        {
            "instance": epoch.instance,
            "epoch": epoch.epoch,
            "sequence": epoch.accepted,
            "critical": [],
        },
    )
    return canonical(
        envelope(state, source="/audit", event_id=uuid7(), at=at) | {"incarnation": incarnation}
    )
