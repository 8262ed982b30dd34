"""Requests and grants as values, for tests of sharing's rules; `changed` replaces members."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from services.exchange.sharing.domain import (
    Actor,
    Ask,
    Entry,
    Grant,
    Item,
    Law,
    Request,
    Terms,
)
from services.exchange.sharing.domain import request as rules

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
"""A Tuesday."""
HEAD = Actor("person/head", "health-commission", frozenset({"sharing_office_head"}))
OFFICER = Actor("person/officer", "health-commission", frozenset({"technical_officer"}))
OWNER = Actor("person/owner", "civil-affairs", frozenset({"resource_administrator"}))
OWNERS_HEAD = Actor("person/owners-head", "civil-affairs", frozenset({"agency_head"}))
LAW = Law("Law", "29")
ITEMS = (
    Item("code", "text", key=True, filterable=True),
    Item("name", "text"),
    Item("level", "integer", filterable=True),
    Item("amount", "decimal", filterable=True),
    Item("born", "date", filterable=True),
    Item("seen", "datetime", filterable=True),
    Item("active", "boolean", filterable=True),
    Item("mobile", "text"),
)


def some_terms(**changed: Any) -> Terms:
    """Two items by query, for one purpose."""
    return replace(
        Terms(
            modes=("query",),
            items=("code", "name"),
            operations=(),
            purposes=("health-statistics",),
        ),
        **changed,
    )


def an_ask(**changed: Any) -> Ask:
    """What is asked for, for thirty days from noon."""
    return replace(
        Ask(
            basis="Duties",
            scenario="Addresses",
            resource="divisions",
            systems=("system",),
            terms=some_terms(),
            valid_from=NOON,
            valid_until=NOON + timedelta(days=30),
        ),
        **changed,
    )


def an_entry(**changed: Any) -> Entry:
    """A published entry of civil affairs."""
    return replace(
        Entry(
            id="entry",
            version=1,
            owner="civil-affairs",
            resource="divisions",
            state="published",
            share_class="unconditional",
            law=None,
            items=ITEMS,
            modes=("query",),
        ),
        **changed,
    )


def a_request(**changed: Any) -> Request:
    """A request for a conditional resource, drafted by a technical officer."""
    entry = an_entry(share_class="conditional")
    return replace(rules.open_request("request", an_ask(), entry, OFFICER, NOON), **changed)


def a_grant(**changed: Any) -> Grant:
    """The grant of what is asked for."""
    ask = an_ask()
    request = rules.open_request("request", ask, an_entry(), HEAD, NOON)
    grant = rules.issue("grant", request, ask.terms, ask.valid_until, an_entry(), NOON)
    return replace(grant, **changed)
