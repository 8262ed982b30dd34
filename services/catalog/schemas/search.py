"""Wire shapes of the search."""

from datetime import date
from typing import Annotated

from pydantic import BaseModel, Field

from services.catalog.domain import Hits, Miss, Mode, ShareClass
from services.catalog.schemas.entries import EntrySummary

Count = Annotated[int, Field(ge=1)]


class FoundEntry(EntrySummary):
    """A published entry that was found; a greater score fits better, among hits of one search."""

    score: float


class AgencyCount(BaseModel):
    """How many hits an agency owns."""

    value: Annotated[str, Field(description="Id of the agency")]
    count: Count


class ShareClassCount(BaseModel):
    """How many hits are of a share class."""

    value: ShareClass
    count: Count


class ModeCount(BaseModel):
    """How many hits are made available in a mode; a hit may have several."""

    value: Mode
    count: Count


class Facets(BaseModel):
    """Numbers of hits by what one can narrow to, greatest first; at most 1,000 agencies."""

    agency: list[AgencyCount]
    share_class: list[ShareClassCount]
    mode: list[ModeCount]


class FoundEntries(BaseModel):
    """One page of hits, best first, and numbers of all hits."""

    items: list[FoundEntry]
    total: Annotated[int, Field(ge=0)]
    facets: Facets
    next: str | None = None

    @classmethod
    def of(cls, found: Hits, following: str | None) -> "FoundEntries":
        """Return the page; `following` is the cursor of the next one."""
        counts = {
            name: [{"value": value, "count": count} for value, count in values]
            for name, values in found.facets.items()
        }
        return cls.model_validate(
            {
                "items": [{**hit.shown, "score": hit.score} for hit in found.hits],
                "total": found.total,
                "facets": counts,
                "next": following,
            }
        )


class SearchMiss(BaseModel):
    """Words that were searched in vain; whose searches these were is not told."""

    query: Annotated[str, Field(description="Numbers of six digits or more are `#`")]
    searches: Count
    agencies: Annotated[int, Field(ge=1, description="How many agencies searched for them")]
    last: Annotated[date, Field(description="Day of the last search (Asia/Shanghai)")]

    @classmethod
    def of(cls, miss: Miss) -> "SearchMiss":
        """Return the shape of `miss`."""
        return cls(query=miss.query, searches=miss.searches, agencies=miss.agencies, last=miss.last)
