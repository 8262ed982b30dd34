"""The page of all settings: `python -m tests.contract.settings --write` renews it."""

import importlib
import inspect
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from kit.settings import DatabaseSettings, PartSettings
from tests.contract.parts import ROOT, SERVICES

PAGE = ROOT / "docs" / "settings.md"

_HEAD = """# Settings

Every process reads its settings from the environment at start, refuses to start without those that
have no default, and reads nothing else from it. Secrets come from files and never from variables.
`make up` sets all of them.

This page is generated from the settings classes by `make contracts`.
"""


def _classes() -> Iterator[tuple[str, str, type[BaseSettings]]]:
    """Return title, sentence and class of every group of settings."""
    yield "Every part", "Services and gateway alike.", PartSettings
    yield "Every part with a database", "Services.", DatabaseSettings
    for part, package in {**SERVICES, "gateway": "gateway", "stack": "stack"}.items():
        module = importlib.import_module(f"{package}.settings")
        for _, found in inspect.getmembers(module, inspect.isclass):
            if issubclass(found, BaseSettings) and found.__module__ == module.__name__:
                whole = found.__name__.lower() in ("settings", f"{part}settings")
                title = part if whole else f"{part}: {found.__name__}"
                yield title, _sentence(found), found


def _sentence(found: type[BaseSettings]) -> str:
    return " ".join(inspect.cleandoc(found.__doc__ or "").split("\n\n")[0].split())


def _own_fields(found: type[BaseSettings]) -> dict[str, FieldInfo]:
    inherited: set[str] = set()
    for base in found.__mro__[1:]:
        inherited |= set(getattr(base, "model_fields", {}))
    return {n: f for n, f in found.model_fields.items() if n not in inherited}


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "computed"
    if field.default is PydanticUndefined:
        return "—"
    value: Any = field.default
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Path) and value.is_relative_to(ROOT):
        value = value.relative_to(ROOT)
    return "unset" if value is None else f"`{value}`"


def page() -> str:
    """Return the page as it must be."""
    lines = [_HEAD]
    for title, sentence, found in _classes():
        lines.append(f"## {title}\n")
        lines.append(f"{sentence}\n")
        fields = _own_fields(found)
        if not fields:
            lines.append("Nothing of its own.\n")
            continue
        prefix = found.model_config.get("env_prefix", "")
        lines.append("| variable | default | meaning |")
        lines.append("|---|---|---|")
        for name, field in fields.items():
            text = " ".join((field.description or "").split()).replace("|", "\\|")
            lines.append(f"| `{prefix}{name.upper()}` | {_default(field)} | {text} |")
        lines.append("")
    return "\n".join(lines)


def undocumented() -> list[str]:
    """Return the settings that do not say what they mean."""
    return [
        f"{found.__name__}.{name}"
        for _, _, found in _classes()
        for name, field in _own_fields(found).items()
        if not field.description
    ]


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.contract.settings --write")
    PAGE.write_text(page(), "utf-8")
