"""Database and transactions: the edge opens one, the action fills it, nobody else commits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
from sqlalchemy import MetaData, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

Tx = AsyncSession
"""A running transaction. Actions and stores take one; only `Db.begin` ends it."""

NAMING: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


def sqlalchemy_url(url: str) -> str:
    """Return a `postgresql://` URL with the asyncpg driver named."""
    return url.replace("postgresql://", "postgresql+asyncpg://", 1)


class Db:
    """The database of one part.

    Args:
        url: `postgresql://user:password@host:port/database`.
        part: the part's name; the connections carry it and events name it as their source.
        pool: greatest number of connections.
    """

    def __init__(self, url: str, part: str, *, pool: int = 10) -> None:
        self.part = part
        self._engine: AsyncEngine = create_async_engine(
            sqlalchemy_url(url),
            pool_size=pool,
            max_overflow=0,
            pool_pre_ping=True,
            pool_timeout=5,
            # Errors are logged: names, reasons and digests of codes have no place there.
            hide_parameters=True,
            connect_args={
                "timeout": 5,
                "server_settings": {
                    "application_name": f"datong-{part}",
                    "timezone": "UTC",
                    "idle_in_transaction_session_timeout": "30000",
                },
            },
        )

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Tx]:
        """Open a transaction; leaving the block commits it, an exception undoes it."""
        async with (
            AsyncSession(self._engine, expire_on_commit=False, info={"part": self.part}) as tx,
            tx.begin(),
        ):
            yield tx

    async def ping(self) -> None:
        """Ask the database for an answer; raises what the driver raises when it has none."""
        async with self._engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def dispose(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


def table_base() -> type[SQLModel]:
    """Return a base class for the tables of one service.

    Each service has its own metadata, so that two services may use one table name and alembic
    sees only its own tables; constraints get names by `NAMING`, so they can be dropped.
    """

    class Row(SQLModel):
        metadata = MetaData(naming_convention=NAMING)

    return Row


def constraint_of(error: IntegrityError) -> str:
    """Return the name of the violated constraint, or the empty text when the driver has none."""
    cause: object = error.orig
    while cause is not None:
        name = getattr(cause, "constraint_name", None)
        if name:
            return str(name)
        cause = getattr(cause, "__cause__", None)
    return ""


_AWAY: Final = (
    OSError,
    InterfaceError,
    OperationalError,
    PoolTimeout,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresConnectionError,
    asyncpg.TooManyConnectionsError,
)


def is_database_lost(error: BaseException) -> bool:
    """Tell whether an error says nothing of what was asked, only that the database is away.

    That it is starting up or shutting down comes as a plain error of the driver's wrapper, with
    the driver's own as the cause.
    """
    if isinstance(error, DBAPIError):
        cause = error.orig.__cause__ if error.orig is not None else None
        if error.connection_invalidated or isinstance(cause, _AWAY):
            return True
    return isinstance(error, _AWAY)
