"""The market regulator's own service: run beside the platform, stopped and started by its owner."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Final

from stack.demo.commands import StoryBroken
from stack.process import Process
from stack.settings import inherited_environment

ENTERPRISES: Final = "enterprise-register"
LABOUR_INSPECTION: Final = "labour-inspection"
GRANTED_OPERATION: Final = "read-enterprise"
START_SECONDS: Final = 30.0


def entry_of(service: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of the service, as its owner writes it into the catalogue.

    Args:
        service: address, CA, operations and seconds, as the service tells them.
    """
    return {
        "resource": ENTERPRISES,
        "name": "企业登记信息服务",
        "summary": "按统一社会信用代码查询企业登记信息；由登记机关自行提供。",
        "data_format": "self_described",
        "update_frequency": "real_time",
        "share_class": "conditional",
        "share_conditions": "限于履行法定职责，逐户查询。",
        "modes": ["call"],
        "use_conditions": "不得批量留存。",
        "data_grade": "general",
        "service": service,
    }


class OwnersService:
    """The process of the service.

    Args:
        directory: new folder for its CA and what it prints.
        gateway_ca: CA of the certificate by which it knows the gateway.
        checkout: where it is run.
    """

    def __init__(self, directory: Path, gateway_ca: Path, checkout: Path) -> None:
        self._directory = directory
        self._gateway_ca = gateway_ca
        self._checkout = checkout
        self._process: Process | None = None
        self._starts = 0
        self.service: dict[str, Any] = {}

    async def start(self) -> None:
        """Start it, on the port that it had before; return when it listens.

        Raises:
            StoryBroken: it did not within 30 s.
        """
        self._starts += 1
        port = self.service["address"].rsplit(":", 1)[1] if self.service else "0"
        self._process = Process(
            name="owner-service",
            command=[
                *(sys.executable, "-m", "stack.owner_service"),
                *("--directory", str(self._directory / "ca")),
                *("--gateway-ca", str(self._gateway_ca)),
                *("--port", port),
            ],
            log_file=self._log_file,
            environment=inherited_environment(),
            directory=self._checkout,
        )
        self._process.start()
        try:
            async with asyncio.timeout(START_SECONDS):
                while True:
                    told = self._lines()
                    if told:
                        self.service = told[0]["service"]
                        return
                    await asyncio.sleep(0.1)
        except TimeoutError:
            self.stop()
            raise StoryBroken(f"the service did not start; see {self._log_file}") from None

    @property
    def _log_file(self) -> Path:
        """What it printed since it was started last."""
        return self._directory / f"service-{self._starts}.log"

    def stop(self) -> None:
        """Stop it; nothing happens when it does not run."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def calls(self) -> list[dict[str, Any]]:
        """Return what it noted of the calls that reached it since it was started last."""
        return self._lines()[1:]

    def _lines(self) -> list[dict[str, Any]]:
        if not self._log_file.exists():
            return []
        text = self._log_file.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
