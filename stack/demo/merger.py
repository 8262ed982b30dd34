"""A true-to-life change of one city, made from its real rows by rule.

As when districts really merge: of the others, the smallest takes two streets from the largest; one
goes up in another; its streets, and the towns of the other, get new codes there, and so do the
villages below them; village committees of the districts become communities and keep their codes;
large streets get a community more, large towns of the counties lose a village.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute

from stack.demo.divisions import COLUMNS, Division

GONE: Final = "330105"
INTO: Final = "330106"
"""拱墅区 goes up in 西湖区."""

_STREETS: Final = range(1, 100)
"""Serials of streets in their district; those of towns follow."""
_TOWNS: Final = range(100, 200)
_COMMITTEES: Final = ("村民委员会", "村委会")
_LARGE_STREET: Final = 20
_LARGE_TOWN: Final = 15
_PASSED_ON: Final = 2


@dataclass(frozen=True)
class Change:
    """A batch of mode `changes`, and what it must come to.

    Attributes:
        table: `_op` (`upsert` or `delete`) and the four columns, all text; of rows to be deleted
            only the code. No code is there twice.
        added, updated, deleted: rows, as the table of all divisions sees them.
    """

    table: pa.Table
    added: int
    updated: int
    deleted: int


def merge_districts(divisions: pa.Table, *, gone: str = GONE, into: str = INTO) -> Change:
    """Return the change of one city; the same rows give the same change.

    Args:
        divisions: all divisions, or at least all of the city.
        gone: six-digit code of the district that is abolished.
        into: of the district, in the same city, that takes it in.
    """
    before = _rows_of(divisions, gone[:4])
    city = _City(before.values())
    city.pass_streets_on(without=(gone, into))
    city.take_in(gone, into)
    city.make_towns_streets(into)
    city.make_committees_communities()
    city.add_communities(into)
    city.abolish_villages()
    return _difference(before, city.rows)


def rename_village(divisions: pa.Table, code: str, name: str) -> Change:
    """Return the smallest batch of changes: one village gets another name."""
    before = _rows_of(divisions, code)
    return _difference(before, {code: before[code] | {"name": name}})


def _rows_of(divisions: pa.Table, prefix: str) -> dict[str, Division]:
    chosen = divisions.filter(pyarrow.compute.starts_with(divisions["code"], prefix))
    return {row["code"]: row for row in chosen.to_pylist()}


class _City:
    """The rows of one city by code, as the rule changes them."""

    def __init__(self, rows: Iterable[Division]) -> None:
        self.rows: dict[str, Division] = {row["code"]: row for row in rows}

    def take_in(self, gone: str, into: str) -> None:
        """Move all streets of `gone` to `into`, and abolish it."""
        for street in self._below(gone):
            self._move(street, into)
        del self.rows[gone]

    def make_towns_streets(self, district: str) -> None:
        """Give the towns of a district the names and codes of streets."""
        for town in self._below(district):
            if int(town["code"][6:]) in _TOWNS:
                name = town["name"].removesuffix("镇") + "街道"
                self._move(town | {"name": name}, district)

    def pass_streets_on(self, *, without: Collection[str]) -> None:
        """Let the district with the fewest streets take two from the one with the most."""
        districts = [code for code in self._districts() if code not in without]
        by_size = sorted(districts, key=lambda code: (len(self._streets(code)), code))
        for street in self._streets(by_size[-1])[:_PASSED_ON]:
            self._move(street, by_size[0])

    def make_committees_communities(self) -> None:
        """Rename the village committees below the districts' streets; they keep their codes."""
        for district in self._districts():
            for street in self._streets(district):
                for village in self._below(street["code"]):
                    self.rows[village["code"]] = village | {"name": _community(village["name"])}

    def add_communities(self, district: str) -> None:
        """Give each large street of a district a community more."""
        for street in self._streets(district):
            villages = self._below(street["code"])
            serial = max((int(row["code"][9:]) for row in villages), default=0) + 1
            if len(villages) >= _LARGE_STREET and serial < 1000:
                self._add(
                    Division(
                        code=f"{street['code']}{serial:03}",
                        name=street["name"].removesuffix("街道") + "新苑社区",
                        level="village",
                        parent_code=street["code"],
                    )
                )

    def abolish_villages(self) -> None:
        """Abolish the last village of each large town or township of the counties."""
        for county in [row for row in self.rows.values() if row["name"].endswith("县")]:
            for town in self._below(county["code"]):
                villages = self._below(town["code"])
                if len(villages) >= _LARGE_TOWN:
                    del self.rows[villages[-1]["code"]]

    def _move(self, street: Division, district: str) -> None:
        """Give a street the district's next free code, and its villages theirs below that."""
        taken = {int(row["code"][6:]) for row in self._below(district)}
        serial = max((number for number in taken if number in _STREETS), default=0) + 1
        moved = f"{district}{serial:03}"
        villages = self._below(street["code"])
        del self.rows[street["code"]]
        self._add(street | {"code": moved, "parent_code": district})
        for village in villages:
            del self.rows[village["code"]]
            code = moved + village["code"][9:]
            self._add(village | {"code": code, "parent_code": moved})

    def _add(self, row: Division) -> None:
        if row["code"] in self.rows:
            raise ValueError(f"the code {row['code']} is taken")
        self.rows[row["code"]] = row

    def _below(self, code: str) -> list[Division]:
        found = [row for row in self.rows.values() if row["parent_code"] == code]
        return sorted(found, key=lambda row: row["code"])

    def _districts(self) -> list[str]:
        counties = (row for row in self.rows.values() if row["level"] == "county")
        return [row["code"] for row in counties if row["name"].endswith("区")]

    def _streets(self, district: str) -> list[Division]:
        return [row for row in self._below(district) if int(row["code"][6:]) in _STREETS]


def _community(name: str) -> str:
    for suffix in _COMMITTEES:
        if name.endswith(suffix):
            return name.removesuffix(suffix) + "社区"
    return name


def _difference(before: Mapping[str, Division], after: Mapping[str, Division]) -> Change:
    """Return the batch that turns `before` into `after`, in the order of codes."""
    deleted = sorted(before.keys() - after.keys())
    added = sorted(after.keys() - before.keys())
    updated = sorted(code for code in before.keys() & after.keys() if before[code] != after[code])
    upserts = [after[code] for code in sorted((*added, *updated))]
    columns: list[Sequence[str | None]] = [["upsert"] * len(upserts) + ["delete"] * len(deleted)]
    for name in COLUMNS:
        of_deleted = deleted if name == "code" else [None] * len(deleted)
        columns.append([*(row.get(name) for row in upserts), *of_deleted])  # type: ignore[list-item]
    table = pa.table([pa.array(each, pa.utf8()) for each in columns], names=["_op", *COLUMNS])
    return Change(table, added=len(added), updated=len(updated), deleted=len(deleted))
