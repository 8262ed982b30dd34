"""Events: what a change publishes. CloudEvents 1.0 in structured JSON, bytes per RFC 8785."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from kit.canonical import canonical
from kit.clock import rfc3339

BEAT_KEY: Final = "~beat"
BEAT_TYPE: Final = "datong.beat.v1"


@dataclass(frozen=True, slots=True)
class State:
    """How a subject is now: the full state, of which a compacted topic keeps the newest.

    Attributes:
        topic: such as `sharing.grant.v1`; also the event's type.
        subject: such as `grant/<id>`; the Kafka key.
        version: rises by one with each change, assigned under the subject's row lock.
        data: the full state; restricting fields are named in its `critical`.
    """

    topic: str
    subject: str
    version: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fact:
    """What happened: kept for audit and deadlines.

    Attributes:
        topic: such as `sharing.change.v1`.
        type: past tense, such as `sharing.grant-suspended.v1`.
        subject: the object, such as `grant/<id>`; the Kafka key.
        data: what an auditor needs to understand the change; no secrets, no data values.
        actor: who did it: `person/<id>`, `system/<id>` or `part/<name>`.
        call: id of the call that caused it, if a call did.
    """

    topic: str
    type: str
    subject: str
    data: Mapping[str, Any]
    actor: str
    call: str | None = None


def envelope(event: State | Fact, *, source: str, event_id: str, at: datetime) -> dict[str, Any]:
    """Return the CloudEvents object of `event`, without the members that the relay adds."""
    common: dict[str, Any] = {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "subject": event.subject,
        "time": rfc3339(at),
        "datacontenttype": "application/json",
        "data": dict(event.data),
    }
    if isinstance(event, State):
        return common | {"type": event.topic, "version": event.version}
    common |= {"type": event.type, "actor": event.actor}
    return common if event.call is None else common | {"call": event.call}


def beat(*, source: str, event_id: str, at: datetime, database: str) -> bytes:
    """Return a heartbeat of a relay; `database` is `up` or `down`."""
    return canonical(
        {
            "specversion": "1.0",
            "id": event_id,
            "source": source,
            "type": BEAT_TYPE,
            "subject": BEAT_KEY,
            "time": rfc3339(at),
            "datacontenttype": "application/json",
            "data": {"database": database},
        }
    )
