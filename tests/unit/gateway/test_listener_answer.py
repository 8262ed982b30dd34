"""What a part says to the gateway alone never reaches a caller."""

import pytest

from gateway.listener.answer import head_bytes, read_answer, refusal


def head(status: int, *fields: tuple[bytes, bytes]) -> bytes:
    answer = read_answer(status, list(fields))
    return head_bytes(answer, length=5, date=b"\r\nDate: x", names=[], closes=False)


def test_fields_for_callers_pass_and_all_others_stay_inside() -> None:
    said = head(
        200,
        (b"content-type", b"application/json"),
        (b"etag", b'"3"'),
        (b"datong-revision", b"sharing.grant/g@7"),
        (b"datong-internal-rows", b"3"),
        (b"datong-internal-secret", b"x"),
        (b"server", b"uvicorn"),
        (b"set-cookie", b"a=b"),
        (b"transfer-encoding", b"chunked"),
        (b"connection", b"close"),
        (b"datong-evidence", b"forged"),
    )
    assert said == (
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: "3"\r\n'
        b"Datong-Revision: sharing.grant/g@7\r\nCache-Control: no-store\r\nDate: x\r\n"
        b"Content-Length: 5\r\n\r\n"
    )


def test_a_range_says_which_bytes_it_holds() -> None:
    said = head(
        206,
        (b"content-range", b"bytes 5-9/20"),
        (b"accept-ranges", b"bytes"),
        (b"content-length", b"5"),
    )
    assert said.startswith(
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/20\r\nAccept-Ranges: bytes\r\n"
    )


def test_an_answer_that_has_no_body_tells_no_length() -> None:
    said = head(304, (b"etag", b'"ab"'), (b"content-length", b"70000"))
    assert b"Content-Length" not in said
    assert b'ETag: "ab"' in said


def test_what_the_part_counted_is_read() -> None:
    answer = read_answer(
        200,
        [
            (b"Datong-Internal-Rows", b"3"),
            (b"datong-internal-items", b"code,name"),
            (b"datong-internal-digest", b"ab" * 32),
            (b"datong-internal-enforced", b"g1@7"),
            (b"content-length", b"99"),
        ],
    )
    assert (answer.rows, answer.items, answer.length) == (3, ["code", "name"], 99)
    assert answer.announced == bytes.fromhex("ab" * 32)
    assert answer.enforced == ("g1", 7)


@pytest.mark.parametrize(
    "field",
    [
        (b"datong-internal-rows", b"many"),
        (b"datong-internal-digest", b"ab"),
        (b"datong-internal-digest", b"xyz"),
        (b"datong-internal-enforced", b"g1"),
        (b"datong-internal-items", b"\xff"),
    ],
)
def test_what_the_part_said_wrongly_is_a_fault(field: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - which error it is does not matter
        read_answer(200, [field])


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_body_has_no_length(status: int) -> None:
    assert b"Content-Length" not in head(status)


def test_a_refusal_names_its_code_and_how_to_go_on() -> None:
    answer, body = refusal("permissions-stale", "Not fresh.", call="c")
    assert answer.status == 503
    assert b"\r\nRetry-After: 2" in answer.lines
    assert b'"code":"permissions-stale"' in body
    assert b'"call":"c"' in body
