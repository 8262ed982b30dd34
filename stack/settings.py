"""Settings of the stack; the only module here that reads the environment."""

import os

# What a child may inherit; everything else that it needs is given to it by name.
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "CI")


def inherited_environment(**more: str) -> dict[str, str]:
    """Return the environment of a child: a few of our variables, and `more`."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ} | more
