"""A refusal by the edge: the call is not what HTTP, the limits or the contract allow."""

from collections.abc import Mapping

from kit.errors import FactValue


class EdgeRefusal(Exception):
    """The call is refused before anything is decided about its caller.

    Args:
        code: a row of `contracts/problems.yaml`.
        detail: one sentence for the caller.
        facts: what decided, for programs.
        allow: the methods of the path, for the Allow header of a 405.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        facts: Mapping[str, FactValue] | None = None,
        allow: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.facts: dict[str, FactValue] = dict(facts or {})
        self.allow = allow


def malformed(detail: str) -> EdgeRefusal:
    """Return the refusal of a call whose request line or headers break a rule."""
    return EdgeRefusal("call-malformed", detail)
