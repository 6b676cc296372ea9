"""Shared helpers: records, envelopes and events as CloudWatch Logs and Firehose write them."""

import base64
import gzip
import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "test-stack")
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "ConsoleLoginFirehose")

from botocore.exceptions import ClientError, ReadTimeoutError

from transformer.batch import Transformer
from transformer.firehose import InputRecord
from transformer.outcome import Outcome

SIGN_INS = frozenset({"ConsoleLogin"})
ROOT = Path(__file__).resolve().parent.parent
EVENTS = ROOT / "events"
DATA = ROOT / "tests" / "data"
TOKYO = (EVENTS / "src" / "tokyo.jsonl").read_text().strip()
OSAKA = (EVENTS / "src" / "osaka.jsonl").read_text().strip()
CONTROL_MESSAGE = json.dumps(json.loads((EVENTS / "src" / "control-message.json").read_text()))
CONTEXT = SimpleNamespace(
    aws_request_id="00000000-0000-4000-8000-000000000001",
    get_remaining_time_in_millis=lambda: 120_000,
)


# A FakeFirehose answer, named like the fault: it accepts all records, but the call times out.
TIMEOUT = "timeout"


def client_error(code: str, status: int = 400) -> ClientError:
    return ClientError(
        {
            "Error": {"Code": code, "Message": "x"},
            "ResponseMetadata": {"HTTPStatusCode": status},  # type: ignore[typeddict-item]
        },
        "PutRecordBatch",
    )


class FakeFirehose:
    """A Firehose client that keeps accepted records.

    answers: for each call in order, an exception to raise, TIMEOUT, or the error codes of refused
    records by index. Later calls accept everything.
    """

    def __init__(self, *answers: Exception | str | dict[int, str]) -> None:
        self.answers = list(answers)
        self.calls: list[list[bytes]] = []
        self.streams: list[str] = []
        self.accepted: list[bytes] = []
        self.slept: list[float] = []
        self.timed_out = False
        self.closed = 0

    def close(self) -> None:
        self.closed += 1

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def put_record_batch(self, *, DeliveryStreamName: str, Records: list[Any]) -> Any:  # noqa: N803
        records = [record["Data"] for record in Records]
        self.calls.append(records)
        self.streams.append(DeliveryStreamName)
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            self.timed_out = True
            self.accepted += records
            raise ReadTimeoutError(endpoint_url="https://firehose.example")
        self.accepted += [record for index, record in enumerate(records) if index not in answer]
        responses = [
            {"ErrorCode": answer[index], "ErrorMessage": "x"}
            if index in answer
            else {"RecordId": str(index)}
            for index in range(len(records))
        ]
        return {"FailedPutCount": len(answer), "RequestResponses": responses}


class Killed(BaseException):
    """Stands for SIGKILL: no code catches it."""


class MortalFirehose(FakeFirehose):
    """Raises Killed at call number `at`, before or after it accepts the records."""

    def __init__(self, at: int, *, after: bool) -> None:
        super().__init__()
        self.left, self.after = at, after

    def put_record_batch(self, **arguments: Any) -> Any:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        answer = super().put_record_batch(**arguments)
        if self.left == 0:
            raise Killed
        return answer


def messages_in(record: bytes | None) -> list[str]:
    """Return the messages in a record's only envelope, plain or gzip."""
    assert record is not None
    text = gzip.decompress(record) if record.startswith(b"\x1f\x8b") else record
    document = json.loads(text)
    assert document["messageType"] == "DATA_MESSAGE"
    return [log_event["message"] for log_event in document["logEvents"]]


def envelope(messages: Iterable[Any], **keys: Any) -> bytes:
    """Return a DATA_MESSAGE as CloudWatch Logs writes it, before compression."""
    document = {
        "messageType": "DATA_MESSAGE",
        "owner": "111122223333",
        "logGroup": "/aws/cloudtrail/management-event",
        "logStream": "111122223333_CloudTrail_ap-northeast-1",
        "subscriptionFilters": ["console-login"],
        "logEvents": [
            {"id": str(number), "timestamp": 1711792102369, "message": message}
            for number, message in enumerate(messages)
        ],
    } | keys
    return json.dumps(document, separators=(",", ":")).encode()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def event(*data: Any) -> dict[str, Any]:
    """Return a Firehose transformation event. Bytes are base64-encoded, other data is unchanged."""
    return {
        "invocationId": "invocation-1",
        "deliveryStreamArn": "arn:aws:firehose:ap-northeast-1:111122223333:deliverystream/s",
        "region": "ap-northeast-1",
        "records": [
            {"recordId": f"record-{number}", "data": b64(item) if isinstance(item, bytes) else item}
            for number, item in enumerate(data)
        ],
    }


def transform(*data: Any, names: frozenset[str] | None = SIGN_INS) -> list[Outcome]:
    """Return the outcomes of records with these data."""
    records = [InputRecord(item["recordId"], item["data"]) for item in event(*data)["records"]]
    return Transformer(names).transform(records)


def result_of(data: Any, names: frozenset[str] | None = SIGN_INS) -> tuple[object, ...]:
    """Return one record's result, reason and lines, and the messages put back, if any."""
    (outcome,) = transform(data, names=names)
    found = outcome.result, outcome.reason.value, lines_of(outcome)
    return found if outcome.put_back is None else (*found, messages_in(outcome.put_back))


def answer_of(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    return {"records": [outcome.response() for outcome in outcomes]}


def lines_of(outcome: Outcome) -> list[str]:
    r"""Return the delivered lines, without their `\n`."""
    return base64.b64decode(outcome.data or "").decode().split("\n")[:-1]


def gz(data: bytes) -> bytes:
    return gzip.compress(data, compresslevel=6, mtime=0)
