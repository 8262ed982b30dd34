"""The topics of the bus: which exist, of which kind, with which settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class TopicKind(StrEnum):
    """State topics are compacted and have one partition; fact topics keep what happened."""

    STATE = "state"
    FACT = "fact"


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic: its name carries the major version."""

    name: str
    kind: TopicKind
    writer: str
    partitions: int = 1

    @property
    def settings(self) -> Mapping[str, str]:
        """Return the broker's topic settings.

        Compaction is kept brisk, or heartbeats would bloat the start of every reader.
        """
        if self.kind is TopicKind.STATE:
            return {
                "cleanup.policy": "compact",
                "segment.ms": "600000",
                "max.compaction.lag.ms": "900000",
                "delete.retention.ms": "600000",
                "min.cleanable.dirty.ratio": "0.1",
            }
        return {"cleanup.policy": "delete", "retention.ms": str(7 * 24 * 3600 * 1000)}


def _state(name: str, writer: str) -> Topic:
    return Topic(name, TopicKind.STATE, writer)


def _fact(name: str, writer: str) -> Topic:
    return Topic(name, TopicKind.FACT, writer)


TOPICS: Final[Mapping[str, Topic]] = {
    topic.name: topic
    for topic in (
        _state("identity.agency.v1", "identity"),
        _state("identity.person.v1", "identity"),
        _state("identity.system.v1", "identity"),
        _state("identity.credential.v1", "identity"),
        _state("identity.key.v1", "identity"),
        _state("catalog.entry.v1", "catalog"),
        _state("sharing.grant.v1", "sharing"),
        _state("audit.accepted.v1", "audit"),
        _fact("identity.change.v1", "identity"),
        _fact("catalog.change.v1", "catalog"),
        _fact("sharing.change.v1", "sharing"),
        _fact("transfer.change.v1", "transfer"),
        _fact("gateway.call.v1", "gateway"),
    )
}


def state_topics_of(part: str) -> list[str]:
    """Return the names of the state topics that `part` writes; its relay beats on each."""
    return [t.name for t in TOPICS.values() if t.writer == part and t.kind is TopicKind.STATE]
