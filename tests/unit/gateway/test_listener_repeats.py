"""Equal bytes have one reading; everything else goes to the parser."""

import pytest

from gateway.edge import Head, Route, Router, read_head
from gateway.listener.repeats import Repeat, learn

CALL = "019aa500-0000-7000-8000-0000000000aa"
OTHER = "019aa500-0000-7000-8000-0000000000bb"
ROUTER = Router(
    [
        Route("query", b"POST", "/q", "caller", "transfer", 100, "query"),
        Route("list", b"GET", "/l", "caller", "catalog"),
        Route("load", b"PUT", "/p", "caller", "transfer", 1 << 20, "publish"),
    ]
)


def head_of(data: bytes) -> Head:
    line, *fields = data.split(b"\r\n\r\n")[0].split(b"\r\n")
    method, target, _ = line.split(b" ")
    headers = [(name, value.strip()) for name, _, value in (f.partition(b":") for f in fields)]
    return read_head(ROUTER, method, target, headers)


def query(body: bytes = b"{}", call: str | None = CALL, line: bytes = b"POST /q HTTP/1.1") -> bytes:
    named = b"" if call is None else b"Datong-Call: " + call.encode() + b"\r\n"
    return (
        line + b"\r\nHost: a\r\n" + named + b"content-length:  %d \r\nAccept: b\r\n\r\n" % len(body)
    ) + body


def learned(data: bytes) -> Repeat:
    repeat = learn(head_of(data), data)
    assert repeat is not None
    return repeat


def test_a_repeated_head_tells_what_differs() -> None:
    fitting = learned(query()).fits(query(b'{"a":12345678}', OTHER))
    assert fitting == (OTHER, b'{"a":12345678}')


def test_a_head_without_call_id_or_body_repeats_too() -> None:
    plain = b"GET /l HTTP/1.1\r\nHost: a\r\n\r\n"
    fitting = learned(plain).fits(plain)
    assert fitting == (None, b"")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(query() + b"x", id="a byte more"),
        pytest.param(query() + query(), id="another call behind it"),
        pytest.param(query()[:-1], id="a byte less"),
        pytest.param(query()[:40], id="half a head"),
        pytest.param(b"", id="nothing"),
        pytest.param(query(b"x" * 101), id="a body over the limit"),
        pytest.param(query(call=None), id="without its call id"),
        pytest.param(query(call=CALL.upper()), id="a call id in another form"),
        pytest.param(query(call=CALL[:-1] + "\r"), id="a line end in the call id"),
        pytest.param(query().replace(b"  2 ", b"  +2 "), id="a signed length"),
        pytest.param(query().replace(b"  2 ", b"   "), id="no length"),
        pytest.param(query().replace(b"  2 ", b"  0x2 "), id="a length in another form"),
        pytest.param(query().replace(b"  2 ", b"  2"), id="a space less"),
        pytest.param(query().replace(b"Host: a", b"Host: b"), id="another host"),
        pytest.param(query().replace(b"Accept: b\r\n", b""), id="a field less"),
        pytest.param(query().replace(b"POST /q", b"POST /Q"), id="another target"),
        pytest.param(query().replace(b"Accept: b", b"Accept: b\r\nX_Y: 1"), id="a field more"),
        pytest.param(b"\r\n" + query(), id="an empty line before"),
    ],
)
def test_anything_else_goes_to_the_parser(data: bytes) -> None:
    assert learned(query()).fits(data) is None


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\r\n\r\n" + query(), id="empty lines before"),
        pytest.param(query(line=b"POST /q RTSP/1.1"), id="another protocol's name"),
        pytest.param(
            b"POST /q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="chunked",
        ),
        pytest.param(
            b"POST /q HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            id="the last call",
        ),
        pytest.param(
            b"POST /q HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
            id="waits to be asked",
        ),
        pytest.param(b"PUT /p HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", id="an upload"),
    ],
)
def test_what_is_not_a_plain_call_is_not_learned(data: bytes) -> None:
    assert learn(head_of(data.lstrip()), data) is None


def test_half_a_head_is_not_learned() -> None:
    assert learn(head_of(query()), query()[:-20]) is None
