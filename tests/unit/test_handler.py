"""Tests the handler: Firehose's contract, the log and the metrics."""

import importlib
import json
from typing import Any

import pytest
from support import CONTEXT, CONTROL_MESSAGE, OSAKA, SIGN_INS, TOKYO, envelope, event, gz

import app
from transformer.batch import Transformer
from transformer.cloudtrail import Selection
from transformer.config import ConfigurationError
from transformer.firehose import NotAFirehoseEventError, parse_event

SECRETS = ("example-user", "203.0.113.10", "AIDAEXAMPLEEXAMPLE001", "Mozilla", "111122223333")
CHECK_MFA = TOKYO.replace('"eventName":"ConsoleLogin"', '"eventName":"CheckMfa"')


def test_every_record_is_answered_once_in_order(logged: Any) -> None:
    answer, _ = logged(
        event(gz(CONTROL_MESSAGE.encode()), gz(envelope([TOKYO])), b"damaged", envelope([OSAKA]))
    )
    assert [record["recordId"] for record in answer["records"]] == [
        f"record-{number}" for number in range(4)
    ]
    assert [record["result"] for record in answer["records"]] == [
        "Dropped",
        "Ok",
        "ProcessingFailed",
        "Ok",
    ]
    assert ["data" in record for record in answer["records"]] == [False, True, False, True]
    assert all(set(record) <= {"recordId", "result", "data"} for record in answer["records"])


def test_no_records_are_answered_with_none(logged: Any) -> None:
    assert logged(event())[0] == {"records": []}


def test_a_repeated_record_id_is_answered_as_often(logged: Any) -> None:
    twice = event(envelope([TOKYO]), b"damaged")
    twice["records"][1]["recordId"] = "record-0"
    answer, _ = logged(twice)
    assert [record["recordId"] for record in answer["records"]] == ["record-0", "record-0"]


@pytest.mark.parametrize(
    "wrong",
    [None, [], "text", {}, {"records": None}, {"records": {}}, {"awslogs": {"data": ""}}]
    + [{"records": [record]} for record in (None, [], {}, {"recordId": 1}, {"recordId": None})]
    + [
        {"records": [], "sourceKinesisStreamArn": "arn:aws:kinesis:us-east-1:111122223333:stream/s"}
    ],
)
def test_other_events_than_firehoses_are_refused(wrong: Any) -> None:
    with pytest.raises(NotAFirehoseEventError, match=r"no list of rec|no recordId|Kinesis"):
        parse_event(wrong)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({}, "no list of records: only Firehose may invoke this function"),
        ({"records": [{"recordId": "a"}, {}]}, "record 1 has no recordId"),
        (
            {"records": [], "sourceKinesisStreamArn": "arn:aws:kinesis:x"},
            "the stream reads from a Kinesis data stream: use Direct PUT",
        ),
    ],
)
def test_a_refusal_names_the_error(wrong: Any, why: str) -> None:
    with pytest.raises(NotAFirehoseEventError) as refused:
        parse_event(wrong)
    assert str(refused.value) == why


@pytest.mark.parametrize("arn", [None, 7, "", "s", "arn:aws:firehose:ap-northeast-1:1:other/s"])
def test_an_arn_that_is_not_a_streams_gives_no_name(arn: Any) -> None:
    firehose_event = event()
    assert parse_event(firehose_event).stream_name == "s"
    assert parse_event(firehose_event | {"deliveryStreamArn": arn}).stream_name is None


def test_a_record_without_data_is_undecodable(logged: Any) -> None:
    answer, _ = logged({"records": [{"recordId": "a"}]})
    assert answer == {"records": [{"recordId": "a", "result": "ProcessingFailed"}]}


def test_an_unexpected_error_fails_its_record_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    may_be = Selection.may_be

    def fail(selection: Selection, message: str) -> bool:
        if message == OSAKA:
            raise ZeroDivisionError
        return may_be(selection, message)

    monkeypatch.setattr(Selection, "may_be", fail)
    parsed = parse_event(event(envelope([TOKYO]), envelope([OSAKA]), envelope([TOKYO])))
    outcomes = Transformer(SIGN_INS).transform(parsed.records)
    assert [outcome.reason for outcome in outcomes] == [
        "delivered",
        "unexpected_error",
        "delivered",
    ]
    assert outcomes[1].result == "ProcessingFailed"


def test_one_summary_line_carries_every_count(logged: Any) -> None:
    control, dense = gz(CONTROL_MESSAGE.encode()), gz(envelope([TOKYO, CHECK_MFA, OSAKA]))
    _, lines = logged(event(control, dense, envelope([CHECK_MFA]), b"x", GOOD_CUT, GOOD_CUT))
    (summary,) = [line for line in lines if line.get("message") == "batch transformed"]
    expected = {
        "records_in": 6,
        "records_delivered": 1,
        "records_dropped": 2,
        "records_control_message": 1,
        "records_no_match": 1,
        "records_put_back": 0,
        "records_failed": 3,
        "failed_by_reason": {"undecodable": 1, "corrupt_gzip": 2},
        "events_in": 4,
        "events_delivered": 2,
        "bytes_in": len(control) + len(dense) + len(envelope([CHECK_MFA])) + 1 + 2 * len(GOOD_CUT),
        "bytes_decompressed": len(CONTROL_MESSAGE)
        + len(envelope([TOKYO, CHECK_MFA, OSAKA]))
        + len(envelope([CHECK_MFA]))
        + 1,
        "bytes_out": len(TOKYO) + len(OSAKA) + 2,
        "bytes_put_back": 0,
        "invocation_id": "invocation-1",
        "function_request_id": CONTEXT.aws_request_id,
        "service": "test-stack",
        "level": "INFO",
        "message": "batch transformed",
    }
    assert {key: value for key, value in summary.items() if key != "timestamp"} == expected


GOOD_CUT = gz(envelope([TOKYO]))[:-1]


def test_warnings_name_the_record_and_are_capped(logged: Any) -> None:
    _, lines = logged(event(*[b"x"] * 25))
    warnings = [line for line in lines if line.get("level") == "WARNING"]
    assert [(line["record_id"], line["reason"]) for line in warnings] == [
        (f"record-{number}", "undecodable") for number in range(20)
    ]
    assert {line["message"] for line in warnings} == {"record failed"}
    assert lines[20]["records_failed"] == 25


def test_metrics_are_events_delivered_and_records_failed_of_the_stack(logged: Any) -> None:
    _, lines = logged(event(envelope([TOKYO, OSAKA]), b"x"))
    (emf,) = [line for line in lines if "_aws" in line]
    (directive,) = emf["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "ConsoleLoginFirehose"
    assert directive["Dimensions"] == [["service"]]
    assert {metric["Unit"] for metric in directive["Metrics"]} == {"Count"}
    assert emf["service"] == "test-stack"
    assert (emf["EventsDelivered"], emf["RecordsFailed"]) == ([2.0], [1.0])


def test_metrics_without_a_value_are_not_sent(logged: Any) -> None:
    _, lines = logged(event(envelope([CHECK_MFA])))
    assert [line["message"] for line in lines] == ["batch transformed"]
    _, lines = logged(event(envelope([TOKYO])))
    assert "RecordsFailed" not in lines[-1]


def test_no_content_of_an_event_reaches_the_log(logged: Any) -> None:
    damaged = envelope([TOKYO[:-1]])
    cases = [envelope([TOKYO]), damaged, TOKYO.encode(), TOKYO[:-1].encode(), damaged[:-9], TOKYO]
    answer, lines = logged(event(*cases))
    assert any(record["result"] == "Ok" for record in answer["records"])
    assert len(lines) > 4
    text = json.dumps(lines)
    assert not [secret for secret in SECRETS if secret in text]


def test_a_wrong_configuration_raises_at_cold_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENT_NAMES", "a*")
    with pytest.raises(ConfigurationError, match=r"'a\*'"):
        importlib.reload(app)


def test_boto3_and_the_x_ray_sdk_are_not_imported_at_cold_start(run_python: Any) -> None:
    # Powertools only checks for the package botocore, which costs nothing.
    heavy = {"boto3", "botocore.session", "botocore.client", "aws_xray_sdk"}
    code = f"import app, sys; print({heavy} & set(sys.modules))"
    assert run_python(code).strip() == "set()"


def test_the_handler_is_small() -> None:
    source = importlib.util.find_spec("app")
    assert source is not None
    assert source.loader is not None
    assert len(source.loader.get_source("app").splitlines()) < 40  # type: ignore[attr-defined]
