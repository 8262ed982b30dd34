"""The permission table of one worker: state topics in memory, and whether they are fresh."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from gateway.domain import Agency, Credential, Entry, Grant, Party
from gateway.table.indexes import EntryIndex, GrantIndex
from gateway.table.states import ENTRY_CRITICAL, GRANT_CRITICAL, read_entry, read_grant
from kit.clock import parse_rfc3339
from kit.directory import Directory
from kit.logging import get_logger
from kit.states import Position, StateEvent, StateReader
from kit.tokens import VerifyingKey

ENTRY_TOPIC: Final = "catalog.entry.v1"
GRANT_TOPIC: Final = "sharing.grant.v1"

ClientCa = Callable[[Sequence[str]], None]

log = get_logger()


class PermissionTable:
    """Answers `gateway.domain.Permissions` from what identity, catalog and sharing publish.

    Args:
        options: `kit.kafka.client_options(settings)`.
        stale_after: seconds without a beat after which the table is not fresh.

    All look-ups run on the event loop and see whole states: a state is taken between two
    callbacks, never during one.
    """

    def __init__(self, options: Mapping[str, Any], *, stale_after: float) -> None:
        self.directory = Directory()
        self._credentials: dict[str, Credential] = {}
        self._agencies: dict[str, Agency] = {}
        self._parties: dict[tuple[str, str], Party] = {}
        self._entries = EntryIndex()
        self._grants = GrantIndex()
        self._on_client_ca: list[ClientCa] = []
        self._client_ca: tuple[str, ...] = ()
        self.changes = 0
        """Rises with every state that is taken, readable or not."""
        self.unreadable: set[str] = set()
        """Subjects whose last state could not be read; an alarm, shown by health and metrics."""
        self._reader = StateReader(
            options,
            dict.fromkeys(self.directory.handlers(), self._take_identity)
            | {ENTRY_TOPIC: self._take_entry, GRANT_TOPIC: self._take_grant},
            stale_after=stale_after,
            on_unreadable=self.on_unreadable,
        )

    # ---- following the bus ----

    async def run(self) -> None:
        """Read the state topics until cancelled."""
        await self._reader.run()

    @property
    def ready(self) -> bool:
        """Tell whether everything that was on the bus at start has been read."""
        return self._reader.ready

    def is_fresh(self, monotonic: float) -> bool:
        """Tell whether data calls may be decided now (design section 4, the permission table)."""
        return self._reader.is_fresh(monotonic)

    def stale_topics(self, monotonic: float) -> list[str]:
        """Return the topics that keep the table from being fresh."""
        return self._reader.stale_topics(monotonic)

    def reached(self, after: Sequence[Position]) -> bool:
        """Tell whether the table has read the positions that Datong-After names."""
        return self._reader.reached(after)

    async def wait_for(self, after: Sequence[Position], seconds: float) -> bool:
        """Wait until the table has read `after`, at most `seconds`; tell whether it has."""
        return await self._reader.wait_for(after, seconds)

    def on_client_ca(self, callback: ClientCa) -> None:
        """Call back now, if known, and at each change with the departments' CA certificates.

        Args:
            callback: takes PEM texts in the order of their key ids.
        """
        self._on_client_ca.append(callback)
        if self._client_ca:
            callback(self._client_ca)

    # ---- look-ups: gateway.domain.Permissions ----

    def credential(self, thumbprint: str) -> Credential | None:
        """Return the credential with this x5t#S256 thumbprint."""
        return self._credentials.get(thumbprint)

    def agency(self, agency_id: str) -> Agency | None:
        """Return the agency."""
        return self._agencies.get(agency_id)

    def party(self, kind: str, party_id: str) -> Party | None:
        """Return the person or system."""
        return self._parties.get((kind, party_id))

    def entry_of(self, resource: str) -> Entry | None:
        """Return the entry that makes `resource` available; unreadable when two claim it."""
        return self._entries.of_resource(resource)

    def grant(self, grant_id: str) -> Grant | None:
        """Return the grant in its present version."""
        return self._grants.get(grant_id)

    def grants_of(self, system: str, resource: str) -> Sequence[Grant]:
        """Return the grants of a system for a resource in the order of their ids."""
        return self._grants.of(system, resource)

    @property
    def token_keys(self) -> Mapping[str, VerifyingKey]:
        """Return the keys that sign access tokens, by `kid`, for `kit.tokens.Verifier`."""
        return self.directory.token_keys

    # ---- taking states ----

    def apply(self, event: StateEvent) -> None:
        """Take one newer state, as the reader does; for tests and benchmarks without a bus."""
        if event.topic == ENTRY_TOPIC:
            self._take_entry(event)
        elif event.topic == GRANT_TOPIC:
            self._take_grant(event)
        else:
            self._take_identity(event)

    def on_unreadable(self, topic: str, subject: str, reason: str) -> None:
        """Make a subject unusable whose state event cannot be read; it keeps what it was."""
        self.changes += 1
        log.error("permission unreadable", topic=topic, subject=subject, reason=reason)
        self.unreadable.add(subject)
        self.directory.on_unreadable(topic, subject, reason)
        _, _, key = subject.partition("/")
        if topic == ENTRY_TOPIC:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.put(replace(entry, readable=False))
        elif topic == GRANT_TOPIC:
            grant = self._grants.get(key)
            if grant is not None:
                self._grants.put(replace(grant, readable=False))
        else:
            self._copy(topic, key, readable=False)

    def _take_entry(self, event: StateEvent) -> None:
        self.changes += 1
        unknown = event.critical - ENTRY_CRITICAL
        try:
            _require_subject(event)
            self._entries.put(read_entry(event.data, readable=not unknown))
        except ValueError as error:
            self.on_unreadable(event.topic, event.subject, str(error))
            return
        self._note(event, unknown)

    def _take_grant(self, event: StateEvent) -> None:
        self.changes += 1
        unknown = event.critical - GRANT_CRITICAL
        try:
            _require_subject(event)
            self._grants.put(read_grant(event.data, event.version, readable=not unknown))
        except ValueError as error:
            self.on_unreadable(event.topic, event.subject, str(error))
            return
        self._note(event, unknown)

    def _take_identity(self, event: StateEvent) -> None:
        self.changes += 1
        self.directory.apply(event)
        if event.subject in self.directory.unusable:
            self.on_unreadable(event.topic, event.subject, "its shape or a restriction is unknown")
            return
        self._note(event, frozenset())
        _, _, key = event.subject.partition("/")
        try:
            self._copy(event.topic, key, readable=True)
        except ValueError as error:
            self.on_unreadable(event.topic, event.subject, str(error))

    def _note(self, event: StateEvent, unknown: frozenset[str]) -> None:
        if unknown:
            log.error("unknown restriction", subject=event.subject, names=sorted(unknown))
            self.unreadable.add(event.subject)
        else:
            self.unreadable.discard(event.subject)

    def _copy(self, topic: str, key: str, readable: bool) -> None:
        """Copy what the directory now knows of a subject into the form that decisions read.

        Raises:
            ValueError: an instant of a credential is not RFC 3339.
        """
        match topic:
            case "identity.agency.v1":
                self._copy_agency(key, readable)
            case "identity.person.v1":
                self._copy_party("person", key, readable)
            case "identity.system.v1":
                self._copy_party("system", key, readable)
            case "identity.credential.v1":
                self._copy_credential(key, readable)
            case _:
                self._copy_keys(key, readable)

    def _copy_agency(self, key: str, readable: bool) -> None:
        known = self.directory.agencies.get(key)
        if known is not None:
            self._agencies[key] = Agency(key, known.name, known.active, readable)

    def _copy_party(self, kind: str, key: str, readable: bool) -> None:
        known = self.directory.holders.get(f"{kind}/{key}")
        if known is not None:
            self._parties[kind, key] = Party(
                kind, key, known.agency, known.name, known.active, readable
            )

    def _copy_credential(self, key: str, readable: bool) -> None:
        before = self._credentials.get(key)
        if not readable:
            if before is not None:
                self._credentials[key] = replace(before, readable=False)
            return
        known = self.directory.credentials.get(key)
        if known is None:
            raise ValueError("subject and thumbprint differ")
        kind, _, holder = known.subject.partition("/")
        self._credentials[key] = Credential(
            thumbprint=key,
            kind=kind,
            holder=holder,
            agency=known.agency,
            not_before=parse_rfc3339(known.not_before).timestamp(),
            not_after=parse_rfc3339(known.not_after).timestamp(),
            active=known.active,
        )

    def _copy_keys(self, key: str, readable: bool) -> None:
        """Tell the listener of the departments' CA; a key that is not readable is not used."""
        authorities = self.directory.client_authorities
        if not readable:
            self.directory.token_keys.pop(key, None)
            authorities.pop(key, None)
        present = tuple(authorities[kid] for kid in sorted(authorities))
        if present != self._client_ca:
            self._client_ca = present
            for callback in self._on_client_ca:
                try:
                    callback(present)
                except (ValueError, OSError) as error:  # an ssl.SSLError is an OSError
                    log.error("departments' CA refused", error=repr(error))


def _require_subject(event: StateEvent) -> None:
    """Refuse a state whose data are about another subject than its key.

    Raises:
        ValueError: they differ.
    """
    if event.subject.partition("/")[2] != event.data.get("id"):
        raise ValueError("subject and id differ")
