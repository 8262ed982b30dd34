"""What publishing and receiving must come to, written row by row and without a database."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.exchange.transfer.domain import (
    Delivery,
    DeliveryKind,
    Figures,
    Item,
    Layout,
    Start,
)
from tests.integration.transfer.seeing import Terms
from tests.support import checking
from tests.support.checking import canonical_row

Row = Mapping[str, str | None]
Rows = dict[tuple[str | None, ...], Row]


def key_of(layout: Layout, row: Row) -> tuple[str | None, ...]:
    """Return the values of a row's key."""
    return tuple(row[item.name] for item in layout.key)


def digest_of(items: Sequence[Item], rows: Iterable[Row]) -> tuple[int, str]:
    """Return count and digest of rows on `items`, one row after the other."""
    written = [canonical_row(items, [row.get(item.name) for item in items]) for row in rows]
    return len(written), checking.digest_of(written)


@dataclass
class Draft:
    """A batch on its way.

    Attributes:
        chunks: rows of each chunk with their operation, in canonical texts.
        broken: rows of each chunk that no rule lets through.
    """

    id: str
    layout: Layout
    changes: bool
    limit: int
    chunks: list[list[tuple[str, Row]]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    broken: int = 0
    state: str = "open"


@dataclass
class Outcome:
    """How a batch ended; counts of an effective one."""

    state: str
    rows: int = 0
    quarantined: int = 0
    added: int = 0
    updated: int = 0
    deleted: int = 0


@dataclass
class Owner:
    """The owner's table, version by version.

    Attributes:
        layouts: of the rows at each version; version 0 has none.
    """

    layout: Layout | None = None
    rows: Rows = field(default_factory=dict)
    layouts: dict[int, Layout] = field(default_factory=dict)
    version: int = 0

    def seal(self, draft: Draft) -> Outcome:
        """Apply a batch whole, or not at all."""
        if draft.changes and self.layout is not None and self.layout != draft.layout:
            return Outcome("refused")
        sent = [row for chunk in draft.chunks for row in chunk]
        times = Counter(key_of(draft.layout, row) for _, row in sent)
        good = {}
        for operation, row in sent:
            key = key_of(draft.layout, row)
            known = operation == "upsert" or key in self.rows
            if times[key] == 1 and known:
                good[key] = (operation, row)
        quarantined = draft.broken + len(sent) - len(good)
        if quarantined > draft.limit:
            return Outcome("refused")
        before = self.rows
        if draft.changes:
            after = dict(before)
            for key, (operation, row) in good.items():
                if operation == "delete":
                    del after[key]
                else:
                    after[key] = row
        else:
            after = {key: row for key, (_, row) in good.items()}
        reset = self.layout is not None and self.layout != draft.layout
        known_before: Rows = {} if reset else before
        outcome = Outcome(
            "effective",
            rows=len(good),
            quarantined=quarantined,
            added=len(after.keys() - known_before.keys()),
            updated=sum(known_before[k] != after[k] for k in after.keys() & known_before.keys()),
            deleted=len(before) if reset else len(before.keys() - after.keys()),
        )
        self.layout, self.rows = draft.layout, after
        self.version += 1
        self.layouts[self.version] = draft.layout
        return outcome


@dataclass
class Consumer:
    """A consumer's table and how far it has come; both change together, or not at all.

    Attributes:
        items: asked for; what is granted of them is received.
        version: of the dataset, delivered last.
    """

    items: tuple[str, ...]
    starts: Start
    rows: Rows = field(default_factory=dict)
    sequence: int = 0
    version: int | None = None

    def apply(
        self,
        delivery: Delivery,
        changes: Sequence[dict[str, Any]],
        layout: Layout,
        terms: Terms,
    ) -> Figures:
        """Apply a delivery that was made on `terms`, and return the figures of its receipt.

        Raises:
            AssertionError: it is not the next one, or its operations do not fit the table.
        """
        assert delivery.sequence == self.sequence + 1, "sequences are dense"
        if delivery.kind is DeliveryKind.TABLE:
            assert self.version is None or delivery.version >= self.version
            self.rows.clear()
        else:
            assert self.version is not None, "the table comes first"
            assert delivery.version == self.version + 1, "no version is skipped or repeated"
        items = self.granted(terms)
        whole = self.starts is Start.BEGINNING or delivery.kind is DeliveryKind.TABLE
        counts = Counter[str]()
        brought: Rows = {}
        for change in changes:
            operation = change["_op"]
            row = {name: value for name, value in change.items() if name != "_op"}
            assert tuple(row) == items, "granted items in their order, and no others"
            key = key_of(layout, row)
            if whole:
                assert (key in self.rows) == (operation != "added"), f"{operation} {key}"
            if operation == "deleted":
                assert all(row[i] is None for i in row if i not in {k.name for k in layout.key})
                self.rows.pop(key, None)
            else:
                assert self.rows.get(key) != row, "what is not seen to change is not delivered"
                self.rows[key] = brought[key] = row
            counts[operation] += 1
        self.sequence, self.version = delivery.sequence, delivery.version
        compared = self.rows if self.starts is Start.BEGINNING else brought
        # Items that the rows do not have have no value, and take no part.
        rows, digest = digest_of(terms.columns(items, layout), compared.values())
        return Figures(counts["added"], counts["updated"], counts["deleted"], rows, digest)

    def granted(self, terms: Terms) -> tuple[str, ...]:
        """Return the items that are received on `terms`."""
        return tuple(name for name in self.items if name in terms.items)

    def expected(self, owner: Owner, terms: Terms) -> Rows:
        """Return the rows of the owner's table as this consumer sees them on `terms`."""
        if owner.layout is None:
            return {}
        seen = (terms.see(self.granted(terms), row) for row in owner.rows.values())
        return {key_of(owner.layout, row): row for row in seen if row is not None}
