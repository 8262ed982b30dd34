"""Settings of the catalogue's processes."""

from kit.settings import DatabaseSettings


class CatalogSettings(DatabaseSettings):
    """What every part has; the catalogue needs no more."""
