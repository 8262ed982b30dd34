"""The `datong` command.

Exit codes: 0 done · 1 unexpected · 2 wrong usage or unusable identity · 3 refused by the platform ·
4 the platform or one's own database cannot be reached · 5 a proof failed · 6 both sides differ:
figures of a delivery, or what is stated and what is there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from datong.cli.application import build
from datong.cli.options import hoist
from datong.cli.output import Output
from datong.errors import DatongError

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process with its exit code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code.

    The options that every command has may stand anywhere.
    """
    ordered = hoist(arguments)
    try:
        result = build()(ordered, prog_name="datong", standalone_mode=True)
    except DatongError as error:
        Output(as_json="--json" in ordered).error(error)
        return error.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return result if isinstance(result, int) else 0
