"""The decision on a call, pure: values in, values out, no library and no clock."""

from gateway.domain.call import Access, Call, Claims, Data, TokenProblem
from gateway.domain.decision import Allowed, Check, Denied, decide, explain, recheck
from gateway.domain.services import Operation, OwnService
from gateway.domain.subjects import Agency, Credential, Entry, Grant, Party, Permissions

__all__ = [
    "Access",
    "Agency",
    "Allowed",
    "Call",
    "Check",
    "Claims",
    "Credential",
    "Data",
    "Denied",
    "Entry",
    "Grant",
    "Operation",
    "OwnService",
    "Party",
    "Permissions",
    "TokenProblem",
    "decide",
    "explain",
    "recheck",
]
