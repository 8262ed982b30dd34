"""Every refusal in the code has a row in problems.yaml, and every row is used."""

import ast
import re
from collections.abc import Iterator

import pytest

from kit.errors import DomainError, Kind
from kit.problems import registry
from tests.contract.parts import modules, read, sources

ROWS = read("problems.yaml")
STATUSES = {
    Kind.INVALID: {400, 413, 415, 416, 422},
    Kind.UNAUTHENTICATED: {401},
    Kind.FORBIDDEN: {403},
    Kind.NOT_FOUND: {404, 410},
    Kind.CONFLICT: {409, 422},
    Kind.PRECONDITION: {412, 428},
    Kind.UNAVAILABLE: {503},
}
KEBAB = re.compile(r"[a-z]+(?:-[a-z][a-z0-9]*)+")
NOT_CODES = frozenset(
    {
        "percent-encoding",
        "unknown-authority",
        "evidence-committer",
        "names-of-owners",
        "broken-off",
        "too-slow",
        "circuit-open",
    }
)
"""Words of the gateway that look like codes, causes of `owner-unavailable` among them; headers and
extensions are told by their prefix."""


def _errors() -> list[type[DomainError]]:
    for _ in modules("kit", "services", "gateway"):
        pass  # importing makes the subclasses known
    found: list[type[DomainError]] = []
    waiting = [DomainError]
    while waiting:
        for each in waiting.pop().__subclasses__():
            waiting.append(each)
            if "code" in vars(each) and each.__module__.split(".")[0] != "tests":
                found.append(each)
    return found


def _texts(*folders: str) -> Iterator[tuple[str, str]]:
    """Return every text constant of the code with its file."""
    for path in sources(*folders):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value, str(path)


def test_every_error_has_a_row_whose_status_fits_its_kind() -> None:
    errors = _errors()
    assert errors
    for error in errors:
        name = f"{error.__module__}.{error.__name__}"
        assert error.code in ROWS, name
        assert ROWS[error.code]["status"] in STATUSES[error.kind], name


def test_errors_with_one_code_are_of_one_kind() -> None:
    kinds: dict[str, Kind] = {}
    for error in _errors():
        assert kinds.setdefault(error.code, error.kind) is error.kind, error.code


def test_every_row_is_used_by_the_code() -> None:
    used = {text for text, _ in _texts("kit", "services", "gateway")}

    assert set(ROWS) - used == set()


def test_the_gateway_gives_no_reason_without_a_row() -> None:
    for text, path in _texts("gateway"):
        if KEBAB.fullmatch(text) and not text.startswith(("datong-", "x-datong-", "content-")):
            assert text in ROWS or text in NOT_CODES, (text, path)


@pytest.mark.parametrize("code", ROWS)
def test_a_row_explains_itself(code: str) -> None:
    row = ROWS[code]
    assert set(row) == {"status", "title", "meaning", "next_step", "who"}
    assert 400 <= row["status"] <= 504
    assert re.fullmatch("[a-z]+(-[a-z][a-z0-9]*)*", code)
    assert not row["title"].endswith(".")
    for name in ("meaning", "next_step"):
        assert row[name].endswith("."), name
        assert row[name][0].isupper(), name


def test_the_code_reads_the_same_rows() -> None:
    assert set(registry()) == set(ROWS)
