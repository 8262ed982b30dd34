"""What all fault tests share: their figures are told at the end of the run."""

import pytest

_FIGURES = pytest.StashKey[list[str]]()


class Figures:
    """Collects what a test has measured; nothing of it is asserted."""

    def __init__(self, title: str, lines: list[str]) -> None:
        self._title = title
        self._lines = lines

    def tell(self, **figures: object) -> None:
        """Add a line to the end of the run's output."""
        told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in figures.items())
        self._lines.append(f"{self._title}: {told}")


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Where a test leaves its figures."""
    return Figures(request.node.name, request.config.stash.setdefault(_FIGURES, []))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the figures."""
    lines = config.stash.get(_FIGURES, [])
    if lines:
        terminalreporter.section("figures of the fault tests")
        for line in lines:
            terminalreporter.line(line)
