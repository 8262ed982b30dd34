"""Composition root of identity: what the processes are made of."""

import asyncio
from pathlib import Path

from fastapi import FastAPI

from kit import directory
from kit.app import create_app
from kit.auth import Access
from kit.clock import Clock, SystemClock
from kit.db import Db
from kit.logging import get_logger
from kit.serve import run_process
from kit.tokens import Verifier, VerifyingKey
from services.identity.actions import keys as key_actions
from services.identity.actions.tokens import Terms
from services.identity.clients.authority import Authority
from services.identity.domain.credentials import require_valid
from services.identity.domain.keys import Use
from services.identity.domain.subjects import Person, Standing
from services.identity.routes import agencies, credentials, people, systems, tokens
from services.identity.routes.context import Context
from services.identity.settings import IdentitySettings
from services.identity.store import credentials as credential_store
from services.identity.store import keys as key_store

PART = "identity"
KEYS_SECONDS = 5.0
"""How long token keys are remembered. The next key is known long before it signs."""

RETIRE_SECONDS = 60.0

log = get_logger()


class OwnIdentities:
    """Callers of identity itself, looked up in its own database (`kit.auth.Identities`)."""

    def __init__(self, db: Db, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._keys: dict[str, VerifyingKey] = {}
        self._read_at = float("-inf")

    async def token_keys(self) -> dict[str, VerifyingKey]:
        """Return the keys that sign tokens, by `kid`; read every 5 s."""
        if self._clock.monotonic() - self._read_at >= KEYS_SECONDS or not self._keys:
            async with self._db.begin() as tx:
                found = await key_store.all_keys(tx, Use.TOKEN)
            self._keys = {key.kid: VerifyingKey(key.material) for key in found}
            self._read_at = self._clock.monotonic()
        return self._keys

    async def state_of(
        self, subject: str, thumbprint: str
    ) -> tuple[directory.Holder, directory.Agency]:
        """Return the holder of the certificate and its agency, as they are now.

        Raises:
            CertificateInvalid, CertificateRevoked: the certificate does not count, or belongs to
                another subject.
        """
        async with self._db.begin() as tx:
            found = await credential_store.present(tx, thumbprint)
        known = found is not None and found[0].credential.subject == subject
        presented = require_valid(found[0] if found and known else None, self._clock.now())
        holder, agency = presented.holder, presented.agency
        roles = frozenset(str(role) for role in holder.roles) if isinstance(holder, Person) else ()
        return (
            directory.Holder(
                holder.kind,
                holder.id,
                holder.agency,
                holder.name,
                frozenset(roles),
                holder.state is Standing.ACTIVE,
            ),
            directory.Agency(
                agency.id,
                agency.name,
                agency.level,
                agency.area_code,
                agency.line,
                agency.competent,
                agency.state is Standing.ACTIVE,
            ),
        )


def build(db: Db, authority: Authority, terms: Terms, clock: Clock) -> FastAPI:
    """Return the application."""
    verifier = Verifier(terms.issuer, terms.audience)
    return create_app(
        PART,
        [agencies.router, people.router, systems.router, credentials.router, tokens.router],
        access=Access(OwnIdentities(db, clock), verifier, clock),
        state={"context": Context(db, clock, authority, terms)},
    )


def openapi_app() -> FastAPI:
    """Return the application for its OpenAPI document; it connects to nothing."""
    return build(
        Db("postgresql://nobody@127.0.0.1:1/none", PART),
        Authority(Path("/nonexistent"), "example"),
        Terms("https://issuer.example", "https://audience.example"),
        SystemClock(),
    )


async def is_ready(db: Db, authority: Authority) -> bool:
    """Tell whether the database answers and the CA is at hand, if it was ever made.

    Before `bootstrap` there is none, and the platform must be able to start.
    """
    if authority.exists():
        await db.ping()
        return True
    async with db.begin() as tx:
        return not await key_store.all_keys(tx, Use.CLIENT_CA)


async def retire_keys(db: Db, authority: Authority, clock: Clock) -> None:
    """Retire replaced token keys whose tokens have expired, once a minute, until cancelled."""
    while True:
        try:
            async with db.begin() as tx:
                retired = await key_actions.retire_keys(tx, clock.now())
            for key in retired:
                authority.forget_signing_key(key.kid)
                log.info("token key retired", kid=key.kid)
        except Exception as error:  # noqa: BLE001 - tried again; the API must not end with it
            log.warning("token keys not checked", error=repr(error))
        await asyncio.sleep(RETIRE_SECONDS)


async def run_api(settings: IdentitySettings) -> None:
    """Serve the API until it is told to stop."""
    clock = SystemClock()
    db = Db(settings.postgres_url, PART)
    authority = Authority(settings.authority_directory, settings.trust_domain)
    try:
        await run_process(
            settings,
            app=build(db, authority, Terms(settings.issuer, settings.audience), clock),
            background=[retire_keys(db, authority, clock)],
            ready=lambda: is_ready(db, authority),
        )
    finally:
        await db.dispose()
