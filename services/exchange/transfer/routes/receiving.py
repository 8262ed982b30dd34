"""What all routes of consumers ask and answer: by which grant, and what the evidence needs."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Any, Final

from fastapi import Path, Query, Request, Response
from pydantic import BaseModel

from kit import problems
from kit.auth import Caller
from kit.clock import Clock
from kit.ids import PLAIN_ID, UUID_PATTERN
from services.exchange.transfer import domain
from services.exchange.transfer.actions.subscribing import Receiver
from services.exchange.transfer.domain import BATCH, Grant
from services.exchange.transfer.routes.asking import CALLER_CODES, JSON, Waiting, granted

Resource = Annotated[str, Path(pattern=PLAIN_ID, description="Plain id of the resource")]
SubscriptionId = Annotated[
    str, Path(pattern=UUID_PATTERN, description="UUIDv7 of the subscription")
]
DeliveryId = Annotated[str, Path(pattern=UUID_PATTERN, description="UUIDv7 of the delivery")]
Wait = Annotated[int, Query(ge=0, le=30, description="Seconds that the answer may wait for news")]

RECEIVING: Final = (
    *CALLER_CODES,
    "grant-missing",
    "grant-not-yet-valid",
    "grant-expired",
    "grant-suspended",
    "grant-ended",
    "mode-not-granted",
    "purpose-missing",
    "purpose-not-granted",
    "items-not-granted",
    "parameter-invalid",
)


async def receiver_of(request: Request, caller: Caller) -> Receiver:
    """Return who receives, by our own copy of the grant as it is at this moment.

    Raises:
        DomainError: the first check that fails.
    """
    waiting: Waiting = request.app.state.waiting
    clock: Clock = request.app.state.clock
    grant = await granted(waiting, request)
    resource = request.path_params["resource"]
    entry = domain.require_entry(waiting.copies.entry_of(resource), resource)
    grant = domain.require_grant(
        grant,
        system=caller.id,
        entry=entry,
        purpose=request.headers.get("datong-purpose"),
        now=clock.now(),
        mode=BATCH,
    )
    return Receiver(entry, grant, caller.id, caller.agency.id, caller.call)


def answer(grant: Grant, shape: BaseModel, status: int = 200) -> Response:
    """Answer what holds no rows, and say so to the evidence."""
    body = shape.model_dump_json(by_alias=True).encode()
    headers = evidence(grant, sha256(body).hexdigest())
    return Response(body, status, media_type=JSON, headers=headers)


def evidence(
    grant: Grant, digest: str, *, rows: int = 0, items: Sequence[str] = ()
) -> dict[str, str]:
    """Return what the gateway puts on record of an answer under `grant`.

    Args:
        digest: SHA-256 of the body in hex.
        rows: that the body holds at most.
    """
    return {
        "Cache-Control": "no-store",
        "Datong-Internal-Rows": str(rows),
        "Datong-Internal-Items": ",".join(items),
        "Datong-Internal-Digest": digest,
        "Datong-Internal-Enforced": f"{grant.id}@{grant.version}",
    }


def answers(
    model: type[BaseModel], *codes: str, status: int = 200, text: str = "Found"
) -> dict[int | str, dict[str, Any]]:
    """Return the `responses=` of a route that answers `model`, or one of `codes`."""
    return {status: {"model": model, "description": text}, **problems.declare(*RECEIVING, *codes)}
