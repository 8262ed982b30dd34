"""Masks: what of a value is shown, over whole columns of canonical texts.

`contracts/rows.md` section 7 fixes what each makes of every text; nothing here may change it. A
masked value is a text; no value stays no value.
"""

import hmac
from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from services.exchange.transfer.domain.values import ItemType

PSEUDONYM_LENGTH: Final = 26
"""Characters of a pseudonym: 130 bits."""

_QUANTUM: Final = 20
"""Bytes of each hash that are written in base32, 5 bits a character: 32 characters."""


class Mask(StrEnum):
    """Ways to show less of a value, by the names that grants use."""

    NAME = "name"
    ID_NUMBER = "id_number"
    MOBILE = "mobile"
    YEAR = "year"
    PSEUDONYM = "pseudonym"


# Made once: one is dearer than a kernel on the few rows of a query.
_NOTHING: Final = pa.scalar("")
_STAR: Final = pa.scalar("*")
_ZERO: Final = pa.scalar(0, pa.int32())


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is shown of texts of at least `least` characters; of shorter ones nothing is.

    Attributes:
        first, last: characters at the beginning and at the end.
        both: their sum.
    """

    first: int
    last: int
    both: Any
    least: Any


def _kept(first: int, last: int, least: int) -> _Kept:
    return _Kept(first, last, pa.scalar(first + last, pa.int32()), pa.scalar(least, pa.int32()))


_KEPT: Final[Mapping[Mask, _Kept]] = {
    Mask.NAME: _kept(1, 0, 2),
    Mask.ID_NUMBER: _kept(6, 2, 15),
    Mask.MOBILE: _kept(3, 4, 11),
}


def mask(column: Any, by: Mask, kind: ItemType, key: bytes) -> Any:
    """Return a `utf8` column of what is shown of each value.

    A mask that does not fit the type of the item, as after a change of the entry, shows nothing.

    Args:
        column: canonical texts of values of type `kind`.
        key: of the consumer, for pseudonyms; 32 bytes.
    """
    if by is Mask.PSEUDONYM:
        return _pseudonyms(column, key)
    if by is Mask.YEAR and kind is ItemType.DATE:
        return pc.utf8_slice_codeunits(column, 0, 4)
    if by in _KEPT and kind is ItemType.TEXT:
        return _keep(column, _KEPT[by])
    return pa.nulls(len(column), pa.utf8())


def _keep(column: Any, kept: _Kept) -> Any:
    """Show the first and last characters of texts that are long enough, and stars otherwise."""
    length = pc.utf8_length(column)
    is_long = pc.greater_equal(length, kept.least)
    stars = pc.subtract(length, pc.if_else(is_long, kept.both, _ZERO))
    parts = [
        pc.if_else(is_long, pc.utf8_slice_codeunits(column, 0, kept.first), _NOTHING),
        pc.binary_repeat(_STAR, stars),
    ]
    if kept.last:
        end = pc.utf8_slice_codeunits(column, -kept.last)
        parts.append(pc.if_else(is_long, end, _NOTHING))
    return pc.binary_join_element_wise(*parts, _NOTHING)


def _pseudonyms(column: Any, key: bytes) -> Any:
    """Return the pseudonym of each value; each different one is hashed once."""
    plain = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    coded = plain.dictionary_encode()
    hashes = [
        hmac.digest(key, value, "sha256")[:_QUANTUM]
        for value in coded.dictionary.cast(pa.binary()).to_pylist()
    ]
    text = b32encode(b"".join(hashes)).decode().lower()
    width = _QUANTUM * 8 // 5
    names = [text[at : at + PSEUDONYM_LENGTH] for at in range(0, len(text), width)]
    return pa.array(names, pa.utf8()).take(coded.indices)


class ConsumerKeys:
    """Keys of consumers, derived from the one master key of transfer; never shown, never kept.

    Each consumer has keys of its own, so that what two of them hold cannot be joined.
    """

    def __init__(self, master: bytes) -> None:
        """Take the master key.

        Raises:
            ValueError: it has not 32 bytes.
        """
        if len(master) != 32:
            raise ValueError("the master key of pseudonyms has not 32 bytes")
        # RFC 5869 section 2.2, without salt.
        self._extracted = hmac.digest(bytes(32), master, "sha256")
        self._known: dict[str, bytes] = {}

    def pseudonyms(self, agency: str) -> bytes:
        """Return the key of an agency's pseudonyms: 32 bytes."""
        return self._key(agency)

    def order(self, agency: str) -> tuple[bytes, bytes]:
        """Return the two blocks of HMAC-SHA-256 that hide from an agency how rows are ordered.

        The HMAC of bytes is SHA-256(first ‖ SHA-256(second ‖ bytes)). It is another key than that
        of pseudonyms, since the database must have it. No agency has a `/` in its id.
        """
        key = self._key(f"order/{agency}").ljust(64, b"\0")
        return bytes(b ^ 0x5C for b in key), bytes(b ^ 0x36 for b in key)

    def _key(self, info: str) -> bytes:
        found = self._known.get(info)
        if found is None:  # RFC 5869 section 2.3; one block is all that is needed
            found = hmac.new(self._extracted, info.encode() + b"\x01", sha256).digest()
            self._known[info] = found
        return found
