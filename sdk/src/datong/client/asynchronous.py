"""The client for asyncio: every operation of the contract as one method."""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Concatenate, ParamSpec, Self, TypeVar

from datong.calls import CallLog
from datong.client.tokens import TokenKeeper
from datong.client.transport import Transport
from datong.errors import (
    CertificateRefused,
    InputInvalid,
    NoAnswerInTime,
    ProofFailed,
    Refused,
    ServerNotTrusted,
    Unreachable,
)
from datong.identity import Identity, server_trust
from datong.operations import (
    audit,
    batches,
    calls,
    catalogue,
    data,
    deliveries,
    reconciliation,
    sharing,
)
from datong.operations import identity as identities
from datong.operations.data import Rows
from datong.operations.operation import Access, Answer, Json, Operation, Page, timeout_text
from datong.revisions import Revisions
from datong.settings import read_settings

P = ParamSpec("P")
T = TypeVar("T")

SECONDS = 30.0
"""Time that the gateway allows for an answer by default."""
CONNECTIONS = 64
_TOKEN_REFUSALS = frozenset({"token-invalid", "token-not-bound"})


def _awaited(
    make: Callable[P, Operation[T]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """Make a method that builds an operation and sends it."""

    @functools.wraps(make)
    def method(client: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        return client.send(make(*args, **kwargs))

    return method


class AsyncClient:
    """Calls one gateway as one person or system.

    Every method named like an operationId of the contract makes that call and raises `Refused`
    with reason and next step, or `Unreachable`. Connections and the access token are kept.

        async with AsyncClient("~/.config/datong/health") as client:
            rows = await client.query("divisions", purpose="registration", key={"code": "330100"})
    """

    def __init__(
        self,
        identity: Identity | Path | str | None = None,
        *,
        gateway: str | None = None,
        server_ca: Path | None = None,
        call_log: CallLog | Path | None = None,
        revisions: Revisions | None = None,
        token: str | None = None,
        seconds: float = SECONDS,
        connections: int = CONNECTIONS,
        retries: int = 1,
    ) -> None:
        """Open nothing yet; connections are made by the first call.

        Args:
            identity: identity or its folder; None: no certificate, for public operations only.
            gateway: address `host:port`; the identity's own by default.
            server_ca: CA of the gateway's server certificate; the identity's, or the system's.
            call_log: file for the log of calls; `DATONG_CALL_LOG` by default, else none.
            revisions: states seen, to be shared between clients that build on each other's writes.
            token: use this access token as it is instead of fetching one.
            seconds: time allowed for an answer, unless a call says otherwise.
            connections: most connections at once.
            retries: how often an idempotent call is repeated, under a new call id, when its
                connection breaks.

        Raises:
            IdentityUnusable: the folder holds no usable identity.
            InputInvalid: no gateway address, or a call log that cannot be opened.
        """
        if isinstance(identity, (str, Path)):
            identity = Identity.load(Path(identity).expanduser())
        address = gateway or (identity.gateway if identity else None)
        if address is None:
            raise InputInvalid("Without an identity the gateway's address is needed.")
        self.identity = identity
        self.revisions = revisions or Revisions()
        if identity:
            self.revisions.note(identity.after)
        self._owns_log = not isinstance(call_log, CallLog)
        self._log = call_log if isinstance(call_log, CallLog) else _open_log(call_log)
        tls = identity.tls() if identity else server_trust(server_ca)
        if identity and server_ca:
            tls.load_verify_locations(cafile=server_ca)
        self._transport = Transport(
            address,
            tls,
            certificate=identity.thumbprint if identity else None,
            call_log=self._log,
            seconds=seconds,
            connections=connections,
        )
        self._tokens = TokenKeeper(identity, fixed=token)
        self._retries = retries
        self._timeout = timeout_text(seconds) if seconds != SECONDS else None

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close connections and the call log."""
        await self.close()

    async def close(self) -> None:
        """Close connections, and the call log if this client opened it."""
        await self._transport.close()
        if self._log is not None and self._owns_log:
            self._log.close()

    async def send(self, operation: Operation[T]) -> T:
        """Make a call and read its answer.

        Raises:
            Refused: the platform refused.
            Unreachable: no answer, or none that is whole.
            AnswerMalformed: the answer breaks the contract.
        """
        return operation.read(await self.exchange(operation))

    async def exchange(self, operation: Operation[Any], *, sink: IO[bytes] | None = None) -> Answer:
        """Make a call and return the answer as it came, with its evidence id and salt.

        Args:
            sink: takes the body of a success instead of the answer; such a call is not repeated.
        """
        left = self._retries if operation.idempotent and sink is None else 0
        while True:
            try:
                return await self._attempt(operation, sink)
            except (CertificateRefused, ServerNotTrusted, NoAnswerInTime):
                raise
            except Unreachable:
                if left == 0:
                    raise
                left -= 1

    async def _attempt(self, operation: Operation[Any], sink: IO[bytes] | None) -> Answer:
        headers: dict[str, str] = {}
        if self._timeout is not None and operation.seconds is None:
            headers["Datong-Timeout"] = self._timeout
        if operation.access is Access.CALLER:
            token = await self._tokens.get(self._issue_token)
            if token is not None:
                headers["Authorization"] = f"Bearer {token}"
        if operation.access is not Access.PUBLIC:
            after = self.revisions.header()
            if after is not None:
                headers["Datong-After"] = after
        try:
            answer = await self._transport.attempt(operation, headers, sink=sink)
        except Refused as refused:
            if refused.code in _TOKEN_REFUSALS:
                self._tokens.forget()
            raise
        self.revisions.note(answer.headers.get("datong-revision"))
        return answer

    def _issue_token(self) -> Coroutine[Any, Any, Json]:
        if self.identity is None:
            raise InputInvalid("Without an identity there is no token.")
        return self.send(identities.issue_token(self.identity.id))

    async def fetch_token(self) -> str | None:
        """The access token that calls are made with; fetched when none is at hand."""
        return await self._tokens.get(self._issue_token)

    async def every(
        self, list_: Callable[..., Operation[Page]], /, **filters: Any
    ) -> AsyncIterator[Json]:
        """All items of a list, page by page.

        Args:
            list_: an operation that lists, such as `datong.operations.sharing.list_grants`.
            filters: its parameters.
        """
        cursor: str | None = None
        while True:
            page = await self.send(list_(**filters, cursor=cursor))
            for item in page.items:
                yield item
            cursor = page.next
            if cursor is None:
                return

    async def query_pages(self, resource: str, **wanted: Any) -> AsyncIterator[Rows]:
        """All pages of a query, each with its own evidence; parameters as of `query`."""
        cursor: str | None = wanted.pop("cursor", None)
        while True:
            rows = await self.query(resource, cursor=cursor, **wanted)
            yield rows
            cursor = rows.next
            if cursor is None:
                return

    async def download_package(
        self, file: Path, *, from_: str | None = None, until: str | None = None
    ) -> Answer:
        """Write an evidence package to `file`, which appears only when it is whole."""
        waiting = file.with_name(file.name + ".partial")
        try:
            with waiting.open("wb") as sink:
                answer = await self.exchange(audit.get_package(from_=from_, until=until), sink=sink)
            waiting.replace(file)
        finally:
            waiting.unlink(missing_ok=True)
        return answer

    async def download_segment(
        self,
        resource: str,
        delivery: str,
        segment: Json,
        file: Path,
        *,
        purpose: str | None = None,
        grant: str | None = None,
    ) -> None:
        """Write a segment to `file`, which appears only when its SHA-256 is the listed one.

        What an earlier attempt left in `<file>.partial` is gone on with.

        Args:
            segment: `number`, `bytes` and `digest` as the delivery lists them; without a digest the
                platform says why it hands nothing out.

        Raises:
            ProofFailed: the bytes that came are not the listed ones; they were thrown away.
        """
        waiting = file.with_name(file.name + ".partial")
        with waiting.open("ab") as sink:
            first = sink.tell()
            if first < segment["bytes"]:
                asked = deliveries.get_segment(
                    resource,
                    delivery,
                    segment["number"],
                    first=first,
                    digest=segment["digest"],
                    purpose=purpose,
                    grant=grant,
                )
                await self.exchange(asked, sink=sink)
        if await asyncio.to_thread(_sha256, waiting) != segment["digest"]:
            waiting.unlink()
            raise ProofFailed(
                f"Segment {segment['number']} of delivery {delivery} is not the one that the "
                "platform listed; it was thrown away.",
                next_step="Try again; if it stays so, tell the operator of the platform.",
            )
        waiting.replace(file)

    # identity
    get_ca = _awaited(identities.get_ca)
    get_crl = _awaited(identities.get_crl)
    get_jwks = _awaited(identities.get_jwks)
    enrol = _awaited(identities.enrol)
    renew = _awaited(identities.renew)
    issue_token = _awaited(identities.issue_token)
    get_me = _awaited(identities.get_me)
    create_agency = _awaited(identities.create_agency)
    list_agencies = _awaited(identities.list_agencies)
    get_agency = _awaited(identities.get_agency)
    suspend_agency = _awaited(identities.suspend_agency)
    resume_agency = _awaited(identities.resume_agency)
    create_person = _awaited(identities.create_person)
    list_people = _awaited(identities.list_people)
    get_person = _awaited(identities.get_person)
    set_roles = _awaited(identities.set_roles)
    suspend_person = _awaited(identities.suspend_person)
    resume_person = _awaited(identities.resume_person)
    issue_person_code = _awaited(identities.issue_person_code)
    create_system = _awaited(identities.create_system)
    list_systems = _awaited(identities.list_systems)
    get_system = _awaited(identities.get_system)
    suspend_system = _awaited(identities.suspend_system)
    resume_system = _awaited(identities.resume_system)
    issue_system_code = _awaited(identities.issue_system_code)
    list_credentials = _awaited(identities.list_credentials)
    revoke_credential = _awaited(identities.revoke_credential)
    # catalogue
    create_entry = _awaited(catalogue.create_entry)
    list_entries = _awaited(catalogue.list_entries)
    search_entries = _awaited(catalogue.search_entries)
    list_search_misses = _awaited(catalogue.list_search_misses)
    get_entry = _awaited(catalogue.get_entry)
    get_entry_version = _awaited(catalogue.get_entry_version)
    put_draft = _awaited(catalogue.put_draft)
    create_draft = _awaited(catalogue.create_draft)
    submit_entry = _awaited(catalogue.submit_entry)
    approve_entry = _awaited(catalogue.approve_entry)
    reject_entry = _awaited(catalogue.reject_entry)
    withdraw_entry = _awaited(catalogue.withdraw_entry)
    # sharing
    create_request = _awaited(sharing.create_request)
    list_requests = _awaited(sharing.list_requests)
    get_request = _awaited(sharing.get_request)
    submit_request = _awaited(sharing.submit_request)
    ask_supplement = _awaited(sharing.ask_supplement)
    supplement_request = _awaited(sharing.supplement_request)
    answer_request = _awaited(sharing.answer_request)
    return_answer = _awaited(sharing.return_answer)
    confirm_answer = _awaited(sharing.confirm_answer)
    withdraw_request = _awaited(sharing.withdraw_request)
    list_work = _awaited(sharing.list_work)
    list_grants = _awaited(sharing.list_grants)
    get_grant = _awaited(sharing.get_grant)
    suspend_grant = _awaited(sharing.suspend_grant)
    resume_grant = _awaited(sharing.resume_grant)
    end_grant = _awaited(sharing.end_grant)
    renew_grant = _awaited(sharing.renew_grant)
    narrow_grant = _awaited(sharing.narrow_grant)
    list_usable = _awaited(sharing.list_usable)
    # data
    query = _awaited(data.query)
    explain = _awaited(data.explain)
    # calls
    call_get = _awaited(calls.call_get)
    call_post = _awaited(calls.call_post)
    call_put = _awaited(calls.call_put)
    call_patch = _awaited(calls.call_patch)
    call_delete = _awaited(calls.call_delete)
    # batches
    open_batch = _awaited(batches.open_batch)
    list_batches = _awaited(batches.list_batches)
    get_batch = _awaited(batches.get_batch)
    put_chunk = _awaited(batches.put_chunk)
    list_chunks = _awaited(batches.list_chunks)
    seal_batch = _awaited(batches.seal_batch)
    abandon_batch = _awaited(batches.abandon_batch)
    get_quarantine = _awaited(batches.get_quarantine)
    # deliveries
    subscribe = _awaited(deliveries.subscribe)
    list_subscriptions = _awaited(deliveries.list_subscriptions)
    get_subscription = _awaited(deliveries.get_subscription)
    list_deliveries = _awaited(deliveries.list_deliveries)
    get_segment = _awaited(deliveries.get_segment)
    put_receipt = _awaited(deliveries.put_receipt)
    renew_subscription = _awaited(deliveries.renew_subscription)
    end_subscription = _awaited(deliveries.end_subscription)
    # reconciliation
    list_reconciliations = _awaited(reconciliation.list_reconciliations)
    list_reconciliation_days = _awaited(reconciliation.list_reconciliation_days)
    # audit
    get_checkpoint = _awaited(audit.get_checkpoint)
    get_log_key = _awaited(audit.get_log_key)
    get_tile = _awaited(audit.get_tile)
    search_records = _awaited(audit.search_records)
    get_record = _awaited(audit.get_record)
    get_salt = _awaited(audit.get_salt)
    get_inclusion_proof = _awaited(audit.get_inclusion_proof)
    get_consistency_proof = _awaited(audit.get_consistency_proof)
    get_gaps = _awaited(audit.get_gaps)
    get_package = _awaited(audit.get_package)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _open_log(path: Path | None) -> CallLog | None:
    configured = path or read_settings().call_log
    return CallLog(configured) if configured is not None else None
