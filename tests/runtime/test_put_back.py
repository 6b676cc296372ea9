"""The built function puts back through boto3, under the emulator, in the template's memory."""

import base64
import http.server
import json
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import TOKYO, envelope, event, gz, messages_in

from console_login.local.emulator import RuntimeEmulator
from console_login.stack import template

FUNCTION = template.resolve(template.load()).resources["TransformFunction"].properties
MAX_REQUEST_BYTES = 6 * 1024 * 1024


class Stream:
    """Firehose's endpoint: accepts every PutRecordBatch and keeps its records."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        kept = self.records

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                kept.extend(base64.b64decode(each["Data"]) for each in request["Records"])
                responses = [{"RecordId": "x"} for _ in request["Records"]]
                body = json.dumps({"FailedPutCount": 0, "RequestResponses": responses}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def stream() -> Iterator[Stream]:
    made = Stream()
    yield made
    made.server.shutdown()
    made.server.server_close()


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
    """Return sign-ins that gzip some eleven times smaller, each with its own eventID."""
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
    # Twice: the client is kept, its connections are not.
    for times in (1, 2):
        _, answer = emulator.post(event(gz(envelope([TOKYO, TOKYO[:-1]]))))
        assert delivered(answer) == [TOKYO]
        assert [messages_in(record) for record in stream.records] == [[TOKYO[:-1]]] * times


def test_the_largest_legal_request_of_dense_gzip(emulator: RuntimeEmulator, stream: Stream) -> None:
    seeded = random.Random(3)
    # One record too large for any answer of its own, and others until the request is full.
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
