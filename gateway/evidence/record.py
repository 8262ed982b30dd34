"""The bytes of a record and of what is derived from it (`contracts/evidence.md`)."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

import orjson

_OPTIONS: Final = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER
_SALT_BYTES: Final = 32
_SALTS: Final = 256


def record_bytes(fields: Mapping[str, Any]) -> bytes:
    """Return the canonical bytes (RFC 8785) of a record. No member may be None.

    RFC 8785 sorts names by UTF-16 code units and orjson by code points: the same for the ASCII
    names of records. Values are text, integers below 2^53 and lists or objects of them, for which
    the two agree on every byte (`tests/unit/gateway/test_evidence_records.py`).

    Raises:
        TypeError: an integer beyond 53 bits, a lone surrogate, or a type that JSON does not have.
    """
    return orjson.dumps(fields, option=_OPTIONS)


def salted(salt: bytes, digest: bytes) -> str:
    """Return the salted digest of a body in lower-case hex: SHA-256(salt ‖ digest).

    Args:
        salt: 32 random bytes, one salt for a record.
        digest: SHA-256 of the body, 32 bytes.
    """
    return sha256(salt + digest).hexdigest()


class Salts:
    """Random salts from the system, many at a time.

    A system call for each would let other threads have the interpreter in the middle of every
    call. For the event loop only; a process that forks must not share one.
    """

    __slots__ = ("_at", "_pool")

    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def take(self) -> bytes:
        """Return 32 random bytes that nobody else gets."""
        at = self._at
        if at == len(self._pool):
            self._pool = os.urandom(_SALT_BYTES * _SALTS)
            at = 0
        self._at = behind = at + _SALT_BYTES
        return self._pool[at:behind]


def leaf_hash(record: bytes) -> bytes:
    """Return the hash of a record as a leaf of the log (RFC 6962 section 2.1), 32 bytes."""
    return sha256(b"\x00" + record).digest()


class Instants:
    """Turns nanoseconds since 1970 into the text of `at`, keeping the text of the second.

    `strftime` costs several microseconds; a worker asks thousands of times within one second.
    """

    __slots__ = ("_prefix", "_second")

    def __init__(self) -> None:
        self._second = -1
        self._prefix = ""

    def text(self, nanoseconds: int) -> str:
        """Return RFC 3339 UTC text with microseconds and `Z`, 27 characters."""
        second, rest = divmod(nanoseconds, 1_000_000_000)
        if second != self._second:
            self._second = second
            self._prefix = _second_text(second)
        return f"{self._prefix}{rest // 1000:06d}Z"


def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
