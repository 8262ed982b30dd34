"""What an operation is: a call that has not been made yet, and the answer to one."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from datong.errors import AnswerMalformed

T = TypeVar("T")
Json = dict[str, Any]
"""An object of the contract, as it came."""

JSON = "application/json"
NDJSON = "application/x-ndjson"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
FORM = "application/x-www-form-urlencoded"


MAX_WAIT = 30
"""Most seconds that an answer waits for news."""
SPARE_SECONDS = 10.0
"""How much longer than its wait a waiting call is allowed to take."""


class Access(StrEnum):
    """What an operation asks of the connection (`x-datong-access` of the contract)."""

    PUBLIC = "public"
    CERTIFICATE = "certificate"
    CALLER = "caller"


@dataclass(frozen=True)
class Answer:
    """The answer to one attempt; `evidence` names the record that the platform keeps of it."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes
    call: str

    @property
    def evidence(self) -> str | None:
        """Id of the record of this call."""
        return self.headers.get("datong-evidence")

    @property
    def salt(self) -> str | None:
        """Salt of the digests in that record (base64url); keep it to prove what was answered."""
        return self.headers.get("datong-salt")

    @property
    def etag(self) -> str | None:
        """Version of the object, for `If-Match`."""
        return self.headers.get("etag")

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            AnswerMalformed: it is none.
        """
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise AnswerMalformed(
                f"The answer {self.status} to call {self.call} is not JSON.",
                next_step="Check that the address is a Datong gateway's.",
            ) from error


@dataclass(frozen=True)
class Operation(Generic[T]):
    """A call to be made.

    Attributes:
        name: operationId of the contract.
        path: path with its parameters filled in and escaped.
        read: turns the answer into what the caller wants.
        idempotent: whether it may be repeated when a connection breaks.
        seconds: time allowed for the answer; the client's default when None.
    """

    name: str
    method: str
    path: str
    read: Callable[[Answer], T]
    access: Access = Access.CALLER
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    idempotent: bool = False
    seconds: float | None = None


@dataclass(frozen=True)
class Page:
    """One page of a list; `next` is the cursor of the following one, None on the last."""

    items: list[Json]
    next: str | None


def path_of(template: str, **parameters: str) -> str:
    """Fill a path template; everything but unreserved characters is escaped."""
    return template.format(**{name: quote(value, safe="") for name, value in parameters.items()})


def with_query(path: str, **parameters: str | int | None) -> str:
    """Append the parameters that are given; a trailing underscore of a name is dropped."""
    given = {
        name.rstrip("_"): str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in parameters.items()
        if value is not None
    }
    return f"{path}?{urlencode(given)}" if given else path


def json_body(value: Any) -> bytes:
    """Write a body as JSON in UTF-8.

    Raises:
        ValueError: NaN or infinity, which JSON does not have.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def content_digest(body: bytes) -> str:
    """Value of `Content-Digest` (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def read_object(answer: Answer) -> Json:
    """Read an answer that is one object."""
    value = answer.json()
    if not isinstance(value, dict):
        raise AnswerMalformed(f"The answer to call {answer.call} is not an object.")
    return value


def read_page(answer: Answer) -> Page:
    """Read an answer that is one page of a list."""
    value = read_object(answer)
    items, following = value.get("items"), value.get("next")
    if not isinstance(items, list):
        raise AnswerMalformed(f"The answer to call {answer.call} is not a list.")
    return Page(items, following if isinstance(following, str) else None)


def read_text(answer: Answer) -> str:
    """Read an answer that is text in UTF-8."""
    try:
        return answer.body.decode()
    except UnicodeDecodeError as error:
        raise AnswerMalformed(f"The answer to call {answer.call} is not text.") from error


def read_bytes(answer: Answer) -> bytes:
    """Read an answer as it came."""
    return answer.body


def get(name: str, path: str, read: Callable[[Answer], T]) -> Operation[T]:
    """An operation that only reads."""
    return Operation(name, "GET", path, read, idempotent=True)


def timeout_text(seconds: float) -> str:
    """Value of `Datong-Timeout`: seconds with at most three decimals."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def get_waiting(
    name: str, path: str, read: Callable[[Answer], T], wait: int, **parameters: str | int | None
) -> Operation[T]:
    """An operation that reads, and may wait for news before it answers.

    Args:
        wait: seconds, at most 30; 0 answers at once.
    """
    if not wait:
        return get(name, with_query(path, **parameters), read)
    seconds = wait + SPARE_SECONDS
    return Operation(
        name,
        "GET",
        with_query(path, wait=wait, **parameters),
        read,
        headers={"Datong-Timeout": timeout_text(seconds)},
        idempotent=True,
        seconds=seconds,
    )


def post(
    name: str, path: str, body: Any, *, headers: Mapping[str, str] | None = None
) -> Operation[Json]:
    """An operation that creates or changes; not repeated when a connection breaks."""
    return Operation(
        name,
        "POST",
        path,
        read_object,
        headers={"Content-Type": JSON, **(headers or {})},
        body=json_body(body),
    )
