"""Connections to PostgreSQL, and what it says when something is wrong."""

from __future__ import annotations

from typing import Any, Final

import psycopg

from datong.errors import StoreUnavailable

_SETTINGS: Final = (
    "SET datestyle = 'ISO, YMD'; SET timezone = 'UTC'; SET client_min_messages = warning"
)
_CONNECT_SECONDS: Final = 10


def connect(url: str) -> psycopg.Connection[Any]:
    """A connection in autocommit mode whose texts are canonical.

    Raises:
        StoreUnavailable: no connection.
    """
    try:
        connection: psycopg.Connection[Any] = psycopg.connect(
            url, autocommit=True, connect_timeout=_CONNECT_SECONDS, application_name="datong"
        )
        connection.execute(_SETTINGS)
    except psycopg.Error as error:
        raise StoreUnavailable(
            f"The database cannot be used: {said(error)}.",
            next_step="Check the address, the password, and whether PostgreSQL runs.",
        ) from error
    return connection


def said(error: psycopg.Error) -> str:
    """The first line of what the server or the driver said; never a value of a row."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
