"""Fixtures for every tier, and the rule that a test is run or fails, never skipped."""

import os
from collections.abc import Generator

import pytest

pytest_plugins = ["tests.support.processes", "tests.support.postgres", "tests.support.kafka"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--long`: fault and attack tests in their long form (`make faults`)."""
    parser.addoption("--long", action="store_true", help="run fault tests in their long form")


@pytest.fixture(scope="session")
def long_form(request: pytest.FixtureRequest) -> bool:
    """Whether fault tests run in their long form, with full counts; short otherwise."""
    return bool(request.config.getoption("--long"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure in CI: a test that did not run has shown nothing."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and skips fail in CI: {report.longrepr}"
    return report
