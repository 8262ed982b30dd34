"""Token keys in rotation, and the first start of a platform."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from kit import outbox
from kit.db import Tx
from services.identity import events
from services.identity.actions.codes import issue_code
from services.identity.actions.subjects import create_agency, create_person
from services.identity.clients.authority import Authority
from services.identity.domain import keys as rules
from services.identity.domain.codes import NewCode
from services.identity.domain.keys import AlreadyBootstrapped, PublicKey, Stage, Use
from services.identity.domain.subjects import PLATFORM, Agency, Role
from services.identity.events import PART
from services.identity.store import keys as store
from services.identity.store import subjects

_ORDER: Final = {Stage.RETIRED: 0, Stage.PREVIOUS: 1, Stage.CURRENT: 2, Stage.NEXT: 3}
"""A stage is left before another key takes it: the database admits one key in it."""


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """The first two codes."""

    platform_operator: NewCode
    security_officer: NewCode


async def bootstrap(
    tx: Tx,
    authority: Authority,
    agency: Agency,
    operator_name: str,
    officer_name: str,
    now: datetime,
) -> Bootstrapped:
    """Create the departments' CA, the token keys, the operator's agency and its two people.

    Args:
        agency: its id is `platform`.

    Raises:
        AlreadyBootstrapped: a person exists.
    """
    if await subjects.has_people(tx):
        raise AlreadyBootstrapped("The platform has people already; nothing was changed.")
    authority.create(now)
    ca = PublicKey(authority.kid, Use.CLIENT_CA, {"certificate": authority.pem}, Stage.CURRENT)
    for key in (ca, _new_key(authority, Stage.CURRENT), _new_key(authority, Stage.NEXT)):
        await store.add(tx, key)
        await outbox.append(tx, events.state_of(key))
    await create_agency(tx, agency, PART)
    operator = await create_person(tx, agency, operator_name, [Role.PLATFORM_OPERATOR], PART)
    officer = await create_person(tx, agency, officer_name, [Role.SECURITY_OFFICER], PART)
    codes = Bootstrapped(
        await issue_code(tx, authority, operator, now, PART),
        await issue_code(tx, authority, officer, now, PART),
    )
    data = {
        "agency": agency.id,
        "ca": authority.kid,
        "platform_operator": operator.id,
        "security_officer": officer.id,
    }
    await outbox.append(tx, events.change("bootstrapped", "agency", PLATFORM, PART, data))
    return codes


async def rotate_keys(tx: Tx, authority: Authority, now: datetime) -> list[PublicKey]:
    """Let the next token key sign from now on, make a new next one; return what changed.

    The key that signed until now stays published until its tokens have expired.
    """
    keys = await store.all_keys(tx, Use.TOKEN, lock=True)
    fresh = _new_key(authority, Stage.NEXT)
    changed = rules.rotated(keys, fresh, now)
    for key in sorted(changed, key=lambda key: _ORDER[key.stage]):
        await (store.add if key is fresh else store.save)(tx, key)
    current = next(key.kid for key in changed if key.stage is Stage.CURRENT)
    data = {"agency": PLATFORM, "current": current, "next": fresh.kid}
    fact = events.change("keys-rotated", "key", current, PART, data)
    await outbox.append(tx, *(events.state_of(key) for key in changed), fact)
    return changed


async def retire_keys(tx: Tx, now: datetime) -> list[PublicKey]:
    """Retire the token keys whose tokens have all expired; return them.

    Their private keys may be deleted once `tx` has ended.
    """
    done = rules.retired(await store.all_keys(tx, Use.TOKEN, lock=True), now)
    for key in done:
        await store.save(tx, key)
        fact = events.change("key-retired", "key", key.kid, PART, {"agency": PLATFORM})
        await outbox.append(tx, events.state_of(key), fact)
    return done


def _new_key(authority: Authority, stage: Stage) -> PublicKey:
    key = authority.new_signing_key()
    return PublicKey(key.kid, Use.TOKEN, dict(key.jwk), stage)
