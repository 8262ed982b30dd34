"""The checks of a call, in their order, each with its fact.

A rule is a test and two sentences: the fact when it holds, the refusal when it does not. `decide`
and `explain` walk the same tuples, so an explanation cannot differ from a decision.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from gateway.domain.call import Call
from gateway.domain.subjects import Agency, Credential, Entry, Grant, Party, Permissions
from kit.errors import FactValue

SKEW: Final = 60.0
"""Seconds by which the clocks of the platform may differ when a time is checked."""

NOT_SHARED: Final = "not_shared"
"""Share class of what a law excludes from sharing, but for recipients whom a law names."""

Facts = dict[str, FactValue]


class Question:
    """One call beside the subjects that decide it. Lives for one decision.

    `named` is the only grant that counts, if set; `grant` the one that decided, once it has.
    """

    __slots__ = (
        "agency",
        "call",
        "candidates",
        "credential",
        "entry",
        "grant",
        "items",
        "named",
        "now",
        "party",
    )

    def __init__(
        self, table: Permissions, call: Call, now: float, caller: str | None = None
    ) -> None:
        self.call = call
        self.now = now
        self.named = call.grant
        self.items: Sequence[str] | None = call.items
        self.credential: Credential | None = None
        self.party: Party | None = None
        self.agency: Agency | None = None
        self.entry: Entry | None = None
        self.grant: Grant | None = None
        self.candidates: list[Grant] = []
        if call.thumbprint is not None:
            self.credential = table.credential(call.thumbprint)
        if caller is not None:
            kind, _, party_id = caller.partition("/")
            self.party = table.party(kind, party_id)
        elif self.credential is not None:
            self.party = table.party(self.credential.kind, self.credential.holder)
        if self.party is not None:
            self.agency = table.agency(self.party.agency)
        if call.data is not None and call.resource is not None:
            self.entry = table.entry_of(call.resource)
            if call.data != "publish":
                self._find_grants(table, call.resource)

    def _find_grants(self, table: Permissions, resource: str) -> None:
        """Put the grants of this very caller for this very entry on the list, in id order.

        A grant named in Datong-Grant counts only if it is one of them: a foreign grant and one
        that does not exist look alike.
        """
        party, entry = self.party, self.entry
        if party is None or entry is None or party.kind != "system":
            return
        self.candidates = [
            grant
            for grant in table.grants_of(party.id, resource)
            if grant.entry == entry.id and grant.consumer == party.agency
        ]
        if entry.share_class == NOT_SHARED:
            # A grant from before the law excluded the resource covers nothing any more.
            self.candidates = [grant for grant in self.candidates if grant.statutory is not None]
        if self.named is not None:
            self.pin(self.named)

    def pin(self, grant_id: str) -> None:
        """Leave one grant at most on the list."""
        self.named = grant_id
        self.candidates = [grant for grant in self.candidates if grant.id == grant_id]

    def caller(self) -> str:
        """Return the caller's subject, or what stands for it."""
        if self.party is not None:
            return self.party.subject
        if self.credential is not None:
            return f"{self.credential.kind}/{self.credential.holder}"
        return "the caller"

    def this_credential(self) -> Credential:
        """Return the credential; rules that call this list it among their needs."""
        if self.credential is None:
            raise LookupError("the question has no credential")
        return self.credential

    def this_party(self) -> Party:
        """Return the caller; rules that call this list it among their needs."""
        if self.party is None:
            raise LookupError("the question has no caller")
        return self.party

    def this_agency(self) -> Agency:
        """Return the caller's agency; rules that call this list it among their needs."""
        if self.agency is None:
            raise LookupError("the question has no agency")
        return self.agency

    def this_entry(self) -> Entry:
        """Return the entry; rules that call this list it among their needs."""
        if self.entry is None:
            raise LookupError("the question has no entry")
        return self.entry


@dataclass(frozen=True, slots=True)
class Rule:
    """One check.

    Args:
        reason: the code with which it refuses; a row of `contracts/problems.yaml`.
        holds: the test.
        fact: one sentence that is true when it holds.
        refusal: one sentence for people and the facts for programs when it does not.
        needs: the attribute of the question without which it cannot be tested.
    """

    reason: str
    holds: Callable[[Question], bool]
    fact: Callable[[Question], str]
    refusal: Callable[[Question], tuple[str, Facts]]
    needs: str | None = None


def instant(seconds: float) -> str:
    """Return epoch seconds as RFC 3339 UTC text without fractions."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unreadable(subject: str) -> tuple[str, Facts]:
    """Return the refusal of a subject whose state could not be read."""
    return (
        f"The last state of {subject} cannot be read by this gateway; "
        "it refuses rather than guesses.",
        {"subject": subject},
    )


def readable(what: str, needs: str, subject: Callable[[Question], str]) -> Rule:
    """Return the rule that the subject in attribute `needs` can be read, if there is one."""

    def holds(q: Question) -> bool:
        known = getattr(q, needs)
        return known is None or bool(known.readable)

    return Rule(
        "permission-unreadable",
        holds,
        lambda q: f"The state of the {what} is readable.",
        lambda q: unreadable(subject(q)),
        needs,
    )
