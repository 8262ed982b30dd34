"""What the routes share: who asks, and what of the application they need."""

import asyncio
from datetime import datetime
from typing import Annotated, Final

from fastapi import Depends, Query, Request
from pydantic import AwareDatetime

from kit.auth import Caller, allow
from kit.clock import Clock, rfc3339
from kit.db import Db
from kit.http import ParameterInvalid
from kit.problems import declare
from services.audit.store.follower import LogFollower
from services.audit.store.log import LogView

AUDITOR: Final = "auditor"
CONCERNED: Final = ("security_officer", "agency_head", "sharing_office_head")
FIRST_YEAR: Final = 1970

Auditor = Annotated[Caller, Depends(allow(AUDITOR))]
Reader = Annotated[Caller, Depends(allow(AUDITOR, *CONCERNED))]
Concerned = Annotated[Caller, Depends(allow(*CONCERNED))]
Anybody = Annotated[Caller, Depends(allow(person=True, system=True))]

READING: Final = declare("parameter-invalid", "role-missing", "not-through-gateway")


async def _db(request: Request) -> Db:
    db: Db = request.app.state.db
    return db


async def _clock(request: Request) -> Clock:
    clock: Clock = request.app.state.clock
    return clock


async def _follower(request: Request) -> LogFollower:
    follower: LogFollower = request.app.state.follower
    return follower


async def _view(follower: Annotated[LogFollower, Depends(_follower)]) -> LogView:
    return await asyncio.to_thread(follower.view)


Database = Annotated[Db, Depends(_db)]
Now = Annotated[Clock, Depends(_clock)]
Follower = Annotated[LogFollower, Depends(_follower)]
View = Annotated[LogView, Depends(_view)]
From = Annotated[AwareDatetime | None, Query(alias="from", description="RFC 3339, inclusive")]
Until = Annotated[AwareDatetime | None, Query(description="RFC 3339, exclusive")]


def instant(value: datetime | None) -> str | None:
    """Return an instant that was asked for as the log writes it.

    Raises:
        ParameterInvalid: before 1970 or so near the end of time that UTC cannot express it.
    """
    if value is None:
        return None
    try:
        text = rfc3339(value)
    except OverflowError as error:
        raise ParameterInvalid("The instant is out of range.", pointer="/query") from error
    if int(text[:4]) < FIRST_YEAR:
        raise ParameterInvalid(f"Instants begin in {FIRST_YEAR}.", pointer="/query")
    return text
