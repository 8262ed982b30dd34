"""Issuing, renewing and revoking certificates; the revocation list."""

from dataclasses import dataclass, replace
from datetime import datetime

from kit import outbox
from kit.clock import rfc3339
from kit.db import Tx
from kit.events import Fact
from kit.states import Position
from kit.tokens import thumbprint
from services.identity import events
from services.identity.actions.subjects import require_own
from services.identity.clients.authority import Authority
from services.identity.clients.csr import requested_key
from services.identity.domain.codes import (
    CodeExpired,
    CodeInvalid,
    CodeUsed,
    digest_of,
    refusal_of,
)
from services.identity.domain.credentials import (
    Credential,
    Presented,
    require_active,
    require_valid,
    revoked,
)
from services.identity.domain.subjects import Agency, Holder, Person, System
from services.identity.events import By
from services.identity.store import codes, credentials, subjects


@dataclass(frozen=True, slots=True)
class Certified:
    """An issued certificate.

    Attributes:
        certificate, ca: PEM.
        positions: the states that must be known before it is of use.
    """

    credential: Credential
    certificate: str
    ca: str
    positions: list[Position]


@dataclass(frozen=True, slots=True)
class Revoked:
    """Revoked certificates.

    Attributes:
        credentials: the one that was named, then those renewed from it, older ones first.
        outbox: the rows to wait for.
    """

    credentials: list[Credential]
    outbox: list[int]


async def enrol(
    tx: Tx, authority: Authority, text: str, csr: str, now: datetime, call: str | None
) -> Certified | CodeUsed | CodeExpired:
    """Exchange a one-time code and a CSR for a certificate.

    A code that was used or has expired is refused by a returned value, since that is a fact for
    the auditor; the code of a refused CSR stays good.

    Raises:
        CodeInvalid: nobody gave this code out.
        AgencySuspended, CallerSuspended, CsrInvalid: as they say.
    """
    code = await codes.find(tx, digest_of(text, authority.digest))
    if code is None:
        raise CodeInvalid
    kind: type[Person] | type[System] = Person if code.kind == "person" else System
    holder: Holder = await subjects.find(tx, kind, code.holder)
    by = By(f"{holder.kind}/{holder.id}", call)
    refusal = refusal_of(code, now)
    if refusal is not None:
        data = {"agency": holder.agency, "reason": refusal.code}
        await outbox.append(tx, events.change("code-refused", holder.kind, holder.id, by, data))
        return refusal
    agency = await subjects.find(tx, Agency, holder.agency)
    require_active(holder, agency)
    key = requested_key(csr)
    await codes.use(tx, code, now)
    credential, pem = authority.certify(holder, key, now)
    return await _issue(tx, Presented(credential, holder, agency), pem, authority.pem, by, "code")


async def renew(
    tx: Tx, authority: Authority, certificate: bytes, csr: str, now: datetime, call: str | None
) -> Certified:
    """Issue a new certificate to the holder of `certificate` (DER), which stays valid.

    Whoever revokes the old one revokes the new one too: it may be a thief who renews.

    Raises:
        CertificateInvalid, CertificateRevoked, AgencySuspended, CallerSuspended, CsrInvalid: as
            they say.
    """
    # A revocation that is under way is waited for: else its certificate could leave an heir that
    # nobody who looked after it would have seen.
    found = await credentials.present(tx, thumbprint(certificate), lock=True)
    old = require_valid(found[0] if found else None, now)
    require_active(old.holder, old.agency)
    key = requested_key(csr)
    credential, pem = authority.certify(old.holder, key, now)
    origin = old.credential.thumbprint
    new = Presented(replace(credential, renewed_from=origin), old.holder, old.agency)
    by = By(credential.subject, call)
    return await _issue(tx, new, pem, authority.pem, by, origin)


async def _issue(
    tx: Tx, new: Presented, pem: str, ca: str, by: By, authorised_by: str
) -> Certified:
    """Keep and tell a new certificate, which a code or the certificate of that name authorised."""
    credential = new.credential
    await credentials.add(tx, credential)
    state = events.state_of(credential)
    data = {
        "agency": credential.agency,
        "holder": credential.subject,
        "serial": credential.serial,
        "not_after": rfc3339(credential.not_after),
        "authorised_by": authorised_by,
    }
    fact = events.change("credential-issued", "credential", credential.thumbprint, by, data)
    await outbox.append(tx, state, fact)
    positions = [
        (told.topic, told.subject, told.version)
        for told in (state, events.state_of(new.holder), events.state_of(new.agency))
    ]
    return Certified(credential, pem, ca, positions)


async def revoke(
    tx: Tx, shown: str, reason: str | None, now: datetime, by: By, *, any_agency: bool
) -> Revoked:
    """Revoke a certificate for good, and all that were renewed from it, also through others.

    A thief can renew what was stolen before anyone notices. A repeated call publishes the states
    again.

    Args:
        shown: thumbprint of the first of them.
        any_agency: the caller may revoke those of every agency.

    Raises:
        CredentialUnknown, OtherAgency: as they say.
    """
    await credentials.lock_order(tx)
    first = await credentials.lock(tx, shown)
    if not any_agency:
        require_own(first.agency, by)
    found = {shown: first}
    # What a renewal under way adds is found in the next round, once its certificate is locked.
    newest = [first]
    while newest:
        renewed = await credentials.lock_renewals(tx, [each.thumbprint for each in newest])
        newest = [each for each in renewed if each.thumbprint not in found]
        found |= {each.thumbprint: each for each in newest}
    ordered = sorted(found.values(), key=lambda each: (each is not first, each.not_before))
    now_revoked = [revoked(credential, now) for credential in ordered]
    changed = [new for new, old in zip(now_revoked, ordered, strict=True) if new is not old]
    await credentials.save(tx, changed)
    states = (events.state_of(credential) for credential in now_revoked)
    facts = (_revocation(credential, shown, reason, by) for credential in changed)
    return Revoked(now_revoked, await outbox.append(tx, *states, *facts))


def _revocation(changed: Credential, shown: str, reason: str | None, by: By) -> Fact:
    """Return the fact that a certificate was revoked, by itself or with its origin `shown`."""
    data = {
        "agency": changed.agency,
        "holder": changed.subject,
        "reason": reason,
        "revoked_with": shown if shown != changed.thumbprint else None,
        "version": changed.version,
    }
    return events.change("credential-revoked", "credential", changed.thumbprint, by, data)


async def current_crl(tx: Tx, authority: Authority, now: datetime) -> bytes:
    """Return a signed CRL (DER) of all revoked certificates that have not expired."""
    mark = await credentials.revocation_mark(tx, now)
    known = authority.known_crl(mark, now)
    if known is not None:
        return known
    return authority.sign_crl(await credentials.revocations(tx, now), mark, now)
