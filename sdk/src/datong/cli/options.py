"""Options that every command has, and the reading of arguments that are not plain text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datong.cli.output import Output
from datong.client import Client
from datong.errors import InputInvalid
from datong.identity import Identity
from datong.revisions import Revisions
from datong.settings import DEFAULT_NAME, Settings, read_settings

FLAGS = frozenset({"--json"})
VALUED = frozenset(
    {"--identity", "--as", "--gateway", "--server-ca", "--call-log", "--after", "--seconds"}
)
"""Options of the whole command, which may also stand after the name of a subcommand."""


def hoist(arguments: Sequence[str]) -> list[str]:
    """Move the options of the whole command in front of the subcommand."""
    front: list[str] = []
    rest: list[str] = []
    left = iter(arguments)
    for argument in left:
        name, has_value, _ = argument.partition("=")
        if argument == "--":
            rest += [argument, *left]
        elif argument in FLAGS or (has_value and name in VALUED):
            front.append(argument)
        elif argument in VALUED:
            front += [argument, *_following(left)]
        else:
            rest.append(argument)
    return front + rest


def _following(left: Iterable[str]) -> list[str]:
    for value in left:
        return [value]
    return []


@dataclass
class Session:
    """What one run of the command works with."""

    output: Output
    settings: Settings
    directory: Path | None
    name: str
    gateway: str | None
    server_ca: Path | None
    call_log: Path | None
    after: str | None
    seconds: float

    @classmethod
    def begin(
        cls,
        *,
        output: Output,
        directory: Path | None,
        name: str | None,
        gateway: str | None,
        server_ca: Path | None,
        call_log: Path | None,
        after: str | None,
        seconds: float,
    ) -> Session:
        """Complete the options with the environment."""
        settings = read_settings()
        return cls(
            output=output,
            settings=settings,
            directory=directory or (settings.identity if name is None else None),
            name=name or DEFAULT_NAME,
            gateway=gateway,
            server_ca=server_ca or settings.server_ca,
            call_log=call_log or settings.call_log,
            after=after,
            seconds=seconds,
        )

    @property
    def identity_directory(self) -> Path:
        """Folder of the identity that this run uses or makes."""
        return self.directory or self.settings.directory(self.name)

    def identity(self) -> Identity:
        """The identity that this run uses.

        Raises:
            IdentityUnusable: there is none.
        """
        return Identity.load(self.identity_directory)

    def client(self) -> Client:
        """A client with the identity."""
        return self._client(self.identity())

    def public_client(self) -> Client:
        """A client with the identity if there is one, for operations that need none."""
        has_identity = (self.identity_directory / "identity.json").exists()
        return self._client(self.identity() if has_identity else None)

    def _client(self, identity: Identity | None) -> Client:
        revisions = Revisions()
        revisions.note(self.after)
        return Client(
            identity,
            gateway=self.gateway,
            server_ca=self.server_ca,
            call_log=self.call_log,
            revisions=revisions,
            seconds=self.seconds,
        )


def members(pairs: Sequence[str]) -> dict[str, Any]:
    """Read `name=text` and `name:=JSON` arguments.

    Raises:
        InputInvalid: another shape, a name given twice, or no JSON.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        is_json = name.endswith(":")
        name = name.removesuffix(":")
        if not equals or not name or name in found:
            raise InputInvalid(
                f"{pair!r} is not a value: it reads name=text, or name:=JSON, each name once."
            )
        found[name] = _json(value, pair) if is_json else value
    return found


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputInvalid(f"{where}: not JSON: {error}.") from error


def read_document(file: Path) -> dict[str, Any]:
    """Read an object from a JSON or YAML file.

    Raises:
        InputInvalid: unreadable, neither, or not an object.
    """
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputInvalid(f"{file} cannot be read: {error}.") from error
    value = _yaml(text, file) if file.suffix in (".yaml", ".yml") else _json(text, str(file))
    if not isinstance(value, dict):
        raise InputInvalid(f"{file} does not hold one object.")
    return value


def _yaml(text: str, file: Path) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise InputInvalid(
            f"{file}: YAML needs the package PyYAML.",
            next_step="Install it (pip install pyyaml), or write the file in JSON.",
        ) from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputInvalid(f"{file} is not YAML: {error}.") from error


def text_or_file(value: str) -> str:
    """The content of a file, or the value itself when no file is called so.

    Raises:
        InputInvalid: the file cannot be read.
    """
    path = Path(value)
    try:
        return path.read_text("utf-8").strip() if path.is_file() else value.strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputInvalid(f"{value} cannot be read: {error}.") from error
