"""The access token of one identity: fetched when needed, kept between runs, renewed in time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable

from datong.errors import AnswerMalformed
from datong.identity import Identity, write_private
from datong.operations.operation import Json

REFRESH_SECONDS = 60.0
"""A token that ends within this time is not used any more; half its life when that is shorter."""


class TokenKeeper:
    """At most one fetch at a time; every caller waits for it."""

    def __init__(self, identity: Identity | None, *, fixed: str | None = None) -> None:
        """Begin with the token on disk.

        Args:
            identity: None for callers without a certificate; they have no token.
            fixed: a token to use as it is, never refreshed.
        """
        self._identity = identity
        self._fixed = fixed
        self._lock = asyncio.Lock()
        self._token: str | None = None
        self._use_until = 0.0
        if identity is not None and fixed is None:
            self._recall(identity)

    async def get(self, issue: Callable[[], Awaitable[Json]]) -> str | None:
        """A token that is valid for some time; `issue` fetches a new one.

        Raises:
            AnswerMalformed: the answer holds no token.
        """
        if self._fixed is not None or self._identity is None:
            return self._fixed
        async with self._lock:
            if self._token is None or time.time() >= self._use_until:
                self._take(await issue())
            return self._token

    def forget(self) -> None:
        """Drop the token; the next call fetches another."""
        self._token = None
        if self._identity is not None and self._fixed is None:
            with contextlib.suppress(OSError):
                self._identity.token_file.unlink()

    def _take(self, answer: Json) -> None:
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not isinstance(seconds, int):
            raise AnswerMalformed("The answer of the token endpoint holds no token.")
        self._token = token
        self._use_until = time.time() + max(seconds - REFRESH_SECONDS, seconds / 2)
        self._keep()

    def _keep(self) -> None:
        if self._identity is None:
            return
        kept = {
            "access_token": self._token,
            "use_until": self._use_until,
            "thumbprint": self._identity.thumbprint,
        }
        with contextlib.suppress(OSError):  # a folder that is read-only: the token lives in memory
            write_private(self._identity.token_file, json.dumps(kept).encode())

    def _recall(self, identity: Identity) -> None:
        try:
            kept = json.loads(identity.token_file.read_bytes())
            if kept["thumbprint"] == identity.thumbprint:
                self._token, self._use_until = str(kept["access_token"]), float(kept["use_until"])
        except (OSError, ValueError, KeyError, TypeError):
            return
