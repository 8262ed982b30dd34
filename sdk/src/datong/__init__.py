"""Datong for departments and auditors: client, command line and offline verifier.

from datong import Client

with Client("~/.config/datong/health") as client:
    print(client.query("divisions", purpose="registration", key={"code": "330100"}).rows)
"""

from datong.calls import CallLog
from datong.client import AsyncClient, Client
from datong.enrolment import enrol, renew
from datong.errors import (
    AnswerMalformed,
    CallLogFailed,
    CertificateRefused,
    DatongError,
    IdentityUnusable,
    InputInvalid,
    NoAnswerInTime,
    ProofFailed,
    ReconciliationDiffers,
    Refused,
    ServerNotTrusted,
    StoreUnavailable,
    TableUnfit,
    Unreachable,
)
from datong.identity import Identity
from datong.operations.data import Rows
from datong.operations.operation import Answer, Operation, Page
from datong.revisions import Revisions
from datong.tables import publish, receive
from datong.verifier.report import Report, Verdict
from datong.verifier.verification import verify
from datong.watch import Kept, read_checkpoints, watch_once

__all__ = [
    "Answer",
    "AnswerMalformed",
    "AsyncClient",
    "CallLog",
    "CallLogFailed",
    "CertificateRefused",
    "Client",
    "DatongError",
    "Identity",
    "IdentityUnusable",
    "InputInvalid",
    "Kept",
    "NoAnswerInTime",
    "Operation",
    "Page",
    "ProofFailed",
    "ReconciliationDiffers",
    "Refused",
    "Report",
    "Revisions",
    "Rows",
    "ServerNotTrusted",
    "StoreUnavailable",
    "TableUnfit",
    "Unreachable",
    "Verdict",
    "enrol",
    "publish",
    "read_checkpoints",
    "receive",
    "renew",
    "verify",
    "watch_once",
]
