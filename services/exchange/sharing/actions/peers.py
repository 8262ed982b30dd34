"""What actions ask about entries and systems; `clients` answers."""

from typing import Protocol

from services.exchange.sharing.domain import Entry


class Peers(Protocol):
    """Copies of what the catalogue and identity publish."""

    def entry_of(self, resource: str) -> Entry | None:
        """Return the entry that makes `resource` available, or None."""
        ...

    def require_fresh(self) -> None:
        """Raise unless what the catalogue has said so far is known."""
        ...

    def require_systems(self, systems: tuple[str, ...], agency: str) -> None:
        """Raise unless all `systems` are systems of `agency`."""
        ...
