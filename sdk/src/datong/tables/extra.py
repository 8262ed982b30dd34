"""Packages that only whole tables need: the extra `tables` of this distribution."""

from __future__ import annotations

from importlib.util import find_spec

from datong.errors import InputInvalid

_NEEDED = ("pyarrow", "psycopg")


def require_extra(*names: str) -> None:
    """Check that optional packages are installed.

    Args:
        names: of packages; all of the extra when none is named.

    Raises:
        InputInvalid: one is missing.
    """
    missing = [name for name in names or _NEEDED if find_spec(name) is None]
    if missing:
        raise InputInvalid(
            f"This needs {' and '.join(missing)}, of the extra `tables` of datong.",
            next_step="Install it: pip install 'datong[tables]'",
        )
