"""A small log of our own making, to be proved and to be tampered with."""

import base64
import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ORIGIN = "datong.example/log"
INSTANCE = "gateway-0/0"
EPOCH = "01990000-0000-7000-8000-00000000000a"
NEXT_EPOCH = "01990000-0000-7000-8000-00000000000b"


def _root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + _root(leaves[:split]) + _root(leaves[split:])).digest()


@dataclass(frozen=True)
class Signer:
    """A log's key."""

    seed: bytes = b"\x07" * 32
    name: str = ORIGIN

    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    def _typed(self) -> bytes:
        public = self._key().public_key()
        return b"\x01" + public.public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw
        )

    def _id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + self._typed()).digest()[:4]

    @property
    def vkey(self) -> str:
        return f"{self.name}+{self._id().hex()}+{base64.b64encode(self._typed()).decode()}"

    def checkpoint(self, records: list[bytes]) -> bytes:
        root = base64.b64encode(_root(records)).decode()
        text = f"{self.name}\n{len(records)}\n{root}\n"
        signature = self._id() + self._key().sign(text.encode())
        return f"{text}\n\u2014 {self.name} {base64.b64encode(signature).decode()}\n".encode()


def _path(index: int, width: int) -> str:
    digits, rest = f"{index % 1000:03d}", index // 1000
    while rest:
        digits, rest = f"x{rest % 1000:03d}/{digits}", rest // 1000
    return digits if width == 256 else f"{digits}.p/{width}"


@dataclass(frozen=True)
class Log:
    """Records of a log and what its package holds; every `with_` gives a changed copy."""

    records: list[bytes] = field(default_factory=list)
    signer: Signer = field(default_factory=Signer)
    hashed_bundles: frozenset[int] = frozenset()
    claims: dict[str, Any] = field(default_factory=dict)
    members: dict[str, bytes | None] = field(default_factory=dict)
    signed: bytes | None = None

    def checkpoint(self, size: int | None = None) -> bytes:
        return self.signer.checkpoint(self.records[:size])

    def with_record(self, index: int, **change: Any) -> "Log":
        records = list(self.records)
        record = json.loads(records[index]) | change
        records[index] = written({k: v for k, v in record.items() if v is not None})
        return replace(self, records=records)

    def without_record(self, index: int) -> "Log":
        return replace(self, records=self.records[:index] + self.records[index + 1 :])

    def plus(self, *records: dict[str, Any]) -> "Log":
        return replace(self, records=self.records + [written(record) for record in records])

    def with_members(self, **members: bytes | None) -> "Log":
        return replace(self, members=members)

    def _members(self) -> dict[str, bytes]:
        size = len(self.records)
        claims = {
            "format": "datong-evidence-package/1",
            "origin": self.signer.name,
            "size": size,
            "selection": "whole",
            "first": 0,
            "last": size,
            "made_at": "2026-11-24T08:00:00.000000Z",
        } | self.claims
        members = {"package.json": written(claims), "checkpoint": self.signed or self.checkpoint()}
        for first in range(0, size, 256):
            records = self.records[first : first + 256]
            path = _path(first // 256, len(records))
            if first // 256 in self.hashed_bundles:
                members[f"tile/0/{path}"] = b"".join(
                    hashlib.sha256(b"\x00" + record).digest() for record in records
                )
            else:
                members[f"tile/entries/{path}"] = b"".join(
                    len(record).to_bytes(2, "big") + record for record in records
                )
        for name, data in self.members.items():
            members.pop(name, None)
            if data is not None:
                members[name] = data
        return members

    def save(self, path: Path) -> Path:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
            for name, data in self._members().items():
                file.writestr(name, data)
        return path


def written(value: Any) -> bytes:
    """Canonical form of the plain values of a record."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def a_record(sequence: int, kind: str = "beat", **fields: Any) -> dict[str, Any]:
    """A record of the gateway's first epoch."""
    return {
        "type": kind,
        "record": f"01990000-0000-7000-8000-{sequence:012x}",
        "instance": INSTANCE,
        "epoch": EPOCH,
        "sequence": sequence,
        "at": f"2026-11-24T08:{sequence // 60 % 60:02d}:{sequence % 60:02d}.000000Z",
    } | fields


def a_call(sequence: int, call: str, **fields: Any) -> dict[str, Any]:
    """An allowed call of a system."""
    return (
        a_record(
            sequence,
            "call",
            call=call,
            route="query",
            caller="system/1",
            certificate="c" * 43,
            decision="allowed",
            status=200,
        )
        | fields
    )


def a_fact(sequence: int, **fields: Any) -> dict[str, Any]:
    """A fact taken from a fact topic; its epoch is the incarnation."""
    return (
        a_record(
            sequence,
            "fact",
            record=f"01990000-0000-7000-8001-{sequence:012x}",
            instance="sharing.change.v1",
            epoch="1",
        )
        | fields
    )


@pytest.fixture
def log() -> Log:
    """600 records: a gateway's epoch with its end, facts between them."""
    records = [a_record(0, "epoch")]
    records += [a_record(number) for number in range(1, 589)]
    records += [a_record(589, "end")]
    records[100:100] = [a_fact(number) for number in range(1, 11)]
    return Log([written(record) for record in records])


@pytest.fixture
def records() -> dict[str, Callable[..., dict[str, Any]]]:
    """Builders of records by name: `record`, `call`, `fact`."""
    return {"record": a_record, "call": a_call, "fact": a_fact}
