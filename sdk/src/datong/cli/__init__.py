"""The `datong` command.

Exit codes: 0 done · 1 unexpected · 2 wrong usage or unusable identity · 3 refused by the platform ·
4 the platform or one's own database cannot be reached · 5 a proof failed · 6 both sides differ:
figures of a delivery, or what is stated and what is there.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from datong.cli.application import build
from datong.cli.options import hoist
from datong.cli.output import Output
from datong.errors import DatongError, InputInvalid

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process with its exit code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code.

    The options that every command has may stand anywhere.
    """
    ordered = hoist(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Not every terminal has every character; a result is better escaped than lost.
            stream.reconfigure(errors="backslashreplace")
    try:
        result = build()(ordered, prog_name="datong", standalone_mode=True)
    except DatongError as error:
        return _tell(error, ordered)
    except UnicodeEncodeError as error:
        if error.encoding != "utf-8":
            raise
        return _tell(InputInvalid(f"{error.object!r} is no text in UTF-8."), ordered)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return result if isinstance(result, int) else 0


def _tell(error: DatongError, arguments: Sequence[str]) -> int:
    Output(as_json="--json" in arguments).error(error)
    return error.exit_code
