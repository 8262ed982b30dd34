"""Identifiers: UUIDv7 made by the platform, plain ids chosen by people."""

import random
import re
import time
from functools import lru_cache
from typing import Final

PLAIN_ID: Final = r"^[a-z0-9](?:[a-z0-9-]{1,62}[a-z0-9])$"
UUID_PATTERN: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"

_plain = re.compile(PLAIN_ID)
_uuid = re.compile(UUID_PATTERN)


def uuid7() -> str:
    """Return a new UUIDv7 (RFC 9562 section 5.7): 36 lower-case characters, sorting by time.

    The twelve bits after the version hold the fraction of the millisecond (method 3 of section
    6.2), so ids of one process nearly always sort in the order in which they were made.
    """
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    # Ids are unique, not secret: the generator is seeded by the system once per process, and a
    # system call for each id would be a tenth of what a call through the gateway costs.
    tail = f"{random.getrandbits(62) | 0x8000000000000000:016x}"
    return f"{_time_text(milliseconds)}{rest * 4096 // 1_000_000:03x}-{tail[:4]}-{tail[4:]}"


@lru_cache(maxsize=2)
def _time_text(milliseconds: int) -> str:
    """Return the 15 characters that all ids of one millisecond begin with."""
    text = f"{milliseconds:012x}"
    return f"{text[:8]}-{text[8:]}-7"


def is_uuid(text: str) -> bool:
    """Tell whether `text` is a UUID of version 1 to 8 in lower-case canonical form."""
    return _uuid.match(text) is not None and len(text) == 36


def is_plain_id(text: str) -> bool:
    """Tell whether `text` is a plain id: 3 to 64 of a-z, 0-9 and inner hyphens; safe in a path."""
    return _plain.fullmatch(text) is not None
