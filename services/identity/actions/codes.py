"""Issuing one-time codes."""

from datetime import datetime

from kit import outbox
from kit.clock import rfc3339
from kit.db import Tx
from services.identity import events
from services.identity.actions.subjects import require_own
from services.identity.clients.authority import Authority
from services.identity.domain.codes import NewCode, new_code
from services.identity.domain.subjects import Holder
from services.identity.events import By
from services.identity.store import codes as store
from services.identity.store import subjects


async def issue_code(
    tx: Tx, authority: Authority, holder: Holder, now: datetime, by: By
) -> NewCode:
    """Issue a code for `holder`; its unused ones expire."""
    code = new_code(holder.kind, holder.id, authority.digest, now)
    await store.add(tx, code.kept, now)
    data = {"agency": holder.agency, "expires_at": rfc3339(code.kept.expires_at)}
    await outbox.append(tx, events.change("code-issued", holder.kind, holder.id, by, data))
    return code


async def issue_another_code(
    tx: Tx, authority: Authority, kind: type[Holder], holder_id: str, now: datetime, by: By
) -> NewCode:
    """Issue a code for a person or system of the caller's agency.

    Raises:
        HolderUnknown, OtherAgency: as they say.
    """
    holder = await subjects.find(tx, kind, holder_id, lock=True)
    require_own(holder.agency, by)
    return await issue_code(tx, authority, holder, now, by)
