"""Permissions as they are now, in memory; the only copy that the gateway decides by."""

from gateway.table.permissions import PermissionTable
from gateway.table.states import read_entry, read_grant

__all__ = ["PermissionTable", "read_entry", "read_grant"]
