"""The composition root of one worker: what it is made of, how it starts and how it stops."""

import asyncio
import contextlib
import gc
import time
from collections.abc import Iterable
from typing import Final

import yaml
from prometheus_client import REGISTRY

from gateway.admin import DataPathNumbers, Explainer, GatewayCollector
from gateway.edge import Route, Router, routes_of
from gateway.evidence import Evidence, EvidenceUnavailable, Shipper
from gateway.listener import (
    ClientFacingTls,
    DataPath,
    Listener,
    LocalAnswer,
    LocalCall,
    VerifiedTokens,
    listening_socket,
)
from gateway.settings import PARTS, GatewaySettings
from gateway.table import PermissionTable
from gateway.turn import Turn
from gateway.upstream import Deadlines, OwnerPools, Pool, SharedPool, any_address, owner_context
from kit.addresses import is_public
from kit.kafka import client_options
from kit.logging import get_logger
from kit.serve import run_process
from kit.tls import client_context
from kit.tokens import Verifier

_SHIP_SECONDS: Final = 5.0
_LISTEN_TRIES: Final = 0.2
_SILENT_SECONDS: Final = 3.0

log = get_logger()


class Gateway:
    """One worker of a gateway."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._fatal: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        options = client_options(settings)
        self.table = PermissionTable(options, stale_after=settings.stale_after)
        self.turn = Turn(asyncio.get_running_loop())
        self.evidence = Evidence(
            instance=settings.instance,
            directory=settings.spool_directory,
            slot=settings.slot,
            limit=settings.spool_limit,
            on_fatal=self._on_fatal,
            together=self.turn,
        )
        self.shipper = Shipper(self.evidence, options)
        self.deadlines = Deadlines(asyncio.get_running_loop())
        self.path = self._data_path()
        self.listener: Listener | None = None
        self._was_fresh = False
        self._ready_at = 0.0
        for hook in settings.test_hooks:
            log.warning("test hook in use", hook=hook)

    async def ready(self) -> bool:
        """Tell whether the worker answers calls: it listens and has been fresh once."""
        self._was_fresh = self._was_fresh or self.table.is_fresh(time.monotonic())
        return self.listener is not None and self.evidence.healthy and self._was_fresh

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            EvidenceUnavailable: the spool failed; the process must end.
            SlotHeld, OSError: the slot or the address cannot be used.
        """
        self._settings.spool_directory.mkdir(parents=True, exist_ok=True)
        await self.evidence.start()
        collector = self._collector()
        REGISTRY.register(collector)
        following = asyncio.create_task(self.table.run())
        shipping = asyncio.create_task(self.shipper.run())
        self.deadlines.add(self.path)
        self.deadlines.start()
        try:
            await self._serve(following, shipping)
        finally:
            await self._stop(following, shipping)
            REGISTRY.unregister(collector)

    async def _serve(self, *tasks: asyncio.Task[None]) -> None:
        """Listen once permissions have been read; end when something that must run ends."""
        while not self._may_listen(time.monotonic()):
            done, _ = await asyncio.wait(
                {self._fatal, *tasks},
                timeout=_LISTEN_TRIES,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for each in done:
                each.result()
        listener = Listener(self.path, listening_socket(self._settings.listen))
        listener.start()
        self.listener = listener
        self.table.on_client_ca(self.path.tls.take)
        # What lives until the end is never looked at again by the collector of cycles.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        log.info("listening", port=listener.port, instance=self._settings.instance)
        done, _ = await asyncio.wait({self._fatal, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            each.result()
        raise RuntimeError("a task of the worker ended, though nothing asked it to")

    def _may_listen(self, now: float) -> bool:
        """Tell whether calls would be better off here than with the other workers.

        Until the first beats are heard data calls would be refused; a bus that stays silent must
        not keep the control plane away, which needs no fresh permissions.
        """
        if not self.table.ready:
            return False
        self._ready_at = self._ready_at or now
        return self.table.is_fresh(now) or now - self._ready_at > _SILENT_SECONDS

    async def _stop(self, following: asyncio.Task[None], shipping: asyncio.Task[None]) -> None:
        """Answer what is in hand, end the epoch, and send what is durable."""
        log.info("stopping", instance=self._settings.instance, in_hand=self.path.in_hand)
        if self.listener is not None:
            await self.listener.stop()
        self.deadlines.stop()
        for pool in self.path.pools.values():
            await pool.close()
        await self.path.owners.close()
        await self.evidence.stop()
        if not shipping.done():
            await self.shipper.stop(_SHIP_SECONDS)
        for task in (following, shipping):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
        self.evidence.close()
        log.info("stopped", instance=self._settings.instance)

    def _on_fatal(self, error: Exception) -> None:
        if not self._fatal.done():
            self._fatal.set_exception(EvidenceUnavailable(f"the spool failed: {error!r}"))

    def _data_path(self) -> DataPath:
        settings = self._settings
        contract = settings.contracts_directory / "openapi" / "gateway.v1.yaml"
        routes = routes_of(yaml.safe_load(contract.read_text(encoding="utf-8")))
        explainer = Explainer(self.table)

        def explain(call: LocalCall) -> LocalAnswer:
            said = explainer.explain(call.caller, call.body, call.call)
            return LocalAnswer(said.status, said.media_type, said.body, said.reason)

        return DataPath(
            settings,
            router=Router(routes),
            table=self.table,
            evidence=self.evidence,
            tokens=VerifiedTokens(
                Verifier(settings.issuer, settings.audience), lambda: self.table.token_keys
            ),
            tls=ClientFacingTls(settings),
            pools=self._pools(routes),
            owners=self._owners(),
            local={"explain": explain},
            deadlines=self.deadlines,
            turn=self.turn,
        )

    def _pools(self, routes: Iterable[Route]) -> dict[str, Pool]:
        """Return a pool for each part, and another one for its slow calls if it has such."""
        settings = self._settings
        context, domain = client_context(settings), settings.trust_domain
        slow = {route.lane: route.part for route in routes if route.slow and route.part in PARTS}
        quick = {
            part: Pool(
                part,
                settings.part_urls[part],
                context,
                domain,
                self.deadlines,
                self.turn,
                settings.upstream_connections,
            )
            for part in PARTS
        }
        return quick | {
            lane: SharedPool(
                part,
                settings.part_urls[part],
                context,
                domain,
                self.deadlines,
                self.turn,
                settings.slow_connections,
                settings.slow_calls,
            )
            for lane, part in slow.items()
        }

    def _owners(self) -> OwnerPools:
        """Return the pools of owners' services, which see the certificate that callers see."""
        settings = self._settings
        return OwnerPools(
            lambda ca: owner_context(
                ca, settings.server_certificate_file, settings.server_key_file
            ),
            self.deadlines,
            self.turn,
            settings.owner_connections,
            settings.slow_calls,
            allows=any_address if settings.allow_private_owners else is_public,
        )

    def _collector(self) -> GatewayCollector:
        path, counts = self.path, self.path.counts
        numbers = DataPathNumbers(
            answers=lambda: counts.answers,
            refusals=lambda: counts.refusals,
            seconds=lambda: counts.seconds,
            handshakes_failed=lambda: counts.handshakes_failed,
            totals=lambda: {
                "connections_refused": counts.connections_refused,
                "retries": counts.retries,
                "withheld": counts.withheld,
                "unrecorded": counts.unrecorded,
                "token_hits": path.tokens.hits,
                "token_misses": path.tokens.misses,
            },
            gauges=lambda: {"connections": len(path.connections), "in_hand": path.in_hand},
        )
        return GatewayCollector(
            numbers, self.table, self.evidence, self.shipper, path.pools, path.owners
        )


async def serve(settings: GatewaySettings) -> None:
    """Run one worker until SIGTERM or SIGINT.

    Raises:
        Exception: of `Gateway.run`, after everything has stopped.
    """
    gateway = Gateway(settings)
    await run_process(settings, background=[gateway.run()], ready=gateway.ready)
