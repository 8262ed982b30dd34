"""What of a text can be searched for: tokens of two Han characters, and whole other words.

Chinese is written without spaces, and what a dictionary cuts out of a text depends on what stands
around it, so words are missed. Two characters at a time miss nothing: every piece of Han text that
is at least two characters long is the phrase of its pairs.
"""

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Final

GAP: Final = "|"
"""Token between runs of Han characters: no phrase reaches across what stood between them."""

_HAN: Final = (
    (0x3005, 0x3007),  # the iteration mark, the closing mark and zero
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x323AF),
)
_SEPARATOR: Final = 0
_IS_HAN: Final = 1
_OTHER: Final = 2


@dataclass(frozen=True, slots=True)
class Run:
    """Characters of one kind next to each other; `han` or letters, marks and digits."""

    text: str
    han: bool

    @property
    def pairs(self) -> list[str]:
        """Return its tokens: overlapping pairs of Han characters, or the text as it is."""
        if not self.han or len(self.text) == 1:
            return [self.text]
        return [self.text[at : at + 2] for at in range(len(self.text) - 1)]


def normalise(text: str) -> str:
    """Return `text` with full-width and compatible forms and cases made alike."""
    return unicodedata.normalize("NFKC", text).casefold()


def runs(text: str) -> list[Run]:
    """Return the runs of the normalised text in order; what stands between them is dropped."""
    return [
        Run("".join(characters), kind == _IS_HAN)
        for kind, characters in groupby(normalise(text), _kind)
        if kind != _SEPARATOR
    ]


def tokens(*texts: str) -> list[str]:
    """Return the tokens of some texts, with a gap wherever one run of Han follows another."""
    found: list[str] = []
    after_han = False
    for text in texts:
        for run in runs(text):
            if after_han and run.han:
                found.append(GAP)
            found += run.pairs
            after_han = run.han
    return found


def characters(*texts: str) -> list[str]:
    """Return the distinct Han characters of some texts, in order of appearance."""
    found = dict.fromkeys(
        each for text in texts for run in runs(text) if run.han for each in run.text
    )
    return list(found)


def words(query: str) -> list[Run]:
    """Return the distinct runs of what somebody asks for: a hit has all of them."""
    return list(dict.fromkeys(runs(query)))


def without_numbers(query: str, longest: int) -> str:
    """Return the words of `query` for a list of what was asked, at most `longest` characters.

    Numbers of six digits or more become `#`: people ask for identity cards, telephones and plates.
    """
    shown = ("#" if _is_number(word.text) else word.text for word in runs(query))
    return " ".join(shown)[:longest].rstrip()


def _is_number(text: str) -> bool:
    return sum(map(str.isdigit, text)) >= 6


@lru_cache(maxsize=1 << 16)
def _kind(character: str) -> int:
    code = ord(character)
    if any(first <= code <= last for first, last in _HAN):
        return _IS_HAN
    # Marks belong to letters: Tibetan and Uyghur words would fall apart without them.
    return _OTHER if unicodedata.category(character)[0] in "LMN" else _SEPARATOR
