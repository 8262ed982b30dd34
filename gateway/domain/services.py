"""An owner's own service: where it is, and which operation a call is."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that may be asked of a service.

    Args:
        method: upper case.
        path: template below the address, such as `/enterprises/{code}`.
    """

    name: str
    method: bytes
    path: str


@dataclass(frozen=True, slots=True)
class OwnService:
    """A service that its owner runs.

    Args:
        host: name or IP address; an IPv6 one without brackets.
        ca: PEM certificates that it is verified against; None for those of the system.
        seconds: within which an answer must begin.
    """

    host: str
    port: int
    ca: str | None
    seconds: int
    operations: tuple[Operation, ...]
    _templates: dict[tuple[bytes, int], list[tuple[str, tuple[bytes | None, ...]]]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )
    """Name and segments by method and number of segments; None stands for any segment."""

    def __post_init__(self) -> None:
        for operation in self.operations:
            segments = tuple(_segments(operation.path))
            key = operation.method, len(segments)
            self._templates.setdefault(key, []).append((operation.name, segments))

    def operation(self, method: bytes, path: bytes) -> str | None:
        """Return the name of the operation that a call is, or None.

        Segments are compared byte for byte; nothing is decoded, folded or normalised. The
        catalogue lets no two operations fit one call.

        Args:
            path: below the resource, from its slash on, without a query.
        """
        asked = path[1:].split(b"/")
        for name, segments in self._templates.get((method, len(asked)), ()):
            if all(
                said == template or (template is None and said)
                for said, template in zip(asked, segments, strict=True)
            ):
                return name
        return None


def _segments(path: str) -> Iterable[bytes | None]:
    for segment in path[1:].split("/"):
        yield None if segment.startswith("{") else segment.encode()
