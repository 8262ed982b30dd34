"""`make bench-delivery`: a million rows of 20 items from the owner's file to the receipt.

Everything is real: all processes of the platform, `datong publish` and `datong receive`, which
waits for the batch and keeps a table of the consumer's own database. The floor is plain `COPY` of
the same rows into a keyed table of the same PostgreSQL, once before each format. Fails unless
every row arrived and both sides agree. Writes `.datong/bench/delivery.json`.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.delivery.rows import FORMATS, ITEMS, write_file
from bench.delivery.scene import OURS, Run, Scene
from bench.measure import file_system
from bench.report import Result, write
from stack.folders import CHECKOUT, remove_platform
from stack.settings import StackSettings
from stack.supervisor import Stack

FOLDER: Final = CHECKOUT / ".datong" / "bench" / "delivery"
REPORT: Final = CHECKOUT / ".datong" / "bench" / "delivery.json"
FLOORS: Final = 3
MIB: Final = 1 << 20


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.delivery", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--directory", type=Path, default=FOLDER, help="is deleted first")
    options = parser.parse_args()
    directory: Path = options.directory.resolve()
    remove_platform(directory / "platform")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    began = datetime.now(UTC)
    load = os.getloadavg()[0]
    floors, runs = asyncio.run(_run(directory, options.rows, options.formats))
    _report(directory, options.rows, floors, runs, began=began, load=load)


async def _run(directory: Path, rows: int, formats: Sequence[str]) -> tuple[list[float], list[Run]]:
    files = {each: directory / f"residents.{each}" for each in {*formats, "csv"}}
    for file_format, file in files.items():
        began = time.perf_counter()
        write_file(file, rows, file_format)
        took = time.perf_counter() - began
        print(f"{file.name}: {file.stat().st_size / MIB:.0f} MiB, made in {took:.1f} s", flush=True)
    floors, runs = [], []
    settings = StackSettings(postgres_url_file=None, kafka=None, stack_port=None)
    async with Stack(directory / "platform", settings=settings) as stack:
        scene = Scene(stack, directory)
        try:
            await scene.found()
            for file_format in formats:
                floors.append(await scene.copy(files["csv"]))
                print(f"{'COPY':8} {floors[-1]:7.1f} s", flush=True)
                runs.append(await scene.deliver(files[file_format], file_format))
                _tell(runs[-1])
            while len(floors) < FLOORS:
                floors.append(await scene.copy(files["csv"]))
        finally:
            await scene.close()
    return floors, runs


def _tell(run: Run) -> None:
    seconds = run.stages.seconds()
    told = "  ".join(f"{name} {took:.1f}" for name, took in seconds.items())
    print(
        f"{run.file_format:8} {told} s; {run.rows} rows, {run.state}, load {run.load:.1f}",
        flush=True,
    )


def _report(
    directory: Path,
    rows: int,
    floors: Sequence[float],
    runs: Sequence[Run],
    *,
    began: datetime,
    load: float,
) -> None:
    floor = statistics.median(floors)
    results = list(_results(rows, floor, runs))
    write(
        REPORT,
        results,
        began=began.isoformat(timespec="seconds"),
        load_before=round(load, 2),
        file_system=file_system(directory),
        rows=rows,
        items=len(ITEMS),
        copy_seconds=[round(each, 2) for each in floors],
        runs=[_described(run) for run in runs],
    )
    for result in results:
        against = f"  {result.ratio:.2f} × {result.baseline}" if result.ratio else ""
        print(f"{result.name:32} {result.value:9.1f} {result.unit}{against}")
    _print_usage(runs)
    print(f"load before the run {load:.2f}; {REPORT}")
    wrong = [run.file_format for run in runs if (run.rows, run.state) != (rows, "agreed")]
    if wrong:
        raise SystemExit(f"Not every row arrived, or both sides do not agree: {wrong}")


def _results(rows: int, floor: float, runs: Sequence[Run]) -> Iterator[Result]:
    size = f"{rows // 1_000_000}m" if rows % 1_000_000 == 0 else str(rows)
    for run in runs:
        name = f"batch.{run.file_format}_{size}"
        seconds = run.stages.seconds()
        total = seconds.pop("total")
        yield Result(name, round(total, 2), "s", f"copy_{size}", round(total / floor, 2))
        for stage, took in seconds.items():
            yield Result(f"{name}.{stage}", round(took, 2), "s")
    yield Result(f"copy_{size}", round(floor, 2), "s")
    name, peak = max(
        (
            (name, usage.peak)
            for run in runs
            for name, usage in run.usage.items()
            if _budgeted(name)
        ),
        key=lambda pair: pair[1],
    )
    yield Result("batch.memory", round(peak / MIB, 1), f"MiB resident at most, {name}")


def _budgeted(name: str) -> bool:
    return name in (*OURS, "publish", "receive")


def _described(run: Run) -> dict[str, Any]:
    return {
        "format": run.file_format,
        "seconds": {name: round(took, 2) for name, took in run.stages.seconds().items()},
        "uploaded_mib": round(run.stages.uploaded / MIB, 1),
        "downloaded_mib": round(run.stages.downloaded / MIB, 1),
        "rows": run.rows,
        "receipt": run.state,
        "load_at_end": round(run.load, 2),
        "cpu_seconds": {name: round(usage.cpu, 2) for name, usage in run.usage.items()},
        "peak_mib": {name: round(usage.peak / MIB, 1) for name, usage in run.usage.items()},
    }


def _print_usage(runs: Sequence[Run]) -> None:
    """Print who spent the time, dearest first."""
    names = sorted(runs[0].usage, key=lambda name: -sum(run.usage[name].cpu for run in runs))
    print(f"\n{'CPU s / peak MiB':20}" + "".join(f"{run.file_format:>16}" for run in runs))
    for name in names:
        cells = (f"{run.usage[name].cpu:9.1f}{run.usage[name].peak / MIB:7.0f}" for run in runs)
        if max(run.usage[name].cpu for run in runs) >= 0.1:
            print(f"{name:20}" + "".join(cells))


if __name__ == "__main__":
    main()
