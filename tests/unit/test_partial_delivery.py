"""Tests what is put back: records that do not fit, the rest of a record, and damaged events."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from support import (
    CONTEXT,
    CONTROL_MESSAGE,
    OSAKA,
    SIGN_INS,
    TOKYO,
    FakeFirehose,
    b64,
    client_error,
    envelope,
    event,
    gz,
    lines_of,
    messages_in,
)

import app
from transformer import report
from transformer.batch import Transformer, put_back
from transformer.budget import ResponseBudget
from transformer.firehose import InputRecord, NotAFirehoseEventError
from transformer.outcome import Outcome
from transformer.put_back import MAX_RECORD_BYTES, PutBack

CHECK_MFA = TOKYO.replace('"eventName":"ConsoleLogin"', '"eventName":"CheckMfa"')
DAMAGED = TOKYO[:-1]


def sign_in(number: int, size: int = 100) -> str:
    return json.dumps({"eventName": "ConsoleLogin", "eventID": str(number), "a": "x" * size})


def transform(
    limit: int, *records: bytes, names: frozenset[str] | None = SIGN_INS
) -> list[Outcome]:
    inputs = [InputRecord(f"record-{number}", b64(data)) for number, data in enumerate(records)]
    return Transformer(names, limit).transform(inputs)


def results_of(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    return [(outcome.result, outcome.reason.value) for outcome in outcomes]


def test_a_record_that_does_not_fit_is_put_back_unchanged() -> None:
    records = [gz(envelope([CHECK_MFA, sign_in(number, 600)])) for number in range(4)]
    outcomes = transform(2400, *records)
    assert results_of(outcomes) == [("Ok", "delivered")] * 2 + [("Dropped", "put_back")] * 2
    assert [outcome.put_back for outcome in outcomes] == [None, None, *records[2:]]
    assert [outcome.data for outcome in outcomes[2:]] == [None, None]


def test_a_record_after_one_that_does_not_fit_may_still_fit() -> None:
    records = [gz(envelope([sign_in(number, size)])) for number, size in enumerate([500, 900, 10])]
    outcomes = transform(1700, *records)
    assert [outcome.reason for outcome in outcomes] == ["delivered", "put_back", "delivered"]


def test_a_record_too_large_for_an_empty_answer_delivers_the_longest_prefix_that_fits() -> None:
    events = [sign_in(number, 200) for number in range(20)]
    (outcome,) = transform(2000, gz(envelope([CHECK_MFA, *events, CHECK_MFA])))
    assert (outcome.result, outcome.reason) == ("Ok", "delivered")
    lines = lines_of(outcome)
    assert lines == events[: len(lines)]
    assert messages_in(outcome.put_back) == events[len(lines) :]
    # One more line would not have fit.
    one_more = b64("".join(f"{line}\n" for line in events[: len(lines) + 1]).encode())
    assert len(json.dumps({"recordId": "record-0", "result": "Ok", "data": one_more})) > 1950


def test_the_remainder_is_an_envelope_of_cloudwatch_logs() -> None:
    events = [sign_in(number, 200) for number in range(9)]
    source = json.loads(envelope(events, policyLevel="ACCOUNT", logGroup="/aws/cloudtrail/x"))
    for number, log_event in enumerate(source["logEvents"]):
        log_event |= {"id": f"{number:056d}", "timestamp": 1711792102369 + number}
    (outcome,) = transform(1500, json.dumps(source).encode())
    assert outcome.put_back is not None
    left = json.loads(gzip.decompress(outcome.put_back))
    delivered = outcome.events_delivered
    assert 0 < delivered < 9
    assert left == {
        "messageType": "DATA_MESSAGE",
        "owner": "111122223333",
        "logGroup": "/aws/cloudtrail/x",
        "logStream": "111122223333_CloudTrail_ap-northeast-1",
        "subscriptionFilters": ["console-login"],
        "logEvents": source["logEvents"][delivered:],
    }


@pytest.mark.parametrize(
    "before", [CONTROL_MESSAGE, "text", "{}"], ids=["control", "text", "event"]
)
def test_the_remainder_of_several_envelopes_is_of_the_first_with_events(before: str) -> None:
    first = envelope([TOKYO, DAMAGED], owner="444455556666", logGroup="/first", logStream="first")
    last = envelope([DAMAGED, OSAKA], logGroup="/last", logStream="last", subscriptionFilters=["x"])
    (outcome,) = transform(10**6, b"\n".join([before.encode(), first, last]))
    assert lines_of(outcome) == [TOKYO, OSAKA]
    assert outcome.put_back is not None
    left = json.loads(gzip.decompress(outcome.put_back))
    events = [json.loads(first)["logEvents"][1], json.loads(last)["logEvents"][0]]
    assert left == json.loads(first) | {"logEvents": events}


def test_a_log_event_without_a_message_does_not_hide_the_others_ids() -> None:
    source = json.loads(envelope([TOKYO, DAMAGED], owner="444455556666"))
    source["logEvents"].insert(0, {"id": "empty", "timestamp": 1})
    (outcome,) = transform(10**6, json.dumps(source).encode())
    assert outcome.put_back is not None
    left = json.loads(gzip.decompress(outcome.put_back))
    assert left == source | {"logEvents": source["logEvents"][2:]}


def test_the_remainder_has_nothing_from_a_control_message() -> None:
    # Contains the same message as the event that is put back.
    control = envelope([DAMAGED], messageType="CONTROL_MESSAGE", owner="CloudwatchLogs")
    log_event = {"id": "of the event", "timestamp": 1, "message": DAMAGED}
    data = envelope([], logEvents=[log_event, {**log_event, "message": TOKYO}])
    (outcome,) = transform(10**6, control + b"\n" + data)
    assert outcome.put_back is not None
    assert json.loads(gzip.decompress(outcome.put_back)) == json.loads(data) | {
        "logEvents": [log_event]
    }


def test_a_remainder_of_several_envelopes_or_of_lines_is_one_envelope() -> None:
    events = [sign_in(number, 200) for number in range(9)]
    together = envelope(events[:2]) + b"\n" + envelope(events[2:])
    for text in (together, gz(together), "".join(f"{each}\n" for each in events).encode()):
        (outcome,) = transform(1500, text)
        assert lines_of(outcome) + messages_in(outcome.put_back) == events


def test_good_events_are_delivered_and_only_damaged_ones_are_put_back() -> None:
    (outcome,) = transform(10**6, gz(envelope([DAMAGED, TOKYO, CHECK_MFA, OSAKA, DAMAGED])))
    assert (outcome.result, lines_of(outcome)) == ("Ok", [TOKYO, OSAKA])
    assert messages_in(outcome.put_back) == [DAMAGED, DAMAGED]


def test_damaged_events_fail_alone_the_next_time() -> None:
    (first,) = transform(10**6, gz(envelope([DAMAGED, TOKYO])))
    assert first.put_back is not None
    (second,) = transform(10**6, first.put_back)
    assert results_of([second]) == [("ProcessingFailed", "malformed_event")]
    assert second.put_back is None


def test_too_large_and_damaged_at_once() -> None:
    events = [sign_in(number, 200) for number in range(9)]
    (outcome,) = transform(1500, envelope([DAMAGED, *events[:5], DAMAGED, *events[5:]]))
    lines = lines_of(outcome)
    left = messages_in(outcome.put_back)
    assert sorted(lines + left) == sorted([*events, DAMAGED, DAMAGED])


def test_an_event_that_fits_no_answer_is_too_large_and_fails_no_other_event() -> None:
    huge = sign_in(1, 2000)
    (outcome,) = transform(2000, envelope([huge, TOKYO]))
    assert lines_of(outcome) == [TOKYO]
    assert outcome.put_back is not None
    assert messages_in(outcome.put_back) == [huge]
    (alone,) = transform(2000, outcome.put_back)
    assert results_of([alone]) == [("ProcessingFailed", "too_large")]


def test_a_message_that_is_not_a_string_fails_its_whole_record() -> None:
    (outcome,) = transform(10**6, envelope([TOKYO, json.loads(OSAKA)]))
    assert results_of([outcome]) == [("ProcessingFailed", "malformed_event")]
    assert outcome.put_back is None


def test_surrogates_and_japanese_are_put_back_unchanged() -> None:
    odd = ['{"eventName":"ConsoleLogin","a":"日本"', '{"eventName":"ConsoleLogin","a":"\ud800"']
    (outcome,) = transform(10**6, envelope([TOKYO, *odd]))
    assert messages_in(outcome.put_back) == [odd[0], odd[1].replace("\ud800", "\\ud800")]


def test_equal_events_are_told_apart_by_their_number() -> None:
    events = [sign_in(1, 200)] * 9
    (outcome,) = transform(1500, envelope(events))
    assert len(lines_of(outcome)) + len(messages_in(outcome.put_back)) == 9


def test_a_star_splits_too() -> None:
    events = [f'{{"n":{number},"a":"{"x" * 200}"}}' for number in range(9)]
    (outcome,) = transform(1500, envelope([*events, "damaged"]), names=None)
    assert lines_of(outcome) + messages_in(outcome.put_back) == [*events, "damaged"]


def test_a_remainder_larger_than_a_record_fails_its_whole_source() -> None:
    # Text that hardly compresses.
    noise = "".join(map(str, range(500_000)))
    assert len(gz(noise.encode())) > MAX_RECORD_BYTES // 2
    damaged = [f'{{"eventName":"ConsoleLogin","a":"{seed}{noise}"' for seed in range(3)]
    (outcome,) = transform(10**6, envelope([TOKYO, *damaged]))
    assert results_of([outcome]) == [("ProcessingFailed", "put_back_failed")]
    assert (outcome.data, outcome.put_back, outcome.events_delivered) == (None, None, 0)


def test_without_progress_the_first_record_to_put_back_fails() -> None:
    # Ids alone fill the answer, and dropped records are not progress.
    control = [CONTROL_MESSAGE.encode()] * 40
    limit = 15 + 41 * 65 + 100
    outcomes = transform(limit, *control, envelope([TOKYO]), envelope([OSAKA]))
    assert results_of(outcomes[-2:]) == [
        ("ProcessingFailed", "put_back_failed"),
        ("Dropped", "put_back"),
    ]
    # Firehose writes the failed record to the error output prefix. If the function also put it
    # back, it would be delivered twice.
    assert [outcome.put_back for outcome in outcomes[-2:]] == [None, envelope([OSAKA])]
    firehose = FakeFirehose()
    put_back(outcomes, "s", PutBack(lambda: firehose, firehose.sleep), lambda: 100)
    assert firehose.accepted == [envelope([OSAKA])]


def padded(text: bytes, size: int) -> bytes:
    """Return a record padded with blanks to this size."""
    return text.ljust(size)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        pytest.param(envelope([DAMAGED]), "malformed_event", id="damaged"),
        pytest.param(envelope([json.loads(TOKYO)]), "malformed_event", id="no string"),
        pytest.param(envelope([DAMAGED] * 1001), "malformed_event", id="many damaged"),
        pytest.param(envelope([sign_in(1, 3000)]), "too_large", id="too large for an answer"),
        pytest.param(
            padded(envelope([TOKYO]), MAX_RECORD_BYTES + 1),
            "put_back_failed",
            id="too large to put back",
        ),
    ],
)
@pytest.mark.parametrize("position", [0, 1])
def test_events_that_fail_are_progress(record: bytes, reason: str, position: int) -> None:
    # Ids alone fill the answer, as above. The good records are put back, and no other one fails.
    control = [CONTROL_MESSAGE.encode()] * 40
    batch = [envelope([TOKYO]), envelope([OSAKA])]
    batch.insert(position, record)
    outcomes = transform(15 + 42 * 65 + 100, *control, *batch)[40:]
    expected = [("Dropped", "put_back")] * 2
    expected.insert(position, ("ProcessingFailed", reason))
    assert results_of(outcomes) == expected
    batch[position] = b""
    assert [outcome.put_back or b"" for outcome in outcomes] == batch


def test_a_record_that_cannot_be_read_is_not_progress() -> None:
    # It may not contain any selected event.
    control = [CONTROL_MESSAGE.encode()] * 40
    outcomes = transform(15 + 42 * 65 + 100, *control, b"\0", envelope([TOKYO]))[40:]
    assert [outcome.reason for outcome in outcomes] == ["undecodable", "put_back_failed"]


def test_a_record_is_put_back_up_to_firehoses_limit() -> None:
    first = envelope([sign_in(1, 900)])
    for more in (0, 1):
        second = padded(envelope([sign_in(2, 900)]), 1000 * 1024 + more)
        outcomes = transform(2400, first, second)
        reason = "put_back_failed" if more else "put_back"
        assert [outcome.reason for outcome in outcomes] == ["delivered", reason]
        assert outcomes[1].put_back == (None if more else second)


def test_a_record_that_fits_alone_is_put_back_complete_and_a_larger_one_in_part() -> None:
    first = envelope([sign_in(1, 300)])
    most = ResponseBudget([], 2400).room_alone("record-1")
    size = len(sign_in(2, 0)) + 1
    for more in (0, 1):
        events = [sign_in(2, 500), sign_in(3, most - 2 * size - 500 + more)]
        assert sum(len(each) + 1 for each in events) == most + more
        outcomes = transform(2400, first, envelope(events))
        assert outcomes[0].reason == "delivered"
        if more:
            assert lines_of(outcomes[1]) == events[:1]
            assert messages_in(outcomes[1].put_back) == events[1:]
        else:
            assert results_of(outcomes[1:]) == [("Dropped", "put_back")]
            assert outcomes[1].put_back == envelope(events)


class Timed(list[InputRecord]):
    """Records of an invocation, with the seconds left when the function reaches each one."""

    def __init__(self, began_with: float, left: list[float], texts: list[str]) -> None:
        super().__init__(InputRecord(str(n), b64(envelope([t]))) for n, t in enumerate(texts))
        self._began_with = self._now = began_with
        self._left = left

    def __iter__(self) -> Iterator[InputRecord]:
        for record, left in zip(super().__iter__(), self._left, strict=True):
            self._now = left
            yield record
        self._now = self._began_with

    def seconds_left(self) -> float:
        return self._now


@pytest.mark.parametrize(
    ("began_with", "late_below"),
    [
        # A quarter of the time plus 24 seconds, but four fifths of it at most.
        (120, 54),
        (30, 24),
        (60, 39),
        (300, 99),
    ],
)
def test_late_depends_on_the_time_at_the_start_of_the_invocation(
    began_with: float, late_below: float
) -> None:
    left = [began_with, late_below, late_below - 0.1, late_below - 0.1]
    records = Timed(began_with, left, [TOKYO, OSAKA, TOKYO, OSAKA])
    outcomes = Transformer(SIGN_INS).transform(records, records.seconds_left)
    assert [outcome.reason for outcome in outcomes] == ["delivered"] * 2 + ["put_back"] * 2


def test_a_late_batch_without_progress_fails_a_record() -> None:
    # Ids alone fill the answer: the first record does not fit, and the others are too late.
    left = [120.0]
    records = [InputRecord("x" * 60, b64(envelope([TOKYO]))) for _ in range(30)]
    outcomes = Transformer(SIGN_INS, 3000).transform(records, lambda: left.pop() if left else 1.0)
    assert results_of(outcomes) == [
        ("ProcessingFailed", "put_back_failed"),
        *[("Dropped", "put_back")] * 29,
    ]


def test_late_records_are_put_back_unchanged_after_progress() -> None:
    texts = [CHECK_MFA, TOKYO, OSAKA, TOKYO, OSAKA]
    records = Timed(120, [120, 120, 61, 53, 0], texts)
    outcomes = Transformer(SIGN_INS).transform(records, records.seconds_left)
    assert [outcome.reason for outcome in outcomes] == [
        "no_match",
        "delivered",
        "delivered",
        "put_back",
        "put_back",
    ]
    assert outcomes[3].put_back == envelope([TOKYO])
    assert outcomes[3].bytes_in == len(envelope([TOKYO]))


def test_the_first_record_is_read_and_done_however_late_it_is() -> None:
    records = [
        InputRecord(str(n), b64(envelope([text])))
        for n, text in enumerate([CHECK_MFA, CHECK_MFA, TOKYO, OSAKA])
    ]
    left = [30.0]
    outcomes = Transformer(SIGN_INS).transform(records, lambda: left.pop() if left else 1.0)
    assert [outcome.reason for outcome in outcomes] == [
        "no_match",
        "put_back",
        "put_back",
        "put_back",
    ]


def test_among_damaged_records_the_first_good_one_is_delivered_as_far_as_it_fits() -> None:
    # Alone it would fit to the byte, but the ids of the others need space.
    events = [sign_in(number, 200) for number in range(4)]
    dense = envelope(events)
    limit = next(limit for limit in range(500, 5000) if transform(limit, dense)[0].put_back is None)
    outcomes = transform(limit, dense, b"\0", b"\0")
    assert results_of(outcomes[1:]) == [("ProcessingFailed", "undecodable")] * 2
    assert lines_of(outcomes[0]) == events[:3]
    assert messages_in(outcomes[0].put_back) == events[3:]


@pytest.mark.parametrize("depth", [900, 3000, 9000, 9990, 9995, 10_000, 12_000])
@pytest.mark.parametrize("form", ["envelope", "lines"])
def test_deep_nesting_fails_no_other_event(depth: int, form: str) -> None:
    deep = '{"eventName":"ConsoleLogin","a":' + "[" * depth + "]" * depth + "}"
    events = [deep, *(sign_in(number, 50) for number in range(60))]
    text = envelope(events) if form == "envelope" else "".join(f"{e}\n" for e in events).encode()
    # One answer that is full, and one that is not, because decoders treat deep nesting differently.
    for limit in (5_000, 100_000):
        (outcome,) = transform(limit, text)
        assert outcome.result == "Ok"
        left = messages_in(outcome.put_back) if outcome.put_back is not None else []
        assert sorted(lines_of(outcome) + left) == sorted(events)


def test_more_damaged_events_than_a_real_record_has_fail_the_whole_record() -> None:
    most = 16 * 1024 * 1024 // (512 + len(DAMAGED))
    (outcome,) = transform(10**6, envelope([TOKYO, *[DAMAGED] * (most + 1)]))
    assert results_of([outcome]) == [("ProcessingFailed", "malformed_event")]
    (outcome,) = transform(10**6, envelope([TOKYO, *[DAMAGED] * most]))
    assert lines_of(outcome) == [TOKYO]


# Answers ------------------------------------------------------------------------------------------


def handled(*records: bytes, answers: list[Any], **keys: Any) -> tuple[list[Outcome], FakeFirehose]:
    firehose = FakeFirehose(*answers)
    outcomes = transform(2400, *records)
    putter = PutBack(lambda: firehose, firehose.sleep)
    put_back(outcomes, keys.get("stream", "s"), putter, lambda: 100)
    return outcomes, firehose


MIXED = [gz(envelope([TOKYO, DAMAGED])), gz(envelope([OSAKA]))]


def test_put_back_and_accepted_is_dropped_or_ok() -> None:
    outcomes, firehose = handled(*MIXED, answers=[])
    assert results_of(outcomes) == [("Ok", "delivered"), ("Dropped", "put_back")]
    assert [messages_in(record) for record in firehose.accepted] == [[DAMAGED], [OSAKA]]
    assert firehose.streams == ["s"]


@pytest.mark.parametrize(
    "answer", [client_error("InvalidSourceException"), RuntimeError("unknown"), "timeout"]
)
def test_not_certainly_accepted_is_processing_failed_with_nothing_delivered(answer: Any) -> None:
    outcomes, _ = handled(*MIXED, answers=[answer])
    assert results_of(outcomes) == [("ProcessingFailed", "put_back_failed")] * 2
    assert [outcome.data for outcome in outcomes] == [None, None]
    assert [outcome.events_delivered for outcome in outcomes] == [0, 0]
    assert [outcome.put_back for outcome in outcomes] == [None, None]


def test_an_event_without_its_streams_name_cannot_put_back() -> None:
    outcomes, firehose = handled(*MIXED, answers=[], stream=None)
    assert results_of(outcomes) == [("ProcessingFailed", "put_back_failed")] * 2
    assert firehose.calls == []


def test_the_stream_is_the_one_of_the_event(put_back: FakeFirehose, logged: Any) -> None:
    firehose_event = event(envelope([TOKYO, DAMAGED]))
    firehose_event["deliveryStreamArn"] = (
        "arn:aws:firehose:ap-northeast-1:111122223333:deliverystream/of-the-event"
    )
    answer, lines = logged(firehose_event)
    assert answer["records"][0]["result"] == "Ok"
    assert put_back.streams == ["of-the-event"]
    (summary,) = [line for line in lines if line.get("message") == "batch transformed"]
    assert summary["records_put_back"] == 1
    assert summary["bytes_put_back"] == len(put_back.accepted[0])
    assert lines[-1]["RecordsPutBack"] == [1.0]


def test_nothing_raises_out_of_the_handler(put_back: FakeFirehose, logged: Any) -> None:
    put_back.answers = [RuntimeError("nobody foresaw it")]
    answer, lines = logged(event(envelope([TOKYO, DAMAGED]), envelope([OSAKA])))
    assert [record["result"] for record in answer["records"]] == ["ProcessingFailed", "Ok"]
    assert lines[0]["reason"] == "put_back_failed"


def test_a_report_that_fails_does_not_raise_out_of_the_handler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(report._logger, "info", fail)
    answer = app.lambda_handler(event(envelope([TOKYO, DAMAGED])), CONTEXT)
    assert answer["records"][0]["result"] == "Ok"


def test_a_kinesis_sourced_stream_is_refused_clearly() -> None:
    firehose_event = event(envelope([TOKYO])) | {"sourceKinesisStreamArn": "arn:aws:kinesis:x"}
    with pytest.raises(NotAFirehoseEventError, match="reads from a Kinesis data stream"):
        app.lambda_handler(firehose_event, CONTEXT)
