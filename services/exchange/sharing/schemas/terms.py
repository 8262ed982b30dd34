"""Row filters, masks, laws and narrowings on the wire."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, model_validator

from services.exchange.sharing.domain import (
    MAX_CONDITIONS,
    MAX_PURPOSES,
    MAX_VALUES,
    Condition,
    Law,
    Mask,
    Narrowing,
    RowFilter,
    Terms,
)
from services.exchange.sharing.domain.filters import as_data
from services.exchange.sharing.schemas.texts import Body, ItemName, Line, OperationName, Purpose

MAX_ITEMS: Final = 200
MAX_OPERATIONS: Final = 50

Value = Annotated[str, Field(max_length=400)]
ItemList = Annotated[list[ItemName], Field(max_length=MAX_ITEMS)]
OperationList = Annotated[list[OperationName], Field(max_length=MAX_OPERATIONS)]
PurposeList = Annotated[
    list[Purpose],
    Field(min_length=1, max_length=MAX_PURPOSES, description="Codes stated on each call"),
]


class ConditionBody(Body):
    """What one item of a covered row is: one of `in`, or from `from` and before `until`."""

    item: ItemName
    in_: Annotated[
        list[Value] | None,
        Field(
            alias="in",
            min_length=1,
            max_length=MAX_VALUES,
            description="Canonical texts, each once",
        ),
    ] = None
    from_: Annotated[Value | None, Field(alias="from", description="Canonical text, inclusive")] = (
        None
    )
    until: Annotated[Value | None, Field(description="Canonical text, exclusive")] = None

    @model_validator(mode="after")
    def _one_form(self) -> "ConditionBody":
        is_range = self.from_ is not None or self.until is not None
        if (self.in_ is not None) == is_range:
            raise ValueError("state either `in`, or `from` or `until` or both")
        if self.in_ is not None and len(set(self.in_)) != len(self.in_):
            raise ValueError("a value is listed twice")
        return self

    def to_condition(self) -> Condition:
        """Return the condition."""
        values = None if self.in_ is None else frozenset(self.in_)
        return Condition(self.item, values, self.from_, self.until)


class FilterBody(Body):
    """Which rows are covered: those that meet every condition. Each item is named once."""

    all: Annotated[list[ConditionBody], Field(min_length=1, max_length=MAX_CONDITIONS)]

    def to_filter(self) -> RowFilter:
        """Return the row filter."""
        return tuple(condition.to_condition() for condition in self.all)


MasksBody = Annotated[dict[ItemName, Mask], Field(max_length=MAX_ITEMS, description="Mask by item")]


class LawBody(Body):
    """A provision that names the asking agency as a recipient."""

    title: Line
    article: Line

    def to_law(self) -> Law:
        """Return the law."""
        return Law(self.title, self.article)


class NarrowingBody(Body):
    """What shall be left; members that are absent stay as they are."""

    items: Annotated[ItemList | None, Field(min_length=1)] = None
    operations: Annotated[OperationList | None, Field(min_length=1)] = None
    purposes: PurposeList | None = None
    row_filter: FilterBody | None = None
    masks: Annotated[
        MasksBody | None, Field(description="All masks, those that are there already included")
    ] = None

    def to_narrowing(self) -> Narrowing:
        """Return what shall be left."""
        return Narrowing(
            items=None if self.items is None else tuple(self.items),
            operations=None if self.operations is None else tuple(self.operations),
            purposes=None if self.purposes is None else tuple(self.purposes),
            row_filter=None if self.row_filter is None else self.row_filter.to_filter(),
            masks=self.masks,
        )


class LawShape(BaseModel):
    """A provision."""

    title: str
    article: str

    @classmethod
    def of(cls, law: Law | None) -> "LawShape | None":
        """Return the law as everybody sees it."""
        return None if law is None else cls(title=law.title, article=law.article)


class ConditionShape(BaseModel):
    """What one item of a covered row is; a member that says nothing is null."""

    item: str
    in_: Annotated[list[str] | None, Field(alias="in", description="One of these")] = None
    from_: Annotated[str | None, Field(alias="from", description="Inclusive")] = None
    until: Annotated[str | None, Field(description="Exclusive")] = None


class FilterShape(BaseModel):
    """Conditions that a covered row meets all."""

    all: list[ConditionShape]


class TermsShape(BaseModel):
    """What is covered, and nothing else."""

    items: list[str]
    modes: list[str]
    operations: list[str]
    purposes: list[str]
    row_filter: Annotated[FilterShape | None, Field(description="Null covers every row")]
    masks: Annotated[dict[str, Mask], Field(description="Mask by item")]


def terms_members(terms: Terms) -> dict[str, Any]:
    """Return the members of `TermsShape`."""
    conditions = [ConditionShape.model_validate(each) for each in as_data(terms.row_filter)]
    return {
        "items": list(terms.items),
        "modes": list(terms.modes),
        "operations": list(terms.operations),
        "purposes": list(terms.purposes),
        "row_filter": FilterShape(all=conditions) if conditions else None,
        "masks": dict(terms.masks),
    }
