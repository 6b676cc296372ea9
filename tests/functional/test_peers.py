"""The faults of the transformers that people use today, none of which may be here.

One test a fault, named after it; what concerns re-ingestion and the 6 MB answer comes with it.
"""

import base64
import json
from collections.abc import Callable
from typing import Any

from support import CONTEXT, CONTROL_MESSAGE, OSAKA, TOKYO, envelope, event, gz

import app


def answer(*records: object) -> list[Any]:
    return list(app.lambda_handler(event(*records), CONTEXT)["records"])


def lines(*records: object) -> list[str]:
    delivered = [record["data"] for record in answer(*records) if record["result"] == "Ok"]
    return b"".join(base64.b64decode(data) for data in delivered).decode().split("\n")


def test_one_poison_record_kills_the_batch() -> None:
    results = [record["result"] for record in answer(gz(envelope([TOKYO])), b"\x1f\x8bpoison")]
    assert results == ["Ok", "ProcessingFailed"]


def test_ok_with_empty_data_where_it_should_drop() -> None:
    assert answer(gz(envelope([OSAKA.replace("ConsoleLogin", "CheckMfa")])), b"") == [
        {"recordId": "record-0", "result": "Dropped"},
        {"recordId": "record-1", "result": "Dropped"},
    ]


def test_pretty_printed_messages_break_one_event_a_line() -> None:
    pretty = [json.dumps(json.loads(message), indent=2) for message in (TOKYO, OSAKA, TOKYO)]
    got = lines(gz(envelope(pretty)))
    assert [json.loads(line) for line in got[:-1]] == [json.loads(message) for message in pretty]
    assert got[-1] == ""


def test_no_newline_after_a_record_so_records_glue_together() -> None:
    got = lines(gz(envelope([TOKYO])), gz(envelope([OSAKA])))
    assert got == [TOKYO, OSAKA, ""]


def test_no_newline_between_events() -> None:
    assert lines(gz(envelope([TOKYO, OSAKA]))) == [TOKYO, OSAKA, ""]


def test_logs_the_body_of_events_it_filters_out(logged: Any) -> None:
    others = [OSAKA.replace('"eventName":"ConsoleLogin"', f'"eventName":"{n}"') for n in ("A", "B")]
    _, printed = logged(event(gz(envelope(others))))
    assert [line["records_no_match"] for line in printed] == [1]
    assert not [word for word in ("example-user", "203.0.113.10") if word in json.dumps(printed)]


def test_control_message_delivered_as_data() -> None:
    assert answer(gz(CONTROL_MESSAGE.encode())) == [{"recordId": "record-0", "result": "Dropped"}]


def test_utf_8_round_trip_corrupts_gzip_and_still_answers_ok() -> None:
    corrupted = gz(envelope([TOKYO])).decode("utf-8", "replace").encode()
    assert answer(corrupted) == [{"recordId": "record-0", "result": "ProcessingFailed"}]


def test_missing_record_ids() -> None:
    records = [gz(envelope([TOKYO])), b"", b"damaged", None, gz(CONTROL_MESSAGE.encode())]
    assert [record["recordId"] for record in answer(*records)] == [
        f"record-{number}" for number in range(5)
    ]


def test_put_metric_data_call_in_every_invocation(run_python: Callable[[str], str]) -> None:
    code = "import app, sys; print('boto3' in sys.modules)"
    assert run_python(code).strip() == "False"


def test_does_not_work_while_native_extraction_is_on() -> None:
    assert lines(f"{TOKYO}\n{OSAKA}\n".encode()) == [TOKYO, OSAKA, ""]


def test_does_not_work_while_native_decompression_is_on() -> None:
    assert answer(CONTROL_MESSAGE.encode()) == [{"recordId": "record-0", "result": "Dropped"}]
    assert lines(envelope([TOKYO, OSAKA])) == [TOKYO, OSAKA, ""]
