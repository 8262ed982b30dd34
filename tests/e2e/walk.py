"""How every route is called on another agency's objects; one that is not here fails the test."""

import base64
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from stack.demo.entries import DIVISIONS_ENTRY, PURPOSE
from tests.contract.parts import gateway_operations

ROW: Final = b'{"code":"330199","name":"x","level":"county","parent_code":"3301"}\n'
_DIGEST: Final = base64.b64encode(hashlib.sha256(ROW).digest()).decode()
_NOTHING: Final = dict.fromkeys(("added", "updated", "deleted", "rows"), 0) | {"digest": "0" * 64}
_REASON: Final = {"reason": "越权"}
_KEY: Final = {"Idempotency_Key": "walk-{number}"}
_VERSION: Final = {"If_Match": '"1"'}


@dataclass(frozen=True)
class Walked:
    """How one operation is called. Texts and body hold `{object}` for ids of objects.

    Attributes:
        body: as JSON, or bytes as they are.
        query: of the target, with its question mark.
        answers: nothing of another agency is asked for, so that it may well be answered.
    """

    body: Any = None
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    answers: bool = False


_OWN: Final = Walked(answers=True)
"""Lists, and what is public: answered, with nothing of another agency in it."""

_GET: Final = Walked()
_ACT: Final = Walked(_REASON)
_SECRET_ENTRY: Final = DIVISIONS_ENTRY | {"resource": "{draft_resource}", "name": "重名目录"}

WALK: Final[Mapping[str, Walked]] = {
    # identity
    "enrol": Walked({"code": "{code}", "csr": "{csr}"}),
    "get_ca": _OWN,
    "get_crl": _OWN,
    "get_jwks": _OWN,
    "issue_token": Walked(
        b"grant_type=client_credentials&client_id={system}",
        headers={"Content_Type": "application/x-www-form-urlencoded"},
    ),
    "renew": Walked({"csr": "{csr}"}, answers=True),
    "get_me": _OWN,
    "create_agency": Walked(
        {"id": "walked-agency", "name": "某局", "level": "city", "area_code": "330100"}
        | {"security_officer": {"name": "某人"}}
    ),
    "list_agencies": _OWN,
    "get_agency": _OWN,
    "suspend_agency": _ACT,
    "resume_agency": _ACT,
    "create_person": Walked({"agency": "{agency}", "name": "某人", "roles": ["auditor"]}),
    "list_people": Walked(query="?agency={agency}"),
    "get_person": _GET,
    "set_roles": Walked({"roles": ["registrar"]}, headers=_VERSION),
    "suspend_person": _ACT,
    "resume_person": _ACT,
    "issue_person_code": _GET,
    "create_system": Walked({"agency": "{agency}", "name": "某系统"}),
    "list_systems": _OWN,
    "get_system": _GET,
    "suspend_system": _ACT,
    "resume_system": _ACT,
    "issue_system_code": _GET,
    "list_credentials": Walked(query="?agency={agency}"),
    "revoke_credential": _ACT,
    # catalog
    "create_entry": Walked(_SECRET_ENTRY),
    "list_entries": Walked(query="?state=draft", answers=True),
    "search_entries": Walked(query="?q=%E6%9C%AA%E5%8F%91%E5%B8%83", answers=True),
    "list_search_misses": _OWN,
    "get_entry": _GET,
    "get_entry_version": _GET,
    "put_draft": Walked(_SECRET_ENTRY, headers=_VERSION),
    "create_draft": _GET,
    "submit_entry": _GET,
    "approve_entry": _GET,
    "reject_entry": _ACT,
    "withdraw_entry": _ACT,
    # sharing
    "create_request": Walked(
        {"resource": "{resource}", "systems": ["{system}"], "items": ["code"], "modes": ["query"]}
        | {"purposes": [PURPOSE], "basis": "无", "scenario": "以他人系统之名"}
        | {"valid_from": "2026-01-01T00:00:00Z", "valid_until": "2027-12-31T00:00:00Z"},
        headers=_KEY,
    ),
    "list_requests": _OWN,
    "get_request": _GET,
    "submit_request": _GET,
    "ask_supplement": _ACT,
    "supplement_request": Walked({"text": "补充"}),
    "answer_request": Walked({"decision": "approve"}),
    "return_answer": _ACT,
    "confirm_answer": _GET,
    "withdraw_request": _ACT,
    "list_work": _OWN,
    "list_grants": _OWN,
    "get_grant": _GET,
    "suspend_grant": _ACT,
    "resume_grant": _ACT,
    "end_grant": _ACT,
    "renew_grant": Walked({"valid_until": "2028-12-31T00:00:00Z"}, headers=_KEY),
    "narrow_grant": Walked({"items": ["code"], "reason": "越权"}),
    "list_usable": Walked(query="?system={system}", answers=True),
    # transfer
    "query": Walked({"key": {"code": "33"}}, headers={"Datong_Grant": "{grant}"}),
    "open_batch": Walked({"mode": "snapshot"}, headers=_KEY),
    "list_batches": _GET,
    "get_batch": _GET,
    "put_chunk": Walked(
        ROW,
        headers={"Content_Type": "application/x-ndjson", "Content_Digest": f"sha-256=:{_DIGEST}:"},
    ),
    "list_chunks": _GET,
    "seal_batch": Walked({"chunks": 1}),
    "abandon_batch": _GET,
    "get_quarantine": _GET,
    "subscribe": Walked({"from": "beginning"}, headers={"Datong_Grant": "{grant}"}),
    "list_subscriptions": Walked(headers={"Datong_Grant": "{grant}"}),
    "get_subscription": _GET,
    "renew_subscription": _GET,
    "end_subscription": _GET,
    "list_deliveries": _GET,
    "get_segment": _GET,
    "put_receipt": Walked(_NOTHING),
    "list_reconciliations": Walked(query="?batch={batch}", answers=True),
    "list_reconciliation_days": Walked(query="?from=2026-01-01&until=2026-01-31", answers=True),
    # audit
    "get_checkpoint": _OWN,
    "get_log_key": _OWN,
    "get_tile": _GET,
    "search_records": Walked(query="?agency={agency}", answers=True),
    "get_record": _GET,
    "get_salt": _GET,
    "get_inclusion_proof": Walked(query="?index=0&size=1", answers=True),
    "get_consistency_proof": Walked(query="?old=1", answers=True),
    "get_gaps": _GET,
    "get_package": _GET,
    # gateway
    "call_get": _GET,
    "call_post": _GET,
    "call_put": _GET,
    "call_delete": _GET,
    "call_patch": _GET,
    "explain": Walked({"resource": "{resource}", "system": "{system}", "grant": "{grant}"}),
}

PUBLIC: Final = frozenset({"get_entry", "get_entry_version"})
"""Answered for an entry that is published."""

_NO_BATCH: Final = frozenset({"batch-unknown"})
_NO_SUBSCRIPTION: Final = frozenset({"subscription-unknown"})
_NO_DELIVERY: Final = frozenset({"delivery-unknown"})
DATA: Final[Mapping[str, frozenset[str]]] = {
    "query": frozenset({"grant-missing"}),
    "subscribe": frozenset({"grant-missing"}),
    "get_batch": _NO_BATCH,
    "put_chunk": _NO_BATCH,
    "list_chunks": _NO_BATCH,
    "seal_batch": _NO_BATCH,
    "abandon_batch": _NO_BATCH,
    "get_quarantine": _NO_BATCH,
    "get_subscription": _NO_SUBSCRIPTION,
    "renew_subscription": _NO_SUBSCRIPTION,
    "end_subscription": _NO_SUBSCRIPTION,
    "list_deliveries": _NO_SUBSCRIPTION,
    "get_segment": _NO_DELIVERY,
    "put_receipt": _NO_DELIVERY,
}
"""Refusals of a system that may use the resource, or publish to one, but not these objects."""


@dataclass(frozen=True)
class Ask:
    """One call of the walk, all objects filled in."""

    operation: str
    method: str
    path: str
    body: bytes
    headers: Mapping[str, str]
    answers: bool

    @property
    def said(self) -> str:
        """All that the caller said himself; to hear it again is no news."""
        return f"{self.path} {self.body.decode()} {' '.join(self.headers.values())}"


def asks(objects: Mapping[str, str], only: Collection[str] | None = None) -> Iterator[Ask]:
    """Return a call of every operation on `objects`.

    Args:
        objects: an id for every parameter of a path and every name in `WALK`.
        only: these operations alone.

    Raises:
        KeyError: the walk does not know an operation, or has no object for a parameter.
    """
    for name, (operation, _) in gateway_operations().items():
        if only is not None and name not in only:
            continue
        walked = WALK[name]
        filled = {**objects, "number": f"{name}-{objects['entry'][-4:]}"}
        body = walked.body
        if isinstance(body, bytes):
            data = _filled(body.decode(), filled).encode() if b"client_id" in body else body
        else:
            data = b"" if body is None else _filled(json.dumps(body), filled).encode()
        yield Ask(
            name,
            operation.method.upper(),
            _path(operation.path, filled) + _filled(walked.query, filled),
            data,
            {key: _filled(value, filled) for key, value in walked.headers.items()},
            walked.answers,
        )


def _path(template: str, objects: Mapping[str, str]) -> str:
    """Fill a path; a parameter that nobody has an object for is a KeyError."""
    return template.format_map(objects)


def _filled(text: str, objects: Mapping[str, str]) -> str:
    for name, value in objects.items():
        text = text.replace("{" + name + "}", value.replace("\n", "\\n"))
    return text
