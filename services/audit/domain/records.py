"""Records as the log takes them: the few fields it reads, facts turned into records, alarms.

Bytes of records from gateways are taken as they are; only what bookkeeping needs is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kit.clock import parse_rfc3339, rfc3339
from services.audit.domain.epochs import MAX_SEQUENCE, Key

ALARM_INSTANCE: Final = "audit"
ALARM_EPOCH: Final = "1"
MAX_HEADING: Final = 200

FACT_FIELDS: Final[Mapping[str, str]] = {
    "agency": "agency",
    "owner": "owner_agency",
    "consumer": "caller_agency",
    "resource": "resource",
    "entry": "entry",
    "entry_version": "entry_version",
    "grant": "grant",
    "grant_version": "grant_version",
    "request": "request",
    "share_class": "share_class",
    "systems": "systems",
    "items": "items",
    "modes": "modes",
    "operations": "operations",
    "purposes": "purposes",
    "roles": "roles",
    "person": "person",
    "system": "system",
    "thumbprint": "certificate",
    "holder": "holder",
    "kind": "kind",
    "state": "state",
    "version": "version",
    "reason": "reason",
    "basis": "basis",
    "valid_from": "valid_from",
    "valid_until": "valid_until",
    "rows": "rows",
    "digest": "digest",
}
"""Fields of a fact's data that its record repeats, and under which name: ids, codes, counts and
instants. Names of people and free text stay out, since the log never forgets."""

_NAMED: Final = ("subject", "actor", "call")


class RecordUnreadable(ValueError):
    """Bytes that cannot enter the log as a record; the text says why."""


@dataclass(frozen=True, slots=True)
class Heading:
    """The fields of a record that bookkeeping reads."""

    record: str
    type: str
    instance: str
    epoch: str
    sequence: int
    at: str

    @property
    def key(self) -> Key:
        """Return instance and epoch."""
        return self.instance, self.epoch


def heading(fields: Any) -> Heading:
    """Return the heading of a record that was read as JSON.

    Raises:
        RecordUnreadable: not an object, or a heading field is absent or of another type.
    """
    if not isinstance(fields, dict):
        raise RecordUnreadable("a record is a JSON object")
    try:
        found = Heading(
            fields["record"],
            fields["type"],
            fields["instance"],
            fields["epoch"],
            fields["sequence"],
            fields["at"],
        )
    except KeyError as error:
        raise RecordUnreadable(f"the field {error} is absent") from error
    sequence = found.sequence
    if type(sequence) is not int or not 0 <= sequence <= MAX_SEQUENCE:
        raise RecordUnreadable("sequence is not an integer from 0 to 2^53 - 1")
    # A plain loop: this runs for every record, and a generator would double its cost.
    for text in (found.record, found.type, found.instance, found.epoch, found.at):
        if type(text) is not str or not 0 < len(text) <= MAX_HEADING:
            raise RecordUnreadable("a heading field is not a text of 1 to 200 characters")
    return found


def fact_record(event: Mapping[str, Any], digest: str) -> dict[str, Any]:
    """Return the record of a fact event (`contracts/evidence.md`, section on facts).

    The same event always gives the same record, so a fact that is read twice is one.

    Args:
        event: the CloudEvents object of a fact topic.
        digest: hex SHA-256 of the event's bytes.

    Raises:
        RecordUnreadable: an attribute that every fact has is absent or of another type.
    """
    try:
        source = event["source"]
        incarnation, sequence = event["incarnation"], event["sequence"]
        record: dict[str, Any] = {
            "type": "fact",
            "record": event["id"],
            "instance": source.removeprefix("/"),
            "epoch": f"{incarnation:d}",
            "sequence": sequence,
            "at": rfc3339(parse_rfc3339(event["time"])),
            "event": event["type"],
            "subject": event["subject"],
            "actor": event["actor"],
            "event_digest": digest,
        }
        if "call" in event:
            record["call"] = event["call"]
        if not all(isinstance(record.get(name, ""), str) for name in ("event", *_NAMED)):
            raise RecordUnreadable("type, subject, actor and call are texts")
        data = event["data"]
        for name, field in FACT_FIELDS.items():
            value = data.get(name)
            if _is_flat(value):
                record.setdefault(field, value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordUnreadable(f"not a fact event: {error!r}") from error
    if heading(record).sequence < 1:
        raise RecordUnreadable("facts are numbered from 1")
    return record


def _is_flat(value: Any) -> bool:
    """Tell whether a value may stand in a record: text, an integer, or a list of texts."""
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    return isinstance(value, str) or (type(value) is int and abs(value) <= MAX_SEQUENCE)


def unknown_record(opened: Mapping[str, Any], *, sequence: int, at: str) -> dict[str, Any]:
    """Return the record that ends an answer of which nobody knows how it ended.

    Args:
        opened: fields of the `opened` record; `closing` is a text.
    """
    about = {name: value for name, value in opened.items() if _is_flat(value)}
    of = about["record"]
    record = about.pop("closing")
    about.pop("duration_us", None)
    return about | {
        "type": "unknown",
        "record": record,
        "of": of,
        "instance": ALARM_INSTANCE,
        "epoch": ALARM_EPOCH,
        "sequence": sequence,
        "at": at,
    }


def alarm_record(
    *, record: str, sequence: int, at: str, reason: str, about: Mapping[str, str | int]
) -> dict[str, Any]:
    """Return the record of an alarm that the log writer raises.

    Args:
        reason: `record-conflict`, `headers-differ`, `record-unreadable` or `fact-unreadable`.
        about: what it is about; flat.
    """
    return {
        "type": "alarm",
        "record": record,
        "instance": ALARM_INSTANCE,
        "epoch": ALARM_EPOCH,
        "sequence": sequence,
        "at": at,
        "reason": reason,
        **about,
    }
