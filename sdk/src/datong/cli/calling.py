"""The command that calls a service which its owner runs."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import typer

from datong.cli.data import Case, Grant, Purpose
from datong.cli.options import Session
from datong.client import Client
from datong.errors import InputInvalid
from datong.operations import calls
from datong.operations.calls import OWNER_HEADER
from datong.operations.operation import JSON, Answer, Operation

ANSWERED_ERROR = 3
"""What the command ends with when the service answers an error."""

_SENDING = {"POST": calls.call_post, "PUT": calls.call_put, "PATCH": calls.call_patch}
_ASKING = {"GET": calls.call_get, "DELETE": calls.call_delete}


def add_commands(application: typer.Typer) -> None:
    """Add the command of this page."""
    application.command(
        "call",
        epilog="Example: datong call enterprises /enterprises/91330106TQ0000065E "
        "--purpose labour-inspection",
    )(_call)


def _call(
    context: typer.Context,
    resource: Annotated[str, typer.Argument(help="Resource of mode call.")],
    path: Annotated[str, typer.Argument(help="Path of the operation, filled in.")],
    purpose: Purpose = None,
    method: Annotated[
        str | None, typer.Option(help="GET otherwise, POST with --body.", show_default=False)
    ] = None,
    parameter: Annotated[
        list[str] | None, typer.Option(help="name=text after the path; repeatable.")
    ] = None,
    body: Annotated[
        Path | None, typer.Option(help="File to send; - is standard input.", allow_dash=True)
    ] = None,
    content_type: Annotated[str, typer.Option(help="Of the body.")] = JSON,
    output: Annotated[
        Path | None, typer.Option(help="Write the answer to this file, once it is whole.")
    ] = None,
    case: Case = None,
    grant: Grant = None,
) -> None:
    """Call an operation of a service that its owner runs; the answer is the owner's as it came.

    Ends with 3 also when the service answers an error, which is printed like any answer.
    """
    session: Session = context.obj
    operation = _operation(
        method,
        resource,
        path,
        None if body is None else _read(body),
        content_type,
        query=_texts(parameter or []),
        purpose=purpose,
        case=case,
        grant=grant,
    )
    with session.client() as client:
        answer = _exchange(client, operation, output)
    is_kept = output is not None and not _is_error(answer)
    if session.output.as_json:
        session.output.document(_described(answer, output if is_kept else None))
    else:
        if not is_kept:
            _print(answer.body)
        owner = answer.headers.get(OWNER_HEADER)
        session.output.note(f"{owner} answered {answer.status}; evidence: {answer.evidence}")
    if _is_error(answer):
        raise typer.Exit(ANSWERED_ERROR)


def _operation(
    method: str | None,
    resource: str,
    path: str,
    body: bytes | None,
    content_type: str,
    **more: Any,
) -> Operation[Answer]:
    named = (method or ("GET" if body is None else "POST")).upper()
    if named in _ASKING and body is None:
        return _ASKING[named](resource, path, **more)
    if named in _SENDING:
        return _SENDING[named](resource, path, body or b"", content_type=content_type, **more)
    raise InputInvalid(
        f"{named} {'with' if body is not None else 'without'} a body is no call.",
        next_step="Methods are GET and DELETE, and with a body POST, PUT and PATCH.",
    )


def _exchange(client: Client, operation: Operation[Answer], output: Path | None) -> Answer:
    """Make the call; a success goes to `output`, which appears only when it is whole."""
    if output is None:
        return client.send(operation)
    waiting = output.with_name(output.name + ".partial")
    try:
        with waiting.open("wb") as sink:
            answer = client.exchange(operation, sink=sink)
        if not _is_error(answer):
            waiting.replace(output)
    except OSError as error:
        raise InputInvalid(f"{output} cannot be written: {error}.") from error
    finally:
        waiting.unlink(missing_ok=True)
    return answer


def _is_error(answer: Answer) -> bool:
    return answer.status >= HTTPStatus.BAD_REQUEST


def _read(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise InputInvalid(f"{file} cannot be read: {error}.") from error


def _texts(pairs: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name or name in found:
            raise InputInvalid(f"{pair!r} is no parameter: it reads name=text, each name once.")
        found[name] = value
    return found


def _described(answer: Answer, file: Path | None) -> dict[str, Any]:
    described = {
        "status": answer.status,
        "owner": answer.headers.get(OWNER_HEADER),
        "content_type": answer.headers.get("content-type"),
        "call": answer.call,
        "evidence": answer.evidence,
        "salt": answer.salt,
    }
    return described | ({"file": str(file)} if file is not None else _body(answer.body))


def _body(body: bytes) -> dict[str, Any]:
    """The body as JSON, else as text, else in base64."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}
    try:
        return {"body": json.loads(text)}
    except ValueError:
        return {"body": text}


def _print(body: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(body)
    if sys.stdout.isatty() and not body.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
