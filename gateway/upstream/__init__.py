"""Calls to the parts and to owners' services: pooled keep-alive TLS connections, by callbacks."""

from gateway.upstream.breaker import Breaker
from gateway.upstream.connection import Headers, Taker, UpstreamConnection
from gateway.upstream.deadlines import NEVER, TICK, Deadlines, Timed
from gateway.upstream.owners import OwnerPool, OwnerPools, any_address, owner_context
from gateway.upstream.pool import Asker, Pool
from gateway.upstream.shared import SharedAsker, SharedPool

__all__ = [
    "NEVER",
    "TICK",
    "Asker",
    "Breaker",
    "Deadlines",
    "Headers",
    "OwnerPool",
    "OwnerPools",
    "Pool",
    "SharedAsker",
    "SharedPool",
    "Taker",
    "Timed",
    "UpstreamConnection",
    "any_address",
    "owner_context",
]
