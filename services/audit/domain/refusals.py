"""Refusals of the API; each code has a row in `contracts/problems.yaml`."""

from typing import ClassVar

from kit.errors import DomainError, Kind


class RecordUnknown(DomainError):
    """No such record is in the log, or none that the caller may see: the two look alike."""

    kind: ClassVar = Kind.NOT_FOUND
    code: ClassVar = "record-unknown"


class SaltUnknown(DomainError):
    """The record has no salt, or it was erased."""

    kind: ClassVar = Kind.NOT_FOUND
    code: ClassVar = "salt-unknown"


class TileUnknown(DomainError):
    """The log has no such tile or bundle yet."""

    kind: ClassVar = Kind.NOT_FOUND
    code: ClassVar = "tile-unknown"


class ProofImpossible(DomainError):
    """The log has, or had, no tree of these sizes."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "proof-impossible"


class LogNotOpen(DomainError):
    """The log writer has not created the log yet."""

    kind: ClassVar = Kind.UNAVAILABLE
    code: ClassVar = "log-not-open"


class IndexBehind(DomainError):
    """The search index has not reached the newest checkpoint."""

    kind: ClassVar = Kind.UNAVAILABLE
    code: ClassVar = "index-behind"
