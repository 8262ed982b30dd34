"""The auditor notes, downloads, and proves all of it offline; forgeries are found."""

import asyncio
import json
import zipfile
from pathlib import Path
from typing import Any, Final

from datong.verifier.notes import LogKey, open_checkpoint
from datong.verifier.tiles import bundle_paths, read_bundle
from stack.demo.commands import StoryBroken, run_datong
from stack.demo.report import denials_of
from stack.demo.story.stage import Stage
from stack.demo.tamper import FORGERIES, forge

EVIDENCE_SECONDS: Final = 60.0
EXIT_VERIFICATION_FAILED: Final = 5


class Evidence:
    """The chapter of the evidence."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def take_notes(self) -> dict[str, Any]:
        """Note the log's key and a first checkpoint, before anything happens."""
        auditor = self._stage.town.client("auditor")
        (self.notes / "log.vkey").write_text(await auditor.get_log_key() + "\n", encoding="utf-8")
        return {"noted checkpoint size": await self._note_checkpoint()}

    @property
    def notes(self) -> Path:
        """The auditor's own files: the log's key and the checkpoint noted first."""
        notes = self._stage.directory / "auditor"
        notes.mkdir(exist_ok=True)
        return notes

    async def _note_checkpoint(self) -> int:
        """Note the first checkpoint that covers something."""
        key = LogKey.from_vkey((self.notes / "log.vkey").read_text(encoding="utf-8").strip())
        async with asyncio.timeout(EVIDENCE_SECONDS):
            while True:
                note = await self._stage.town.client("auditor").get_checkpoint()
                size = open_checkpoint(note, key).size
                if size > 1:
                    (self.notes / "checkpoint").write_bytes(note)
                    return size
                await asyncio.sleep(0.2)

    @property
    def package(self) -> Path:
        """The evidence package of the whole story."""
        return self._stage.directory / "evidence.zip"

    async def download(self) -> dict[str, Any]:
        """Download the package once it covers every call that was answered before."""
        auditor = self._stage.town.client("auditor")
        gaps = await auditor.get_gaps()
        wanted = self._evidence_ids()
        async with asyncio.timeout(EVIDENCE_SECONDS):
            while True:
                await auditor.download_package(self.package)
                missing = wanted - _record_ids(self.package)
                if not missing:
                    break
                self._stage.progress(f"waiting for {len(missing)} records to reach the log")
                await asyncio.sleep(0.5)
        return {"package KiB": self.package.stat().st_size >> 10, "gaps": len(gaps["missing"])}

    def _evidence_ids(self) -> set[str]:
        lines = self._stage.town.calls.path.read_text(encoding="utf-8").splitlines()
        events = (json.loads(line) for line in lines)
        return {event["evidence"] for event in events if "evidence" in event}

    async def verify(self) -> dict[str, Any]:
        """Prove every record, and that every answered call has one."""
        calls = self._stage.town.calls.path
        await self._stage.town.close()
        report, code = await self._run_verifier(self.package, calls)
        if code != 0:
            raise StoryBroken(f"the package was not verified: {report.get('problems')}")
        self._stage.report.denials = denials_of(calls)
        self._stage.report.evidence |= {
            "calls": report["calls"]["total"],
            "records": report["records"],
            "gaps": report["gaps"],
            "verified": report["verified"],
        }
        names = ("records", "verified", "epochs", "gaps")
        return {name: report[name] for name in names} | {"calls": report["calls"]["total"]}

    async def find_forgeries(self) -> dict[str, Any]:
        """Forge the package in five ways; each must be found."""
        seed = (self._stage.stack.directory / "secrets" / "log.key").read_bytes()
        note = (self.notes / "checkpoint").read_text(encoding="utf-8")
        folder = self._stage.directory / "forged"
        folder.mkdir(exist_ok=True)
        found: dict[str, str] = {}
        for name, file in forge(self.package, _seed(seed), int(note.split("\n")[1]), folder):
            report, code = await self._run_verifier(file)
            if code != EXIT_VERIFICATION_FAILED or not report["problems"]:
                raise StoryBroken(f"the forgery {name} was not found")
            found[name] = report["problems"][0]["what"]
        self._stage.report.evidence["tamper_detected"] = set(found) == set(FORGERIES)
        return found

    async def _run_verifier(self, package: Path, *calls: Path) -> tuple[dict[str, Any], int]:
        """Run `datong verify` with the auditor's own notes; return its report and exit code."""
        options = ["--key", str(self.notes / "log.vkey")]
        options += ["--checkpoint", str(self.notes / "checkpoint")]
        for log in calls:
            options += ["--calls", str(log)]
        codes = (0, EXIT_VERIFICATION_FAILED)
        return await run_datong("verify", str(package), *options, codes=codes)


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
