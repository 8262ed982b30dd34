"""The same client without `await`: it runs an `AsyncClient` on a thread of its own."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import IO, Any, Concatenate, ParamSpec, Self, TypeVar

from datong.calls import CallLog
from datong.client.asynchronous import CONNECTIONS, SECONDS, AsyncClient
from datong.identity import Identity
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
from datong.operations.operation import Answer, Json, Operation, Page
from datong.revisions import Revisions

P = ParamSpec("P")
T = TypeVar("T")


def _waited(make: Callable[P, Operation[T]]) -> Callable[Concatenate[Client, P], T]:
    """Make a method that builds an operation, sends it and waits for its answer."""

    @functools.wraps(make)
    def method(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client.send(make(*args, **kwargs))

    return method


class Client:
    """Calls one gateway as one person or system; may be used from any thread.

    Every method named like an operationId of the contract makes that call and raises `Refused`
    with reason and next step, or `Unreachable`. Connections and the access token are kept.

        with Client("~/.config/datong/health") as client:
            rows = client.query("divisions", purpose="registration", key={"code": "330100"})
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
        """Take the same arguments as `AsyncClient`."""
        self.asynchronous = AsyncClient(
            identity,
            gateway=gateway,
            server_ca=server_ca,
            call_log=call_log,
            revisions=revisions,
            token=token,
            seconds=seconds,
            connections=connections,
            retries=retries,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._run, name="datong-client", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close connections and the call log."""
        self.close()

    def close(self) -> None:
        """Close connections and the call log, and end the thread; a second time does nothing."""
        if self._loop.is_closed():
            return
        self.wait(self.asynchronous.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_forever()
        # Sockets of connections that were cut off are closed in the next turns of the loop.
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of the asynchronous client and wait for it; Ctrl-C cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    @property
    def identity(self) -> Identity | None:
        """Who calls."""
        return self.asynchronous.identity

    @property
    def revisions(self) -> Revisions:
        """States that this client has seen."""
        return self.asynchronous.revisions

    def send(self, operation: Operation[T]) -> T:
        """Make a call and read its answer; see `AsyncClient.send`."""
        return self.wait(self.asynchronous.send(operation))

    def exchange(self, operation: Operation[Any], *, sink: IO[bytes] | None = None) -> Answer:
        """Make a call and return the answer as it came; see `AsyncClient.exchange`."""
        return self.wait(self.asynchronous.exchange(operation, sink=sink))

    def fetch_token(self) -> str | None:
        """The access token that calls are made with; fetched when none is at hand."""
        return self.wait(self.asynchronous.fetch_token())

    def every(self, list_: Callable[..., Operation[Page]], /, **filters: Any) -> Iterator[Json]:
        """All items of a list, page by page; see `AsyncClient.every`."""
        return self._iterate(self.asynchronous.every(list_, **filters))

    def query_pages(self, resource: str, **wanted: Any) -> Iterator[Rows]:
        """All pages of a query, each with its own evidence; parameters as of `query`."""
        return self._iterate(self.asynchronous.query_pages(resource, **wanted))

    def _iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        async def following() -> list[T]:
            async for item in items:
                return [item]
            return []

        while found := self.wait(following()):
            yield from found

    def download_package(
        self, file: Path, *, from_: str | None = None, until: str | None = None
    ) -> Answer:
        """Write an evidence package to `file`, which appears only when it is whole."""
        return self.wait(self.asynchronous.download_package(file, from_=from_, until=until))

    def download_segment(
        self,
        resource: str,
        delivery: str,
        segment: Json,
        file: Path,
        *,
        purpose: str | None = None,
        grant: str | None = None,
    ) -> None:
        """Write a segment to `file`; see `AsyncClient.download_segment`."""
        self.wait(
            self.asynchronous.download_segment(
                resource, delivery, segment, file, purpose=purpose, grant=grant
            )
        )

    # identity
    get_ca = _waited(identities.get_ca)
    get_crl = _waited(identities.get_crl)
    get_jwks = _waited(identities.get_jwks)
    enrol = _waited(identities.enrol)
    renew = _waited(identities.renew)
    issue_token = _waited(identities.issue_token)
    get_me = _waited(identities.get_me)
    create_agency = _waited(identities.create_agency)
    list_agencies = _waited(identities.list_agencies)
    get_agency = _waited(identities.get_agency)
    suspend_agency = _waited(identities.suspend_agency)
    resume_agency = _waited(identities.resume_agency)
    create_person = _waited(identities.create_person)
    list_people = _waited(identities.list_people)
    get_person = _waited(identities.get_person)
    set_roles = _waited(identities.set_roles)
    suspend_person = _waited(identities.suspend_person)
    resume_person = _waited(identities.resume_person)
    issue_person_code = _waited(identities.issue_person_code)
    create_system = _waited(identities.create_system)
    list_systems = _waited(identities.list_systems)
    get_system = _waited(identities.get_system)
    suspend_system = _waited(identities.suspend_system)
    resume_system = _waited(identities.resume_system)
    issue_system_code = _waited(identities.issue_system_code)
    list_credentials = _waited(identities.list_credentials)
    revoke_credential = _waited(identities.revoke_credential)
    # catalogue
    create_entry = _waited(catalogue.create_entry)
    list_entries = _waited(catalogue.list_entries)
    search_entries = _waited(catalogue.search_entries)
    list_search_misses = _waited(catalogue.list_search_misses)
    get_entry = _waited(catalogue.get_entry)
    get_entry_version = _waited(catalogue.get_entry_version)
    put_draft = _waited(catalogue.put_draft)
    create_draft = _waited(catalogue.create_draft)
    submit_entry = _waited(catalogue.submit_entry)
    approve_entry = _waited(catalogue.approve_entry)
    reject_entry = _waited(catalogue.reject_entry)
    withdraw_entry = _waited(catalogue.withdraw_entry)
    # sharing
    create_request = _waited(sharing.create_request)
    list_requests = _waited(sharing.list_requests)
    get_request = _waited(sharing.get_request)
    submit_request = _waited(sharing.submit_request)
    ask_supplement = _waited(sharing.ask_supplement)
    supplement_request = _waited(sharing.supplement_request)
    answer_request = _waited(sharing.answer_request)
    return_answer = _waited(sharing.return_answer)
    confirm_answer = _waited(sharing.confirm_answer)
    withdraw_request = _waited(sharing.withdraw_request)
    list_work = _waited(sharing.list_work)
    list_grants = _waited(sharing.list_grants)
    get_grant = _waited(sharing.get_grant)
    suspend_grant = _waited(sharing.suspend_grant)
    resume_grant = _waited(sharing.resume_grant)
    end_grant = _waited(sharing.end_grant)
    renew_grant = _waited(sharing.renew_grant)
    narrow_grant = _waited(sharing.narrow_grant)
    list_usable = _waited(sharing.list_usable)
    # data
    query = _waited(data.query)
    explain = _waited(data.explain)
    # calls
    call_get = _waited(calls.call_get)
    call_post = _waited(calls.call_post)
    call_put = _waited(calls.call_put)
    call_patch = _waited(calls.call_patch)
    call_delete = _waited(calls.call_delete)
    # batches
    open_batch = _waited(batches.open_batch)
    list_batches = _waited(batches.list_batches)
    get_batch = _waited(batches.get_batch)
    put_chunk = _waited(batches.put_chunk)
    list_chunks = _waited(batches.list_chunks)
    seal_batch = _waited(batches.seal_batch)
    abandon_batch = _waited(batches.abandon_batch)
    get_quarantine = _waited(batches.get_quarantine)
    # deliveries
    subscribe = _waited(deliveries.subscribe)
    list_subscriptions = _waited(deliveries.list_subscriptions)
    get_subscription = _waited(deliveries.get_subscription)
    list_deliveries = _waited(deliveries.list_deliveries)
    get_segment = _waited(deliveries.get_segment)
    put_receipt = _waited(deliveries.put_receipt)
    renew_subscription = _waited(deliveries.renew_subscription)
    end_subscription = _waited(deliveries.end_subscription)
    # reconciliation
    list_reconciliations = _waited(reconciliation.list_reconciliations)
    list_reconciliation_days = _waited(reconciliation.list_reconciliation_days)
    # audit
    get_checkpoint = _waited(audit.get_checkpoint)
    get_log_key = _waited(audit.get_log_key)
    get_tile = _waited(audit.get_tile)
    search_records = _waited(audit.search_records)
    get_record = _waited(audit.get_record)
    get_salt = _waited(audit.get_salt)
    get_inclusion_proof = _waited(audit.get_inclusion_proof)
    get_consistency_proof = _waited(audit.get_consistency_proof)
    get_gaps = _waited(audit.get_gaps)
    get_package = _waited(audit.get_package)
