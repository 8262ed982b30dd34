"""The stages of one delivery, read from the callers' own logs of calls."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

STAGES: Final = ("publish", "effective", "delivered", "applied", "receipt")


@dataclass(frozen=True)
class Call:
    """One call: its operation, path, when it was sent, when answered (None: not), with what."""

    operation: str
    path: str
    sent: float
    answered: float | None
    status: int | None
    sent_bytes: int
    answer_bytes: int


@dataclass(frozen=True)
class Stages:
    """Instants, in seconds since 1970, at which the stages of a delivery ended.

    Attributes:
        began: the batch is about to be opened.
        published: the last chunk was answered.
        effective: the platform finished the batch.
        delivered: the last segment was downloaded.
        applied: the receipt, read back from the consumer's table, was sent.
        receipted: it was answered.
        uploaded, downloaded: bytes of chunks and of segments.
    """

    began: float
    published: float
    effective: float
    delivered: float
    applied: float
    receipted: float
    uploaded: int
    downloaded: int

    def seconds(self) -> dict[str, float]:
        """Return how long each stage took, and all of them together as `total`."""
        instants = (
            self.began,
            self.published,
            self.effective,
            self.delivered,
            self.applied,
            self.receipted,
        )
        took = [after - before for before, after in pairwise(instants)]
        return dict(zip(STAGES, took, strict=True)) | {"total": self.receipted - self.began}


def read_stages(publisher: Path, receiver: Path, finished_at: str) -> Stages | None:
    """Return the stages of the delivery that followed the batch; None while it has no receipt.

    Args:
        publisher, receiver: logs of calls.
        finished_at: of the batch, RFC 3339.
    """
    sent = list(read_calls(publisher))
    began = min(call.sent for call in sent if call.operation == "open_batch")
    chunks = [call for call in sent if call.operation == "put_chunk" and call.sent >= began]
    effective = _instant(finished_at)
    received = [call for call in read_calls(receiver) if call.sent >= effective]
    receipts = [call for call in received if call.operation == "put_receipt" and call.status == 200]
    segments = [call for call in received if call.operation == "get_segment"]
    if not receipts or not segments:
        return None
    return Stages(
        began=began,
        published=max(call.answered or 0.0 for call in chunks),
        effective=effective,
        delivered=max(call.answered or 0.0 for call in segments),
        applied=receipts[-1].sent,
        receipted=receipts[-1].answered or 0.0,
        uploaded=sum(call.sent_bytes for call in chunks),
        downloaded=sum(call.answer_bytes for call in segments),
    )


def read_calls(log: Path) -> Iterator[Call]:
    """Yield the calls of a log, in the order in which they were sent."""
    sent: dict[str, dict[str, Any]] = {}
    answered: dict[str, dict[str, Any]] = {}
    for line in log.read_bytes().split(b"\n")[:-1]:  # the last may still be being written
        event = json.loads(line)
        if event["event"] == "sent":
            sent[event["call"]] = event
        elif event["event"] == "answered":
            answered[event["call"]] = event
    for call, event in sent.items():
        answer = answered.get(call)
        yield Call(
            operation=event["operation"],
            path=event["path"],
            sent=_instant(event["at"]),
            answered=_instant(answer["at"]) if answer else None,
            status=answer["status"] if answer else None,
            sent_bytes=event["request_bytes"],
            answer_bytes=answer["answer_bytes"] if answer else 0,
        )


def _instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
