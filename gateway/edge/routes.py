"""The routes of `contracts/openapi/gateway.v1.yaml`, compiled; everything else is unknown.

A path is matched byte for byte: nothing is decoded, folded or normalised, so that the gateway
and the part behind it cannot read the same target in two ways.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from gateway.edge.refusal import EdgeRefusal, malformed

Access = Literal["public", "certificate", "caller"]
Data = Literal["query", "batch", "call", "publish"]

BUFFERED_BODY: Final = 1 << 18
"""Bytes. A route with a greater body limit has its bodies passed on in pieces."""
_DEFAULT_LIMIT: Final = 0
_METHODS: Final = frozenset({"get", "put", "post", "delete", "patch", "head", "options"})
_REMEMBERED: Final = 4096
_LONGEST_REMEMBERED: Final = 256
"""Bytes of a target that is remembered; ids are short, and 4096 of 16 KiB would be 64 MiB."""

_PATH = re.compile(rb"/[A-Za-z0-9._~/-]*")
_QUERY = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*")
_ENCODED_CONTROL = re.compile(rb"%(?:[01][0-9A-Fa-f]|7[Ff])")


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the contract.

    Args:
        operation: operationId; records name the route by it.
        method: upper case.
        path: template, such as `/data/v1/{resource}/query`.
        access: what the route asks of the connection.
        part: the part that answers; `gateway` itself for explanations and, since no part stands
            between it and them, for calls to owners' services.
        body_limit: largest request body in bytes; 0 where the route takes none.
        data: the mode of a governed data call, None on the control plane.
        slow: whether a call may take long, since it waits for news or moves a large body. Such
            calls have connections of their own to the part, so that no quick call waits for one.
    """

    operation: str
    method: bytes
    path: str
    access: Access
    part: str
    body_limit: int = 0
    data: Data | None = None
    slow: bool = False
    lane: str = field(init=False)
    """Which connections to the part its calls take: `<part>`, or `<part>/slow`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "lane", f"{self.part}/slow" if self.slow else self.part)

    @property
    def streams(self) -> bool:
        """Return whether bodies are passed on in pieces instead of being held."""
        return self.body_limit > BUFFERED_BODY


@dataclass(frozen=True, slots=True)
class Match:
    """A route that fits a target.

    Args:
        resource: the path's `{resource}`, if it has one.
        rest: what stands for `{path}`, with the slash before it, if the route has one.
    """

    route: Route
    resource: str | None
    rest: bytes | None = None


class _Node:
    """A place in the tree of path segments. Templates have a segment or a parameter, not both."""

    __slots__ = ("children", "name", "parameter", "rest", "routes")

    def __init__(self) -> None:
        self.children: dict[bytes, _Node] = {}
        self.parameter: _Node | None = None
        self.name = ""
        self.rest = False
        self.routes: dict[bytes, Route] = {}


class Router:
    """Finds the route of a method and a target.

    Args:
        routes: no two with the same method and template.

    Raises:
        ValueError: the routes contradict each other.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._root = _Node()
        self._remembered: dict[tuple[bytes, bytes], Match] = {}
        for route in self.routes:
            self._add(route)

    def match(self, method: bytes, target: bytes) -> Match:
        """Return the route that `method` and `target` name.

        Args:
            target: as on the request line.

        Raises:
            EdgeRefusal: `call-malformed`, `route-unknown` or `method-not-allowed`.
        """
        key = (method, target)
        known = self._remembered.get(key)
        if known is not None:
            return known
        path, has_query, query = target.partition(b"?")
        _require_path(path)
        if has_query:
            _require_query(query)
        match = self._find(method, path)
        if not has_query and len(target) <= _LONGEST_REMEMBERED:
            # Targets repeat: a bounded memory of them saves the walk. It is emptied when it is
            # full, so that a caller who varies them costs no more than the walk.
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = match
        return match

    def _find(self, method: bytes, path: bytes) -> Match:
        node: _Node | None = self._root
        resource = None
        for segment in path[1:].split(b"/"):
            if node is None or node.rest:
                break
            child = node.children.get(segment)
            if child is None and segment:
                child = node.parameter
                if child is not None and node.name == "resource":
                    resource = segment.decode()
            node = child
        if node is None or not node.routes:
            raise EdgeRefusal("route-unknown", "The contract of the gateway has no such path.")
        route = node.routes.get(method)
        if route is None:
            allow = ", ".join(sorted(name.decode() for name in node.routes))
            raise EdgeRefusal(
                "method-not-allowed",
                f"This path takes {allow} only.",
                {"allow": sorted(name.decode() for name in node.routes)},
                allow,
            )
        depth = route.path.count("/")
        return Match(route, resource, b"/" + path.split(b"/", depth)[depth] if node.rest else None)

    def _add(self, route: Route) -> None:
        node = self._root
        for segment in route.path[1:].split("/"):
            if not segment.startswith("{"):
                node = node.children.setdefault(segment.encode(), _Node())
                continue
            name = segment[1:-1]
            if node.parameter is None:
                node.parameter, node.name = _Node(), name
            if node.name != name:
                raise ValueError(f"{route.path}: the parameter is called {node.name} elsewhere")
            node = node.parameter
            # A parameter called `path` is the rest of the path, slashes included.
            node.rest = name == "path"
        if route.method in node.routes:
            raise ValueError(f"{route.method.decode()} {route.path} stands twice in the contract")
        node.routes[route.method] = route


def routes_of(document: Mapping[str, Any]) -> list[Route]:
    """Return the routes of an OpenAPI document with the `x-datong-*` marks.

    Raises:
        ValueError: an operation lacks a mark or has one that does not exist.
    """
    routes = []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in _METHODS:
                routes.append(_route(path, method, operation))
    return routes


def _route(path: str, method: str, operation: Mapping[str, Any]) -> Route:
    access = operation.get("x-datong-access")
    part = operation.get("x-datong-part")
    data = operation.get("x-datong-data")
    if access not in ("public", "certificate", "caller") or not isinstance(part, str):
        raise ValueError(f"{method} {path}: x-datong-access or x-datong-part is missing")
    if data not in (None, "query", "batch", "call", "publish") or (data and access != "caller"):
        raise ValueError(f"{method} {path}: x-datong-data does not fit")
    if data == "call" and not path.endswith("/{path}"):
        raise ValueError(f"{method} {path}: what is called in a service is the rest of the path")
    route = Route(
        operation["operationId"],
        method.upper().encode(),
        path,
        cast(Access, access),
        part,
        int(operation.get("x-datong-body-limit", _DEFAULT_LIMIT)),
        cast(Data | None, data),
        operation.get("x-datong-slow") is True,
    )
    if route.streams and not route.slow:
        raise ValueError(f"{method} {path}: a body this large makes a call x-datong-slow")
    return route


def _require_path(path: bytes) -> None:
    if not path.startswith(b"/"):
        raise malformed("The target of a call is a path that begins with a slash.")
    if _PATH.fullmatch(path) is None:
        what = "percent-encoding" if b"%" in path else "a character that no path here has"
        raise malformed(f"The path contains {what}.")
    segments = path[1:].split(b"/")
    if b".." in segments or b"." in segments:
        raise malformed("The path contains a dot segment.")
    if b"" in segments[:-1]:
        raise malformed("The path contains an empty segment.")


def _require_query(query: bytes) -> None:
    if _QUERY.fullmatch(query) is None:
        raise malformed("The query string contains a character that must be percent-encoded.")
    if _ENCODED_CONTROL.search(query) is not None:
        raise malformed("The query string contains an encoded control character.")
