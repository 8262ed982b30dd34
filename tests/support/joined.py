"""Joins calls with records: by `datong verify`, and once more without any of its code."""

import asyncio
import base64
import json
import sys
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.support.load_run import LoadedCall
from tests.support.town import TestTown

BUNDLE = 256
TERMINAL = {"call", "closed", "unknown"}
"""Types of the one record that ends a call."""


def records_of(package: Path) -> list[dict[str, Any]]:
    """Return all records of a whole package, in log order (C2SP tlog-tiles entry bundles)."""
    found: list[dict[str, Any]] = []
    with zipfile.ZipFile(package) as opened:
        names = [name for name in opened.namelist() if name.startswith("tile/entries/")]
        for _, data in sorted((_bundle_number(name), opened.read(name)) for name in names):
            at = 0
            while at < len(data):
                size = int.from_bytes(data[at : at + 2], "big")
                found.append(json.loads(data[at + 2 : at + 2 + size]))
                at += 2 + size
    return found


def _bundle_number(name: str) -> int:
    path = name.removeprefix("tile/entries/").partition(".p/")[0]
    return int(path.replace("x", "").replace("/", ""))


async def run_verifier(town: TestTown, package: Path, *logs: Path) -> dict[str, Any]:
    """Run `datong verify` as the auditor does, with the callers' logs; return its report."""
    command = [sys.executable, "-m", "datong", "--json", "verify", str(package)]
    command += ["--key", str(town.log_key), "--checkpoint", str(town.checkpoint)]
    for log in logs:
        command += ["--calls", str(log)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, error = await process.communicate()
    assert process.returncode in (0, 5), error.decode()[-2000:]
    report: dict[str, Any] = json.loads(out)
    assert report["ok"] == (process.returncode == 0)
    return report


@dataclass
class Losses:
    """Calls for which evidence is missing or says something else, by call id."""

    unrecorded: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    contradicted: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many calls there are in all."""
        return len(self.unrecorded) + len(self.repeated) + len(self.contradicted)


def losses(calls: Iterable[LoadedCall], records: Iterable[dict[str, Any]]) -> Losses:
    """Find the calls whose evidence fails (`contracts/evidence.md` section 6).

    An answer with data, and every answer that names a record, has exactly one terminal record
    with the same digests; a call whose outcome was not seen has at most one.
    """
    known = list(records)
    withheld = {record["of"] for record in known if record["type"] == "withheld"}
    withheld |= {record["record"] for record in known if record.get("outcome") == "cut"}
    terminal = _by_call(record for record in known if record["type"] in TERMINAL)
    found = Losses()
    for call in calls:
        of_call, outcome = terminal[call.call], call.outcome
        if len(of_call) > 1:
            found.repeated.append(call.call)
        elif outcome is None:
            continue  # at most one
        elif not of_call:
            if call.holds_data or "evidence" in outcome:
                found.unrecorded.append(call.call)
        elif not _says_the_same(outcome, of_call[0], withheld):
            found.contradicted.append(call.call)
    return found


def _by_call(records: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        found[record["call"]].append(record)
    return found


def _says_the_same(outcome: dict[str, Any], record: dict[str, Any], withheld: set[str]) -> bool:
    if "evidence" not in outcome:  # a refusal took the place of the answer on record
        return outcome["status"] >= 400 and record["record"] in withheld
    if record["type"] == "unknown":
        return record["record"] == outcome["evidence"] and record["status"] == outcome["status"]
    salt = base64.urlsafe_b64decode(outcome["salt"] + "=")
    # A call that was refused before its body had come has no digest of it on record.
    names = ["answer_digest"]
    if "request_digest" in record or outcome["status"] < 400:
        names.append("request_digest")
    return (
        record["record"] == outcome["evidence"]
        and record["record"] not in withheld
        and record["status"] == outcome["status"]
        and all(
            record.get(name) == sha256(salt + bytes.fromhex(outcome[name])).hexdigest()
            for name in names
        )
    )


async def shipped(town: TestTown, seconds: float = 60.0) -> Path:
    """Wait until all records that exist so far lie in the log; return a package with them.

    Records of one worker reach the log in their order. So each gateway worker is called once
    more, and when those records are there, all before them are, or never will be.
    """
    marks = await _mark(town)
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        package = await town.download("evidence.zip")
        present = {record["record"] for record in records_of(package)}
        if marks <= present:
            return package
        assert asyncio.get_running_loop().time() < deadline, f"not in the log: {marks - present}"
        await asyncio.sleep(0.5)


async def _mark(town: TestTown) -> set[str]:
    """Call over so many new connections that each worker is met; return the records' ids."""
    before = town.calls.read_text(encoding="utf-8").count("\n")
    for _ in range(24):
        client = town.town.new_client("consumer")
        try:
            await client.get_me()
        finally:
            await client.close()
    lines = town.calls.read_text(encoding="utf-8").splitlines()[before:]
    return {event["evidence"] for event in map(json.loads, lines) if "evidence" in event}


def instances_of(records: Iterable[dict[str, Any]]) -> Counter[str]:
    """Return how many data calls each gateway worker has on record."""
    return Counter(
        record["instance"]
        for record in records
        if record["type"] == "call" and record.get("route") == "query"
    )
