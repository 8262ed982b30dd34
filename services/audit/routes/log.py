"""The log itself: checkpoint, key, tiles, proofs, gaps."""

import asyncio
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import PlainTextResponse

from kit.app import StrictRoute
from kit.auth import Public
from kit.clock import parse_rfc3339
from kit.http import ParameterInvalid
from kit.problems import declare
from services.audit.domain import refusals, tree
from services.audit.domain.epochs import first_sequence
from services.audit.domain.tiles import parse_path
from services.audit.routes.asking import READING, Anybody, Auditor, Follower, Now, View
from services.audit.schemas import (
    ConsistencyProof,
    Gaps,
    InclusionProof,
    OpenEpoch,
    conflict_of,
    missing_of,
    text_of,
)
from services.audit.store.objects import ObjectMissing

router = APIRouter(route_class=StrictRoute)

Size = Annotated[int, Query(ge=1, lt=1 << 53)]


@router.get(
    "/checkpoint",
    dependencies=[Depends(Public())],
    response_class=PlainTextResponse,
    responses=declare("log-not-open", "not-through-gateway"),
)
async def get_checkpoint(view: View) -> PlainTextResponse:
    """The newest signed checkpoint of the log (C2SP tlog-checkpoint)."""
    return PlainTextResponse(view.commit.checkpoint, headers={"Cache-Control": "no-cache"})


@router.get(
    "/key",
    dependencies=[Depends(Public())],
    response_class=PlainTextResponse,
    responses=declare("log-not-open", "not-through-gateway"),
)
async def get_log_key(follower: Follower) -> PlainTextResponse:
    """The log's verification key (C2SP signed-note vkey), one line."""
    key = await asyncio.to_thread(follower.verification_key)
    return PlainTextResponse(f"{key}\n", headers={"Cache-Control": "no-cache"})


@router.get(
    "/tile/{path:path}",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {}}},
        **READING,
        **declare("tile-unknown", "log-not-open"),
    },
)
async def get_tile(
    path: Annotated[str, Path(max_length=100, description="Below `tile/`, as in tlog-tiles")],
    _caller: Auditor,
    view: View,
) -> Response:
    """A tile or entry bundle of the log (C2SP tlog-tiles), at exactly the width asked."""
    try:
        tile = parse_path(f"tile/{path}")
    except ValueError as error:
        raise ParameterInvalid(str(error), pointer="/path/path") from error
    try:
        data = await asyncio.to_thread(view.tile, tile)
    except ObjectMissing as error:
        raise refusals.TileUnknown(f"A log of {view.size} records has no {tile.path}.") from error
    return Response(data, media_type="application/octet-stream")


@router.get(
    "/proofs/inclusion",
    responses={**READING, **declare("proof-impossible", "log-not-open")},
)
async def get_inclusion_proof(
    index: Annotated[int, Query(ge=0, lt=1 << 53, description="Leaf index")],
    _caller: Anybody,
    view: View,
    size: Size | None = None,
) -> InclusionProof:
    """Inclusion proof of one leaf in the tree of `size` records, or of the newest checkpoint."""
    of = view.size if size is None else size
    if not index < of <= view.size:
        raise refusals.ProofImpossible(
            f"Leaf {index} in a tree of {of}: the log has {view.size} records.",
            facts={"size": view.size},
        )

    def prove() -> InclusionProof:
        nodes = view.nodes
        return InclusionProof(
            index=index,
            size=of,
            leaf_hash=text_of(nodes(0, index)),
            root=text_of(tree.root(nodes, of)),
            proof=[text_of(item) for item in tree.inclusion_proof(nodes, index, of)],
        )

    return await asyncio.to_thread(prove)


@router.get(
    "/proofs/consistency",
    responses={**READING, **declare("proof-impossible", "log-not-open")},
)
async def get_consistency_proof(
    old: Size, _caller: Anybody, view: View, new: Size | None = None
) -> ConsistencyProof:
    """Consistency proof between two sizes, or from one to the newest checkpoint."""
    to = view.size if new is None else new
    if not old <= to <= view.size:
        raise refusals.ProofImpossible(
            f"From {old} to {to}: the log has {view.size} records.", facts={"size": view.size}
        )

    def prove() -> ConsistencyProof:
        nodes = view.nodes
        return ConsistencyProof(
            old=old,
            new=to,
            old_root=text_of(tree.root(nodes, old)),
            new_root=text_of(tree.root(nodes, to)),
            proof=[text_of(item) for item in tree.consistency_proof(nodes, old, to)],
        )

    return await asyncio.to_thread(prove)


@router.get("/gaps", responses={**READING, **declare("log-not-open")})
async def get_gaps(_caller: Auditor, follower: Follower, clock: Now) -> Gaps:
    """Numbers that the log misses, epochs without an end, numbers with more than one record."""
    view, epochs = await asyncio.to_thread(follower.epochs)
    now = clock.now()
    ordered = [epochs[key] for key in sorted(epochs)]
    return Gaps(
        size=view.size,
        checkpoint=view.commit.checkpoint,
        at=view.commit.at,
        missing=[missing_of(epoch) for epoch in ordered if epoch.gaps],
        open=[
            OpenEpoch(
                instance=epoch.instance,
                epoch=epoch.epoch,
                last=epoch.last,
                last_at=epoch.last_at,
                age_seconds=_age(epoch.last_at, now),
            )
            for epoch in ordered
            # Facts and alarms are numbered from 1 and have no end.
            if epoch.is_open and first_sequence(epoch.epoch) == 0
        ],
        conflicts=[conflict_of(epoch) for epoch in ordered if epoch.conflicts],
    )


def _age(at: str, now: datetime) -> int:
    try:
        return max(0, int((now - parse_rfc3339(at)).total_seconds()))
    except ValueError:
        return 0
