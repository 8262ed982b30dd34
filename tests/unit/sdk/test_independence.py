"""The SDK stands alone, and the verifier shares nothing with the writer of the log."""

import ast
from pathlib import Path

SOURCES = Path(__file__).parents[3] / "sdk" / "src" / "datong"


def _imports(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_no_module_imports_kit_or_a_service() -> None:
    for file in SOURCES.rglob("*.py"):
        tops = {name.split(".")[0] for name in _imports(file)}
        assert not tops & {"kit", "services", "gateway", "stack", "bench"}, file


def test_the_verifier_imports_nothing_that_could_reach_a_network() -> None:
    for file in (SOURCES / "verifier").rglob("*.py"):
        for name in _imports(file):
            assert name.split(".")[0] not in {"httpx", "socket", "ssl", "asyncio", "urllib"}, file
            if name.startswith("datong"):
                assert name.startswith("datong.verifier"), file
