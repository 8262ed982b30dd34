"""The services' own OpenAPI documents: `python -m tests.contract.openapi --write` renews them."""

import sys
from pathlib import Path

import orjson

from tests.contract.parts import CONTRACTS, SERVICES, application


def path_of(part: str) -> Path:
    """Return where the document of a service is kept."""
    return CONTRACTS / "openapi" / f"{part}.v1.json"


def document(part: str) -> bytes:
    """Return the document that a service generates, in a form that shows well in a diff."""
    return orjson.dumps(
        application(part).openapi(),
        option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE,
    )


def main(arguments: list[str]) -> None:
    """Write the documents of all services, or of those named."""
    if arguments[:1] != ["--write"]:
        sys.exit("usage: python -m tests.contract.openapi --write [PART ...]")
    for part in arguments[1:] or SERVICES:
        path_of(part).write_bytes(document(part))


if __name__ == "__main__":
    main(sys.argv[1:])
