"""An answer is read by a pattern only when the strict parser would read the same."""

from hashlib import sha256

import pytest

from gateway.listener.answer import Answer, read_answer
from gateway.listener.pattern import AnswerPattern, learn_answer

FIELDS = (
    (b"date", b"Tue, 24 Nov 2026 08:00:00 GMT"),
    (b"content-type", b"application/json"),
    (b"Content-Length", b"9"),
    (b"datong-internal-rows", b"3"),
    (b"datong-internal-items", b"code,name"),
    (b"datong-internal-digest", sha256(b'{"a": 12}').hexdigest().encode()),
    (b"datong-internal-enforced", b"019aa450-0000-7000-8000-000000000066@2"),
)
BODY = b'{"a": 12}'


def whole(
    *fields: tuple[bytes, bytes], body: bytes = BODY, line: bytes = b"HTTP/1.1 200 OK"
) -> bytes:
    return line + b"".join(b"\r\n%b: %b" % field for field in fields) + b"\r\n\r\n" + body


def changed(**values: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return the fields with other values, by the last word of their names."""
    return tuple((n, values.get(n.decode().lower().split("-")[-1], v)) for n, v in FIELDS)


def learned() -> AnswerPattern:
    pattern = learn_answer(whole(*FIELDS), read_answer(200, FIELDS))
    assert pattern is not None
    return pattern


def said(answer: Answer) -> dict[str, object]:
    return {name: getattr(answer, name) for name in Answer.__slots__}


def test_other_rows_lengths_digests_and_dates_are_read_as_the_parser_reads_them() -> None:
    body = b'{"b": 3456789}'
    fields = changed(
        length=b"14",
        rows=b"120",
        digest=sha256(body).hexdigest().encode(),
        date=b"Wed, 25 Nov 2026 18:00:01 GMT",
    )
    taken = learned().read(whole(*fields, body=body))
    assert taken is not None
    assert said(taken[0]) == said(read_answer(200, fields))
    assert taken[1] == body


@pytest.mark.parametrize(
    "data",
    [
        whole(*FIELDS, body=BODY[:-1]),
        whole(*FIELDS, body=BODY + b"H"),
        whole(*FIELDS) + whole(*FIELDS),
        whole(*FIELDS)[:60],
        whole(*FIELDS, line=b"HTTP/1.1 403 Forbidden"),
        whole(*FIELDS, line=b"HTTP/1.0 200 OK"),
        whole(*FIELDS, (b"connection", b"close")),
        whole(*FIELDS, (b"content-length", b"9")),
        whole(*FIELDS, (b"transfer-encoding", b"chunked")),
        whole(*FIELDS, (b"datong-internal-reason", b"grant-ended")),
        whole(*FIELDS[1:]),
        whole(*changed(type=b"text/plain")),
        whole(*changed(items=b"code,name,birth")),
        whole(*changed(enforced=b"019aa450-0000-7000-8000-000000000067@2")),
        whole(*changed(length=b"+9")),
        whole(*changed(length=b"9, 9")),
        whole(*changed(length=b"")),
        whole(*changed(rows=b"-3")),
        whole(*changed(digest=b"ab" * 31)),
        whole(*changed(digest=b"zz" * 32)),
        whole(*changed(date=b"x\rServer: y")),
    ],
)
def test_every_other_difference_leaves_it_to_the_parser(data: bytes) -> None:
    assert learned().read(data) is None


def test_what_was_read_by_a_pattern_does_not_change_the_pattern() -> None:
    pattern = learned()
    first = pattern.read(whole(*FIELDS))
    assert first is not None
    first[0].rows = 99
    second = pattern.read(whole(*FIELDS))
    assert second is not None
    assert second[0].rows == 3


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ((*FIELDS, (b"datong-internal-reason", b"grant-ended")), BODY),
        (tuple(f for f in FIELDS if f[0] != b"datong-internal-digest"), BODY),
        (tuple(f for f in FIELDS if f[0] != b"datong-internal-rows"), BODY),
        ((*FIELDS, (b"datong-internal-rows", b"3")), BODY),
        (FIELDS, BODY + b" "),
    ],
)
def test_refusals_and_answers_without_rows_length_and_digest_are_not_learned(
    fields: tuple[tuple[bytes, bytes], ...], body: bytes
) -> None:
    assert learn_answer(whole(*fields, body=body), read_answer(200, fields)) is None


def test_an_answer_behind_an_interim_one_is_not_learned() -> None:
    data = b"HTTP/1.1 103 Early Hints\r\n\r\n" + whole(*FIELDS)
    assert learn_answer(data, read_answer(200, FIELDS)) is None
