"""The whole pipeline: the tutorial's example, parameters, faults, many events."""

import base64
import gzip
import json
import random
import re
from collections.abc import Callable
from typing import Any

import pytest
from support import DATA, OSAKA, TOKYO

from console_login.events.envelope import Origin, compress, data_message
from console_login.function import FunctionFailure
from console_login.local import generate
from console_login.local import pipeline as local

START = 1711792102.0
NAME = (
    r"console-login-firehose-1-2024-03-30-18-48-\d\d"
    r"-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)


def generated(count: int, sign_ins: float, seed: int = 1) -> list[str]:
    return list(generate.events(count, sign_ins, random.Random(seed), START))


def is_sign_in(message: str) -> bool:
    return bool(json.loads(message)["eventName"] == "ConsoleLogin")


def test_the_tutorials_example(run: Callable[..., Any]) -> None:
    others = generated(100, 0)
    done = run([*others[:50], TOKYO, OSAKA, *others[50:]])
    (key,) = done.keys
    assert re.fullmatch(rf"consolelogin/2024/03/30/{NAME}\.json", key)
    assert done.bodies[key].decode() == f"{TOKYO}\n{OSAKA}\n"
    assert done.error_keys == []
    head = done.pipeline.state.head(key)
    assert head["ServerSideEncryption"] == "aws:kms"
    assert head["SSEKMSKeyId"] == done.pipeline.stack.outputs["KeyArn"]
    stages = done.pipeline.stages()
    assert stages["events in"] == 102
    assert stages["events picked"] == 2
    # The control message and the envelope.
    assert stages["records put"] == 2
    assert stages["records dropped"] == 1
    assert stages["records delivered"] == 1
    account = done.account
    assert (account.delivered, account.not_selected, account.in_error_prefix) == (2, 100, 0)
    assert account.is_balanced


def test_every_setting_comes_from_the_template(run: Callable[..., Any]) -> None:
    configuration = run([TOKYO]).stream.configuration
    assert configuration.buffer_bytes == 1024 * 1024
    assert configuration.buffer_seconds == 10
    assert configuration.function_buffer_bytes == 256 * 1024
    assert configuration.function_buffer_seconds == 10
    assert configuration.retries == 3
    moved = run([TOKYO], BufferSizeMiB="2", BufferSeconds="3", LambdaBufferMiB="1", seed=1)
    assert moved.stream.configuration.buffer_bytes == 2 * 1024 * 1024
    assert moved.stream.configuration.buffer_seconds == 3
    assert moved.stream.configuration.function_buffer_bytes == 1024 * 1024


@pytest.mark.parametrize(
    ("parameters", "start", "pattern"),
    [
        ({"Prefix": "a/b/"}, START, r"a/b/2024/03/30/.*\.json"),
        ({"Prefix": ""}, START, r"2024/03/30/.*\.json"),
        # 15:00 UTC is midnight in Tokyo; the record arrives five seconds after its first event.
        ({}, 1711810794.0, r"consolelogin/2024/03/30/.*-2024-03-30-23-59-59-.*"),
        ({}, 1711810795.0, r"consolelogin/2024/03/31/.*-2024-03-31-00-00-00-.*"),
        ({"TimeZone": "UTC"}, 1711810795.0, r"consolelogin/2024/03/30/.*-2024-03-30-15-00-00-.*"),
        ({"TimeZone": "America/New_York"}, 1711771190.0, r"consolelogin/2024/03/29/.*"),
        ({"FileExtension": ".ndjson"}, START, r".*\.ndjson"),
        ({"Compression": "GZIP"}, START, r".*\.json\.gz"),
    ],
)
def test_parameters_move_the_objects(
    parameters: dict[str, str], start: float, pattern: str, run: Callable[..., Any]
) -> None:
    done = run([TOKYO, OSAKA], start=start, **parameters)
    (key,) = done.keys
    assert re.fullmatch(pattern, key)
    body = done.bodies[key]
    if parameters.get("Compression") == "GZIP":
        body = gzip.decompress(body)
    assert body.decode() == f"{TOKYO}\n{OSAKA}\n"
    assert done.account.is_balanced


def test_event_names_reach_filter_and_function(run: Callable[..., Any]) -> None:
    events = generated(500, 0.1)
    names = {"ConsoleLogin", "SwitchRole"}
    done = run(events, EventNames=",".join(names))
    expected = [event for event in events if json.loads(event)["eventName"] in names]
    assert lines(done) == expected
    assert done.account.not_selected == 500 - len(expected)


def test_a_star_delivers_every_event(run: Callable[..., Any]) -> None:
    events = generated(300, 0.1)
    done = run(events, EventNames="*")
    assert lines(done) == events
    assert done.account.delivered == 300


def test_an_existing_bucket_and_key_are_used(run: Callable[..., Any]) -> None:
    key_arn = "arn:aws:kms:ap-northeast-1:111122223333:key/11112222-3333-4444-5555-666677778888"
    done = run([TOKYO], ExistingBucketName="amzn-s3-demo-bucket", ExistingKeyArn=key_arn)
    (stored,) = done.pipeline.objects()
    assert stored.key_arn == key_arn
    assert done.stream.configuration.bucket == "amzn-s3-demo-bucket"


def lines(done: Any) -> list[str]:
    return [line for key in done.keys for line in done.bodies[key].decode().split("\n")[:-1]]


def test_real_events_arrive_byte_for_byte(run: Callable[..., Any]) -> None:
    events = [
        line
        for path in sorted((DATA / "cloudtrail").glob("*.ndjson"))
        for line in path.read_text().split("\n")
        if line
    ]
    done = run(events)
    assert lines(done) == [
        event for event in events if json.loads(event).get("eventName") == "ConsoleLogin"
    ]
    assert done.account.is_balanced
    assert done.account.events == len(events)


def test_envelopes_of_a_hundred_owners_pass_the_same_function(run: Callable[..., Any]) -> None:
    # Filters in other accounts send such envelopes through the destination of a stack.
    pipeline = run([], OrganizationId="o-a1b2c3d4e5").pipeline
    sent = []
    for number in range(100):
        owner = f"{100_000_000_000 + number}"
        theirs = [
            json.dumps(json.loads(text) | {"recipientAccountId": owner}) for text in (TOKYO, OSAKA)
        ]
        other = json.dumps(json.loads(TOKYO) | {"eventName": "CheckMfa"})
        origin = Origin(owner, f"/their/{number}", f"{owner}_CloudTrail_ap-northeast-1", "fleet")
        messages = [(int(START * 1000), text) for text in (*theirs, other)]
        pipeline.stream.put(compress(data_message(origin, messages)))
        sent += theirs
    local.run(pipeline, pipeline._clock, [], lambda: None)
    assert pipeline.stream.error_keys == []
    delivered = [
        line
        for key in pipeline.stream.keys
        for line in pipeline.state.get(key).decode().splitlines()
    ]
    assert sorted(delivered) == sorted(sent)
    owners = [json.loads(line)["recipientAccountId"] for line in delivered]
    assert {owners.count(each) for each in owners} == {2}
    assert len(set(owners)) == 100


# Faults -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "faults",
    [
        ["lambda:0.9"],
        ["lambda:1"],
        ["lambda-timeout:0.5"],
        ["lambda-timeout:1"],
        ["s3:0.5"],
        ["duplicate:0.5"],
        ["duplicate:1"],
        ["lambda:0.9", "lambda-timeout:0.3", "s3:0.6", "duplicate:0.3"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("compression", ["UNCOMPRESSED", "GZIP"])
def test_no_fault_loses_an_event(
    faults: list[str], compression: str, run: Callable[..., Any]
) -> None:
    events = generated(3000, 0.2, seed=7)
    done = run(events, faults=faults, seed=3, Compression=compression)
    account = done.account
    assert account.is_balanced
    assert account.delivered + account.in_error_prefix == sum(map(is_sign_in, events))
    assert account.not_selected + account.delivered + account.in_error_prefix == 3000
    if "lambda:1" in faults or "lambda-timeout:1" in faults:
        assert account.delivered == 0
    if "lambda:0.9" in faults:
        assert account.in_error_prefix > 0
    if faults == ["s3:0.5"]:
        assert done.stream.counts.storage_retries > 0
        assert account.in_error_prefix == 0
    if "duplicate:1" in faults:
        assert account.duplicates == account.delivered


def test_events_are_missing_if_the_bucket_rejects_every_object(run: Callable[..., Any]) -> None:
    # Fact 10: after 24 hours the data is lost. The accounting must show such a loss.
    done = run([TOKYO, OSAKA], faults=["s3:1"])
    assert not done.account.is_balanced
    assert done.account.missing == 2
    assert done.account.missing_ids == sorted(
        json.loads(each)["eventID"] for each in (TOKYO, OSAKA)
    )
    assert done.stream.counts.objects_lost == 1


def test_the_same_seed_gives_the_same_run(run: Callable[..., Any]) -> None:
    faults = ["lambda", "s3", "duplicate"]
    first, second, third = (
        run(generated(2000, 0.2), faults=faults, seed=seed).bodies for seed in (5, 5, 6)
    )
    assert first == second
    assert first != third


def test_a_hundred_thousand_events_are_accounted_for(run: Callable[..., Any]) -> None:
    events = list(generate.events(100_000, 0.01, random.Random(11), START))
    expected = [event for event in events if is_sign_in(event)]
    done = run(iter(events))
    assert lines(done) == expected
    account = done.account
    assert (account.events, account.delivered) == (100_000, len(expected))
    assert (account.duplicates, account.in_error_prefix) == (0, 0)
    assert account.is_balanced


# Putting back -------------------------------------------------------------------------------------

# The size limit of a response, which a few records reach.
SMALL = 60_000


@pytest.mark.parametrize(
    "faults",
    [
        [],
        ["put-record-batch:throttle"],
        ["put-record-batch:throttle:0.9"],
        ["put-record-batch:partial"],
        ["put-record-batch:partial:0.7"],
        ["put-record-batch:outage"],
        ["put-record-batch:outage:0.3"],
        ["put-record-batch:timeout"],
        ["put-record-batch:timeout:1"],
        ["put-record-batch:partial", "put-record-batch:timeout", "s3", "duplicate"],
    ],
    ids=" ".join,
)
def test_records_put_back_are_accounted_for(faults: list[str], run: Callable[..., Any]) -> None:
    events = generated(2000, 0.5, seed=13)
    done = run(events, faults=faults, max_response_bytes=SMALL, seed=2)
    account = done.account
    assert account.is_balanced
    assert account.delivered + account.in_error_prefix == sum(map(is_sign_in, events))
    put_back = done.pipeline.stages()["records put back"]
    if faults in ([], ["put-record-batch:throttle"], ["put-record-batch:partial"]):
        # In the end each record was accepted exactly once.
        assert put_back > 0
        assert (account.in_error_prefix, account.duplicates) == (0, 0)
    if faults == ["put-record-batch:outage"]:
        assert put_back == 0
        assert account.in_error_prefix > 0
    if faults == ["put-record-batch:timeout:1"]:
        # Delivered and in the error output prefix, but never lost.
        assert put_back > 0
        assert account.duplicates > 0


class KilledOnce:
    """A function whose first invocation that puts a record back is killed after doing so."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.killed = False

    def invoke(self, event: dict[str, Any]) -> Any:
        answer = self.function.invoke(event)
        results = [record["result"] for record in answer["records"]]
        if not self.killed and results.count("Dropped") > 1:
            self.killed = True
            raise FunctionFailure("Lambda.FunctionTimedOut", "killed")
        return answer


def test_an_invocation_killed_after_putting_back_causes_only_duplicates(
    run: Callable[..., Any],
) -> None:
    # Firehose retries the invocation, and the records already put back are delivered twice.
    events = generated(2000, 0.5, seed=13)
    done = run(events, max_response_bytes=200_000, wrap=KilledOnce)
    assert done.account.is_balanced
    assert done.account.delivered == sum(map(is_sign_in, events))
    assert done.account.duplicates > 0


class Doubling:
    """A function that delivers each line twice, which no fault explains."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def invoke(self, event: dict[str, Any]) -> Any:
        answer = self.function.invoke(event)
        for record in answer["records"]:
            if "data" in record:
                record["data"] = base64.b64encode(base64.b64decode(record["data"]) * 2).decode()
        return answer


@pytest.mark.parametrize(
    "faults",
    [[], ["s3"], ["lambda:0.5"], ["lambda-timeout:0.5"], ["duplicate:0.3"]],
    ids=" ".join,
)
def test_the_accounting_does_not_balance_with_copies_that_no_fault_explains(
    faults: list[str], run: Callable[..., Any]
) -> None:
    events = generated(2000, 0.2, seed=7)
    account = run(events, faults=faults, wrap=Doubling).account
    assert (account.missing, account.unexpected) == (0, 0)
    assert account.unexplained > 0
    assert (account.unexplained < account.duplicates) is (faults == ["duplicate:0.3"])
    assert not account.is_balanced


def test_an_event_waits_five_seconds_at_most_for_others(run: Callable[..., Any]) -> None:
    others = generated(3000, 0)
    done = run([TOKYO, *others, OSAKA])
    # Half a minute apart: two envelopes, two objects, each with its own time.
    assert len(done.keys) == 2
    assert "-18-48-27-" in done.keys[0]


def test_damaged_events_are_put_back_once_and_fail(run: Callable[..., Any]) -> None:
    damaged = [event[:-1] for event in generated(50, 1, seed=21)]
    good = generated(50, 1, seed=22)
    mixed = [each for pair in zip(good, damaged, strict=True) for each in pair]
    done = run(mixed, EventNames="*")
    account = done.account
    assert account.is_balanced
    assert (account.delivered, account.in_error_prefix, account.duplicates) == (50, 50, 0)
    assert lines(done) == good
    assert done.pipeline.stages()["records put back"] > 0


def test_a_burst_over_6_mb_is_drained(run: Callable[..., Any]) -> None:
    # An invocation with 3 MiB of gzip has about 30 MB of lines.
    events = generated(30_000, 1, seed=5)
    done = run(events, LambdaBufferMiB="3", LambdaBufferSeconds="900")
    assert done.account.is_balanced
    assert (done.account.delivered, done.account.duplicates) == (30_000, 0)
    stages = done.pipeline.stages()
    assert stages["records put back"] > 0
    assert stages["invocations failed"] == 0
