"""Secret files: only their owner can read them, from the first moment on."""

import os
from pathlib import Path


def write_secret(path: Path, text: str) -> None:
    """Write `text` to `path` with mode 0600, in place of what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text if text.endswith("\n") else text + "\n")
    fresh.replace(path)
