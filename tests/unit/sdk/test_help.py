"""Help and shell completion: every command explains itself and is completed."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datong.cli.application import build


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, each in inner.items():
        yield from _commands(each, (*path, name))


COMMANDS = list(_commands(build()))


@pytest.mark.parametrize(
    ("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS]
)
def test_a_command_says_what_it_does_and_gives_an_example(
    path: tuple[str, ...], command: Any
) -> None:
    assert (command.help or "").strip()
    assert (command.epilog or "").startswith("Example")
    assert f"datong {' '.join(path)}" in command.epilog


def _completed(tmp_path: Path, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "from datong.cli import main; main()"],
        env={"HOME": str(tmp_path), "LANG": "C.UTF-8", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize(
    ("shell", "mark"),
    [
        ("bash", "complete -o default -F _datong_completion datong"),
        ("zsh", "#compdef datong"),
        ("fish", "complete --command datong"),
    ],
)
def test_a_completion_script_is_produced(tmp_path: Path, shell: str, mark: str) -> None:
    assert mark in _completed(tmp_path, _DATONG_COMPLETE=f"source_{shell}")


def test_commands_and_their_options_are_completed(tmp_path: Path) -> None:
    def words(line: str) -> list[str]:
        return _completed(
            tmp_path,
            _DATONG_COMPLETE="complete_bash",
            COMP_WORDS=line,
            COMP_CWORD=str(len(line.split(" ")) - 1),
        ).split()

    assert words("datong gra") == ["grants"]
    assert {"narrow", "renew", "suspend"} <= set(words("datong grants "))
    assert {"--mask", "--filter", "--item"} <= set(words("datong approve --"))
