"""Tests that the answer's size is counted as the runtime writes it."""

import json
import random

import pytest
from awslambdaric.lambda_runtime_marshaller import to_json
from support import SIGN_INS, TOKYO, answer_of, b64, envelope, event, gz, lines_of

from transformer.batch import Transformer
from transformer.budget import MAX_RESPONSE_BYTES, ResponseBudget
from transformer.firehose import InputRecord, parse_event

# Text with a line break is read by transformer.careful.
BOTH_PATHS = pytest.mark.parametrize("end", [b"", b"\n"], ids=["short path", "careful path"])
FIREHOSE_ID = "49578734086442259037497492980620233840400173390482112514000000"


def answered(records: list[InputRecord], max_response_bytes: int) -> tuple[str, list[int]]:
    outcomes = Transformer(SIGN_INS, max_response_bytes).transform(records)
    return to_json(answer_of(outcomes)), [outcome.bytes_out for outcome in outcomes]


def test_the_limit_is_under_lambdas() -> None:
    # AWS documents 6 MB, 6,291,456 bytes.
    assert MAX_RESPONSE_BYTES == 6_000_000 < 6 * 1024 * 1024 - 100_000


@pytest.mark.parametrize("record_id", ["a", FIREHOSE_ID, 'quo"te', "日本"])
def test_one_record_fills_the_answer_to_the_byte(record_id: str) -> None:
    for limit in range(400, 420):
        room = ResponseBudget([], limit).room_alone(record_id)
        data = "A" * ((room + 2) // 3 * 4)
        answer = {"records": [{"recordId": record_id, "result": "Ok", "data": data}]}
        # Base64 comes in fours, and the last record needs no comma.
        assert limit - 4 - len(", ") < len(to_json(answer))
        assert len(to_json(answer).encode()) <= limit


def test_a_delivered_record_leaves_less_for_the_next() -> None:
    budget = ResponseBudget(["a", "b"], 1000)
    first = budget.room
    budget.take(300)
    assert first - budget.room >= 300
    budget.take(budget.room)
    assert budget.room <= 3
    budget.take(3)
    assert budget.room == 0


def sign_in(line_bytes: int) -> bytes:
    """Return an envelope with one sign-in of this many bytes, including its line break."""
    start, end = '{"eventName":"ConsoleLogin","a":"', '"}'
    return envelope([start + "x" * (line_bytes - len(start + end) - 1) + end])


@pytest.mark.parametrize("first_bytes", [60, 61, 62])
@pytest.mark.parametrize("limit", range(600, 604))
def test_two_records_fill_the_answer_to_the_byte(first_bytes: int, limit: int) -> None:
    def answer(second_bytes: int) -> tuple[str, list[int]]:
        texts = [sign_in(first_bytes), sign_in(second_bytes)]
        return answered([InputRecord(str(n), b64(each)) for n, each in enumerate(texts)], limit)

    second_bytes = max(size for size in range(60, 600) if answer(size)[1] == [first_bytes, size])
    text, _ = answer(second_bytes)
    # Base64 comes in fours, and the last record needs no comma.
    assert limit - 4 - len(", ") < len(text) <= limit - len(", ")


@pytest.mark.parametrize("taken", range(1, 8))
def test_delivered_bytes_are_counted_in_base64(taken: int) -> None:
    budget = ResponseBudget(["a", "b"], 400)
    budget.take(taken)
    records = [
        {"recordId": "a", "result": "Ok", "data": b64(bytes(taken))},
        {"recordId": "b", "result": "Ok", "data": b64(bytes(budget.room))},
    ]
    assert 400 - 4 - len(", ") < len(to_json({"records": records})) <= 400 - len(", ")


@BOTH_PATHS
def test_an_event_that_fills_a_whole_answer_is_delivered(end: bytes) -> None:
    most = ResponseBudget([], 1000).room_alone("0")
    for size, reason in ((most, "delivered"), (most + 1, "too_large")):
        record = InputRecord("0", b64(sign_in(size) + end))
        (outcome,) = Transformer(SIGN_INS, 1000).transform([record])
        assert (outcome.reason, outcome.bytes_out) == (reason, size if size == most else 0)


@BOTH_PATHS
def test_a_record_that_fills_the_rest_of_an_answer_is_delivered(end: bytes) -> None:
    budget = ResponseBudget(["0", "1"], 1000)
    budget.take(100)
    texts = [sign_in(size) + end for size in (100, budget.room)]
    records = [InputRecord(str(number), b64(text)) for number, text in enumerate(texts)]
    assert answered(records, 1000)[1] == [100, budget.room]


@BOTH_PATHS
def test_events_that_fill_an_answer_together_are_delivered_together(end: bytes) -> None:
    most = ResponseBudget([], 1000).room_alone("0")
    lines = [json.loads(sign_in(size))["logEvents"][0]["message"] for size in (100, most - 100)]
    record = InputRecord("0", b64(envelope(lines) + end))
    (outcome,) = Transformer(SIGN_INS, 1000).transform([record])
    assert (lines_of(outcome), outcome.put_back) == (lines, None)


def test_answers_of_every_kind_stay_under_the_limit() -> None:
    seeded = random.Random(1)
    kinds = [gz(envelope([TOKYO] * 3)), b"x", b"", gz(envelope([TOKYO, TOKYO[:-1]]))]
    for _ in range(50):
        records = [
            InputRecord(f"{seeded.getrandbits(64)}", each["data"])
            for each in event(*seeded.choices(kinds, k=20))["records"]
        ]
        limit = seeded.randrange(2000, 40_000)
        text, sizes = answered(records, limit)
        assert len(text) <= limit
        assert max(sizes) > 0


def test_nine_thousand_tiny_records_fit() -> None:
    # The JSON around the data is a megabyte: AWS's blueprint would return 6,424,833 bytes.
    sign_in = '{"eventName":"ConsoleLogin","a":"' + "x" * 420 + '"}'
    firehose_event = event(*[envelope([sign_in])] * 9000)
    for number, record in enumerate(firehose_event["records"]):
        record["recordId"] = f"{FIREHOSE_ID}{number:06d}"
    outcomes = Transformer(SIGN_INS).transform(parse_event(firehose_event).records)
    text = to_json(answer_of(outcomes))
    # Each record put back could have become "ProcessingFailed", nine bytes longer than "Dropped".
    assert MAX_RESPONSE_BYTES - 10_000 < len(text) <= MAX_RESPONSE_BYTES
    reasons = [outcome.reason.value for outcome in outcomes]
    delivered = reasons.count("delivered")
    assert reasons == ["delivered"] * delivered + ["put_back"] * (9000 - delivered)
    assert 8000 < delivered < 9000
