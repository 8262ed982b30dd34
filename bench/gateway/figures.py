"""The figures of a run: as results for the report, and as a table for people."""

import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.gateway.cases import Case
from bench.gateway.processes import Proxy
from bench.gateway.states import Size
from bench.measure import fdatasync_p50_ms, file_system
from bench.report import Result, write

SMALL: Final = "datong"
LARGE: Final = "datong_large"
_US: Final = "µs CPU per call"
_WHAT: Final = {
    "plain": "plain query, one grant",
    "masked": "query under a grant with row filter and masks",
    "spread": "query, each call for another of 250 resources",
    "call": "/call to an owner's service, mTLS",
    "clear": "the same, in the clear to the service",
}
_PROXY: Final = {
    SMALL: "Datong",
    LARGE: "Datong, large table",
    "envoy": "Envoy, no evidence",
    "nginx": "nginx, no token",
}


def report(
    target: Path,
    folder: Path,
    cases: Sequence[Case],
    gateways: Sequence[Proxy],
    *,
    size: Size,
    connections: int,
    durable: Mapping[str, int],
    load: float,
) -> None:
    """Write the report and print its table.

    Args:
        folder: where the spools lie.
        load: average load of the machine before the run.
    """
    by_name = {case.name: case for case in cases}
    results = [
        *_compared(by_name, connections),
        *_of_cases(cases),
        *_of_tables(gateways),
        Result("gateway.fdatasync.p50", round(fdatasync_p50_ms(folder), 3), "ms"),
    ]
    write(
        target,
        results,
        file_system=file_system(folder),
        load_before=round(load, 2),
        connections=connections,
        large_table={
            "agencies": size.agencies,
            "resources": size.resources,
            "grants": size.grants,
        },
        calls={case.name: case.calls for case in cases if case.name in durable},
        durable_records=dict(durable),
        rounds={case.name: [round(value, 1) for value in case.cpu_us] for case in cases},
    )
    _show(by_name, gateways, size)
    print(f"{sum(durable.values())} calls of ours, each with its durable record", end="; ")
    print(f"load before the run {load:.2f} on {os.cpu_count()} cores; {target}")


def _compared(cases: Mapping[str, Case], connections: int) -> Iterator[Result]:
    """Yield what the budgets speak of: each figure against its baselines of the same rounds."""
    plain = f"{SMALL}.plain"
    titles = {
        plain: f"gateway.audited_mtls.c{connections}",
        f"{SMALL}.masked": "gateway.masked",
        f"{SMALL}.call": "gateway.call",
        f"{LARGE}.plain": "gateway.large_table",
        f"{LARGE}.spread": "gateway.large_table.spread",
    }
    baselines = {
        plain: ("envoy.plain", "nginx.plain"),
        f"{SMALL}.masked": ("envoy.plain", plain),
        f"{SMALL}.call": ("envoy.call", plain),
        f"{LARGE}.plain": ("envoy.plain", plain),
        f"{LARGE}.spread": ("envoy.plain", f"{SMALL}.spread"),
    }
    for name, title in titles.items():
        case = cases[name]
        known = [cases[each] for each in baselines[name] if each in cases]
        if not known:
            yield Result(title, round(case.cpu, 1), _US)
        for number, other in enumerate(known):
            label = title if number == 0 else f"{title}.vs_{other.name}"
            yield Result(label, round(case.cpu, 1), _US, other.name, round(case.ratio(other), 3))
    if "envoy.clear" in cases:
        pairs = zip(cases["envoy.call"].cpu_us, cases["envoy.clear"].cpu_us, strict=True)
        cost = statistics.median(tls - clear for tls, clear in pairs)
        yield Result("envoy.tls_to_owner", round(cost, 1), _US)


def _of_cases(cases: Sequence[Case]) -> Iterator[Result]:
    for case in cases:
        yield Result(f"{case.name}.cpu", round(case.cpu, 1), _US)
        yield Result(f"{case.name}.p50", round(statistics.median(case.p50_ms), 2), "ms")
        yield Result(f"{case.name}.p99", round(statistics.median(case.p99_ms), 2), "ms")


def _of_tables(gateways: Sequence[Proxy]) -> Iterator[Result]:
    """Yield what starting and remembering costs; the large table against the small one."""
    small = gateways[0]
    for proxy in gateways:
        start, before = proxy.start, small.start
        if start is None or before is None:
            raise AssertionError("a gateway is measured after its start")
        figures = {
            "start": (start.seconds, before.seconds, "s"),
            "start.cpu": (start.cpu_seconds, before.cpu_seconds, "s CPU"),
            "memory.ready": (start.rss_mib, before.rss_mib, "MiB"),
            "memory.after": (proxy.rss_mib(), small.rss_mib(), "MiB"),
        }
        for name, (value, base, unit) in figures.items():
            against = (None, None) if proxy is small else (f"{small.name}.{name}", value / base)
            ratio = None if against[1] is None else round(against[1], 2)
            yield Result(f"{proxy.name}.{name}", round(value, 2), unit, against[0], ratio)


def _show(cases: Mapping[str, Case], gateways: Sequence[Proxy], size: Size) -> None:
    console = Console(width=None if Console().is_terminal else 112)
    table = Table(title="CPU of one core per call, medians of the rounds")
    for title in ("proxy", "call"):
        table.add_column(title)
    for title in ("µs", "× Envoy", "× plain", "p50 ms", "p99 ms"):
        table.add_column(title, justify="right")
    for case in cases.values():
        mine = case.kind.name if f"envoy.{case.kind.name}" in cases else "plain"
        envoy, plain = cases.get(f"envoy.{mine}"), cases.get(f"{case.proxy.name}.plain")
        if case.proxy.name == LARGE:
            plain = cases[f"{SMALL}.plain"]
        table.add_row(
            _PROXY[case.proxy.name],
            _WHAT[case.kind.name],
            f"{case.cpu:.1f}",
            _ratio(case, envoy),
            _ratio(case, plain),
            f"{statistics.median(case.p50_ms):.1f}",
            f"{statistics.median(case.p99_ms):.1f}",
        )
    console.print(table)
    table = Table(title=f"The table of permissions: {size.grants} grants for the large one")
    table.add_column("gateway")
    for title in ("ready after s", "CPU s", "MiB then", "MiB at the end"):
        table.add_column(title, justify="right")
    for proxy in gateways:
        if proxy.start is not None:
            table.add_row(
                _PROXY[proxy.name],
                f"{proxy.start.seconds:.1f}",
                f"{proxy.start.cpu_seconds:.1f}",
                f"{proxy.start.rss_mib:.0f}",
                f"{proxy.rss_mib():.0f}",
            )
    console.print(table)


def _ratio(case: Case, other: Case | None) -> str:
    return "" if other is None or other is case else f"{case.ratio(other):.2f}"
