"""Set-up tells in one sentence what is missing."""

import importlib.machinery
import importlib.util
import sys

import pytest

from stack import setup


def test_an_old_python_is_told_which_one_is_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))

    code = setup.main([])

    said = capsys.readouterr().err
    assert code == 1
    assert said.count("\n") == 1
    assert "needs Python 3.11 or newer" in said
    assert "3.9.2" in said


def test_a_python_without_environments_is_told_the_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing(_: str) -> importlib.machinery.ModuleSpec | None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", nothing)

    code = setup.main([])

    said = capsys.readouterr().err
    assert code == 1
    assert said.count("\n") == 1
    assert "apt install python3-venv" in said
