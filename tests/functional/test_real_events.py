"""Tests real CloudTrail events from other projects (tests/data), and a payload from the SAM CLI."""

import importlib.util
import json
from pathlib import Path

import pytest
from support import CONTEXT, DATA, envelope, gz, lines_of, transform

import app

CLOUDTRAIL = DATA / "cloudtrail"
SIGN_INS = sorted(CLOUDTRAIL.glob("consolelogin.*.ndjson"))
OTHERS = sorted(CLOUDTRAIL.glob("negative.*.ndjson"))


def messages(paths: list[Path]) -> list[str]:
    return [line for path in paths for line in path.read_text().split("\n") if line]


def test_the_data_is_there() -> None:
    assert (len(messages(SIGN_INS)), len(messages(OTHERS))) == (97, 14)


@pytest.mark.parametrize("path", SIGN_INS, ids=lambda path: path.stem)
def test_every_sign_in_is_delivered_byte_for_byte(path: Path) -> None:
    (outcome,) = transform(gz(envelope(messages([path]))))
    assert lines_of(outcome) == messages([path])


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_no_sibling_passes(path: Path) -> None:
    (outcome,) = transform(gz(envelope(messages([path]))))
    assert outcome.reason == "no_match"


def test_sign_ins_are_picked_from_among_others_in_order() -> None:
    sign_ins, others = messages(SIGN_INS), messages(OTHERS)
    mixed = [message for pair in zip(sign_ins, others * 7, strict=False) for message in pair]
    for text in (envelope(mixed), "".join(f"{message}\n" for message in mixed).encode()):
        (outcome,) = transform(text)
        assert lines_of(outcome) == sign_ins


def test_original_formatting_becomes_one_line_of_the_same_json() -> None:
    sources = (CLOUDTRAIL / "rawformat.consolelogin.jsonl").read_text().split("\n")[:-1]
    pretty = [json.loads(source)["message"] for source in sources]
    assert len(pretty) == 33
    assert all("\n" in message for message in pretty)
    (outcome,) = transform(gz(envelope(pretty)))
    assert [json.loads(line) for line in lines_of(outcome)] == [json.loads(each) for each in pretty]
    assert [line.split() for line in lines_of(outcome)] == [each.split() for each in pretty]


def test_the_sam_clis_recorded_cloudwatch_logs_event_is_read() -> None:
    samcli = importlib.util.find_spec("samcli")
    assert samcli is not None
    assert samcli.origin is not None
    path = "lib/generated_sample_events/events/kinesis/KinesisFirehoseCloudwatchLogsProcessor.json"
    recorded = json.loads((Path(samcli.origin).parent / path).read_text())
    outcomes = app.handle(recorded, CONTEXT)
    assert [outcome.reason.value for outcome in outcomes] == EXPECTED_OF_THE_RECORDED_EVENT


EXPECTED_OF_THE_RECORDED_EVENT = ["control_message", "no_match", "no_match", "no_match"]
