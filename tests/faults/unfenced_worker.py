"""A worker of transfer with one safeguard taken away; for the control run of `test_delivery_kill`.

Whoever takes work over does not end the transaction of the one who held it before.
"""

import runpy
import sys

from sqlalchemy import text

from services.exchange.transfer.store import work

if __name__ == "__main__":
    nothing = "SELECT CAST(:holds AS bigint)"
    work._END_LAPSED = text(nothing)  # type: ignore[misc]
    work._END_HOLDER = text(f"{nothing}, CAST(:id AS bigint)")  # type: ignore[misc]
    sys.argv[0] = "services.exchange.transfer"
    runpy.run_module("services.exchange.transfer", run_name="__main__")
