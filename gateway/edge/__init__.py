"""The edge: what is not a well-formed call of the contract goes no further. Pure."""

from gateway.edge.head import (
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    Head,
    body_too_large,
    read_head,
)
from gateway.edge.refusal import EdgeRefusal, malformed
from gateway.edge.routes import BUFFERED_BODY, Match, Route, Router, routes_of

__all__ = [
    "BUFFERED_BODY",
    "MAX_HEADERS",
    "MAX_HEADER_BYTES",
    "EdgeRefusal",
    "Head",
    "Match",
    "Route",
    "Router",
    "body_too_large",
    "malformed",
    "read_head",
    "routes_of",
]
