"""The FastAPI factory of the services: problems, strict JSON, `Datong-After`, offline docs."""

import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

import asyncpg
from aiokafka.errors import KafkaError
from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from prometheus_client import Counter, Histogram
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect
from typing_extensions import override

from kit import problems
from kit.auth import Access, Allowed, call_of
from kit.canonical import NotStrictJson, strict_loads
from kit.db import is_database_lost
from kit.errors import DomainError
from kit.http import parse_after
from kit.logging import get_logger
from kit.states import Position, StateReader

AFTER_SECONDS: Final = 2.0
MAX_BODY: Final = 1 << 20

log = get_logger()

CALLS = Counter("datong_calls", "Calls answered", ["route", "status"])
SECONDS = Histogram("datong_call_seconds", "Time to answer", ["route"])


class _StrictRequest(Request):
    """A request whose JSON is read strictly: two readers must never see two documents."""

    @override
    async def json(self) -> Any:
        if not hasattr(self, "_strict"):
            try:
                self._strict = strict_loads(await self.body(), max_bytes=MAX_BODY)
            except NotStrictJson as error:
                # FastAPI lets an HTTPException pass and would hide any other error.
                raise HTTPException(400, detail=str(error)) from error
        return self._strict


class StrictRoute(APIRoute):
    """A route with strict JSON. Routers of services are made with `route_class=StrictRoute`."""

    def answering(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request after it was wrapped: FastAPI's own handler."""
        return super().get_route_handler()

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the request before FastAPI reads it."""
        handler = self.answering()
        template = self.path_format

        async def handle(request: Request) -> Response:
            started = time.perf_counter()
            request.scope["datong_route"] = template
            try:
                _require_copies(request)
                await _await_after(request)
                return await handler(_StrictRequest(request.scope, request.receive))
            finally:
                SECONDS.labels(template).observe(time.perf_counter() - started)

        return handle


class DirectRoute(StrictRoute):
    """A route whose function takes request and caller, and returns a response made of bytes.

    It is declared like any other, with its `allow(...)` in the signature, but FastAPI neither
    resolves dependencies nor validates: on a hot path that costs more than the work itself.
    Parameters and bodies are documented by `openapi_extra` and checked by the function.
    """

    @override
    def answering(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return a handler that checks the caller and calls the function."""
        found = [d.call for d in self.dependant.dependencies if isinstance(d.call, Allowed)]
        if len(found) != 1:
            raise TypeError(f"{self.name} names no caller by allow(...)")
        allowed, function = found[0], self.endpoint

        async def answer(request: Request) -> Response:
            response: Response = await function(request, await allowed(request))
            return response

        return answer


def _require_copies(request: Request) -> None:
    """Refuse while the copies kept here are still being read for the first time.

    Callers would be refused as unknown, and what was revoked lately would still count.

    Raises:
        ServiceUnavailable: this process has just started.
    """
    readers: Sequence[StateReader] = request.app.state.readers
    if not all(reader.ready for reader in readers):
        raise problems.ServiceUnavailable("The service has just started; it reads permissions.")


async def _await_after(request: Request) -> None:
    """Wait until the copies kept here have reached the states in `Datong-After`.

    Raises:
        PermissionsBehind: they had not after 2 s.
    """
    header = request.headers.get("datong-after")
    if not header:
        return
    positions: list[Position] = parse_after(header)
    readers: Sequence[StateReader] = request.app.state.readers
    end = time.monotonic() + AFTER_SECONDS
    for reader in readers:
        if not await reader.wait_for(positions, max(0.0, end - time.monotonic())):
            raise problems.PermissionsBehind(
                "The states named in Datong-After were not reached within two seconds."
            )


def create_app(
    part: str,
    routers: Sequence[APIRouter],
    *,
    access: Access,
    readers: Sequence[StateReader] = (),
    state: Mapping[str, Any] | None = None,
    lifespan: Callable[[FastAPI], Any] | None = None,
) -> FastAPI:
    """Return the application of one service.

    Args:
        part: the service's name; titles the generated OpenAPI document.
        routers: made with `route_class=StrictRoute`; each route names its `allow(...)`.
        access: checks callers.
        readers: copies of states that `Datong-After` waits for.
        state: more members of `app.state`, such as `db` and `clock`, for dependencies.
    """
    app: FastAPI = FastAPIOffline(
        title=f"Datong {part}",
        version="1",
        lifespan=lifespan,
        separate_input_output_schemas=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.access = access
    app.state.readers = list(readers)
    for name, value in (state or {}).items():
        setattr(app.state, name, value)
    for router in routers:
        app.include_router(router)
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    # FastAPI's documented hook for a document of one's own.
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Return the generated document with problem documents in place of FastAPI's own errors."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, openapi_version="3.1.0", routes=app.routes
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        schemas["Problem"] = problems.SCHEMA
        problem = {
            "description": "A refusal that explains itself (RFC 9457)",
            "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for path in document["paths"].values():
            for operation in path.values():
                if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                    del operation["responses"]["422"]  # FastAPI's own; declared ones stay
                operation["responses"].setdefault("default", problem)
        app.openapi_schema = document
    return app.openapi_schema


def _answer(request: Request, status: int, body: bytes, code: str) -> Response:
    CALLS.labels(request.scope.get("datong_route", "unknown"), status).inc()
    return Response(
        body,
        status,
        media_type=problems.MEDIA_TYPE,
        headers={"Datong-Internal-Reason": code, "Cache-Control": "no-store"},
    )


def _refusal(request: Request, code: str, detail: str, **more: Any) -> Response:
    body = problems.document(code, detail, call=call_of(request) or None, **more)
    return _answer(request, problems.registry()[code].status, body, code)


async def _domain_error(request: Request, error: Any) -> Response:
    status, body = problems.of_error(error, call_of(request) or None)
    return _answer(request, status, body, error.code)


async def _validation_error(request: Request, error: Any) -> Response:
    found = error.errors()
    in_body = [e for e in found if e["loc"][0] == "body"]
    code = "body-invalid" if in_body else "parameter-invalid"
    # The input itself is not echoed: it may hold personal data.
    errors = [{"pointer": _pointer(e["loc"]), "detail": str(e["msg"])} for e in in_body or found]
    return _refusal(request, code, f"{len(errors)} members are not valid.", errors=errors[:50])


async def _http_error(request: Request, error: Any) -> Response:
    code = {
        400: "body-malformed",
        404: "route-unknown",
        405: "method-not-allowed",
        413: "body-too-large",
        415: "content-type-unsupported",
    }.get(error.status_code, "internal-error")
    return _refusal(request, code, str(error.detail))


async def _gone(request: Request, error: Any) -> Response:
    return _refusal(request, "call-timeout", "The connection ended before the body did.")


async def _unavailable(request: Request, error: Any) -> Response:
    log.warning("dependency lost", error=repr(error), call=call_of(request))
    return _refusal(request, "service-unavailable", "The service's database does not answer.")


async def _database_error(request: Request, error: Any) -> Response:
    return await (_unavailable if is_database_lost(error) else _unknown_error)(request, error)


async def _unknown_error(request: Request, error: Any) -> Response:
    log.error("unexpected", call=call_of(request), exc_info=error)
    return _refusal(request, "internal-error", "Something unexpected happened.")


_HANDLERS: Final = {
    DomainError: _domain_error,
    RequestValidationError: _validation_error,
    StarletteHTTPException: _http_error,
    ClientDisconnect: _gone,
    OperationalError: _unavailable,
    InterfaceError: _unavailable,
    PoolTimeout: _unavailable,
    # These come from raw connections; SQLAlchemy wraps its own.
    asyncpg.OperatorInterventionError: _unavailable,
    asyncpg.PostgresConnectionError: _unavailable,
    asyncpg.TooManyConnectionsError: _unavailable,
    asyncpg.InterfaceError: _unavailable,
    # What asyncpg says of a connection that the server is just ending.
    asyncpg.InternalClientError: _unavailable,
    KafkaError: _unavailable,
    OSError: _unavailable,
    TimeoutError: _unavailable,
    DBAPIError: _database_error,
    Exception: _unknown_error,
}
"""Every exception becomes a problem document; unknown ones tell nothing but the call id."""


def _pointer(location: Sequence[str | int]) -> str:
    """Return a JSON pointer (RFC 6901) into the body, or the name of a parameter."""
    parts = location[1:] if location and location[0] == "body" else location
    return "".join("/" + str(p).replace("~", "~0").replace("/", "~1") for p in parts)
