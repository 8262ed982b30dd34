"""`make demo`: start a platform of its own, tell the story, stop, prove; 0 when all went so."""

import argparse
import asyncio
import contextlib
import shutil
import sys
from pathlib import Path

import pyarrow as pa
from rich.console import Console

from datong import DatongError
from stack.demo.commands import StoryBroken
from stack.demo.story import Story
from stack.folders import CHECKOUT
from stack.process import StartFailed
from stack.settings import StackSettings
from stack.supervisor import Stack


def main() -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m stack.demo", description=__doc__)
    parser.add_argument("--gateways", type=int, default=2, help="worker slots of the gateway")
    parser.add_argument(
        "--directory",
        type=Path,
        help="new folder for this run and its report.json; by default .datong/demo, made anew",
    )
    options = parser.parse_args()
    pa.set_memory_pool(pa.system_memory_pool())  # gives back at once what the rows took
    console = Console(stderr=True)
    folder = options.directory
    if folder is None:
        folder = CHECKOUT / ".datong" / "demo"
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)
    elif folder.exists():
        parser.error(f"{folder} exists already")
    try:
        return asyncio.run(_run(folder, options.gateways, console))
    except KeyboardInterrupt:
        console.print("stopped")
        return 130


async def _run(folder: Path, gateways: int, console: Console) -> int:
    """Tell the story below `folder`, which is new."""
    # Whatever the environment names belongs to `make up`.
    own = StackSettings(postgres_url_file=None, kafka=None, stack_port=None)
    stack = Stack(folder / "platform", gateways=gateways, settings=own)
    with console.status("starting the platform …") as status:

        def progress(text: str) -> None:
            if console.is_terminal:
                status.update(text)
            else:
                console.print(text)

        story: Story | None = None
        try:
            async with stack:
                progress(f"the platform is ready after {stack.seconds_to_start} s")
                story = Story(stack, folder, progress)
                await story.tell()
                progress("stopping the platform")
            await story.prove()
        except (StoryBroken, DatongError, StartFailed, TimeoutError) as error:
            console.print(f"[red]The story broke:[/red] {error}", highlight=False)
    if story is None:
        return 1
    target = folder / "report.json"
    story.report.write(target)
    story.report.show(Console())
    console.print(f"{'all went as told' if story.report.ok else 'FAILED'}; see {target}")
    return 0 if story.report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
