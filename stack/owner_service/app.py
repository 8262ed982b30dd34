"""What the service answers. It asks nobody for a token: only the gateway can connect."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Final

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from stack.owner_service.codes import is_credit_code
from stack.owner_service.register import Register

LIMIT: Final = 20
_LINES: Final = 200
_CALLER: Final = ("Agency", "System", "Grant", "Purpose", "Case", "Call")
OPERATIONS: Final = (
    {
        "name": "read-enterprise",
        "title": "按统一社会信用代码查询企业",
        "method": "GET",
        "path": "/enterprises/{code}",
    },
    {
        "name": "find-enterprises",
        "title": "按名称查询企业",
        "method": "GET",
        "path": "/enterprises",
    },
    {
        "name": "export-enterprises",
        "title": "导出全部企业",
        "method": "GET",
        "path": "/exports/enterprises",
    },
)
"""As the entry of the service lists them."""


def build_app(register: Register) -> FastAPI:
    """Return the application."""
    app = FastAPI(title="Register of enterprises", docs_url=None, redoc_url=None)

    @app.get("/enterprises/{code}")
    def read_enterprise(code: str, request: Request) -> Response:
        if not is_credit_code(code):
            return _told(request, 422, {"error": "This is no unified social credit code."})
        found = register.get(code)
        if found is None:
            return _told(request, 404, {"error": "No enterprise has this code."})
        return _told(request, 200, asdict(found))

    @app.get("/enterprises")
    def find_enterprises(
        name: Annotated[str, Query(min_length=2, max_length=50)], request: Request
    ) -> Response:
        found = [asdict(enterprise) for enterprise in register.find(name, LIMIT)]
        return _told(request, 200, {"enterprises": found})

    @app.get("/exports/enterprises")
    def export_enterprises(request: Request) -> Response:
        _tell(request, 200)
        return StreamingResponse(_lines(register), media_type="application/x-ndjson")

    return app


def _lines(register: Register) -> Iterator[bytes]:
    """Yield the whole register, one JSON object a line, some hundred lines at a time."""
    lines: list[str] = []
    for enterprise in register:
        lines.append(json.dumps(asdict(enterprise), ensure_ascii=False))
        if len(lines) == _LINES:
            yield ("\n".join(lines) + "\n").encode()
            lines = []
    if lines:
        yield ("\n".join(lines) + "\n").encode()


def _told(request: Request, status: int, body: object) -> Response:
    _tell(request, status)
    return JSONResponse(body, status)


def _tell(request: Request, status: int) -> None:
    """Print who called, and why, on one line."""
    said: dict[str, object] = {"path": request.url.path, "status": status}
    for name in _CALLER:
        value = request.headers.get(f"Datong-{name}")
        if value is not None:
            said[name.lower()] = value.encode("latin-1").decode(errors="replace")
    sys.stdout.write(json.dumps(said, ensure_ascii=False) + "\n")
    sys.stdout.flush()
