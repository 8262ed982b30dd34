"""Keeps a table of PostgreSQL in step with a subscription."""

from datong.tables.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
