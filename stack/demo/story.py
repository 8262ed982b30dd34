"""The six steps of the story, each of which returns the facts it has seen."""

import asyncio
import contextlib
import json
import sys
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from datong import CallLog
from datong.verifier.notes import LogKey, open_checkpoint
from datong.verifier.tiles import bundle_paths, read_bundle
from stack.demo.calls import StoryBroken, ask_much, be_refused, call_while
from stack.demo.divisions import Division, divisions
from stack.demo.entries import (
    ADOPTIONS_ENTRY,
    DIVISIONS,
    DIVISIONS_ENTRY,
    load_divisions,
    publish,
    request_divisions,
)
from stack.demo.report import DemoReport, Step, denials_of
from stack.demo.tamper import FORGERIES, forge
from stack.demo.town import AGENCIES, PEOPLE, SYSTEMS, Town, found
from stack.supervisor import Stack

EVIDENCE_SECONDS: Final = 60.0
EXIT_VERIFICATION_FAILED: Final = 5


class Story:
    """Runs the steps on a running platform.

    Args:
        stack: freshly started; nobody exists on it.
        directory: new folder for identities, call log, the auditor's notes, packages.
        progress: told what is being done.
    """

    def __init__(self, stack: Stack, directory: Path, progress: Callable[[str], None]) -> None:
        self.report = DemoReport()
        self._stack = stack
        self._directory = directory
        self._progress = progress
        self._source: list[Division] = []
        self._grant = ""
        self._town: Town | None = None

    @property
    def town(self) -> Town:
        """Everybody; known after step 1."""
        if self._town is None:
            raise StoryBroken("nobody is enrolled yet")
        return self._town

    @contextlib.asynccontextmanager
    async def step(self, name: str, title: str) -> AsyncIterator[dict[str, Any]]:
        """Time one step; what the block puts into the yielded facts goes into the report."""
        self._progress(title)
        step = Step(name, title)
        self.report.steps.append(step)
        began = time.perf_counter()
        try:
            yield step.facts
            step.ok = True
        except Exception as error:
            step.facts["failed"] = str(error)
            raise
        finally:
            step.seconds = round(time.perf_counter() - began, 2)

    async def tell(self) -> None:
        """Run the steps that need the platform.

        Raises:
            StoryBroken: something came out otherwise.
            DatongError: a call failed that must not.
        """
        async with self.step("enrol", "1 · agencies, people and systems enrol") as facts:
            facts |= await self._enrol()
        async with self.step("publish", "2 · civil affairs publishes 行政区划代码") as facts:
            facts |= await self._publish()
        async with self.step("query", "3 · the health commission asks and receives") as facts:
            facts |= await self._request()
            facts |= await ask_much(self.town, self._source)
        async with self.step(
            "refusals", "4 · eight calls are refused, each with a reason"
        ) as facts:
            facts |= await be_refused(self.town)
        async with self.step("revocation", "5 · the grant is suspended under load") as facts:
            facts |= await self._revoke()
        self.report.memory_mib = sum(self._stack.memory().values()) >> 20
        async with self.step("evidence", "6a · the auditor downloads the evidence") as facts:
            facts |= await self._download()

    async def prove(self) -> None:
        """Verify the package in a process of its own, after the platform has stopped."""
        async with self.step("verify", "6b · offline: every record is proved") as facts:
            facts |= await self._verify()
        async with self.step("tamper", "6c · offline: five forgeries are found") as facts:
            facts |= await self._tamper()

    async def _enrol(self) -> dict[str, Any]:
        codes = await self._stack.bootstrap()
        self._town = Town(
            self._stack.address("gateway"),
            self._stack.certificates.ca,
            self._directory / "town",
            CallLog(self._directory / "town" / "calls.ndjson"),
        )
        operator, security = (file.read_text(encoding="utf-8").strip() for file in codes)
        await found(self._town, (operator, security), self._progress)
        auditor = self.town.client("auditor")
        (self._notes / "log.vkey").write_text(await auditor.get_log_key() + "\n", encoding="utf-8")
        size = await self._note_checkpoint()
        return {
            "agencies": len(AGENCIES) + 1,
            "people": len(PEOPLE) + len(AGENCIES) + 2,
            "systems": len(SYSTEMS),
            "noted checkpoint size": size,
        }

    @property
    def _notes(self) -> Path:
        """The auditor's own files: the log's key and the checkpoint noted first."""
        notes = self._directory / "auditor"
        notes.mkdir(exist_ok=True)
        return notes

    async def _note_checkpoint(self) -> int:
        """Note the first checkpoint that covers something."""
        key = LogKey.from_vkey((self._notes / "log.vkey").read_text(encoding="utf-8").strip())
        async with asyncio.timeout(EVIDENCE_SECONDS):
            while True:
                note = await self.town.client("auditor").get_checkpoint()
                size = open_checkpoint(note, key).size
                if size > 1:
                    (self._notes / "checkpoint").write_bytes(note)
                    return size
                await asyncio.sleep(0.2)

    async def _publish(self) -> dict[str, Any]:
        await publish(self.town, DIVISIONS_ENTRY)
        await publish(self.town, ADOPTIONS_ENTRY)
        self._source = list(divisions())
        loaded = await load_divisions(self.town)
        if loaded["rows"] != len(self._source):
            raise StoryBroken(f"{len(self._source)} rows were sent, {loaded['rows']} arrived")
        return {"rows": loaded["rows"], "digest": loaded["digest"]}

    async def _request(self) -> dict[str, Any]:
        page = await self.town.client("requester").list_entries(resource=DIVISIONS)
        request = await request_divisions(self.town)
        self._grant = request["grant"]["id"]
        return {"found": page.items[0]["name"], "state": request["state"]}

    async def _revoke(self) -> dict[str, Any]:
        administrator = self.town.client("administrator")

        async def suspend() -> Mapping[str, Any]:
            return await administrator.suspend_grant(self._grant, "核查用途")

        seen = await call_while(self.town, suspend, before=1.0, after=2.0)
        if seen.others:
            raise StoryBroken(f"calls were refused for other reasons: {seen.others[:5]}")
        late = seen.last_answer - seen.told_at
        if late > 1.0:
            raise StoryBroken(f"data was released {late:.3f} s after the suspension's answer")
        self.report.revocation_ms = seen.milliseconds
        return {
            "answered before": seen.answered,
            "refused after": seen.refused,
            "milliseconds to the first refusal": seen.milliseconds,
            "last data after the 200, ms": round(late * 1000, 1),
        }

    @property
    def package(self) -> Path:
        """The evidence package of the whole story."""
        return self._directory / "evidence.zip"

    async def _download(self) -> dict[str, Any]:
        """Download the package once it covers every call that was answered before."""
        auditor = self.town.client("auditor")
        gaps = await auditor.get_gaps()
        wanted = self._evidence_ids()
        async with asyncio.timeout(EVIDENCE_SECONDS):
            while True:
                await auditor.download_package(self.package)
                missing = wanted - _record_ids(self.package)
                if not missing:
                    break
                self._progress(f"waiting for {len(missing)} records to reach the log")
                await asyncio.sleep(0.5)
        return {"package KiB": self.package.stat().st_size >> 10, "gaps": len(gaps["missing"])}

    def _evidence_ids(self) -> set[str]:
        lines = self.town.calls.path.read_text(encoding="utf-8").splitlines()
        events = (json.loads(line) for line in lines)
        return {event["evidence"] for event in events if "evidence" in event}

    async def _verify(self) -> dict[str, Any]:
        calls = self.town.calls.path
        await self.town.close()
        report, code = await self._run_verifier(self.package, calls)
        if code != 0:
            raise StoryBroken(f"the package was not verified: {report.get('problems')}")
        self.report.denials = denials_of(calls)
        self.report.evidence |= {
            "calls": report["calls"]["total"],
            "records": report["records"],
            "gaps": report["gaps"],
            "verified": report["verified"],
        }
        names = ("records", "verified", "epochs", "gaps")
        return {name: report[name] for name in names} | {"calls": report["calls"]["total"]}

    async def _tamper(self) -> dict[str, Any]:
        seed = (self._stack.directory / "secrets" / "log.key").read_bytes()
        note = (self._notes / "checkpoint").read_text(encoding="utf-8")
        folder = self._directory / "forged"
        folder.mkdir(exist_ok=True)
        found: dict[str, str] = {}
        for name, file in forge(self.package, _seed(seed), int(note.split("\n")[1]), folder):
            report, code = await self._run_verifier(file)
            if code != EXIT_VERIFICATION_FAILED or not report["problems"]:
                raise StoryBroken(f"the forgery {name} was not found")
            found[name] = report["problems"][0]["what"]
        self.report.evidence["tamper_detected"] = set(found) == set(FORGERIES)
        return found

    async def _run_verifier(self, package: Path, *calls: Path) -> tuple[dict[str, Any], int]:
        """Run `datong verify` with the auditor's own notes; return its report and exit code."""
        command = [sys.executable, "-m", "datong", "--json", "verify", str(package)]
        command += ["--key", str(self._notes / "log.vkey")]
        command += ["--checkpoint", str(self._notes / "checkpoint")]
        for log in calls:
            command += ["--calls", str(log)]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, error = await process.communicate()
        try:
            return json.loads(out), process.returncode or 0
        except ValueError as cause:
            raise StoryBroken(f"datong verify failed: {error.decode()[-500:]}") from cause


def _seed(data: bytes) -> bytes:
    return data if len(data) == 32 else bytes.fromhex(data.decode("ascii").strip())


def _record_ids(package: Path) -> set[str]:
    """Return the ids of all records in a whole package."""
    found: set[str] = set()
    with zipfile.ZipFile(package) as opened:
        size = json.loads(opened.read("package.json"))["size"]
        for path, _ in bundle_paths(size):
            found.update(json.loads(r)["record"] for r in read_bundle(opened.read(path)))
    return found
