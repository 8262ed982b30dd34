"""Taking records and facts in, each once, in the order of arrival.

One batch is filled at a time; closing it hands its contents to `actions.commit`. All of it is
plain CPU work without a database and without awaiting, but for the rare look into the log when
an old number comes again.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import orjson

from kit.canonical import NotStrictJson, canonical, strict_loads
from kit.clock import Clock, rfc3339
from kit.feed import Received
from kit.ids import uuid7
from services.audit.domain.epochs import DIGEST_BYTES, Arrival, Epoch, Key, Ledger
from services.audit.domain.records import (
    ALARM_EPOCH,
    ALARM_INSTANCE,
    MAX_HEADING,
    Heading,
    RecordUnreadable,
    alarm_record,
    fact_record,
    heading,
    unknown_record,
)
from services.audit.domain.tiles import MAX_RECORD_BYTES
from services.audit.domain.tree import leaf_hash

CALLS: Final = "gateway.call.v1"
SALT_BYTES: Final = 32
ALARM_KEY: Final = (ALARM_INSTANCE, ALARM_EPOCH)

LoadDigests = Callable[[Epoch, int], Iterable[tuple[int, bytes]]]
"""From an epoch and a number to (number, leaf hash) of the log's records down to that number."""

LoadRecord = Callable[[int], bytes]
"""From a leaf index of the committed log to the record's bytes."""


@dataclass(slots=True)
class Batch:
    """What one commit adds to the log.

    Attributes:
        records, leaves: bytes and leaf hashes in log order.
        salts: (record id, salt of 32 bytes).
        positions: next offsets, by topic and partition.
        epochs: copies of the epochs that changed, or of all when `full`.
    """

    records: list[bytes]
    leaves: list[bytes]
    salts: list[tuple[str, bytes]]
    positions: dict[str, dict[str, int]]
    epochs: tuple[Epoch, ...]
    full: bool


@dataclass(slots=True)
class Intake:
    """The batch that is being filled, and everything that decides what enters it.

    Args:
        ledger: all epochs as of the last commit.
        size: size of the log as of the last commit.
        positions: bus positions as of the last commit.
        load_digests: looks numbers up that the ledger no longer remembers.
        load_record: reads what was opened before this process began.
        clock: for the times of alarms and of what is unknown.
    """

    ledger: Ledger
    size: int
    positions: dict[str, dict[str, int]]
    load_digests: LoadDigests
    load_record: LoadRecord
    clock: Clock
    records: list[bytes] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    salts: list[tuple[str, bytes]] = field(default_factory=list)
    repeated: set[Key] = field(default_factory=set)
    alarms: int = 0
    opened: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def take(self, messages: Iterable[Received]) -> None:
        """Take messages in, in the order given."""
        for message in messages:
            if message.topic == CALLS:
                self._take_call(message)
            else:
                self._take_fact(message)
            partitions = self.positions.setdefault(message.topic, {})
            partitions[str(message.partition)] = message.offset + 1

    def close(self, *, full: bool) -> Batch:
        """Return the batch and begin the next one."""
        batch = Batch(
            self.records,
            self.leaves,
            self.salts,
            {topic: dict(offsets) for topic, offsets in self.positions.items()},
            self.ledger.take_changed(all_of_them=full),
            full,
        )
        self.size += len(self.records)
        self.records, self.leaves, self.salts = [], [], []
        return batch

    def take_repeated(self) -> set[Key]:
        """Return the epochs of which duplicates arrived since the last call."""
        repeated, self.repeated = self.repeated, set()
        return repeated

    def _take_call(self, message: Received) -> None:
        """Take a record from a gateway; its bytes are the message's value."""
        value = message.value or b""
        headers = dict(message.headers)
        try:
            if len(value) > MAX_RECORD_BYTES:
                raise RecordUnreadable(f"{len(value)} bytes exceed {MAX_RECORD_BYTES}")
            fields = orjson.loads(value)
            found = heading(fields)
            if found.epoch.isdecimal():
                raise RecordUnreadable("a decimal epoch belongs to facts")
        except (RecordUnreadable, orjson.JSONDecodeError) as error:
            self._alarm("record-unreadable", _origin(message, str(error)))
            return
        is_new = self._enter(found, value, fields)
        if is_new and not _headers_agree(found, headers):
            self._alarm("headers-differ", {**_origin(message, "the record is right"), **_of(found)})
        salt = headers.get("datong_salt", b"")
        if len(salt) == SALT_BYTES:
            self.salts.append((found.record, salt))

    def _take_fact(self, message: Received) -> None:
        """Take a fact event: its record is made here, always the same from the same event."""
        value = message.value or b""
        try:
            event = strict_loads(value)
            fields = fact_record(event, sha256(value).hexdigest())
            if fields["instance"] != message.topic.partition(".")[0]:
                raise RecordUnreadable("the source is not the writer of the topic")
            data = canonical(fields)
            if len(data) > MAX_RECORD_BYTES:
                raise RecordUnreadable(f"{len(data)} bytes exceed {MAX_RECORD_BYTES}")
            found = heading(fields)
        except (NotStrictJson, RecordUnreadable, ValueError) as error:
            self._alarm("fact-unreadable", _origin(message, str(error)))
            return
        self._enter(found, data, fields)

    def _enter(self, found: Heading, data: bytes, fields: Mapping[str, Any]) -> bool:
        """Append a record unless the log has it; tell whether its number was new.

        Other bytes under a number that the log has are kept too, and are an alarm.
        """
        leaf = leaf_hash(data)
        digest = leaf[:DIGEST_BYTES]
        arrival = self.ledger.arrival(found.key, found.sequence, digest)
        if arrival is Arrival.UNKNOWN:
            self._remember(found.key, found.sequence)
            arrival = self.ledger.arrival(found.key, found.sequence, digest)
        if arrival is Arrival.NEW:
            at = self._append(data, leaf)
            epoch = self.ledger.enter(found.key, found.sequence, digest, at, found.at)
            if found.type != "call":
                self._note(found, fields, at)
            if epoch.opened and epoch.is_settled:
                self._give_up(found.key)
        elif arrival is Arrival.CONFLICT:
            self._conflict(found, data, leaf)
        else:
            self.repeated.add(found.key)
        return arrival is Arrival.NEW

    def _note(self, found: Heading, fields: Mapping[str, Any], leaf: int) -> None:
        """Take note of what a new record says about its epoch, or about another record."""
        if found.type == "epoch":
            self._follow(found, fields, leaf)
        elif found.type == "end":
            self.ledger.end(found.key)
        elif found.type == "opened":
            closing = fields.get("closing")
            if isinstance(closing, str) and 0 < len(closing) <= MAX_HEADING:
                self.ledger.open(found.key, closing, leaf)
                self.opened[closing] = fields
        elif found.type == "closed":
            self.ledger.close(found.key, found.record)
            self.opened.pop(found.record, None)

    def _give_up(self, key: Key) -> None:
        """Say of what an epoch left open that nobody knows how it ended."""
        for closing, leaf in sorted(self.ledger.give_up(key).items()):
            fields = self.opened.pop(closing, None)
            if fields is None:
                fields = orjson.loads(self.load_record(leaf))
            unknown = unknown_record(
                fields, sequence=self._own_number(), at=rfc3339(self.clock.now())
            )
            self._enter(heading(unknown), canonical(unknown), unknown)

    def _own_number(self) -> int:
        """Return the number of the next record that this writer makes itself."""
        epoch = self.ledger.epochs.get(ALARM_KEY)
        return 1 if epoch is None else epoch.last + 1

    def _remember(self, key: Key, sequence: int) -> None:
        digests = self.ledger.digests(key)
        for number, leaf in self.load_digests(self.ledger.epochs[key], sequence):
            # What is remembered already came first; later bytes under a number are conflicts.
            digests.put(number, leaf[:DIGEST_BYTES])

    def _follow(self, found: Heading, fields: Mapping[str, Any], leaf: int) -> None:
        previous, last = fields.get("previous_epoch"), fields.get("previous_sequence")
        if isinstance(previous, str) and type(last) is int and last >= 0:
            self.ledger.follow(found.key, previous, last, leaf)
            if self.ledger.epochs[found.instance, previous].is_settled:
                self._give_up((found.instance, previous))
        else:
            # The slot's spool was empty: whatever its earlier epochs left is lost.
            for earlier in self.ledger.before(found.key):
                self._give_up(earlier)

    def _conflict(self, found: Heading, data: bytes, leaf: bytes) -> None:
        """Keep both: the other bytes enter the log too, followed by an alarm."""
        at = self._append(data, leaf)
        self.ledger.enter_conflict(found.key, found.sequence, leaf[:DIGEST_BYTES], at)
        self._alarm("record-conflict", {**_of(found), "of_leaf": at})

    def _alarm(self, reason: str, about: Mapping[str, str | int]) -> None:
        self.alarms += 1
        fields = alarm_record(
            record=uuid7(),
            sequence=self._own_number(),
            at=rfc3339(self.clock.now()),
            reason=reason,
            about=about,
        )
        self._enter(heading(fields), canonical(fields), fields)

    def _append(self, data: bytes, leaf: bytes) -> int:
        self.records.append(data)
        self.leaves.append(leaf)
        return self.size + len(self.records) - 1


def _headers_agree(found: Heading, headers: Mapping[str, bytes]) -> bool:
    """Tell whether the headers, where they are sent, name the same record as the value."""
    return (
        headers.get("datong_instance") in (None, found.instance.encode())
        and headers.get("datong_epoch") in (None, found.epoch.encode())
        and headers.get("datong_sequence") in (None, b"%d" % found.sequence)
    )


def _of(found: Heading) -> dict[str, str | int]:
    """Name the record that an alarm is about."""
    return {
        "of_instance": found.instance,
        "of_epoch": found.epoch,
        "of_sequence": found.sequence,
    }


def _origin(message: Received, why: str) -> dict[str, str | int]:
    """Say where unreadable bytes came from, and which: enough to find and compare them."""
    return {
        "detail": why[:500].encode("utf-8", "replace").decode(),
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "digest": sha256(message.value or b"").hexdigest(),
    }
