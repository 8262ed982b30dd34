"""Settings of sharing's processes."""

from kit.settings import DatabaseSettings


class SharingSettings(DatabaseSettings):
    """What every part has; sharing needs no more."""
