"""calls = records: the callers' own logs are joined with the log on call ids."""

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datong.verifier.report import Report, Verdict
from datong.verifier.verification import verify

Builders = dict[str, Callable[..., dict[str, Any]]]
SALT = bytes(range(32))
REQUEST = hashlib.sha256(b"{}").hexdigest()
ANSWER = hashlib.sha256(b'{"rows":[]}').hexdigest()
CALL = "01990000-0000-7000-8000-00000000ca11"
RECORD = "01990000-0000-7000-8000-000000000001"
CERTIFICATE = "c" * 43


def _salted(digest: str) -> str:
    return hashlib.sha256(SALT + bytes.fromhex(digest)).hexdigest()


def sent(call: str = CALL, **fields: Any) -> dict[str, Any]:
    return {
        "event": "sent",
        "call": call,
        "at": "2026-11-24T08:00:01.000000Z",
        "operation": "query",
        "certificate": CERTIFICATE,
        "request_digest": REQUEST,
    } | fields


def answered(call: str = CALL, **fields: Any) -> dict[str, Any]:
    line = {
        "event": "answered",
        "call": call,
        "at": "2026-11-24T08:00:02.000000Z",
        "status": 200,
        "evidence": RECORD,
        "salt": base64.urlsafe_b64encode(SALT).rstrip(b"=").decode(),
        "request_digest": REQUEST,
        "request_bytes": 2,
        "answer_digest": ANSWER,
        "answer_bytes": 11,
    } | fields
    return {name: value for name, value in line.items() if value is not None}


@pytest.fixture
def join(log: Any, records: Builders, tmp_path: Path) -> Callable[..., Report]:
    """Verify a log of some calls against one client's log."""

    def run(
        calls: list[dict[str, Any]],
        lines: list[dict[str, Any]],
        *,
        claims: Any = None,
        raw: bytes = b"",
    ) -> Report:
        begin = [records["record"](0, "epoch")]
        end = [records["record"](len(calls) + 1, "end")]
        shown = type(log)(claims=claims or {}).plus(*begin, *calls, *end)
        file = tmp_path / "calls.ndjson"
        file.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines) + raw)
        return verify(
            shown.save(tmp_path / "package.zip"),
            vkey=log.signer.vkey,
            checkpoints=[shown.checkpoint()],
            call_logs=[file],
        )

    return run


@pytest.fixture
def call(records: Builders) -> Callable[..., dict[str, Any]]:
    """The record of the call that `answered` tells of."""

    def build(sequence: int = 1, call: str = CALL, **fields: Any) -> dict[str, Any]:
        own = {"request_digest": _salted(REQUEST), "answer_digest": _salted(ANSWER)} | fields
        record = records["call"](sequence, call, **own)
        return {name: value for name, value in record.items() if value is not None}

    return build


def _whats(report: Report) -> list[str]:
    return [problem.what for problem in report.problems]


def test_an_answered_call_has_its_record(join: Any, call: Any) -> None:
    report = join([call()], [sent(), answered()])

    assert report.ok
    assert report.calls is not None
    assert (report.calls.total, report.calls.answered, report.calls.matched) == (1, 1, 1)


def test_an_answered_call_without_record_is_evidence_lost(join: Any) -> None:
    report = join([], [sent(), answered()])

    assert report.verdict is Verdict.INCOMPLETE
    assert _whats(report) == ["call-unrecorded"]
    assert report.problems[0].call == CALL
    assert report.problems[0].record == RECORD


def test_an_answered_call_with_two_records_is_refused(join: Any, call: Any) -> None:
    report = join([call(1), call(2)], [sent(), answered()])

    assert _whats(report) == ["call-repeated"]


@pytest.mark.parametrize(
    ("record", "line", "what"),
    [
        ({"answer_digest": "0" * 64}, {}, "digest of the answer"),
        ({"request_digest": "0" * 64}, {}, "digest of the request"),
        ({"answer_digest": None}, {}, "no digest of the answer"),
        ({"status": 403}, {}, "status"),
        ({}, {"evidence": "01990000-0000-7000-8000-0000000000ff"}, "named record"),
        ({}, {"salt": "c2hvcnQ"}, "digest"),
        ({}, {"salt": "%"}, "digest"),
        ({}, {"answer_digest": "zz"}, "digest of the answer"),
    ],
)
def test_a_record_that_says_something_else_is_refused(
    join: Any, call: Any, record: dict[str, Any], line: dict[str, Any], what: str
) -> None:
    report = join([call(**record)], [sent(), answered(**line)])

    assert report.verdict is Verdict.REFUSED
    assert _whats(report) == ["call-contradicted"]
    assert what in report.problems[0].detail
    assert report.problems[0].index == 1


def test_an_answer_that_the_log_calls_withheld_was_not_withheld(
    join: Any, call: Any, records: Builders
) -> None:
    withheld = records["record"](2, "withheld", of=RECORD, call=CALL)
    report = join([call(), withheld], [sent(), answered()])

    assert _whats(report) == ["call-contradicted"]
    assert "withheld" in report.problems[0].detail


def test_a_refusal_in_place_of_a_withheld_answer_is_consistent(
    join: Any, call: Any, records: Builders
) -> None:
    withheld = records["record"](2, "withheld", of=RECORD, call=CALL, reason="grant-suspended")
    line = answered(evidence=None, salt=None, status=403, code="grant-suspended")

    report = join([call(), withheld], [sent(), line])

    assert report.ok
    assert report.calls.matched == 1


def test_a_record_that_was_begun_when_evidence_became_unavailable_is_consistent(
    join: Any, call: Any
) -> None:
    line = answered(evidence=None, salt=None, status=503, code="evidence-unavailable")

    report = join([call()], [sent(), line])

    assert report.ok
    assert report.calls.uncertified == 1


def test_a_call_whose_outcome_was_never_seen_has_at_most_one_record(join: Any, call: Any) -> None:
    unknown = {"event": "unknown", "call": CALL, "at": "x", "error": "ReadError: "}

    assert join([], [sent(), unknown]).ok
    report = join([call()], [sent()])
    assert report.ok
    assert (report.calls.unseen, report.calls.unseen_recorded) == (1, 1)
    assert _whats(join([call(1), call(2)], [sent(), unknown])) == ["call-repeated"]


def test_another_caller_may_use_the_same_call_id(join: Any, call: Any) -> None:
    report = join([call(1), call(2, certificate="d" * 43)], [sent(), answered()])

    assert report.ok


@pytest.mark.parametrize(
    ("begun", "ended"),
    [
        ({"certificate": None}, {"evidence": None, "salt": None}),
        ({}, {"evidence": None, "salt": None, "status": 401, "code": "certificate-invalid"}),
        ({}, {"evidence": None, "salt": None, "status": 503, "code": "evidence-unavailable"}),
    ],
)
def test_some_answers_owe_no_record(
    join: Any, begun: dict[str, Any], ended: dict[str, Any]
) -> None:
    report = join([], [sent(**begun), answered(**ended)])

    assert report.ok
    assert report.calls.uncertified == 1


def test_a_refusal_with_a_certificate_owes_a_record(join: Any) -> None:
    line = answered(evidence=None, salt=None, status=403, code="grant-missing")

    assert _whats(join([], [sent(), line])) == ["call-unrecorded"]


def test_a_selected_package_need_not_hold_every_call(join: Any) -> None:
    report = join([], [sent(), answered()], claims={"selection": "time", "first": 0, "last": 2})

    assert report.ok
    assert report.calls.later == 1


def test_calls_too_late_for_the_package_are_not_missed(
    join: Any, call: Any, tmp_path: Path
) -> None:
    join([call()], [])
    digest = hashlib.sha256((tmp_path / "package.zip").read_bytes()).hexdigest()
    fetch, after, before = CALL[:-1] + "2", CALL[:-1] + "3", CALL[:-1] + "4"
    lines = [
        sent(),
        answered(),
        sent(fetch, operation="get_package", at="2026-11-24T09:00:00.000000Z"),
        answered(fetch, answer_digest=digest, at="2026-11-24T09:00:01.000000Z"),
        sent(after, at="2026-11-24T09:00:01.000000Z"),
        answered(after, at="2026-11-24T09:00:02.000000Z"),
        sent(before, at="2026-11-24T08:59:49.000000Z"),
        answered(before, at="2026-11-24T08:59:51.000000Z"),
    ]

    report = join([call()], lines)

    assert report.ok
    assert (report.calls.matched, report.calls.later) == (1, 3)

    lines[-1]["at"] = "2026-11-24T08:59:49.999999Z"
    assert _whats(join([call()], lines)) == ["call-unrecorded"]


def test_a_line_cut_by_a_crash_is_ignored(join: Any, call: Any) -> None:
    assert join([call()], [sent(), answered()], raw=b'{"event":"sent","ca').ok
    assert join([call()], [sent(), answered()], raw=b'{"event":"sent","ca\n').ok


@pytest.mark.parametrize(
    "lines",
    [
        [{"event": "sent"}],
        [sent(), sent()],
        [answered()],
        [sent(), {"no": "call"}],
    ],
)
def test_a_log_that_the_sdk_did_not_write_is_refused(join: Any, lines: list[Any]) -> None:
    assert _whats(join([], lines)) == ["call-log"]


def test_a_log_that_is_no_json_or_absent_is_refused(join: Any, log: Any, tmp_path: Path) -> None:
    assert _whats(join([], [], raw=b"{not JSON}\n")) == ["call-log"]
    report = verify(
        log.save(tmp_path / "p.zip"),
        vkey=log.signer.vkey,
        checkpoints=[log.checkpoint()],
        call_logs=[tmp_path / "absent"],
    )
    assert _whats(report) == ["call-log"]


# ---- answers that stream ----


def _streamed(call: Any, records: Builders, kind: str, **fields: Any) -> list[dict[str, Any]]:
    """Return the `opened` record of the call, and the one of type `kind` that ends it."""
    opening = "01990000-0000-7000-8000-00000000000f"
    opened = records["record"](1, "opened", call=CALL, record=opening, closing=RECORD, status=200)
    return [opened, call(2, type=kind, record=RECORD, of=opening, **fields)]


def test_a_streamed_answer_has_the_record_that_closed_it(
    join: Any, call: Any, records: Builders
) -> None:
    report = join(_streamed(call, records, "closed", outcome="whole"), [sent(), answered()])

    assert report.ok
    assert report.calls.matched == 1


def test_a_streamed_answer_that_was_never_closed_is_evidence_lost(
    join: Any, call: Any, records: Builders
) -> None:
    opened = _streamed(call, records, "closed")[:1]

    assert _whats(join(opened, [sent(), answered()])) == ["call-unrecorded"]


def test_nobody_knows_how_an_answer_ended_and_so_nothing_contradicts_it(
    join: Any, call: Any, records: Builders
) -> None:
    silent = {"request_digest": None, "answer_digest": None}
    unknown = _streamed(call, records, "unknown", **silent)

    assert join(unknown, [sent(), answered()]).ok
    assert join(unknown, [sent()]).ok
    assert _whats(join(unknown, [sent(), answered(status=404)])) == ["call-contradicted"]


def test_an_answer_that_was_cut_was_not_had_whole(join: Any, call: Any, records: Builders) -> None:
    cut = _streamed(call, records, "closed", outcome="cut", reason="grant-suspended")

    assert join(cut, [sent()]).ok
    assert _whats(join(cut, [sent(), answered()])) == ["call-contradicted"]
    refused = answered(evidence=None, salt=None, status=403, code="grant-suspended")
    assert join(cut, [sent(), refused]).ok


def test_an_answer_is_closed_once(join: Any, call: Any, records: Builders) -> None:
    closed = _streamed(call, records, "closed", outcome="whole")
    unknown = call(3, type="unknown", record=RECORD)

    assert _whats(join([*closed, unknown], [sent(), answered()])) == ["call-repeated"]
