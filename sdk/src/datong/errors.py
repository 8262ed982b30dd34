"""What can go wrong, each with what to do next. `exit_code` is what the command ends with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class DatongError(Exception):
    """Something the caller can act on; `next_step` says how."""

    exit_code: ClassVar[int] = 1

    def __init__(self, detail: str, *, next_step: str | None = None) -> None:
        """Say what happened and what to do."""
        super().__init__(detail)
        self.detail = detail
        self.next_step = next_step


class IdentityUnusable(DatongError):
    """The identity folder is absent, incomplete or not private."""

    exit_code = 2


class InputInvalid(DatongError):
    """An argument or a file cannot be used; nothing was sent."""

    exit_code = 2


class CallLogFailed(DatongError):
    """The log of calls cannot be written. A call whose beginning is not logged is not sent."""


class Refused(DatongError):
    """The platform refused (RFC 9457); nothing was changed and no data was released.

    Attributes:
        code: permanent reason code, a row of the platform's `contracts/problems.yaml`.
        status: HTTP status.
        title: the refusal in some words.
        who: who can help.
        facts: the facts that decided.
        errors: `{"pointer", "detail"}` per wrong member of the body (RFC 6901).
        call: id of the call, to be named when asking for help.
        evidence: id of the record of this refusal, when one was made.
    """

    exit_code = 3

    def __init__(
        self,
        code: str,
        status: int,
        title: str,
        detail: str,
        *,
        next_step: str | None = None,
        who: str | None = None,
        facts: Mapping[str, Any] | None = None,
        errors: Sequence[Mapping[str, str]] = (),
        call: str | None = None,
        evidence: str | None = None,
    ) -> None:
        """Keep the members of the problem document."""
        super().__init__(detail, next_step=next_step)
        self.code = code
        self.status = status
        self.title = title
        self.who = who
        self.facts = dict(facts or {})
        self.errors = list(errors)
        self.call = call
        self.evidence = evidence
        self.args = (self.readable(),)

    def readable(self) -> str:
        """The refusal in lines for people; also what `str` gives."""
        lines = [f"{self.title} ({self.code}, {self.status}): {self.detail}"]
        lines += [f"  at {error.get('pointer')}: {error.get('detail')}" for error in self.errors]
        lines += [f"  {name}: {value}" for name, value in self.facts.items()]
        labelled = (("next step", self.next_step), ("who can help", self.who), ("call", self.call))
        lines += [f"  {label}: {text}" for label, text in labelled if text]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """The problem document again, without what it has not."""
        members = {
            "code": self.code,
            "status": self.status,
            "title": self.title,
            "detail": self.detail,
            "next_step": self.next_step,
            "who": self.who,
            "facts": self.facts,
            "errors": self.errors,
            "call": self.call,
            "evidence": self.evidence,
        }
        return {name: value for name, value in members.items() if value not in (None, {}, [])}


class Unreachable(DatongError):
    """The gateway gave no answer; whether the call arrived is unknown unless said otherwise."""

    exit_code = 4

    def __init__(
        self, detail: str, *, next_step: str | None = None, call: str | None = None
    ) -> None:
        """Keep the id of the call whose outcome is unknown."""
        super().__init__(detail, next_step=next_step)
        self.call = call


class NoAnswerInTime(Unreachable):
    """The time that the caller allowed is over."""


class CertificateRefused(Unreachable):
    """The gateway ended the connection because of the client certificate.

    With TLS 1.3 a client learns of a refused certificate only after its handshake is over, as an
    alert or as a closed connection in place of an answer.
    """


class ServerNotTrusted(Unreachable):
    """The certificate of the gateway does not verify against the trusted CA."""


class AnswerMalformed(DatongError):
    """The answer is not what the contract promises."""


class ProofFailed(DatongError):
    """Something that was to be proved is not so: a pinned CA, a checkpoint, a package."""

    exit_code = 5


class TableUnfit(DatongError):
    """A table of one's own is not what it should be: its columns, its rows, or the rights on it."""

    exit_code = 2


class StoreUnavailable(DatongError):
    """One's own database does not answer, or is busy; worth another try."""

    exit_code = 4


class ReconciliationDiffers(DatongError):
    """One's own figures of a delivery are not the platform's."""

    exit_code = 6
