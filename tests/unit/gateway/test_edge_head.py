"""The edge normalises heads: what is passed on is named, everything else is dropped or refused."""

import pytest

from gateway.edge import EdgeRefusal, Head, Route, Router, read_head

CALL = "019aa500-0000-7000-8000-0000000000aa"
ROUTER = Router(
    [
        Route("query", b"POST", "/data/v1/{resource}/query", "caller", "transfer", 65536, "query"),
        Route("list", b"GET", "/list", "caller", "catalog"),
    ]
)
HOST = (b"Host", b"gateway.example:8443")


def head_of(*fields: tuple[bytes, bytes], method: bytes = b"POST") -> Head:
    target = b"/data/v1/abc/query" if method == b"POST" else b"/list"
    return read_head(ROUTER, method, target, [HOST, *fields])


def code_of(*fields: tuple[bytes, bytes]) -> str:
    with pytest.raises(EdgeRefusal) as caught:
        head_of(*fields)
    return caught.value.code


def test_named_fields_are_passed_on_as_they_came() -> None:
    head = head_of((b"content-type", b"application/json"), (b"DATONG-PURPOSE", b"statistics"))
    assert head.forwarded == [
        b"\r\nContent-Type: application/json",
        b"\r\nDatong-Purpose: statistics",
    ]
    assert head.purpose == "statistics"


def test_a_range_is_passed_on_with_what_it_is_conditional_on() -> None:
    head = head_of((b"range", b"bytes=65536-"), (b"if-range", b'"ab"'), method=b"GET")
    assert head.forwarded == [b"\r\nRange: bytes=65536-", b'\r\nIf-Range: "ab"']


@pytest.mark.parametrize("name", [b"Range", b"If-Range"])
def test_a_second_range_is_malformed(name: bytes) -> None:
    assert code_of((name, b"bytes=0-1"), (name.lower(), b"bytes=2-3")) == "call-malformed"


@pytest.mark.parametrize(
    "name",
    [
        b"Datong-Internal-Certificate",
        b"datong-internal-record",
        b"Datong-Internal-Grant",
        b"Datong-Internal-Anything",
        b"Forwarded",
        b"X-Forwarded-For",
        b"X-Forwarded-Client-Cert",
        b"X-Real-IP",
        b"X-SSL-Client-Cert",
        b"Connection",
        b"Keep-Alive",
        b"Proxy-Authorization",
        b"Proxy-Connection",
        b"TE",
        b"Cookie",
        b"User-Agent",
        b"X-Http-Method-Override",
        b"Content-Length",
        b"Datong-Evidence",
    ],
)
def test_no_other_field_reaches_a_part(name: bytes) -> None:
    value = b"5" if name == b"Content-Length" else b"keep-alive"
    assert head_of((name, value)).forwarded == []


def test_lists_that_are_repeated_are_joined() -> None:
    head = head_of((b"Accept", b"a/b"), (b"accept", b"c/d"))
    assert head.forwarded == [b"\r\nAccept: a/b, c/d"]


@pytest.mark.parametrize(
    "name",
    [
        b"Host",
        b"Authorization",
        b"Content-Type",
        b"Content-Length",
        b"Transfer-Encoding",
        b"Datong-Purpose",
        b"Datong-Grant",
        b"Datong-Call",
        b"Datong-Timeout",
        b"Datong-After",
        b"Idempotency-Key",
        b"Expect",
    ],
)
def test_a_single_value_that_stands_twice_is_malformed(name: bytes) -> None:
    assert code_of((name, b"1"), (name.lower(), b"1")) == "call-malformed"


@pytest.mark.parametrize("name", [b"X_Forwarded_For", b"Datong_Purpose", b"_", b"content_length"])
def test_a_name_with_an_underscore_is_malformed(name: bytes) -> None:
    assert code_of((name, b"1")) == "call-malformed"


def test_sixty_four_headers_pass_and_one_more_does_not() -> None:
    assert head_of(*[(b"X-%d" % n, b"1") for n in range(63)])
    assert code_of(*[(b"X-%d" % n, b"1") for n in range(64)]) == "headers-too-large"


def test_headers_over_sixteen_kibibytes_are_refused() -> None:
    assert head_of((b"X", b"a" * 16000))
    assert code_of((b"X", b"a" * 16384)) == "headers-too-large"
    assert code_of(*[(b"X-%d" % n, b"a" * 400) for n in range(45)]) == "headers-too-large"


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"a/admin?x=",
        b"a b",
        b"user@host",
        b"a:port",
        b"a:1234567",
        b"a#b",
        b"[::1",
        "我".encode(),
    ],
)
def test_a_host_that_is_none_is_malformed(host: bytes) -> None:
    with pytest.raises(EdgeRefusal):
        read_head(ROUTER, b"GET", b"/list", [(b"Host", host)])


def test_a_call_without_host_is_malformed() -> None:
    with pytest.raises(EdgeRefusal):
        read_head(ROUTER, b"GET", b"/list", [])


@pytest.mark.parametrize("method", [b"CONNECT", b"TRACE", b"PROPFIND", b"PURGE", b"SOURCE"])
def test_a_method_that_is_not_usual_is_malformed(method: bytes) -> None:
    with pytest.raises(EdgeRefusal) as caught:
        read_head(ROUTER, method, b"/list", [HOST])
    assert caught.value.code == "call-malformed"


def test_a_length_over_the_limit_of_the_route_is_refused_before_the_body() -> None:
    assert code_of((b"Content-Length", b"65537")) == "body-too-large"
    assert head_of((b"Content-Length", b"65536")).length == 65536


def test_a_route_without_bodies_takes_none() -> None:
    with pytest.raises(EdgeRefusal) as caught:
        head_of((b"Content-Length", b"1"), method=b"GET")
    assert caught.value.code == "body-too-large"


@pytest.mark.parametrize(
    "fields",
    [
        [(b"Transfer-Encoding", b"gzip, chunked")],
        [(b"Transfer-Encoding", b"identity")],
        [(b"Transfer-Encoding", b"chunked, chunked")],
        [(b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"4")],
        [(b"Content-Length", b"+4")],
        [(b"Content-Length", b"4, 4")],
        [(b"Content-Length", "４".encode())],
        [(b"Upgrade", b"websocket")],
        [(b"Expect", b"a-pony")],
        [(b"Connection", b"close, Authorization")],
        [(b"Connection", b"Datong-Purpose")],
        [(b"Connection", b"content-length")],
    ],
)
def test_framing_that_could_be_read_in_two_ways_is_malformed(
    fields: list[tuple[bytes, bytes]],
) -> None:
    assert code_of(*fields) == "call-malformed"


def test_the_caller_may_close_and_wait_to_be_asked() -> None:
    head = head_of((b"Connection", b"close"), (b"Expect", b"100-Continue"))
    assert head.closes
    assert head.expects


def test_datong_headers_are_read() -> None:
    head = head_of(
        (b"Datong-Call", CALL.encode()),
        (b"Datong-Grant", CALL.encode()),
        (b"Datong-Case", "浙民〔2026〕12号".encode()),
        (b"Datong-Timeout", b"2.5"),
        (b"Datong-After", b"sharing.grant/g1@7, identity.credential/a_B-c@12"),
    )
    assert (head.call, head.grant, head.case) == (CALL, CALL, "浙民〔2026〕12号")
    assert head.timeout == 2.5
    assert head.after == [
        ("sharing.grant.v1", "grant/g1", 7),
        ("identity.credential.v1", "credential/a_B-c", 12),
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"Datong-Call", b"1"),
        (b"Datong-Call", CALL.upper().encode()),
        (b"Datong-Grant", b"../../x"),
        (b"Datong-Grant", CALL.encode() + b"@2"),
        (b"Datong-Purpose", b"two words"),
        (b"Datong-Purpose", b"p" * 65),
        (b"Datong-Purpose", "统计".encode()),
        (b"Datong-Case", b"\xff\xfe"),
        (b"Datong-Case", b"a\tb"),
        (b"Datong-Case", b"c" * 129),
        (b"Datong-Timeout", b"0"),
        (b"Datong-Timeout", b"-1"),
        (b"Datong-Timeout", b"1e3"),
        (b"Datong-Timeout", b"nan"),
        (b"Datong-Timeout", b"301"),
        (b"Datong-After", b"x"),
        (b"Datong-After", b"sharing.grant/g@"),
        (b"Datong-After", b",".join([b"sharing.grant/g@1"] * 17)),
        (b"Authorization", "Bearer ü".encode()),
    ],
)
def test_a_datong_header_of_another_form_is_malformed(name: bytes, value: bytes) -> None:
    assert code_of((name, value)) == "call-malformed"


def test_an_empty_purpose_is_none_so_that_the_refusal_names_it() -> None:
    assert head_of((b"Datong-Purpose", b"")).purpose is None
