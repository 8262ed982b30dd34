"""`make bench-search`: the catalogue's search over 10,000 entries, against plain SQL.

The service answers over ASGI with everything it does for a call: certificate, token, words, index,
facets, one page of 20; the client that asks it is in its figures. `cpu` is what a call costs of one
core, whatever else the machine does. The floor is PostgreSQL's own substring search in the same
texts, once all of them and once the three columns that a list of entries is filtered by. Fails
unless index and SQL find the same number of entries for every query. Writes
`.datong/bench/search.json`.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import statistics
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx

from bench.measure import file_system
from bench.report import Result, write
from bench.search.names import agencies, entries
from kit.clock import SystemClock
from kit.db import Db
from kit.migrate import upgrade
from kit.tokens import Verifier
from services.catalog.actions import Searching
from services.catalog.app import build_app
from services.catalog.domain import Entry, Search, Version, words
from stack.folders import CHECKOUT, remove_platform
from stack.postgres import Postgres
from tests.support.callers import AUDIENCE, ISSUER, Identities, gateway_client

FOLDER: Final = CHECKOUT / ".datong" / "bench" / "search"
REPORT: Final = CHECKOUT / ".datong" / "bench" / "search.json"
QUERIES: Final = (
    "人口",
    "信用",
    "登记",
    "长",
    "河长制",
    "杭州市",
    "死亡证明",
    "统一社会信用代码",
    "企业 行政处罚",
    "西湖区 民政局 年度报告",
    "GIS",
    "出租车",
)
OURS: Final = ("service", "engine")
"""What is done in this process, whose CPU time can be told."""

ALL_TEXTS: Final = """(v.name ILIKE {0} OR v.summary ILIKE {0} OR e.resource ILIKE {0}
  OR a.name ILIKE {0} OR EXISTS (SELECT FROM jsonb_array_elements(v.content->'items') i
    WHERE i->>'title' ILIKE {0}))"""
THREE_COLUMNS: Final = "(v.name ILIKE {0} OR v.summary ILIKE {0} OR e.resource ILIKE {0})"
SQL: Final = """
SELECT e.id, e.agency, v.name, v.summary, count(*) OVER () AS total
FROM entry e JOIN entry_version v ON v.entry = e.id JOIN bench_agency a ON a.id = e.agency
WHERE v.state = 'published' AND {} ORDER BY e.id LIMIT 20
"""

Ways = dict[str, Callable[[str], Awaitable[int]]]
"""Ways to search; each returns the number of all hits."""


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.search", description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--directory", type=Path, default=FOLDER, help="is deleted first")
    options = parser.parse_args()
    directory: Path = options.directory.resolve()
    remove_platform(directory / "postgres")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    began, load = datetime.now(UTC), os.getloadavg()[0]
    server = Postgres(directory / "postgres", durable=False)
    server.run()
    try:
        measured = asyncio.run(_run(server.url(), directory, options.entries, options.rounds))
    finally:
        server.stop()
        server.remove()
    _report(options.entries, directory, *measured, began=began, load=load)


async def _run(
    url: str, directory: Path, number: int, rounds: int
) -> tuple[dict[str, dict[str, list[float]]], dict[str, int], dict[str, float]]:
    """Return times in ms by way and query, hits by query, and what the index costs."""
    await upgrade(url, "services.catalog")
    connection = await asyncpg.connect(url)
    await _fill(connection, number)
    db, town = Db(url, "catalog"), Identities()
    names = dict(agencies(200))
    searching = Searching(db, directory / "index", lambda: names)
    app = build_app(
        db, town.directory, Verifier(ISSUER, AUDIENCE), clock=SystemClock(), searching=searching
    )
    headers = town.headers(town.system("a-consumer"))
    started = time.perf_counter()
    assert await searching.open()
    await searching.step()
    took = time.perf_counter() - started
    files = [file for file in (directory / "index").rglob("*") if file.is_file()]
    costs = {"build_s": took, "mib": sum(file.stat().st_size for file in files) / (1 << 20)}
    try:
        async with gateway_client(app) as client:
            ways = _ways(client, headers, searching, connection)
            times, hits = await _measure(ways, rounds)
    finally:
        await searching.close()
        await connection.close()
        await db.dispose()
    return times, hits, costs


async def _fill(connection: Any, number: int) -> None:
    made = list(entries(number))
    await connection.copy_records_to_table(
        "entry",
        columns=["id", "agency", "resource", "revision", "created_at"],
        records=[(e.id, e.agency, e.resource, e.revision, e.created_at) for e, _ in made],
    )
    await connection.copy_records_to_table(
        "entry_version",
        columns=_VERSION,
        records=[_version(entry, version) for entry, version in made],
    )
    await connection.execute("CREATE TABLE bench_agency (id text PRIMARY KEY, name text NOT NULL)")
    await connection.copy_records_to_table("bench_agency", records=agencies(200))
    await connection.execute("ANALYZE")


_VERSION: Final = (
    "entry",
    "number",
    "state",
    "name",
    "summary",
    "share_class",
    "content",
    "writers",
    "written_at",
    "published_at",
)


def _version(entry: Entry, version: Version) -> tuple[object, ...]:
    content = version.content
    return (
        entry.id,
        version.number,
        version.state.value,
        content.name,
        content.summary,
        content.share_class.value,
        json.dumps(asdict(content), ensure_ascii=False),
        [],
        version.written_at,
        version.written_at,
    )


def _ways(
    client: httpx.AsyncClient, headers: dict[str, str], searching: Searching, connection: Any
) -> Ways:
    async def service(query: str) -> int:
        answer = await client.get("/catalog/v1/search", params={"q": query}, headers=headers)
        return int(answer.raise_for_status().json()["total"])

    async def engine(query: str) -> int:
        return (await searching.search(Search(tuple(words(query))))).total

    def sql(texts: str) -> Callable[[str], Awaitable[int]]:
        async def found(query: str) -> int:
            asked = query.split()
            where = " AND ".join(texts.format(f"${at}") for at in range(1, len(asked) + 1))
            rows = await connection.fetch(SQL.format(where), *(f"%{word}%" for word in asked))
            return int(rows[0]["total"]) if rows else 0

        return found

    return {
        "service": service,
        "engine": engine,
        "sql_all_texts": sql(ALL_TEXTS),
        "sql_three_columns": sql(THREE_COLUMNS),
    }


async def _measure(
    ways: Ways, rounds: int
) -> tuple[dict[str, dict[str, list[float]]], dict[str, int]]:
    """Search in all ways in turn, so that what else the machine does meets all of them."""
    names = [*ways, *(f"{name}_cpu" for name in OURS)]
    times: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in names}
    hits = {query: await ways["sql_all_texts"](query) for query in QUERIES}
    order = list(QUERIES)
    for each in range(-2, rounds):
        random.Random(each).shuffle(order)
        for query in order:
            for name, way in ways.items():
                cpu, started = time.process_time(), time.perf_counter()
                total = await way(query)
                if each >= 0:
                    times[name][query].append((time.perf_counter() - started) * 1000)
                    if name in OURS:
                        cost = (time.process_time() - cpu) * 1000
                        times[f"{name}_cpu"][query].append(cost)
                if name != "sql_three_columns" and total != hits[query]:
                    raise SystemExit(f"{name} finds {total} of {hits[query]} for {query}")
    return times, hits


def _report(
    number: int,
    directory: Path,
    times: dict[str, dict[str, list[float]]],
    hits: dict[str, int],
    costs: dict[str, float],
    *,
    began: datetime,
    load: float,
) -> None:
    results = [
        Result("search.build", round(costs["build_s"], 2), "s"),
        Result("search.size", round(costs["mib"], 1), "MiB"),
    ]
    for share in (50, 95):
        floor = _quantile(_all(times["sql_all_texts"]), share)
        for name, found in times.items():
            value = _quantile(_all(found), share)
            compared = (
                ()
                if name.endswith("_cpu")
                else (f"search.sql_all_texts_p{share}", round(value / floor, 3))
            )
            results.append(Result(f"search.{name}_p{share}", value, "ms", *compared))
    queries = [
        {"query": query, "hits": hits[query]}
        | {f"{name}_p50_ms": _quantile(found[query], 50) for name, found in times.items()}
        for query in QUERIES
    ]
    write(
        REPORT,
        results,
        began=began.isoformat(timespec="seconds"),
        load_before=round(load, 2),
        file_system=file_system(directory),
        entries=number,
        queries=queries,
    )
    for result in results:
        against = f"  {result.ratio:.3f} × {result.baseline}" if result.ratio else ""
        print(f"{result.name:32} {result.value:9.2f} {result.unit}{against}")
    for row in queries:
        print("  ".join(f"{value}" for value in row.values()))
    print(f"load before the run {load:.2f}; {REPORT}")


def _all(by_query: dict[str, list[float]]) -> list[float]:
    return [each for found in by_query.values() for each in found]


def _quantile(values: Sequence[float], share: int) -> float:
    return round(statistics.quantiles(values, n=100)[share - 1], 2)


if __name__ == "__main__":
    main()
