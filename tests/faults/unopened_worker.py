"""A gateway worker that begins large answers without a record; for the control run of
`test_opened_answers`.

The shipped worker, with one safeguard taken away: `opened` is not written, and the answer of an
owner's service begins at once.
"""

import asyncio
import runpy
from collections.abc import Callable
from typing import Any

from gateway.evidence import Evidence

_append = Evidence.append


def _append_all_but_opened(
    self: Evidence,
    fields: dict[str, Any],
    salt: bytes,
    release: Callable[[], None],
    failed: Callable[[Exception], None],
) -> None:
    if fields["type"] == "opened":
        asyncio.get_running_loop().call_soon(release)
    else:
        _append(self, fields, salt, release, failed)


if __name__ == "__main__":
    Evidence.append = _append_all_but_opened  # type: ignore[method-assign]
    runpy.run_module("gateway", run_name="__main__")
