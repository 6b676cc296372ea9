"""Tests that the function has none of the faults of other common transformers.

Each test is named after the fault.
"""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from support import (
    CONTEXT,
    CONTROL_MESSAGE,
    OSAKA,
    TOKYO,
    FakeFirehose,
    client_error,
    envelope,
    event,
    gz,
    messages_in,
)

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


# Over 6 MB ----------------------------------------------------------------------------------------


def numbered(count: int, start: int = 0) -> list[str]:
    return [TOKYO.replace("124ae584", f"{start + number:08x}") for number in range(count)]


# About 10 MB of lines from a record of about 100 KB.
LARGE = numbered(8500)


def test_json_around_the_data_not_counted() -> None:
    sign_in = '{"eventName":"ConsoleLogin","a":"' + "x" * 420 + '"}'
    firehose_event = event(*[envelope([sign_in])] * 9000)
    for number, record in enumerate(firehose_event["records"]):
        record["recordId"] = f"{number:056d}"
    assert len(json.dumps(app.lambda_handler(firehose_event, CONTEXT))) <= 6_000_000


def test_a_record_over_6_mb_is_dropped_and_silently_lost(put_back: FakeFirehose) -> None:
    (record,) = answer(gz(envelope(LARGE)))
    delivered = base64.b64decode(record["data"]).decode().split("\n")[:-1]
    assert record["result"] == "Ok"
    (left,) = put_back.accepted
    assert delivered + messages_in(left) == LARGE


def test_accepted_records_are_re_ingested_and_the_batch_is_retried(put_back: FakeFirehose) -> None:
    throttled = client_error("ServiceUnavailableException", 503)
    put_back.answers = [{0: "InternalFailure"}, throttled, client_error("AccessDeniedException")]
    batch = [gz(envelope(numbered(3000, start))) for start in (0, 3000, 6000, 9000)]
    results = [record["result"] for record in answer(*batch)]
    # No exception, so no retry. Accepted records were sent once, and others fail.
    assert results == ["Ok", "ProcessingFailed", "Dropped", "Ok"] or results.count("Ok") >= 1
    sent = [record for call in put_back.calls[1:] for record in call]
    assert not set(sent) & set(put_back.accepted)
    assert "ProcessingFailed" in results


def test_twenty_immediate_retries(put_back: FakeFirehose) -> None:
    put_back.answers = [client_error("ThrottlingException")] * 5
    answer(gz(envelope([TOKYO, OSAKA[:-1]])))
    assert len(put_back.slept) == 5
    assert sum(put_back.slept) > 0


def test_batches_by_500_only_no_4_mib_cap(put_back: FakeFirehose) -> None:
    noise = [
        f'{{"eventName":"ConsoleLogin","a":"{"".join(map(str, range(n, n + 150_000)))}"}}'
        for n in range(16)
    ]
    answer(*[envelope([each]) for each in noise])
    assert len(put_back.accepted) > 5
    for call in put_back.calls:
        assert sum(map(len, call)) <= 4 * 1024 * 1024


def test_re_puts_base64_text_so_every_re_ingested_record_fails(put_back: FakeFirehose) -> None:
    answer(gz(envelope(LARGE)))
    (left,) = put_back.accepted
    (again,) = answer(left)
    assert again["result"] == "Ok"


@pytest.mark.parametrize("refused", [{0: "ServiceUnavailableException"}])
def test_ignores_failed_record_count(refused: dict[int, str], put_back: FakeFirehose) -> None:
    put_back.answers = [refused, client_error("AccessDeniedException")]
    (record,) = answer(gz(envelope([TOKYO, OSAKA[:-1]])))
    assert record == {"recordId": "record-0", "result": "ProcessingFailed"}


def test_re_ingestion_not_awaited_so_records_are_dropped_then_lost(put_back: FakeFirehose) -> None:
    put_back.answers = [RuntimeError("the call never returned")]
    (record,) = answer(gz(envelope([TOKYO, OSAKA[:-1]])))
    assert record["result"] == "ProcessingFailed"
