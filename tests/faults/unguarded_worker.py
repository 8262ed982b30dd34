"""A gateway worker that does not notice its pauses; for the control run of `test_worker`.

The shipped worker, with one safeguard taken away: after a pause it does not read its topics to
the end before it decides.
"""

import runpy

import kit.states

kit.states.PAUSE_SECONDS = float("inf")  # type: ignore[misc]

if __name__ == "__main__":
    runpy.run_module("gateway", run_name="__main__")
