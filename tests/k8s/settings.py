"""The settings class of each part, and of the processes that need more."""

import importlib
import inspect
from collections.abc import Mapping

from kit.settings import PartSettings
from tests.k8s.manifests import PACKAGES

OWN = {("audit", "write"): "WriterSettings", ("catalog", "api"): "ApiSettings"}
"""Processes whose settings are not those of the whole part."""


def settings_classes() -> Mapping[str, type[PartSettings]]:
    """Return the settings class of each part."""
    return {part: _of_part(part) for part in PACKAGES}


def settings_of(part: str, process: str) -> type[PartSettings]:
    """Return the class that a process of a part reads."""
    name = OWN.get((part, process))
    if name is None:
        return _of_part(part)
    module = importlib.import_module(f"{PACKAGES[part]}.settings")
    found: type[PartSettings] = getattr(module, name)
    return found


def _of_part(part: str) -> type[PartSettings]:
    module = importlib.import_module(f"{PACKAGES[part]}.settings")
    own = set(OWN.values())
    (found,) = (
        each
        for name, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, PartSettings) and each.__module__ == module.__name__
        if name not in own
    )
    return found
