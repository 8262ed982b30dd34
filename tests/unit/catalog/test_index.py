"""The index: every pair of characters that occurs is found, exactly where SQL would find it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.search.names import agencies, entries
from services.catalog.domain import Entry, Mode, Search, ShareClass, Version, words
from services.catalog.store import Index

NUMBER = 10_000


class Indexed:
    """Ten thousand entries, and a plain search in their texts."""

    def __init__(self, folder: Path) -> None:
        self.index = Index(folder, new=True)
        names = dict(agencies(200))
        self.entries: list[tuple[Entry, Version]] = list(entries(NUMBER))
        self.texts: list[tuple[str, ...]] = []
        for entry, version in self.entries:
            self.index.put(entry, version, names[entry.agency])
            content = version.content
            titles = [item.title for item in content.items]
            texts = (content.name, content.summary, *titles, names[entry.agency], entry.resource)
            self.texts.append(texts)
        self.index.commit()

    def pieces(self) -> set[str]:
        """Return every pair of Han characters in the texts."""
        return {
            text[at : at + 2]
            for texts in self.texts
            for text in texts
            for at in range(len(text) - 1)
            if all("一" <= each <= "鿿" for each in text[at : at + 2])
        }

    def count(self, word: str) -> int:
        """Return how many entries have `word` in one of their texts."""
        return sum(any(word in text for text in texts) for texts in self.texts)

    def search(self, query: str, **more: object) -> Search:
        """Return a search for `query`."""
        return Search(tuple(words(query)), **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Indexed]:
    made = Indexed(tmp_path_factory.mktemp("search") / "index")
    yield made
    made.index.close()


def test_every_pair_of_characters_is_found_wherever_it_occurs(indexed: Indexed) -> None:
    joined = ["\n".join(texts) for texts in indexed.texts]
    pieces = indexed.pieces()
    assert len(pieces) > 300
    for piece in sorted(pieces):
        expected = sum(piece in text for text in joined)
        assert indexed.index.search(indexed.search(piece, limit=1)).total == expected, piece


@pytest.mark.parametrize(
    "word",
    [
        "河长制",
        "统一社会信用代码",
        "杭州市",
        "杭州市西湖区公安局",
        "死亡证明信息",
        "长",
        "々",
        "的",
    ],
)
def test_longer_words_and_single_characters_are_found_wherever_they_occur(
    indexed: Indexed, word: str
) -> None:
    assert indexed.index.search(indexed.search(word)).total == indexed.count(word)


def test_all_words_are_in_a_hit_and_names_come_first(indexed: Indexed) -> None:
    found = indexed.index.search(indexed.search("企业 行政处罚", limit=200))

    assert found.total == sum(
        all(any(word in text for text in texts) for word in ("企业", "行政处罚"))
        for texts in indexed.texts
    )
    in_name = [
        sum(word in str(hit.shown["name"]) for word in ("企业", "行政处罚")) for hit in found.hits
    ]
    assert in_name == sorted(in_name, reverse=True)
    assert in_name[0] == 2
    assert in_name[-1] < 2


@pytest.mark.parametrize("query", ["gis", "GIS", "ＧＩＳ", "pm2.5", "resource-77"])
def test_other_words_are_found_in_any_case_and_width(indexed: Indexed, query: str) -> None:
    assert indexed.index.search(indexed.search(query)).total > 0


def test_facets_count_all_hits_and_narrowing_gives_as_many(indexed: Indexed) -> None:
    found = indexed.index.search(indexed.search("登记", limit=1))

    assert sum(count for _, count in found.facets["agency"]) == found.total
    assert sum(count for _, count in found.facets["share_class"]) == found.total
    for value, count in found.facets["share_class"]:
        narrowed = indexed.search("登记", share_class=ShareClass(value))
        assert indexed.index.search(narrowed).total == count
    for value, count in found.facets["mode"]:
        assert indexed.index.search(indexed.search("登记", mode=Mode(value))).total == count
    agency, count = found.facets["agency"][0]
    assert indexed.index.search(indexed.search("登记", agency=agency)).total == count


def test_pages_hold_every_hit_once(indexed: Indexed) -> None:
    search = indexed.search("婚姻登记", limit=50)
    total = indexed.index.search(search).total

    seen = [
        hit.shown["id"]
        for offset in range(0, total, 50)
        for hit in indexed.index.search(search.at(offset)).hits
    ]

    assert len(seen) == total == len(set(seen))
