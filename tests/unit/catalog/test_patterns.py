"""A pattern that the catalogue takes is taken by both engines, and means the same to them."""

import re
import warnings

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.catalog.domain.patterns import MAX_LENGTH, PatternRefused, require_portable

TAKEN = [
    r"\d{6}",
    r"^[0-9]{17}[0-9X]$",
    r"[一-龥·]{2,50}",
    r"1[3-9]\d{9}|\d{3,4}-\d{7,8}",
    r"(?:GB|GB/T) \d+(?:\.\d+)?-\d{4}",
    r"(?P<province>\d{2})(\d{4})?",
    r"[]a]|[^]a]|[a\]\[]|[-a]|[a-]|[\w.-]+",
    r"\\\.\*\-\_\ \n\x41\A\b\B",
    r"a*?b+?c??d{2}?e{2,}f{0,3}",
    r"()|(|a)",
    r"}a]",
    "(" * 100 + ")" * 100,
    "." * MAX_LENGTH,
    "(a{500}){2}",
]

REFUSED = [
    ("", "1 to 200"),
    ("." * (MAX_LENGTH + 1), "1 to 200"),
    (r"(?=a)", "look-ahead"),
    (r"(?!a)", "look-ahead"),
    (r"(?<=a)b", "look-behind"),
    (r"(?<!a)b", "look-behind"),
    (r"(a)\1", "at character 4: a back-reference"),
    (r"(?P<n>a)(?P=n)", "a back-reference"),
    (r"(?P<名>a)", "named in this way"),
    (r"(?<n>a)", "named in this way"),
    (r"(?>a)", "an atomic group"),
    (r"a*+", "possessive"),
    (r"a{2}+", "possessive"),
    (r"(a)?(?(1)b|c)", "a conditional"),
    (r"(?i)a", "an inline flag"),
    (r"(?i:a)", "an inline flag"),
    (r"(?#no)", "a comment"),
    (r"a\Z", r"\Z"),
    (r"\z", r"\z"),
    (r"\p{Han}", r"\p"),
    (r"\u4e00", r"\u"),
    (r"\N{DIGIT ONE}", r"\N"),
    (r"\Qa\E", r"\Q"),
    (r"\C", r"\C"),
    (r"\x{41}", r"\x"),
    (r"\012", "back-reference"),
    ("\\，", "\\，"),
    (r"[\b]", r"\b"),
    (r"[[:digit:]]", r"write \["),
    (r"[a--b]", "--"),
    (r"[a&&b]", "&&"),
    (r"[\d-a]", "malformed"),
    (r"[z-a]", "malformed"),
    (r"[a", "not closed"),
    (r"[]", "not closed"),
    (r"(a", "at character 1: this parenthesis is not closed"),
    (r"a)", "at character 2: nothing is closed"),
    (r"a\ "[:2], "nothing follows"),
    (r"*a", "nothing to repeat"),
    (r"a|+", "nothing to repeat"),
    (r"^*", "malformed"),
    (r"a**", "cannot be repeated"),
    (r"a{2}{3}", "cannot be repeated"),
    (r"a{3,2}", "malformed"),
    (r"a{,3}", "{n,m}"),
    (r"a{x}", "{n,m}"),
    (r"{", r"\{"),
    (r"a{1001}", "1000 times"),
    (r"a{2,1001}", "1000 times"),
    (r"(a{100}){11}", "1000 times"),
    (r"(a{31,}){33}", "1000 times"),
    (".{1000}" * 3, "3000 characters"),
]


def both(pattern: str, value: str) -> tuple[bool, bool]:
    """Tell whether the whole of `value` matches, by Python and by RE2."""
    by_re2 = pc.match_substring_regex(pa.array([value]), rf"\A(?:{pattern})\z")
    return re.fullmatch(pattern, value, re.ASCII) is not None, by_re2[0].as_py()


@pytest.mark.parametrize("pattern", TAKEN)
def test_a_pattern_that_every_engine_knows_is_taken(pattern: str) -> None:
    require_portable(pattern)

    by_python, by_re2 = both(pattern, "330106")
    assert by_python == by_re2


@pytest.mark.parametrize(("pattern", "why"), REFUSED)
def test_a_pattern_that_engines_disagree_on_is_refused_with_the_reason(
    pattern: str, why: str
) -> None:
    with pytest.raises(PatternRefused) as refused:
        require_portable(pattern)

    assert why in str(refused.value)


PIECES = st.sampled_from(
    [
        *"ab01-^$.|()[]{}*+?,:=!<>P&~\\dDwWsSbBAZQnxu _国é",
        *("(?:", "[^", "{2}", "{1,3}", "{9,}", "[a-c]", r"\d", r"\.", "(?P<a>", r"\x41", "(?i)"),
    ]
)


@given(
    st.one_of(st.lists(PIECES, max_size=12).map("".join), st.text(max_size=12)),
    st.text(st.sampled_from("ab019-_ .国é\v\t[]\\^$"), max_size=6),
)
@example("[a-c-e]", "d")
@example(r"\w\b\W", "é_")
def test_whatever_is_taken_compiles_everywhere_and_matches_the_same(
    pattern: str, value: str
) -> None:
    with warnings.catch_warnings():
        # A warning of `re` is about a construct that changes its meaning.
        warnings.simplefilter("error")
        try:
            require_portable(pattern)
        except PatternRefused:
            return
        if r"\s" in pattern.lower() and "\v" in value:
            return  # Python counts the vertical tab as space, RE2 does not.
        by_python, by_re2 = both(pattern, value)
    assert by_python == by_re2
