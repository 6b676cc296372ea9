"""The answer's size, counted as the runtime writes it."""

import random

import pytest
from awslambdaric.lambda_runtime_marshaller import to_json
from support import TOKYO, envelope, event, gz

from transformer.batch import Transformer, response
from transformer.budget import MAX_ANSWER_BYTES, AnswerBudget, empty_answer_room
from transformer.config import Config
from transformer.firehose import InputRecord, parse_event

FIREHOSE_ID = "49578734086442259037497492980620233840400173390482112514000000"


def answered(records: list[InputRecord], max_answer_bytes: int) -> tuple[str, list[int]]:
    outcomes = Transformer(Config(), max_answer_bytes).transform(records)
    return to_json(response(outcomes)), [outcome.bytes_out for outcome in outcomes]


def test_the_limit_is_under_lambdas() -> None:
    # AWS documents 6 MB, 6,291,456 bytes.
    assert MAX_ANSWER_BYTES < 6 * 1024 * 1024 - 100_000


@pytest.mark.parametrize("record_id", ["a", FIREHOSE_ID, 'quo"te', "日本"])
def test_one_record_fills_the_answer_to_the_byte(record_id: str) -> None:
    for limit in range(400, 420):
        room = empty_answer_room(record_id, limit)
        data = "A" * ((room + 2) // 3 * 4)
        answer = {"records": [{"recordId": record_id, "result": "Ok", "data": data}]}
        # Base64 comes in fours, and the last record needs no comma.
        assert limit - 4 - len(", ") < len(to_json(answer))
        assert len(to_json(answer).encode()) <= limit


def test_what_is_taken_is_gone_for_the_next() -> None:
    budget = AnswerBudget(["a", "b"], 1000)
    first = budget.room
    budget.take(300)
    assert first - budget.room >= 300
    budget.take(budget.room)
    assert budget.room <= 3
    budget.take(3)
    assert budget.room == 0


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
    # The JSON around the data alone is a megabyte: the AWS blueprint answers 6,424,833 bytes.
    sign_in = '{"eventName":"ConsoleLogin","a":"' + "x" * 420 + '"}'
    firehose_event = event(*[envelope([sign_in])] * 9000)
    for number, record in enumerate(firehose_event["records"]):
        record["recordId"] = f"{FIREHOSE_ID}{number:06d}"
    outcomes = Transformer(Config()).transform(parse_event(firehose_event).records)
    text = to_json(response(outcomes))
    # Each that goes back might have become "ProcessingFailed", nine bytes longer than "Dropped".
    assert MAX_ANSWER_BYTES - 10_000 < len(text) <= MAX_ANSWER_BYTES
    reasons = [outcome.reason.value for outcome in outcomes]
    delivered = reasons.count("delivered")
    assert reasons == ["delivered"] * delivered + ["put_back"] * (9000 - delivered)
    assert 8000 < delivered < 9000
