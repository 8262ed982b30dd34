"""One search index on disk: entries in, hits out. Everything here blocks: call it in a thread.

Texts are kept as tokens separated by spaces (`domain.tokens`), so that tantivy splits at spaces and
nothing else; numbers of a schema or of tokens that change make another `FORMAT`.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, Final

import orjson
import tantivy
from tantivy import Occur, Query

from kit.clock import rfc3339
from services.catalog.domain import Entry, Hit, Hits, Run, Search, Version, characters, tokens

FORMAT: Final = f"1, tantivy {version_of('tantivy')}"
"""Indexes of another format are made anew."""

MAX_AGENCIES: Final = 1000
"""Agencies that a facet tells of, those with the most hits."""

_HEAP: Final = 64 << 20
_IN_NAME: Final = 100.0
"""Added for each word in the name; the sum of all other scores stays below it in practice."""


class IndexDamaged(Exception):
    """The engine cannot read or write the index: it is to be made anew."""


class Index:
    """An open index. One thread at a time writes; any number search, which sees whole commits.

    Args:
        folder: of this index alone; made when `new`.
        new: whether it begins empty.

    Raises:
        IndexDamaged: it cannot be opened.
    """

    def __init__(self, folder: Path, *, new: bool) -> None:
        self.folder = folder
        self._schema = _schema()
        with _engine():
            if new:
                folder.mkdir(parents=True)
                self._index = tantivy.Index(self._schema, path=str(folder))
            else:
                self._index = tantivy.Index.open(str(folder))
            self._index.config_reader("manual")
            self._index.reload()
            self._writer = self._index.writer(_HEAP, 1)

    def put(self, entry: Entry, version: Version, agency_name: str) -> None:
        """Write what is searched of a published version, in place of an earlier one."""
        content = version.content
        texts = (
            content.name,
            content.summary,
            *(item.title for item in content.items),
            agency_name,
            entry.resource,
        )
        with _engine():
            self._writer.delete_documents_by_term("id", entry.id)
            self._writer.add_document(
                tantivy.Document(
                    id=entry.id,
                    name=" ".join(tokens(content.name)),
                    text=" ".join(tokens(*texts)),
                    name_characters=" ".join(characters(content.name)),
                    characters=" ".join(characters(*texts)),
                    agency=entry.agency,
                    share_class=content.share_class.value,
                    mode=[mode.value for mode in content.modes],
                    shown=orjson.dumps(_shown(entry, version)),
                )
            )

    def drop(self, entry: str) -> None:
        """Take an entry out."""
        with _engine():
            self._writer.delete_documents_by_term("id", entry)

    def commit(self) -> None:
        """Make what was put and dropped durable and visible."""
        with _engine():
            self._writer.commit()
            self._index.reload()

    @property
    def size(self) -> int:
        """Return the number of entries as of the last commit."""
        return int(self._index.searcher().num_docs)

    def search(self, search: Search) -> Hits:
        """Return the hits of a search.

        Raises:
            IndexDamaged: the engine could not read the index.
        """
        query = self._query(search)
        with _engine():
            searcher = self._index.searcher()
            found: Any = searcher.search(
                self._ranked(query, search.words), search.limit, offset=search.offset
            )
            hits = tuple(
                Hit(orjson.loads(searcher.doc(address)["shown"][0]), round(float(score), 4))
                for score, address in found.hits
            )
            counts = searcher.aggregate(query, _FACETS) if found.count else {}
        return Hits(hits, int(found.count), {name: _facet(counts, name) for name in _FACETS})

    def close(self) -> None:
        """Let go of the index; what was not committed is lost."""
        with _engine():
            self._writer.wait_merging_threads()

    def remove(self) -> None:
        """Delete the index from disk; whoever is searching it goes on undisturbed."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _query(self, search: Search) -> Query:
        """Return what decides about a hit."""
        demands = [self._word(word, "") for word in search.words]
        filters = {"agency": search.agency, "share_class": search.share_class, "mode": search.mode}
        demands += [
            Query.const_score_query(Query.term_query(self._schema, name, str(value)), 0.0)
            for name, value in filters.items()
            if value is not None
        ]
        return Query.boolean_query([(Occur.Must, each) for each in demands])

    def _ranked(self, query: Query, words: Sequence[Run]) -> Query:
        """Return `query` with more points for hits that have words in their names."""
        wishes = []
        for word in words:
            in_name = self._word(word, "name")
            wishes += [in_name, Query.const_score_query(in_name, _IN_NAME)]
        return Query.boolean_query(
            [(Occur.Must, query), *((Occur.Should, each) for each in wishes)]
        )

    def _word(self, word: Run, where: str) -> Query:
        """Return the query for one word in the name, or anywhere."""
        pairs = word.pairs
        if word.han and len(word.text) == 1:
            field = "name_characters" if where else "characters"
            return Query.term_query(self._schema, field, word.text)
        field = where or "text"
        if len(pairs) == 1:
            return Query.term_query(self._schema, field, pairs[0])
        return Query.phrase_query(self._schema, field, list(pairs))


_FACETS: Final[dict[str, Any]] = {
    name: {"terms": {"field": name, "size": MAX_AGENCIES}}
    for name in ("agency", "share_class", "mode")
}


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", tokenizer_name="raw", index_option="basic")
    for name in ("name", "text"):
        builder.add_text_field(name, tokenizer_name="whitespace", index_option="position")
    for name in ("name_characters", "characters"):
        builder.add_text_field(name, tokenizer_name="whitespace", index_option="basic")
    for name in _FACETS:
        builder.add_text_field(name, fast=True, tokenizer_name="raw", index_option="basic")
    builder.add_bytes_field("shown", stored=True)
    return builder.build()


def _shown(entry: Entry, version: Version) -> dict[str, Any]:
    """Return the members of an entry's summary; the same as in a list of entries."""
    content = version.content
    return {
        "id": entry.id,
        "version": version.number,
        "state": version.state.value,
        "name": content.name,
        "summary": content.summary,
        "agency": entry.agency,
        "resource": entry.resource,
        "share_class": content.share_class.value,
        "update_frequency": content.update_frequency.value,
        "modes": [mode.value for mode in content.modes],
        "published_at": None if version.published_at is None else rfc3339(version.published_at),
    }


def _facet(counts: Mapping[str, Any], name: str) -> tuple[tuple[str, int], ...]:
    buckets = counts[name]["buckets"] if counts else ()
    found = [(str(bucket["key"]), int(bucket["doc_count"])) for bucket in buckets]
    return tuple(sorted(found, key=lambda each: (-each[1], each[0])))


@contextmanager
def _engine() -> Iterator[None]:
    """Tell what the engine raises as damage; a panic of it is no `Exception`."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise IndexDamaged(repr(error)) from error
