"""Shared runtime of all parts, without a business word; imports no service."""
