"""A department's own database, and what one sees of a table in it without asking the platform."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import asyncpg

from stack.supervisor.servers import create_database


class DepartmentDatabase:
    """A database of a department's own in the platform's PostgreSQL, which knows nothing of it.

    Attributes:
        url_file: file (0600) with its URL.
    """

    def __init__(self, name: str, url_file: Path) -> None:
        self.name = name
        self.url_file = url_file

    async def create(self, administrator_url: str) -> None:
        """Create it with a role of its own."""
        await create_database(administrator_url, self.name, self.url_file)

    async def count(self, table: str) -> int:
        """Return how many rows the table has."""
        connection = await self._connect()
        try:
            count = await connection.fetchval(f'SELECT count(*) FROM "{table}"')  # noqa: S608
            return int(count)
        finally:
            await connection.close()

    async def dump_digest(self, table: str, columns: Sequence[str]) -> str:
        """Return the SHA-256 of the columns' dump in the order of the first, in hex."""
        names = ", ".join(f'"{column}"' for column in columns)
        digest = hashlib.sha256()

        async def note(data: bytes) -> None:
            digest.update(data)

        connection = await self._connect()
        try:
            await connection.copy_from_query(
                f'SELECT {names} FROM "{table}" ORDER BY "{columns[0]}" COLLATE "C"',  # noqa: S608
                output=note,
                format="csv",
            )
        finally:
            await connection.close()
        return digest.hexdigest()

    async def change_name(self, table: str, code: str, name: str) -> str:
        """Change one row as nobody should; return the name it had."""
        connection = await self._connect()
        try:
            async with connection.transaction():
                row = await connection.fetchrow(
                    f'SELECT name FROM "{table}" WHERE code = $1 FOR UPDATE',  # noqa: S608
                    code,
                )
                await connection.execute(
                    f'UPDATE "{table}" SET name = $2 WHERE code = $1',  # noqa: S608
                    code,
                    name,
                )
        finally:
            await connection.close()
        return str(row["name"])

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(self.url_file.read_text(encoding="utf-8").strip())
