"""Runs the load program beside a test, and reads what came of its calls."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from stack.folders import CHECKOUT
from stack.process import Process
from stack.settings import inherited_environment
from stack.supervisor.watch import until_ended
from tests.support.load import STOP_SECONDS, LanePlan, LoadPlan
from tests.support.processes import wait_until

DISORDER = 1.0
"""Seconds by which outcomes may stand in the log in another order than they came."""


@dataclass
class LoadedCall:
    """One call; instants are `time.monotonic()`, which all processes of a machine share.

    Attributes:
        ended: when its answer had come, or when its connection was lost; None: still in flight.
        outcome: the line of the log that tells it; None also when it stayed unknown.
    """

    call: str
    lane: str
    operation: str
    sent: float
    ended: float | None = None
    outcome: dict[str, Any] | None = None

    @property
    def holds_data(self) -> bool:
        """Whether it is a query that was answered with rows."""
        return self.operation == "query" and self.status == 200

    @property
    def status(self) -> int | None:
        """HTTP status of the answer."""
        return None if self.outcome is None else int(self.outcome["status"])

    @property
    def code(self) -> str | None:
        """Reason code of a refusal."""
        return None if self.outcome is None else self.outcome.get("code")

    @property
    def kind(self) -> str:
        """What became of it, in a word: `data`, `token`, a reason code, `unknown`, `in flight`."""
        if self.outcome is not None:
            return self.code or ("data" if self.holds_data else "token")
        return "in flight" if self.ended is None else "unknown"


class Load:
    """Calls of some lanes, made by a process of its own until the block ends.

    Args:
        directory: new folder for the plan, the log of calls and the output.
    """

    def __init__(self, directory: Path, lanes: Sequence[LanePlan]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.log = directory / "calls.ndjson"
        plan = directory / "plan.json"
        LoadPlan(str(self.log), list(lanes)).write(plan)
        self._process = Process(
            name="load",
            command=[sys.executable, "-m", "tests.support.load", str(plan)],
            log_file=directory / "load.log",
            environment=inherited_environment(),
            directory=CHECKOUT,
        )
        self._calls: dict[str, LoadedCall] = {}
        self._ended: list[LoadedCall] = []
        self._read = 0

    async def __aenter__(self) -> Self:
        self._process.start()
        try:
            await wait_until(lambda: self.count("data") > 0, 30, "the load's first answer")
        except BaseException:
            self._process.kill()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Begin no further call, and return when those in flight have ended; safe to repeat."""
        self._process.tell_to_stop()
        await until_ended(self._process, STOP_SECONDS + 5)
        self._process.kill()
        assert self._process.returncode == 0, self._process.failure("load failed")

    def calls(self, lane: str | None = None) -> list[LoadedCall]:
        """Return all calls so far, in the order in which they were sent."""
        self._take_news()
        return [call for call in self._calls.values() if lane in (None, call.lane)]

    def count(self, kind: str, *lanes: str, since: float = 0.0) -> int:
        """Return how many calls of a kind ended after `since`; cheap when that is not long ago."""
        self._take_news()
        found = 0
        for call in reversed(self._ended):
            ended = call.ended or 0.0
            if ended < since - DISORDER:
                break
            found += ended > since and call.kind == kind and (not lanes or call.lane in lanes)
        return found

    def kinds(self) -> Counter[str]:
        """Return how many calls there are of each kind."""
        return Counter(call.kind for call in self.calls())

    def _take_news(self) -> None:
        """Read the whole lines that were added to the log."""
        if not self.log.exists():
            return
        with self.log.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            event = json.loads(line)
            if event["event"] == "sent":
                self._calls[event["call"]] = LoadedCall(
                    event["call"], event["lane"], event["operation"], event["clock"]
                )
                continue
            call = self._calls[event["call"]]
            call.ended = event["clock"]
            self._ended.append(call)
            if event["event"] == "answered":
                call.outcome = event
