"""`POST /gateway/v1/explanations`: every check of a data call, in order, without making it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson

from gateway.domain import Call, Data, Party, explain
from gateway.table import PermissionTable
from kit import problems
from kit.canonical import NotStrictJson, strict_loads
from kit.ids import is_plain_id, is_uuid

MAX_BODY: Final = 65536
_ROUTES: Final = {
    "query": "query",
    "batch": "subscribe",
    "call": "call_get",
    "publish": "open_batch",
}


@dataclass(frozen=True, slots=True)
class Explained:
    """An answer: status, media type, body, and the code of the refusal if it is one."""

    status: int
    media_type: str
    body: bytes
    reason: str | None = None


class Explainer:
    """Explains calls to those whom they concern: the caller's agency, the owner, auditors."""

    def __init__(self, table: PermissionTable) -> None:
        self._table = table

    def explain(self, caller: Party, body: bytes, call: str) -> Explained:
        """Answer one explanation.

        Args:
            caller: who asks; has been checked.
            body: strict JSON: `resource`, and optionally `mode` (query), `system` (the caller),
                `purpose`, `grant`, `items`; with mode `call` always `operation`.
            call: id of the asking call.
        """
        try:
            asked = strict_loads(body, max_bytes=MAX_BODY)
        except NotStrictJson as error:
            return _refused("body-malformed", str(error), call)
        faults = _faults(asked)
        if not faults and caller.kind != "system" and "system" not in asked:
            faults = [("/system", "People name the system whose call is explained.")]
        if faults:
            errors = [{"pointer": pointer, "detail": detail} for pointer, detail in faults]
            return _refused(
                "body-invalid", f"{len(faults)} members are not valid.", call, errors=errors
            )
        system = asked.get("system", caller.id)
        if not self._concerns(caller, system, asked["resource"]):
            return _refused(
                "other-agency",
                "Explanations are for the calling system's agency, the owner and auditors.",
                call,
            )
        return self._explained(system, asked)

    def _concerns(self, caller: Party, system: str, resource: str) -> bool:
        """Tell whether a call of `system` to `resource` is the business of `caller`."""
        if caller.subject == f"system/{system}":
            return True
        party = self._table.party("system", system)
        if party is not None and party.agency == caller.agency:
            return True
        entry = self._table.entry_of(resource)
        if entry is not None and entry.agency == caller.agency:
            return True
        holder = self._table.directory.holders.get(caller.subject)
        return holder is not None and "auditor" in holder.roles

    def _operation(self, asked: Mapping[str, Any]) -> str | None:
        """Return the operation as a call would have it: empty when the service has none such."""
        if asked.get("mode") != "call":
            return None
        entry = self._table.entry_of(asked["resource"])
        service = None if entry is None else entry.service
        names = () if service is None else service.operations
        name = str(asked["operation"])
        return name if any(name == operation.name for operation in names) else ""

    def _explained(self, system: str, asked: Mapping[str, Any]) -> Explained:
        mode = asked.get("mode", "query")
        items = asked.get("items")
        call = Call(
            _ROUTES[mode],
            "caller",
            "transfer",
            cast(Data, mode),
            asked["resource"],
            asked.get("purpose"),
            None,
            asked.get("grant"),
            self._operation(asked),
            items=None if items is None else tuple(items),
        )
        checks = explain(self._table, call, time.time(), f"system/{system}")
        failed = [check.name for check in checks if check.passed is False]
        fresh = self._table.is_fresh(time.monotonic())
        reason = failed[0] if failed else None if fresh else "permissions-stale"
        answer: dict[str, Any] = {
            "system": system,
            "resource": asked["resource"],
            "mode": mode,
            "decision": "allowed" if reason is None else "denied",
            "checks": [
                {"check": check.name, "passed": check.passed, "fact": check.fact}
                for check in checks
            ],
            "fresh": fresh,
        }
        if reason is not None:
            answer["reason"] = reason
            answer["next_step"] = problems.registry()[reason].next_step
        return Explained(200, "application/json", orjson.dumps(answer))


def _is_uuid(value: Any) -> bool:
    return isinstance(value, str) and is_uuid(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 256


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(_is_text(name) for name in value)


_FORMS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "resource": (
        lambda value: isinstance(value, str) and is_plain_id(value),
        "This is the plain id of a resource.",
    ),
    "mode": (
        lambda value: isinstance(value, str) and value in _ROUTES,
        "The mode is query, batch, call or publish.",
    ),
    "system": (_is_uuid, "This is a UUID in lower case."),
    "grant": (_is_uuid, "This is a UUID in lower case."),
    "purpose": (_is_text, "This is text of at most 256 characters."),
    "operation": (_is_text, "This is text of at most 256 characters."),
    "items": (_are_names, "This is a list of names of items."),
}


def _faults(asked: Any) -> list[tuple[str, str]]:
    """Return pointer and sentence of everything that is wrong with a body."""
    if not isinstance(asked, dict):
        return [("", "The body is an object.")]
    if "resource" not in asked:
        return [("/resource", "The plain id of a resource is needed.")]
    faults = []
    if (asked.get("mode") == "call") != ("operation" in asked):
        faults.append(("/operation", "An operation is named with mode call, and only with it."))
    for name, value in asked.items():
        holds, sentence = _FORMS.get(name, (_never, "There is no such member."))
        if not holds(value):
            faults.append((f"/{name[:64]}", sentence))
    return faults


def _never(_value: Any) -> bool:
    return False


def _refused(
    code: str, detail: str, call: str, errors: Sequence[Mapping[str, str]] = ()
) -> Explained:
    body = problems.document(code, detail, errors=errors, call=call)
    return Explained(problems.registry()[code].status, problems.MEDIA_TYPE, body, code)
