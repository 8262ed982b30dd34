"""Tables of bad input: what is wrong, and how it must be refused."""

import json
import time
from typing import Any

from stack.demo.entries import DIVISIONS, DIVISIONS_ENTRY
from tests.e2e.outsider import QUERY

NOBODY = "01890000-0000-7000-8000-000000000000"
NOW = int(time.time())
TOKENS: dict[str, tuple[dict[str, Any], str]] = {
    "alg none without a signature": ({"header": {"alg": "none"}, "by": "none"}, "token-invalid"),
    "alg none with a signature": ({"header": {"alg": "none"}}, "token-invalid"),
    "HS256 with the public key as PEM": (
        {"header": {"alg": "HS256"}, "by": "pem"},
        "token-invalid",
    ),
    "HS256 with the public key as JWK": (
        {"header": {"alg": "HS256"}, "by": "jwk"},
        "token-invalid",
    ),
    "ES256 said, HMAC made": ({"by": "pem"}, "token-invalid"),
    "another key under the platform's kid": ({"by": "stranger"}, "token-invalid"),
    "a kid that does not exist": (
        {"header": {"kid": "no-such-key"}, "by": "stranger"},
        "token-invalid",
    ),
    "a kid that is a path": ({"header": {"kid": "../../etc/passwd"}}, "token-invalid"),
    "no kid": ({"header": {"kid": None}}, "token-invalid"),
    "a key of its own in the header": ({"header": {"jwk": {"kty": "EC"}}}, "token-invalid"),
    "another type": ({"header": {"typ": "JWT"}}, "token-invalid"),
    "no expiry": ({"claims": {"exp": None}}, "token-invalid"),
    "an expiry that is text": ({"claims": {"exp": str(NOW + 300)}}, "token-invalid"),
    "expired": ({"claims": {"iat": NOW - 700, "exp": NOW - 100}}, "token-invalid"),
    "not valid yet": ({"claims": {"iat": NOW + 3000, "exp": NOW + 3300}}, "token-invalid"),
    "too long a life": ({"claims": {"exp": NOW + 86_400}}, "token-invalid"),
    "another issuer": ({"claims": {"iss": "https://elsewhere.example"}}, "token-invalid"),
    "another audience": ({"claims": {"aud": "https://elsewhere.example"}}, "token-invalid"),
    "bound to nothing": ({"claims": {"cnf": None}}, "token-invalid"),
    "bound to another certificate": (
        {"claims": {"cnf": {"x5t#S256": "A" * 43}}},
        "token-not-bound",
    ),
    "of another system": ({"claims": {"sub": f"system/{NOBODY}"}}, "token-not-bound"),
}
"""What is changed in a good token, and the reason of the refusal."""

HEADS: dict[str, tuple[str, int, str]] = {
    "no host": ("GET /identity/v1/me HTTP/1.1\r\n\r\n", 400, "call-malformed"),
    "length and chunks": (
        f"POST {QUERY} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "call-malformed",
    ),
    "two lengths": (
        f"POST {QUERY} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}",
        400,
        "call-malformed",
    ),
    "an underscore in a name": (
        "GET /identity/v1/me HTTP/1.1\r\nHost: a\r\nDatong_Purpose: a\r\n\r\n",
        400,
        "call-malformed",
    ),
    "two tokens": (
        "GET /identity/v1/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\n"
        "Authorization: Bearer b\r\n\r\n",
        400,
        "call-malformed",
    ),
    "an absolute target": (
        "GET https://a/identity/v1/me HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
        "call-malformed",
    ),
    "a dot segment": (
        "GET /identity/v1/../v1/me HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
        "call-malformed",
    ),
    "an encoded slash": (
        "GET /identity%2fv1/me HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
        "call-malformed",
    ),
    "a header of 17 KiB": (
        f"GET /identity/v1/me HTTP/1.1\r\nHost: a\r\nX: {'a' * 17_000}\r\n\r\n",
        431,
        "headers-too-large",
    ),
    "65 headers": (
        "GET /identity/v1/me HTTP/1.1\r\nHost: a\r\n" + "X: 1\r\n" * 65 + "\r\n",
        431,
        "headers-too-large",
    ),
    "a body over the limit": (
        f"POST {QUERY} HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n",
        413,
        "body-too-large",
    ),
    "a chunk over 16 MiB": (
        f"PUT /data/v1/{DIVISIONS}/batches/{NOBODY}/chunks/0 HTTP/1.1\r\nHost: a\r\n"
        "Content-Length: 16777217\r\n\r\n",
        413,
        "body-too-large",
    ),
    "an unknown path": ("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404, "route-unknown"),
    "another method": (
        "DELETE /identity/v1/me HTTP/1.1\r\nHost: a\r\n\r\n",
        405,
        "method-not-allowed",
    ),
    "an unknown method": (
        "BREW /identity/v1/me HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
        "call-malformed",
    ),
    "no HTTP": ("hello gateway\r\n\r\n", 400, "call-malformed"),
}
"""Bytes of a request, status and reason."""

MALFORMED: dict[str, bytes] = {
    "half an object": b'{"key":{"code":"33"}',
    "a duplicate key": b'{"key":{"code":"33"},"key":{"code":"34"}}',
    "a duplicate key within": b'{"key":{"code":"33","code":"34"}}',
    "broken UTF-8": b'{"key":{"code":"\xff\xfe"}}',
    "a lone surrogate": b'{"key":{"code":"\\ud800"}}',
    "not a number": b'{"key":{"code":NaN}}',
    "a byte order mark": b'\xef\xbb\xbf{"key":{"code":"33"}}',
    "ten thousand brackets": b"[" * 10_000,
    "two documents": b'{"key":{"code":"33"}}{}',
}
PATHS = {
    "query": (QUERY, "consumer", {}),
    "create_entry": ("/catalog/v1/entries", "registrar", {}),
    "create_request": ("/sharing/v1/requests", "requester", {"Idempotency_Key": "k-malformed"}),
    "create_system": ("/identity/v1/systems", "security:hangzhou-health", {}),
}
"""Bodies that are no strict JSON, and the routes that they are sent to, by whom."""

INVALID: dict[str, tuple[str, bytes, str, str]] = {
    "neither key nor filter": ("query", b"{}", "body-invalid", ""),
    "an unknown member": ("query", b'{"key":{"code":"3"},"x":1}', "body-invalid", "/x"),
    "a value that is a list": ("query", b'{"key":{"code":[1]}}', "body-invalid", "/key/code"),
    "no page": ("query", b'{"where":{"name":"a"},"limit":0}', "body-invalid", "/limit"),
    "a text for an object": ("create_entry", b'"entry"', "body-invalid", ""),
    "a member of another type": (
        "create_entry",
        json.dumps(DIVISIONS_ENTRY | {"items": 7}).encode(),
        "body-invalid",
        "/items",
    ),
    "an id that is none": (
        "create_entry",
        json.dumps(DIVISIONS_ENTRY | {"resource": "../x"}).encode(),
        "body-invalid",
        "/resource",
    ),
    "no name": ("create_system", b'{"agency":"hangzhou-health"}', "body-invalid", "/name"),
    "an instant that is none": (
        "create_request",
        b'{"resource":"division-codes","valid_from":"yesterday"}',
        "body-invalid",
        "/valid_from",
    ),
}
"""Route, body, reason, and the pointer to what is wrong."""

UNKNOWN: dict[str, tuple[str, str, str]] = {
    "agency": ("/identity/v1/agencies/nowhere", "operator", "agency-unknown"),
    "person": (f"/identity/v1/people/{NOBODY}", "operator", "holder-unknown"),
    "system": (f"/identity/v1/systems/{NOBODY}", "operator", "holder-unknown"),
    "entry": (f"/catalog/v1/entries/{NOBODY}", "consumer", "entry-unknown"),
    "request": (f"/sharing/v1/requests/{NOBODY}", "requester", "request-unknown"),
    "grant": (f"/sharing/v1/grants/{NOBODY}", "requester", "grant-unknown"),
    "record": (f"/audit/v1/records/{NOBODY}", "auditor", "record-unknown"),
    "tile": ("/audit/v1/tile/0/x999/999", "auditor", "tile-unknown"),
}
"""Path, who asks, and the reason."""
