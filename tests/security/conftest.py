"""Fixtures of the kit's tests that attacks on it need as well."""

from tests.integration.kit.conftest import part

__all__ = ["part"]
