"""The `datong` command, run as departments run it: a process of its own."""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stack.demo.town import Town
from stack.settings import inherited_environment


class StoryBroken(Exception):
    """Something came out other than the story says."""


async def run_datong(*arguments: str, codes: Sequence[int] = (0,)) -> tuple[Any, int]:
    """Run `datong --json …`; return what it printed, and its exit code.

    Args:
        codes: exit codes that are no failure.

    Raises:
        StoryBroken: it ended with another code.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "datong", "--json", *arguments),
        env=inherited_environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, error = await process.communicate()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise
    if process.returncode not in codes:
        said = (error or out).decode("utf-8", "replace")[-1000:]
        raise StoryBroken(f"datong {' '.join(arguments)} ended with {process.returncode}: {said}")
    return (json.loads(out) if out else None), process.returncode or 0


async def run_as(
    town: Town, name: str, *arguments: str, codes: Sequence[int] = (0,)
) -> tuple[Any, int]:
    """Run `datong` as somebody of the town; the calls go to the town's log."""
    identity = str(town.identities[name].directory)
    options = ("--identity", identity, "--call-log", str(town.calls.path))
    return await run_datong(*options, *arguments, codes=codes)


async def publish_rows(
    town: Town, resource: str, file: Path, *options: str, system: str = "publisher"
) -> dict[str, Any]:
    """Have the owner's system publish a file; return what `datong publish` tells of the batch."""
    published, _ = await run_as(town, system, "publish", resource, str(file), *options)
    found: dict[str, Any] = published
    return found
