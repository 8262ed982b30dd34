"""What all routes of the catalogue ask for: who calls, and with what an answer is made."""

from typing import Annotated, Final

from fastapi import Depends, Request

from kit.auth import Caller, allow
from kit.clock import Clock
from kit.db import Db

CALL: Final = ("role-missing", "not-through-gateway", "parameter-invalid", "permissions-behind")
"""Refusals that every route may answer with."""

Anybody = Annotated[Caller, Depends(allow(person=True, system=True))]


# Asynchronous, or each would be a trip to another thread.
async def _db(request: Request) -> Db:
    db: Db = request.app.state.db
    return db


async def _clock(request: Request) -> Clock:
    clock: Clock = request.app.state.clock
    return clock


Database = Annotated[Db, Depends(_db)]
Now = Annotated[Clock, Depends(_clock)]
