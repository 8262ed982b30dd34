"""An owner's own service, called through the platform: operation by operation, and out of order."""

import asyncio
import time
from dataclasses import asdict
from functools import partial
from typing import Any, Final

from datong import Refused
from datong.operations.calls import OWNER_HEADER
from stack.demo.cast import MARKET
from stack.demo.commands import StoryBroken
from stack.demo.entries import DIVISIONS, EDUCATION_NEED, publish_entry
from stack.demo.owner import (
    ENTERPRISES,
    GRANTED_OPERATION,
    LABOUR_INSPECTION,
    OwnersService,
    entry_of,
)
from stack.demo.procedure import Asked, Signers, approve, submit
from stack.demo.refusals import Try, expect_refusals
from stack.demo.story.conditional import ConditionalSharing
from stack.demo.story.stage import Stage
from stack.folders import CHECKOUT
from stack.owner_service.codes import credit_code
from stack.owner_service.register import Register

SIGNERS: Final = Signers("benefits-officer", "benefits-head", "market-administrator", "market-head")
ASKED: Final = Asked(
    ENTERPRISES,
    (),
    LABOUR_INSPECTION,
    basis="劳动保障监察条例第十五条",
    scenario="核对被检查用人单位的登记信息",
    modes=("call",),
    operations=(GRANTED_OPERATION,),
)
CALLS: Final = 20
UNREGISTERED: Final = credit_code("91", "330106", "TR000000")
"""A code whose check characters are right and that no enterprise has."""
BACK_SECONDS: Final = 15.0


class OwnersServiceCalled:
    """The chapter of the market regulator's own service.

    Args:
        conditional: the chapter whose hosted data must be answered all the time.
    """

    def __init__(self, stage: Stage, conditional: ConditionalSharing) -> None:
        self._stage = stage
        self._conditional = conditional
        self._register = list(Register(CALLS))
        self._service: OwnersService | None = None

    @property
    def _running(self) -> OwnersService:
        if self._service is None:
            raise StoryBroken("the service was not started yet")
        return self._service

    async def call(self) -> dict[str, Any]:
        """Make the service available, have one operation granted, and call it."""
        stage, town = self._stage, self._stage.town
        folder = stage.directory / "market-regulator"
        self._service = OwnersService(folder, stage.stack.certificates.ca, CHECKOUT)
        await self._running.start()
        await publish_entry(
            town,
            entry_of(self._running.service),
            writer="market-registrar",
            approver="market-reviewer",
        )
        request = await submit(town, SIGNERS, ASKED, "recruitment")
        granted = await approve(town, SIGNERS, request)
        began = time.perf_counter()
        for enterprise in self._register[:CALLS]:
            answer = await self._read(enterprise.code)
            if (answer.status, answer.json()) != (200, asdict(enterprise)):
                raise StoryBroken(f"asked for {enterprise}, got {answer.status} {answer.body!r}")
        took = time.perf_counter() - began
        missing = await self._read(UNREGISTERED)
        reached = self._require_callers(CALLS + 1)
        stage.report.owner_service |= {
            "resource": ENTERPRISES,
            "owner": MARKET,
            "operation": GRANTED_OPERATION,
            "answered": CALLS,
        }
        return {
            "granted": granted["grant"]["operations"],
            "enterprises read": CALLS,
            "milliseconds a call": round(took / CALLS * 1000, 1),
            "its own refusal passes": f"{missing.status} by {missing.headers[OWNER_HEADER]}",
            "the service was told": reached,
        }

    async def _read(self, code: str) -> Any:
        client = self._stage.town.client("recruitment")
        return await client.call_get(
            ENTERPRISES, f"/enterprises/{code}", purpose=LABOUR_INSPECTION, case="监察-2026-17"
        )

    def _require_callers(self, count: int) -> dict[str, Any]:
        """Return whom the service was told to be called by; the refused ones never came."""
        calls = self._running.calls()
        system = self._stage.town.identities["recruitment"]
        told = {(call["agency"], call["system"], call["purpose"]) for call in calls}
        if len(calls) != count or told != {(system.agency, system.id, LABOUR_INSPECTION)}:
            raise StoryBroken(f"the service was called {len(calls)} times, by {told}")
        return {"agency": system.agency, "purpose": LABOUR_INSPECTION}

    async def be_refused(self) -> dict[str, Any]:
        """Go beyond the grant; nothing of it reaches the service."""
        before = len(self._running.calls())
        client = self._stage.town.client("recruitment")
        call = partial(client.call_get, ENTERPRISES, purpose=LABOUR_INSPECTION)
        code = self._register[0].code
        tries: list[Try] = [
            (
                "an operation that was not granted",
                "operation-not-granted",
                lambda: call("/enterprises", query={"name": "云栖"}),
            ),
            ("the whole register", "operation-not-granted", lambda: call("/exports/enterprises")),
            ("a path of nothing", "operation-not-granted", lambda: call("/metrics")),
            (
                "another method",
                "operation-not-granted",
                lambda: client.call_delete(
                    ENTERPRISES, f"/enterprises/{code}", purpose=LABOUR_INSPECTION
                ),
            ),
            (
                "another system",
                "grant-missing",
                lambda: self._stage.town.client("benefits").call_get(
                    ENTERPRISES, f"/enterprises/{code}", purpose=LABOUR_INSPECTION
                ),
            ),
        ]
        found = await expect_refusals(tries)
        if len(self._running.calls()) != before:
            raise StoryBroken("a refused call reached the service")
        self._stage.report.owner_service["refused"] = sorted(set(found.values()))
        return found

    async def be_stopped(self) -> dict[str, Any]:
        """Stop the service: its calls are refused at once, all else goes on; start it again."""
        self._running.stop()
        began = time.perf_counter()
        code = self._register[0].code
        found = await expect_refusals(
            [("the service is stopped", "owner-unavailable", lambda: self._read(code))]
        )
        milliseconds = round((time.perf_counter() - began) * 1000, 1)
        await self._others_go_on()
        await self._running.start()
        await self._wait_until_back(code)
        self._stage.report.owner_service |= {
            "stopped": found["the service is stopped"],
            "others_went_on": True,
            "started_again": True,
        }
        return found | {
            "milliseconds to that refusal": milliseconds,
            "all else": "went on",
            "started again": "answers again",
        }

    async def _others_go_on(self) -> None:
        """Ask for hosted data of two owners.

        Raises:
            DatongError: one is refused or not answered.
        """
        town = self._stage.town
        await self._conditional.ask_again()
        rows = await town.client("latecomer").query(
            DIVISIONS, purpose=EDUCATION_NEED.purpose, key={"code": "33"}
        )
        if len(rows.rows) != 1:
            raise StoryBroken(f"hosted data is not answered as before: {rows}")

    async def _wait_until_back(self, code: str) -> None:
        async with asyncio.timeout(BACK_SECONDS):
            while True:
                try:
                    answer = await self._read(code)
                except Refused as refused:
                    if refused.code != "owner-unavailable":
                        raise
                    await asyncio.sleep(0.5)
                else:
                    if answer.status != 200:
                        raise StoryBroken(f"the service is back with {answer.status}")
                    return

    def close(self) -> None:
        """Stop the service for good."""
        if self._service is not None:
            self._service.stop()
