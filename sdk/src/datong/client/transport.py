"""One attempt of one call: logged before it leaves, and what came of it logged after."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Mapping
from typing import IO, Any
from urllib.parse import urlsplit

import httpx

from datong.calls import CallLog, new_call_id
from datong.client.failures import refusal, unreachable
from datong.errors import DatongError, InputInvalid, Refused
from datong.operations.calls import OWNER_HEADER
from datong.operations.operation import Answer, Operation

CONNECT_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 60.0
GRACE_SECONDS = 5.0
"""How much longer than the gateway the client waits, so that the gateway's refusal arrives."""
_CHUNK_BYTES = 1 << 16


def address_of(gateway: str) -> str:
    """Turn `host:port` or `https://host:port` into the address of a gateway.

    Raises:
        InputInvalid: another scheme, a path, or no host.
    """
    text = gateway if "://" in gateway else f"https://{gateway}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InputInvalid(f"{gateway} is not an address: {error}.") from error
    has_more = parts.path not in ("", "/") or parts.query or parts.username
    if parts.scheme != "https" or not parts.hostname or has_more:
        raise InputInvalid(
            f"{gateway} is not the address of a gateway.", next_step="It reads host:port."
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}:{port or 443}"


class Transport:
    """Connections to one gateway, kept alive, with or without a client certificate."""

    def __init__(
        self,
        gateway: str,
        tls: ssl.SSLContext,
        *,
        certificate: str | None,
        call_log: CallLog | None,
        seconds: float,
        connections: int,
    ) -> None:
        """Open nothing yet.

        Args:
            certificate: thumbprint of the certificate that `tls` presents.
            seconds: time allowed for an answer when the operation says nothing.
            connections: most connections at once; further calls wait.
        """
        self.gateway = address_of(gateway)
        self._certificate = certificate
        self._log = call_log
        self._seconds = seconds
        self._http = httpx.AsyncClient(
            verify=tls,
            trust_env=False,  # a proxy of the environment would see the calls, or break mTLS
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            limits=httpx.Limits(
                max_connections=connections,
                max_keepalive_connections=connections,
                keepalive_expiry=KEEP_ALIVE_SECONDS,
            ),
            # The digest on record is of the bytes as they travel: no compression.
            headers={"Accept-Encoding": "identity", "User-Agent": "datong"},
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def attempt(
        self,
        operation: Operation[Any],
        headers: Mapping[str, str],
        *,
        sink: IO[bytes] | None = None,
    ) -> Answer:
        """Make one attempt under a new call id.

        Args:
            headers: besides the operation's own.
            sink: takes the body of a success instead of the answer.

        Raises:
            InputInvalid: this cannot be sent at all.
            Refused: the platform refused.
            Unreachable: no whole answer; the outcome is unknown.
        """
        call = new_call_id()
        fresh: list[str] = []

        async def trace(event: str, _: Mapping[str, Any]) -> None:
            if event == "connection.connect_tcp.started":
                fresh.append(event)
            elif event.endswith("receive_response_headers.complete"):
                fresh.clear()  # an answer began: the certificate was accepted

        request = self._request(operation, {**headers, "Datong-Call": call}, trace)
        if self._log is not None:
            await self._log.sent(
                call,
                operation,
                certificate=self._certificate,
                purpose=operation.headers.get("Datong-Purpose"),
            )
        allowed = (operation.seconds or self._seconds) + GRACE_SECONDS
        try:
            async with asyncio.timeout(allowed):
                answer, digest, size = await self._exchange(request, call, sink)
        except (httpx.HTTPError, TimeoutError, ssl.SSLError, OSError) as error:
            self._note_unknown(call, error)
            raise unreachable(
                error,
                gateway=self.gateway,
                call=call,
                is_fresh=bool(fresh),
                is_certified=self._certificate is not None,
            ) from error
        except BaseException as error:
            self._note_unknown(call, error)
            raise
        return self._judge(answer, operation, digest, size)

    def _request(
        self, operation: Operation[Any], headers: Mapping[str, str], trace: Any
    ) -> httpx.Request:
        named = {**operation.headers, **headers}
        try:
            return self._http.build_request(
                operation.method,
                self.gateway + operation.path,
                headers=[
                    (name.encode("ascii"), value.encode("utf-8"))  # file numbers: 〔2026〕1号
                    for name, value in named.items()
                ],
                content=operation.body if operation.method != "GET" else None,
                extensions={"trace": trace},
            )
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise InputInvalid(f"{operation.name} cannot be sent so: {error}.") from error

    async def _exchange(
        self, request: httpx.Request, call: str, sink: IO[bytes] | None
    ) -> tuple[Answer, str, int]:
        response = await self._http.send(request, stream=True)
        try:
            keeps = sink is None or response.status_code >= httpx.codes.BAD_REQUEST
            if sink is not None and "range" in request.headers:
                _begin_again_unless_partial(response, sink)
            digest, size, parts = hashlib.sha256(), 0, []
            async for chunk in response.aiter_raw(_CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
                if keeps or sink is None:
                    parts.append(chunk)
                else:
                    sink.write(chunk)
        finally:
            await response.aclose()
        headers = {name.lower(): value for name, value in response.headers.items()}
        answer = Answer(response.status_code, headers, b"".join(parts), call)
        return answer, digest.hexdigest(), size

    def _judge(self, answer: Answer, operation: Operation[Any], digest: str, size: int) -> Answer:
        problem: DatongError | None = None
        # What an owner's own service answers is for the caller to judge.
        if not httpx.codes.is_success(answer.status) and OWNER_HEADER not in answer.headers:
            try:
                problem = refusal(answer)
            except DatongError as error:
                problem = error
        if self._log is not None:
            code = problem.code if isinstance(problem, Refused) else None
            self._log.answered(answer, operation, code=code, digest=digest, size=size)
        if problem is not None:
            raise problem
        return answer

    def _note_unknown(self, call: str, error: BaseException) -> None:
        if self._log is not None:
            self._log.unknown(call, error)


def _begin_again_unless_partial(response: httpx.Response, sink: IO[bytes]) -> None:
    """Drop what the sink holds when the whole is answered instead of the rest (RFC 9110, 14.2)."""
    if response.status_code == httpx.codes.OK:
        sink.seek(0)
        sink.truncate()
