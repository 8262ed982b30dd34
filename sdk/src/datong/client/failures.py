"""Turns what a connection or an answer shows into an error that says what to do."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import httpx

from datong.errors import (
    AnswerMalformed,
    CertificateRefused,
    NoAnswerInTime,
    Refused,
    ServerNotTrusted,
    Unreachable,
)
from datong.operations.operation import Answer

_ENROL_AGAIN = (
    "Check that the certificate is of this platform and still valid (datong whoami --local); "
    "otherwise ask your agency's security officer for a one-time code and enrol again."
)
_ALERTS = {
    "TLSV1_ALERT_UNKNOWN_CA": "it was issued by a CA that the gateway does not know",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "none was presented",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it is expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "it is revoked",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not verify",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not verify",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "its kind is not supported",
    "TLSV1_ALERT_DECRYPT_ERROR": "its key does not fit",
}
"""Alerts that are about the client certificate (RFC 8446 section 6.2), as OpenSSL names them."""


def unreachable(
    error: BaseException, *, gateway: str, call: str, is_fresh: bool, is_certified: bool
) -> Unreachable:
    """Explain a failed attempt.

    Args:
        is_fresh: the connection was opened for this call.
        is_certified: a client certificate was presented.
    """
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ServerNotTrusted(
                f"The certificate of {gateway} does not verify: {cause.verify_message}.",
                next_step="Name the CA of the gateway's server certificate (--server-ca FILE), and "
                "check the address.",
                call=call,
            )
        if isinstance(cause, ssl.SSLError) and "ALERT" in (cause.reason or ""):
            return _alert(str(cause.reason), gateway, call)
    if isinstance(error, (httpx.TimeoutException, TimeoutError)):
        return NoAnswerInTime(
            f"{gateway} gave no answer in time; whether the call was carried out is unknown.",
            next_step="Look whether it was, then try again or allow more time.",
            call=call,
        )
    if isinstance(error, httpx.ConnectError):
        return Unreachable(
            f"{gateway} cannot be reached: {error}.",
            next_step="Check the address, the network, and whether the platform runs.",
            call=call,
        )
    if is_fresh and is_certified:
        return CertificateRefused(
            f"{gateway} closed the new connection instead of answering, as it does when it does "
            "not accept the client certificate.",
            next_step=_ENROL_AGAIN,
            call=call,
        )
    return Unreachable(
        f"The connection to {gateway} broke before the answer was whole ({error}); whether the "
        "call was carried out is unknown.",
        next_step="Look whether it was, then try again.",
        call=call,
    )


def _alert(reason: str, gateway: str, call: str) -> Unreachable:
    if reason in _ALERTS:
        return CertificateRefused(
            f"{gateway} refused the client certificate: {_ALERTS[reason]}.",
            next_step=_ENROL_AGAIN,
            call=call,
        )
    return Unreachable(
        f"{gateway} ended the TLS handshake ({reason}).",
        next_step="Check that the address is a Datong gateway's: it speaks TLS 1.3.",
        call=call,
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def refusal(answer: Answer) -> Refused:
    """Read a problem document (RFC 9457).

    Raises:
        AnswerMalformed: the answer is none, hence not from the platform.
    """
    document = answer.json()
    if not isinstance(document, dict) or not isinstance(document.get("code"), str):
        raise AnswerMalformed(
            f"The answer {answer.status} to call {answer.call} is not a problem document.",
            next_step="Check that the address is a Datong gateway's.",
        )
    facts, errors = document.get("facts"), document.get("errors")
    return Refused(
        document["code"],
        answer.status,
        str(document.get("title", document["code"])),
        str(document.get("detail", "")),
        next_step=document.get("next_step"),
        who=document.get("who"),
        facts=facts if isinstance(facts, dict) else None,
        errors=[error for error in errors if isinstance(error, dict)]
        if isinstance(errors, list)
        else (),
        call=answer.call,
        evidence=answer.evidence,
    )
