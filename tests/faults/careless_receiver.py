"""`datong receive` with one safeguard taken away; for the control run of `test_delivery_kill`.

Rows and cursor of a delivery are two transactions instead of one, as in many programs that keep
their place somewhere else. The pause between them stands for a busy machine.
"""

import runpy
import time
from collections.abc import Callable

from typing_extensions import override

from datong.tables import postgres
from datong.tables.store import Arrived, is_next

PAUSE_SECONDS = 0.2


class CarelessStore(postgres.PostgresStore):
    """Commits the rows first, and the cursor a little later."""

    @override
    def apply(
        self, arrived: Arrived, *, from_beginning: bool, before_commit: Callable[[], None]
    ) -> bool:
        with self._transaction() as connection:
            if not is_next(self._lock(connection), arrived):
                return False
            counts = self._write(connection, arrived, from_beginning=from_beginning)
            before_commit()
        time.sleep(PAUSE_SECONDS)
        with self._transaction() as connection:
            self._advance(connection, arrived, counts)
        return True


if __name__ == "__main__":
    postgres.PostgresStore = CarelessStore  # type: ignore[misc]
    runpy.run_module("datong", run_name="__main__")
