"""`make example`: put the demo's agencies and data on the running platform, to call it oneself."""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Final

from rich.console import Console

from datong import CallLog, DatongError
from stack.demo.commands import StoryBroken, publish_rows
from stack.demo.divisions import TO_STREETS, read_table, write_csv
from stack.demo.entries import (
    ADOPTIONS_ENTRY,
    DIVISIONS,
    DIVISIONS_ENTRY,
    publish_entry,
    request_divisions,
)
from stack.demo.town import Town, found
from stack.folders import CHECKOUT

PLATFORM: Final = CHECKOUT / ".datong" / "local"


def main() -> int:
    """Fill the platform of `make up`; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m stack.demo.example", description=__doc__)
    parser.add_argument("--platform", type=Path, default=PLATFORM, help="folder of the platform")
    platform: Path = parser.parse_args().platform
    console = Console(stderr=True)
    state_file = platform / "state.json"
    if not state_file.exists():
        console.print("The platform does not run; start it with `make up`.")
        return 3
    try:
        asyncio.run(_fill(platform, console))
    except (DatongError, StoryBroken) as error:
        console.print(f"{error}\nThe example needs a new platform: `make clean up example`.")
        return error.exit_code if isinstance(error, DatongError) else 1
    console.print(f"Identities are in {platform / 'example'}; the README shows a first call.")
    return 0


async def _fill(platform: Path, console: Console) -> None:
    state = json.loads((platform / "state.json").read_text(encoding="utf-8"))
    folder = platform / "example"
    town = Town(
        state["gateway_url"].removeprefix("https://"),
        Path(state["ca_file"]),
        folder,
        CallLog(folder / "calls.ndjson"),
    )
    codes = [
        (platform / "codes" / f"{name}.code").read_text(encoding="utf-8").strip()
        for name in ("platform-operator", "security-officer")
    ]
    try:
        await found(town, (codes[0], codes[1]), console.print)
        await publish_entry(town, DIVISIONS_ENTRY)
        await publish_entry(town, ADOPTIONS_ENTRY)
        file = folder / "divisions.csv"
        write_csv(read_table(TO_STREETS), file)
        published = await publish_rows(town, DIVISIONS, file)
        console.print(f"{published['batch']['rows']} rows of 行政区划代码")
        await request_divisions(town)
    finally:
        await town.close()


if __name__ == "__main__":
    sys.exit(main())
