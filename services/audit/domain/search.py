"""What is asked of the index, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Query:
    """A search.

    Attributes:
        visible_to: only records in which this agency calls or owns; None for auditors.
        agency: records in which this agency calls or owns.
        equal: column to value.
        refused: only records of callers who were told no, by the gateway or by the service.
        from_at, until: `at` in [from_at, until); RFC 3339 in microseconds.
    """

    visible_to: str | None = None
    agency: str | None = None
    equal: Mapping[str, str] = field(default_factory=dict)
    refused: bool = False
    from_at: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One record as the index knows it."""

    leaf: int
    record: str
    type: str
    instance: str
    epoch: str
    sequence: int
    at: str
    call: str | None
    caller: str | None
    caller_agency: str | None
    owner_agency: str | None
    resource: str | None
    grant_id: str | None
    purpose: str | None
    case_number: str | None
    route: str | None
    mode: str | None
    operation: str | None
    decision: str | None
    reason: str | None
    status: int | None
    rows: int | None
    event: str | None
    subject: str | None
    actor: str | None

    def concerns(self, agency: str) -> bool:
        """Tell whether `agency` calls or owns in this record."""
        return agency in (self.caller_agency, self.owner_agency)
