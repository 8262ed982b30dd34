"""`decide` answers a call, `recheck` asks again before release, `explain` tells every check."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from gateway.domain import caller_rules, grant_rules, resource_rules
from gateway.domain.call import Call
from gateway.domain.checks import Facts, Question, Rule
from gateway.domain.subjects import Entry, Grant, Party, Permissions


@dataclass(frozen=True, slots=True)
class Allowed:
    """The call may go on.

    Under `grant` (queries), by ownership of `entry` (publishing), or as control plane (neither).
    `caller` is None on public routes only.
    """

    grant: Grant | None = None
    entry: Entry | None = None
    caller: Party | None = None

    @property
    def grant_ref(self) -> str | None:
        """Return `<id>@<version>` of the grant."""
        return None if self.grant is None else self.grant.reference

    @property
    def entry_ref(self) -> str | None:
        """Return `<id>@<version>` of the entry."""
        return None if self.entry is None else f"{self.entry.id}@{self.entry.version}"


@dataclass(frozen=True, slots=True)
class Denied:
    """The call is refused.

    `caller`, `entry` and `grant` are what was known when it was refused: they belong in the
    record, and `detail` and `facts` alone in the answer. `caller` is the holder of the presented
    certificate, also when its token was refused.
    """

    reason: str
    facts: Facts
    detail: str
    caller: Party | None = None
    entry: Entry | None = None
    grant: Grant | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One line of an explanation. `passed` is None when a check before it left nothing to test."""

    name: str
    passed: bool | None
    fact: str


_CERTIFICATE: Final = caller_rules.CERTIFICATE + caller_rules.CALLER
_CALLER: Final = caller_rules.CERTIFICATE + caller_rules.TOKEN + caller_rules.CALLER
_BEFORE_GRANT: Final[dict[tuple[str, str | None], tuple[Rule, ...]]] = {
    ("certificate", None): _CERTIFICATE,
    ("caller", None): _CALLER,
    ("caller", "query"): _CALLER
    + caller_rules.SYSTEM
    + resource_rules.QUERIED
    + (grant_rules.MISSING,),
    ("caller", "publish"): _CALLER + caller_rules.SYSTEM + resource_rules.PUBLISHED,
}
"""The rules by access and data; a route with another combination does not exist, see `decide`."""


def decide(table: Permissions, call: Call, now: float) -> Allowed | Denied:
    """Decide on `call` by the present state of `table`.

    Without Datong-Grant the caller's grants for the resource are tried in id order: the first
    that allows wins, otherwise the refusal of the one that passed most checks.

    Args:
        now: epoch seconds.

    Raises:
        KeyError: a route that is public or `certificate` and yet governs data: a fault in the
            contract, found at start and never caused by a caller.
    """
    if call.access == "public" and call.data is None:
        return Allowed()
    question = Question(table, call, now)
    for rule in _BEFORE_GRANT[call.access, call.data]:
        if not rule.holds(question):
            return _denied(question, rule)
    if call.data != "query":
        return Allowed(entry=question.entry, caller=question.party)
    refused = _try_grants(question)
    if refused is not None:
        return _denied(question, refused)
    return Allowed(question.grant, question.entry, question.party)


def recheck(
    table: Permissions,
    call: Call,
    allowed: Allowed,
    now: float,
    items: Sequence[str] | None = None,
) -> Allowed | Denied:
    """Decide again, before an answer leaves, on the grant that let its call through.

    Another grant of the same caller does not stand in for it: the service enforced this one.

    Args:
        items: the items of the answer, so that a grant narrowed in the meantime refuses it.
    """
    if allowed.grant is None:
        return decide(table, call, now)
    pinned = replace(
        call, grant=allowed.grant.id, items=call.items if items is None else tuple(items)
    )
    return decide(table, pinned, now)


def explain(table: Permissions, call: Call, now: float, caller: str | None = None) -> list[Check]:
    """Return every check of `call` in order, each with its fact.

    Of several grants, the checks are those of the grant that `decide` would answer with.

    Args:
        caller: `system/<id>` to explain for, when there is no connection; the checks of
            certificate and token are then left open.
    """
    if call.access == "public" and call.data is None:
        return []
    question = Question(table, call, now, caller)
    if question.candidates:
        _try_grants(question)
    checks = []
    for rule in _BEFORE_GRANT[call.access, call.data]:
        if caller is not None and (rule in caller_rules.CERTIFICATE or rule in caller_rules.TOKEN):
            checks.append(
                Check(rule.reason, None, "Not tested: this belongs to a connection, not a system.")
            )
        else:
            checks.append(_check(question, rule))
    if call.data == "query":
        checks.extend(_check(question, rule) for rule in grant_rules.GRANT)
    return checks


def _try_grants(question: Question) -> Rule | None:
    """Put the deciding grant into the question; return the rule that refuses it, if one does."""
    best: tuple[int, Grant, Rule] | None = None
    for grant in question.candidates:
        question.grant = grant
        for passed, rule in enumerate(grant_rules.GRANT):
            if not rule.holds(question):
                if best is None or passed > best[0]:
                    best = (passed, grant, rule)
                break
        else:
            return None
    if best is None:
        return grant_rules.MISSING
    question.grant = best[1]
    return best[2]


def _check(question: Question, rule: Rule) -> Check:
    if rule.needs is not None and getattr(question, rule.needs) is None:
        return Check(rule.reason, None, f"Not tested: there is no {rule.needs} to test.")
    if rule.holds(question):
        return Check(rule.reason, True, rule.fact(question))
    return Check(rule.reason, False, rule.refusal(question)[0])


def _denied(question: Question, rule: Rule) -> Denied:
    detail, facts = rule.refusal(question)
    return Denied(rule.reason, facts, detail, question.party, question.entry, question.grant)
