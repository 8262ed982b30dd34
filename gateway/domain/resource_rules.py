"""Checks of what is asked for: the resource and its entry, under a grant and for publishing."""

from typing import Final

from gateway.domain.checks import NOT_SHARED, Facts, Question, Rule, readable

_LISTED: Final = frozenset({"published", "withdrawn"})
"""States in which a consumer may know of an entry."""


def _listed(q: Question) -> bool:
    return q.entry is not None and (q.entry.state in _LISTED or not q.entry.readable)


def _unknown(q: Question) -> tuple[str, Facts]:
    resource = q.call.resource or ""
    return f"No published entry makes a resource {resource} available.", {"resource": resource}


def _withdrawn(q: Question) -> tuple[str, Facts]:
    entry = q.this_entry()
    return (
        f"The entry {entry.name} of the resource {entry.resource} was withdrawn.",
        {"resource": entry.resource, "entry": entry.id, "owner": entry.agency},
    )


def _share_class(q: Question) -> str:
    share_class = q.this_entry().share_class
    laws = sorted({grant.statutory or "" for grant in q.candidates})
    if share_class != NOT_SHARED:
        return f"The share class is {share_class}."
    return f"The share class is {share_class}; {'; '.join(laws)} names the caller as a recipient."


def _not_shared(q: Question) -> tuple[str, Facts]:
    entry = q.this_entry()
    facts: Facts = {
        "resource": entry.resource,
        "share_class": entry.share_class,
        "owner": entry.agency,
    }
    if entry.law_title is None:
        return f"The entry {entry.name} is not shared.", facts
    facts["law_title"] = entry.law_title
    law = entry.law_title
    if entry.law_article is not None:
        facts["law_article"] = entry.law_article
        law = f"{law}, {entry.law_article}"
    return f"The entry {entry.name} is not shared, by {law}.", facts


def _not_owner(q: Question) -> tuple[str, Facts]:
    entry = q.this_entry()
    return (
        f"The resource {entry.resource} belongs to the agency {entry.agency}; "
        f"{q.caller()} belongs to another.",
        {"resource": entry.resource, "owner": entry.agency},
    )


def _not_published(q: Question) -> tuple[str, Facts]:
    entry = q.this_entry()
    return (
        f"The entry {entry.name} of the resource {entry.resource} is not published yet.",
        {"resource": entry.resource, "entry": entry.id, "state": entry.state},
    )


_READABLE: Final = readable("entry", "entry", lambda q: f"entry/{q.this_entry().id}")

_NOT_WITHDRAWN: Final = Rule(
    "resource-withdrawn",
    lambda q: q.entry is not None and q.entry.state != "withdrawn",
    lambda q: "The entry is not withdrawn.",
    _withdrawn,
    "entry",
)

GRANTED: Final = (
    Rule(
        "resource-unknown",
        _listed,
        lambda q: f"The entry {q.this_entry().name} makes the resource available.",
        _unknown,
    ),
    _READABLE,
    _NOT_WITHDRAWN,
    Rule(
        "class-not-shared",
        lambda q: q.entry is not None and (q.entry.share_class != NOT_SHARED or bool(q.candidates)),
        _share_class,
        _not_shared,
        "entry",
    ),
)

PUBLISHED: Final = (
    Rule(
        "resource-unknown",
        lambda q: q.entry is not None,
        lambda q: f"The entry {q.this_entry().name} makes the resource available.",
        _unknown,
    ),
    _READABLE,
    _NOT_WITHDRAWN,
    Rule(
        "not-the-owner",
        lambda q: q.party is not None and q.entry is not None and q.entry.agency == q.party.agency,
        lambda q: "The entry belongs to the caller's agency.",
        _not_owner,
        "entry",
    ),
    Rule(
        "entry-not-published",
        lambda q: q.entry is not None and q.entry.state == "published",
        lambda q: f"Version {q.this_entry().version} of the entry is published.",
        _not_published,
        "entry",
    ),
)
