"""The data path: a protocol, not an application; callbacks only, no task per call."""

from gateway.listener.connection import ClientConnection
from gateway.listener.path import (
    Counts,
    DataPath,
    Evidence,
    LocalAnswer,
    LocalCall,
    LocalHandler,
    Table,
)
from gateway.listener.server import Listener, listening_socket
from gateway.listener.tls import ClientFacingTls
from gateway.listener.tokens import VerifiedTokens

__all__ = [
    "ClientConnection",
    "ClientFacingTls",
    "Counts",
    "DataPath",
    "Evidence",
    "Listener",
    "LocalAnswer",
    "LocalCall",
    "LocalHandler",
    "Table",
    "VerifiedTokens",
    "listening_socket",
]
