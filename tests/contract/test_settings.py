"""Operators find every setting on one page, and the page is true."""

import ast

from tests.contract.parts import sources
from tests.contract.settings import PAGE, page, undocumented


def test_the_page_of_settings_is_the_generated_one() -> None:
    assert PAGE.read_text("utf-8") == page(), "run `make contracts` and review what changed"


def test_every_setting_says_what_it_means() -> None:
    assert undocumented() == []


def test_only_settings_modules_read_the_environment() -> None:
    """The linter bans `os.environ` by name; this also finds `from os import environ`."""
    for path in sources("kit", "services", "gateway"):
        if path.name == "settings.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "os":
                assert not {a.name for a in node.names} & {"environ", "getenv"}, path
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"environ", "getenv"}, path
