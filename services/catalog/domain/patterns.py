"""Patterns that mean the same to every reader: what Python's `re` and RE2 both take.

Transfer matches values with RE2, in time linear in their length. Owners and consumers read the
same pattern with whatever they have, so constructs that only some engines know, or know by
another meaning, are refused: look-around, back-references, possessive and atomic groups,
conditionals, inline flags, POSIX classes, Unicode classes, `\\Z`. A pattern describes the whole
value. `\\d`, `\\w`, `\\s` and `\\b` mean ASCII.

Syntax: https://github.com/google/re2/wiki/Syntax.
"""

import re
from collections.abc import Mapping
from typing import Final

MAX_LENGTH: Final = 200
"""Greatest length of a pattern in characters."""

MAX_REPEAT: Final = 1000
"""RE2 refuses to repeat anything more often, also by repetitions inside each other."""

MAX_SIZE: Final = 2000
"""Greatest number of characters and classes after every repetition was written out; what matching
one value costs grows with it."""

_CLASSES: Final = frozenset("dDwWsS")
_ANCHORS: Final = frozenset("bBA")
_CONTROLS: Final = frozenset("ntrfva")
_PUNCTUATION: Final = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ ")
_BOUNDS: Final = re.compile(r"\{([0-9]{1,4})(?:(,)([0-9]{0,4}))?\}")
_NAME: Final = re.compile(r"\(\?P<[A-Za-z_][A-Za-z0-9_]*>")
_HEX: Final = re.compile(r"\\x[0-9A-Fa-f]{2}")

_GROUPS: Final[Mapping[str, str]] = {
    "(?=": "look-ahead",
    "(?!": "look-ahead",
    "(?<=": "look-behind",
    "(?<!": "look-behind",
    "(?<": "a group that is named in this way",
    "(?P=": "a back-reference",
    "(?P": "a group that is named in this way",
    "(?>": "an atomic group",
    "(?(": "a conditional",
    "(?#": "a comment",
}


class PatternRefused(ValueError):
    """The pattern is not one that every reader takes. The text says where and why."""


def require_portable(pattern: str) -> None:
    """Check that `pattern` is taken by Python's `re` and by RE2 with the same meaning.

    Raises:
        PatternRefused: with a sentence that names the place, counted from 1.
    """
    if not 1 <= len(pattern) <= MAX_LENGTH:
        raise PatternRefused(f"A pattern has 1 to {MAX_LENGTH} characters.")
    reader = _Reader(pattern)
    size, _ = reader.alternatives()
    if reader.at < len(pattern):
        raise reader.refused("nothing is closed by this parenthesis")
    if size > MAX_SIZE:
        raise PatternRefused(
            f"With its repetitions written out the pattern has {size} characters; at most "
            f"{MAX_SIZE} are taken."
        )
    try:
        # What is left is the grammar that both engines share, such as the order of a range.
        re.compile(pattern, re.ASCII)
    except re.error as error:
        place = "" if error.pos is None else f", at character {error.pos + 1}"
        raise PatternRefused(f"The pattern is malformed{place}: {error.msg}.") from error


class _Reader:
    """Reads a pattern once, from left to right.

    Each method returns (size, repeats) of what it read: how many characters and classes it has
    with all repetitions written out, and how often its innermost part is repeated.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0

    def refused(self, why: str) -> PatternRefused:
        """Return the refusal of what stands at the present place."""
        return PatternRefused(f"The pattern cannot be used, at character {self.at + 1}: {why}.")

    def alternatives(self) -> tuple[int, int]:
        """Read up to the end, or up to a closing parenthesis."""
        size, repeats = 0, 1
        while self.at < len(self.pattern) and self.pattern[self.at] != ")":
            if self.pattern[self.at] == "|":
                self.at += 1
                continue
            more, often = self._repeated()
            size, repeats = size + more, max(repeats, often)
        return size, repeats

    def _repeated(self) -> tuple[int, int]:
        size, repeats = self._atom()
        count = self._count()
        if count is None:
            return size, repeats
        if repeats * count > MAX_REPEAT:
            raise self.refused(f"nothing is repeated more than {MAX_REPEAT} times")
        if self._peek() == "?":
            self.at += 1
        if self._peek() == "+":
            raise self.refused("possessive repetition is not known to every engine")
        if self._peek() in ("*", "?", "{"):
            raise self.refused("a repetition cannot be repeated; use a group")
        return size * max(count, 1), repeats * max(count, 1)

    def _count(self) -> int | None:
        """Read a repetition; return how often its part has to be written out, or None."""
        following = self._peek()
        if following and following in "*+?":
            self.at += 1
            return 1
        if following != "{":
            return None
        bounds = _BOUNDS.match(self.pattern, self.at)
        if bounds is None:
            raise self.refused("write {n}, {n,} or {n,m}, and \\{ for a brace")
        least, most = int(bounds[1]), int(bounds[3] or bounds[1])
        if max(least, most) > MAX_REPEAT:
            raise self.refused(f"nothing is repeated more than {MAX_REPEAT} times")
        self.at = bounds.end()
        return max(least, most)

    def _atom(self) -> tuple[int, int]:
        character = self.pattern[self.at]
        if character in "*+?":
            raise self.refused("there is nothing to repeat")
        if character == "{":
            raise self.refused("write \\{ for a brace")
        if character == "(":
            return self._group()
        if character == "[":
            return self._set(), 1
        if character == "\\":
            self._escape(_CLASSES | _ANCHORS)
        else:
            self.at += 1
        return 1, 1

    def _group(self) -> tuple[int, int]:
        opened = self.at
        if self._begins("(?"):
            name = _NAME.match(self.pattern, opened)
            if name is not None:
                self.at = name.end()
            elif self._begins("(?:"):
                self.at += 3
            else:
                what = next(
                    (name for opening, name in _GROUPS.items() if self._begins(opening)),
                    "an inline flag",
                )
                raise self.refused(f"{what} is not known to every engine")
        else:
            self.at += 1
        found = self.alternatives()
        if self._peek() != ")":
            self.at = opened
            raise self.refused("this parenthesis is not closed")
        self.at += 1
        return found

    def _set(self) -> int:
        """Read a class in brackets; return how many members it names."""
        opened, size = self.at, 0
        self.at += 2 if self._begins("[^") else 1
        while self._peek() != "]" or size == 0:
            character = self._peek()
            if not character:
                self.at = opened
                raise self.refused("this bracket is not closed")
            if character == "[":
                raise self.refused("write \\[ for a bracket in a class")
            if character in "-&|~" and self._begins(character * 2):
                raise self.refused(f"{character * 2} in a class means different things")
            if character == "\\":
                self._escape(_CLASSES)
            else:
                self.at += 1
            size += 1
        self.at += 1
        return size

    def _escape(self, letters: frozenset[str]) -> None:
        escaped = self.pattern[self.at + 1 : self.at + 2]
        if not escaped:
            raise self.refused("nothing follows the backslash")
        if escaped == "x" and _HEX.match(self.pattern, self.at):
            self.at += 4
            return
        if escaped not in letters | _CONTROLS | _PUNCTUATION:
            why = "a back-reference" if escaped.isdecimal() else f"\\{escaped}"
            raise self.refused(f"{why} is not known to every engine")
        self.at += 2

    def _peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def _begins(self, text: str) -> bool:
        return self.pattern.startswith(text, self.at)
