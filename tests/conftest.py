"""Fixtures for every tier, and the rule that a test is run or fails, never skipped."""

import os
from collections.abc import Generator

import pytest
from hypothesis import settings

pytest_plugins = ["tests.support.processes", "tests.support.postgres", "tests.support.kafka"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--long`: fault and attack tests in their long form (`make faults`)."""
    parser.addoption("--long", action="store_true", help="run fault tests in their long form")


def pytest_configure(config: pytest.Config) -> None:
    """Draw the same examples on every run of a commit; in the long form ever new and more ones.

    A change is then judged by what it changes, and the search for what nobody thought of has
    a run of its own.
    """
    settings.register_profile("same", derandomize=True)
    settings.register_profile("long", max_examples=1000, deadline=None)
    settings.load_profile("long" if config.getoption("--long") else "same")


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
