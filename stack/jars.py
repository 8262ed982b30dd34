"""Kafka's jars, exactly those of `jgo.lock.toml`, in the checkout's cache.

The lock decides: every jar is fetched under its locked version and must have its locked SHA-256.
`jgo lock` in `stack/kafka` renews the lock from `jgo.toml`. At import only the standard library is
needed: set-up asks `are_prepared` before anything is installed.
"""

import hashlib
import logging
import os
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stack.folders import CACHE, prepared_once

LOCK_FILE = Path(__file__).parent / "kafka" / "jgo.lock.toml"
TRIES = 3


class JarsMissing(Exception):
    """A jar could not be fetched, or was not the locked one. The message is for a person."""


def prepare_jars(progress: Callable[[int, int], None] = lambda done, of: None) -> Path:
    """Return the folder with all jars; fetch them the first time (45 MB).

    Args:
        progress: told how many jars of how many are there, while fetching.

    Raises:
        JarsMissing: no network, or a jar with another SHA-256 than locked.
    """
    folder = _folder()
    if not are_prepared():
        with prepared_once("kafka"):
            if not are_prepared():
                locked = tomllib.loads(LOCK_FILE.read_text(encoding="utf-8"))["dependencies"]
                _fetch(locked, folder / "jars", progress)
                (folder / "complete").touch()
    return folder


def are_prepared() -> bool:
    """Whether all jars of the lock are there; asks no network."""
    return (_folder() / "complete").exists()


def _folder() -> Path:
    return CACHE / f"kafka-{hashlib.sha256(LOCK_FILE.read_bytes()).hexdigest()[:12]}"


def _fetch(
    dependencies: list[dict[str, str]], jars: Path, progress: Callable[[int, int], None]
) -> None:
    jars.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(4) as pool:
        fetched = pool.map(lambda each: _fetch_one(each, jars), dependencies)
        for count, _ in enumerate(fetched, start=1):
            progress(count, len(dependencies))


def _fetch_one(dependency: dict[str, str], jars: Path) -> None:
    # Imported late: only the first run needs it, and it is slow to import.
    import requests
    from jgo.maven import MavenContext

    logging.getLogger("jgo").setLevel(logging.ERROR)
    name = f"{dependency['artifactId']}-{dependency['version']}.jar"
    if _digest(jars / name) == dependency["sha256"]:
        return
    context = MavenContext(repo_cache=CACHE / "maven", timeout=60)
    artifact = (
        context.project(dependency["groupId"], dependency["artifactId"])
        .at_version(dependency["version"])
        .artifact(packaging="jar")
    )
    for attempt in range(1, TRIES + 1):
        path = artifact.cached_path
        if path is not None and _digest(path) != dependency["sha256"]:
            path.unlink(missing_ok=True)  # the torso of an interrupted download
        try:
            fetched = artifact.resolve()
        except (requests.RequestException, RuntimeError, OSError) as error:
            if attempt == TRIES:
                raise JarsMissing(
                    f"Kafka's {name} could not be fetched from Maven Central; "
                    f"check the network and try again ({type(error).__name__})."
                ) from error
            continue
        if _digest(fetched) == dependency["sha256"]:
            os.replace(fetched, jars / name)
            return
    raise JarsMissing(f"Kafka's {name} is not the locked one: its SHA-256 differs.")


def _digest(path: Path) -> str | None:
    if not path.exists():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
