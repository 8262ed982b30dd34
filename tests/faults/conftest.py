"""What all fault tests share: their figures are told at the end of the run."""

from collections.abc import Callable

import pytest

_FIGURE = "figure"


class Figures:
    """Collects what a test has measured; nothing of it is asserted."""

    def __init__(self, title: str, keep: Callable[[str, object], None]) -> None:
        self._title = title
        self._keep = keep

    def tell(self, **figures: object) -> None:
        """Add a line to the end of the run's output."""
        told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in figures.items())
        self._keep(_FIGURE, f"{self._title}: {told}")


@pytest.fixture
def figures(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> Figures:
    """Where a test leaves its figures; they travel in its report, also between processes."""
    return Figures(request.node.name, record_property)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures."""
    reports = [
        report
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "teardown"
    ]
    lines = [text for report in reports for name, text in report.user_properties if name == _FIGURE]
    if lines:
        terminalreporter.section("figures of the fault tests")
        for line in lines:
            terminalreporter.line(str(line))
