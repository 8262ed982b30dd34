"""Help and shell completion: every command explains itself and is completed."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datong.cli.application import build
from datong.cli.options import hoist


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


def _parse(command: Any, name: str, arguments: list[str], parent: Any = None) -> None:
    """Read arguments as the command would, without doing anything.

    Raises:
        Exception: an option, argument or command is unknown, missing or too many.
    """
    context = command.make_context(name, arguments, parent=parent)
    if not hasattr(command, "commands"):
        return
    left = [*context._protected_args, *context.args]
    inner_name, inner, rest = command.resolve_command(context, left)
    _parse(inner, inner_name, rest, context)


EXAMPLES = [
    line.removeprefix("Example: ")
    for _, command in [((), build()), *COMMANDS]
    for line in (command.epilog or "").splitlines()
    if line.removeprefix("Example: ").startswith("datong ")
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_read_by_the_command(example: str) -> None:
    _, *arguments = shlex.split(example.partition(" > ")[0])
    _parse(build(), "datong", hoist(arguments))


def test_an_example_with_a_wrong_option_would_be_noticed() -> None:
    with pytest.raises(Exception, match="--murpose"):
        _parse(build(), "datong", ["query", "divisions", "--murpose", "x"])


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


def test_bash_completes_by_the_script(tmp_path: Path) -> None:
    (tmp_path / "datong").write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "from datong.cli import main; main()" "$@"\n',
        "utf-8",
    )
    (tmp_path / "datong").chmod(0o755)
    script = """
        eval "$(_DATONG_COMPLETE=source_bash datong)"
        COMP_WORDS=(datong --as health grants na) COMP_CWORD=4
        _datong_completion datong na grants
        echo "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env={"HOME": str(tmp_path), "LANG": "C.UTF-8", "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["narrow"]
