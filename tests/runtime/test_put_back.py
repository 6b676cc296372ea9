"""Tests the built function's put-backs through boto3, under the emulator."""

import base64
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bounded import FUNCTION, Stream
from support import TOKYO, envelope, event, gz, messages_in

from console_login.local.emulator import RuntimeEmulator

MAX_REQUEST_BYTES = 6 * 1024 * 1024


@pytest.fixture
def stream() -> Iterator[Stream]:
    made = Stream()
    yield made
    made.close()


@pytest.fixture
def emulator(build: Callable[[str], Path], here: None, stream: Stream) -> Iterator[RuntimeEmulator]:
    variables = FUNCTION["Environment"]["Variables"] | {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "ap-northeast-1",
        "AWS_ENDPOINT_URL_FIREHOSE": stream.url,
    }
    with RuntimeEmulator(
        build("x86_64"),
        variables,
        timeout_seconds=FUNCTION["Timeout"],
        memory_mb=FUNCTION["MemorySize"],
    ) as running:
        yield running


def sign_ins(count: int, seeded: random.Random) -> list[str]:
    """Return sign-ins with a gzip ratio of about eleven, each with a unique eventID."""
    return [
        TOKYO.replace(
            "124ae584-ac31-4bfa-b396-7a1ba71efaed", f"{seeded.getrandbits(128):032x}"
        ).replace("6b1e1551c87fb3b9", f"{seeded.getrandbits(640):0160x}")
        for _ in range(count)
    ]


def delivered(answer: Any) -> list[str]:
    return [
        line
        for record in answer["records"]
        if "data" in record
        for line in base64.b64decode(record["data"]).decode().split("\n")[:-1]
    ]


def test_a_mixed_record_delivers_the_good_and_puts_back_the_damaged(
    emulator: RuntimeEmulator, stream: Stream
) -> None:
    # Twice, because the client is reused but its connections are closed.
    for times in (1, 2):
        _, answer = emulator.post(event(gz(envelope([TOKYO, TOKYO[:-1]]))))
        assert delivered(answer) == [TOKYO]
        assert [messages_in(record) for record in stream.records] == [[TOKYO[:-1]]] * times


def test_the_largest_legal_request_of_dense_gzip(emulator: RuntimeEmulator, stream: Stream) -> None:
    seeded = random.Random(3)
    # One record whose lines exceed an answer, and others until the request is full.
    records = [gz(envelope(sign_ins(7000, seeded)))]
    while True:
        record = gz(envelope(sign_ins(1500, seeded)))
        if len(json.dumps(event(*records, record))) > MAX_REQUEST_BYTES:
            break
        records.append(record)
    text = sum(len("".join(messages_in(record))) for record in records)
    assert 9 < text / sum(map(len, records)) < 13
    firehose_event = event(*records)
    assert MAX_REQUEST_BYTES * 0.95 < len(json.dumps(firehose_event)) <= MAX_REQUEST_BYTES
    status, answer = emulator.post(firehose_event)
    assert status == 200, answer
    assert len(json.dumps(answer)) <= 6_000_000
    assert {record["result"] for record in answer["records"]} == {"Ok", "Dropped"}
    put_back = [message for record in stream.records for message in messages_in(record)]
    expected = [message for record in records for message in messages_in(record)]
    assert sorted(delivered(answer) + put_back) == sorted(expected)
