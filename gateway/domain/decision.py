"""`decide` answers a call, `recheck` asks again before release, `explain` tells every check."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.domain import caller_rules, grant_rules, resource_rules
from gateway.domain.call import Call
from gateway.domain.checks import SKEW, Facts, Question, Rule
from gateway.domain.grant_rules import GrantRule
from gateway.domain.subjects import Entry, Grant, Party, Permissions


@dataclass(slots=True)  # not frozen, as `Call` is not, and for the same reason
class Allowed:
    """The call may go on.

    Under `grant` (queries, deliveries, calls), by ownership of `entry` (publishing), or as control
    plane (neither). `caller` is None on public routes only. While the table says `changes` and the
    time is in [`since`, `until`), the same call would be allowed again.
    """

    grant: Grant | None = None
    entry: Entry | None = None
    caller: Party | None = None
    changes: int = -1
    since: float = 0.0
    until: float = float("inf")

    def stands(self, changes: int, now: float) -> bool:
        """Tell whether nothing has changed since: the same call would be allowed again."""
        return changes == self.changes and self.since <= now < self.until

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


Test = Callable[[Question], bool]

_CERTIFICATE: Final = caller_rules.CERTIFICATE + caller_rules.CALLER
_CALLER: Final = caller_rules.CERTIFICATE + caller_rules.TOKEN + caller_rules.CALLER


def _with_tests(
    rules: tuple[Rule, ...], *, grant: bool = False
) -> tuple[tuple[Rule, ...], tuple[Test, ...], bool]:
    return rules, tuple(rule.holds for rule in rules), grant


_UNDER_GRANT: Final = _with_tests(
    _CALLER + caller_rules.SYSTEM + resource_rules.GRANTED + (grant_rules.MISSING,), grant=True
)


_BEFORE_GRANT: Final = {
    ("certificate", None): _with_tests(_CERTIFICATE),
    ("caller", None): _with_tests(_CALLER),
    ("caller", "query"): _UNDER_GRANT,
    ("caller", "batch"): _UNDER_GRANT,
    ("caller", "call"): _UNDER_GRANT,
    ("caller", "publish"): _with_tests(_CALLER + caller_rules.SYSTEM + resource_rules.PUBLISHED),
}
"""The rules by access and data, their tests alone, which is what a call that is allowed needs, and
whether a grant must cover it; a route with another combination does not exist, see `decide`."""
_GRANT_TESTS: Final = tuple(rule.holds for rule in grant_rules.GRANT)


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
    return _answer(table, Question(table, call, now))


def _answer(table: Permissions, question: Question) -> Allowed | Denied:
    call = question.call
    rules, tests, needs_grant = _BEFORE_GRANT[call.access, call.data]
    for number, holds in enumerate(tests):
        if not holds(question):
            return _denied(question, rules[number])
    if needs_grant:
        refused = _try_grants(question)
        if refused is not None:
            return _denied_by_grant(question, refused)
    return Allowed(
        question.grant,
        question.entry,
        question.party,
        table.changes,
        question.now,
        _until(question),
    )


def _until(question: Question) -> float:
    """Return the first instant at which time alone could turn the answer into a refusal."""
    until, claims, grant = float("inf"), question.call.claims, question.grant
    if question.credential is not None:
        until = question.credential.not_after
    if claims is not None and claims.exp + SKEW < until:
        until = claims.exp + SKEW
    if grant is not None and grant.valid_until is not None and grant.valid_until < until:
        until = grant.valid_until
    return until


def recheck(
    table: Permissions,
    call: Call,
    allowed: Allowed,
    now: float,
    items: Sequence[str] | None = None,
    enforced: int | None = None,
) -> Allowed | Denied:
    """Decide again, before an answer leaves, on the grant that let its call through.

    Another grant of the same caller does not stand in for it: the service enforced this one.
    Nothing is decided again while nothing has changed since: the same table, no instant reached.

    Args:
        items: the items of the answer, so that a grant narrowed in the meantime refuses it.
        enforced: version of the grant that the answer was made by. With another row filter or
            masks since then, it may hold what is granted no more.
    """
    grant = allowed.grant
    if allowed.stands(table.changes, now) and (
        items is None or grant is None or grant.items.issuperset(items)
    ):
        return allowed
    if grant is None:
        return decide(table, call, now)
    question = Question(table, call, now)
    question.pin(grant.id)
    if items is not None:
        question.items = items
    outcome = _answer(table, question)
    present = outcome.grant
    if (
        isinstance(outcome, Allowed)
        and present is not None
        and present.terms != grant.terms
        and (enforced is None or enforced < present.version)
    ):
        return _outdated(outcome, present)
    return outcome


def _outdated(outcome: Allowed, grant: Grant) -> Denied:
    return Denied(
        "permissions-behind",
        {"grant": grant.id, "grant_version": grant.version},
        f"The grant {grant.id} covers other rows, or shows other parts of their values, than when "
        "this was answered.",
        outcome.caller,
        outcome.entry,
        grant,
    )


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
    rules, _, needs_grant = _BEFORE_GRANT[call.access, call.data]
    for rule in rules:
        if caller is not None and (rule in caller_rules.CERTIFICATE or rule in caller_rules.TOKEN):
            checks.append(
                Check(rule.reason, None, "Not tested: this belongs to a connection, not a system.")
            )
        else:
            checks.append(_check(question, rule))
    if needs_grant:
        checks.extend(_check_grant(question, rule) for rule in grant_rules.GRANT)
    return checks


def _try_grants(question: Question) -> GrantRule | None:
    """Put the deciding grant into the question; return the rule that refuses it, if one does."""
    furthest = -1
    for grant in question.candidates:
        for passed, holds in enumerate(_GRANT_TESTS):
            if not holds(question, grant):
                if passed > furthest:
                    furthest, question.grant = passed, grant
                break
        else:
            question.grant = grant
            return None
    return grant_rules.GRANT[furthest]


def _check_grant(question: Question, rule: GrantRule) -> Check:
    grant = question.grant
    if grant is None:
        return Check(rule.reason, None, "Not tested: there is no grant to test.")
    if rule.holds(question, grant):
        return Check(rule.reason, True, rule.fact(question, grant))
    return Check(rule.reason, False, rule.refusal(question, grant)[0])


def _check(question: Question, rule: Rule) -> Check:
    if rule.needs is not None and getattr(question, rule.needs) is None:
        return Check(rule.reason, None, f"Not tested: there is no {rule.needs} to test.")
    if rule.holds(question):
        return Check(rule.reason, True, rule.fact(question))
    return Check(rule.reason, False, rule.refusal(question)[0])


def _denied(question: Question, rule: Rule) -> Denied:
    detail, facts = rule.refusal(question)
    return Denied(rule.reason, facts, detail, question.party, question.entry, question.grant)


def _denied_by_grant(question: Question, rule: GrantRule) -> Denied:
    grant = question.grant
    if grant is None:
        raise LookupError("a grant refuses only after it was tested")
    detail, facts = rule.refusal(question, grant)
    return Denied(rule.reason, facts, detail, question.party, question.entry, grant)
