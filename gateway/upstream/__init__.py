"""Calls to the parts: pooled keep-alive mTLS connections, by callbacks."""

from gateway.upstream.connection import Headers, Taker, UpstreamConnection
from gateway.upstream.deadlines import NEVER, TICK, Deadlines, Timed
from gateway.upstream.pool import Asker, Pool
from gateway.upstream.shared import SharedAsker, SharedPool

__all__ = [
    "NEVER",
    "TICK",
    "Asker",
    "Deadlines",
    "Headers",
    "Pool",
    "SharedAsker",
    "SharedPool",
    "Taker",
    "Timed",
    "UpstreamConnection",
]
