"""Envelopes in the form that CloudWatch Logs sends."""

import gzip
import json
import random
from typing import Any

from support import CONTROL_MESSAGE, TOKYO

from console_login.events.envelope import Origin
from console_login.local.filter_pattern import FilterPattern
from console_login.local.subscription import (
    MAX_ENVELOPE_BYTES,
    MAX_EVENTS_PER_ENVELOPE,
    Subscription,
)

ORIGIN = Origin("111122223333", "/aws/cloudtrail/x", "111122223333_CloudTrail_x", "filter")


def subscription(pattern: str = '{ $.eventName = "ConsoleLogin" }') -> Subscription:
    return Subscription(FilterPattern(pattern), ORIGIN, random.Random(1))


def opened(record: bytes) -> Any:
    # RFC 1952: the ninth byte is 0 for level 6, the fifth to eighth are the time.
    assert record[:4] == b"\x1f\x8b\x08\x00"
    assert record[4:9] == bytes(5)
    return json.loads(gzip.decompress(record))


def test_fact_19_the_envelope() -> None:
    filled = subscription()
    assert list(filled.offer(TOKYO, 1.5)) == []
    (record,) = filled.flush()
    envelope = opened(record)
    assert envelope == {
        "messageType": "DATA_MESSAGE",
        "owner": "111122223333",
        "logGroup": "/aws/cloudtrail/x",
        "logStream": "111122223333_CloudTrail_x",
        "subscriptionFilters": ["filter"],
        "logEvents": [{"id": envelope["logEvents"][0]["id"], "timestamp": 1500, "message": TOKYO}],
    }
    assert len(envelope["logEvents"][0]["id"]) == 56


def test_fact_20_the_control_message_comes_first() -> None:
    envelope = opened(subscription().start(1711792000.0))
    assert envelope == json.loads(CONTROL_MESSAGE)


def test_events_share_envelopes_in_order_with_increasing_ids() -> None:
    filled = subscription("")
    messages = [f'{{"n":{number}}}' for number in range(500)]
    records = [record for message in messages for record in filled.offer(message, 0)]
    records += filled.flush()
    envelopes = [opened(record)["logEvents"] for record in records]
    assert max(map(len, envelopes)) <= MAX_EVENTS_PER_ENVELOPE
    assert len({len(each) for each in envelopes}) > 3
    events = [event for each in envelopes for event in each]
    assert [event["message"] for event in events] == messages
    ids = [int(event["id"]) for event in events]
    assert ids == sorted(set(ids))
    assert (filled.seen, filled.picked) == (500, 500)


def test_an_event_waits_five_seconds_at_most() -> None:
    filled = subscription("")
    assert filled.deadline() is None
    assert list(filled.offer("{}", 10)) == []
    assert list(filled.offer("{}", 12)) == []
    assert filled.deadline() == 15
    (record,) = filled.flush()
    assert [each["timestamp"] for each in opened(record)["logEvents"]] == [10_000, 12_000]
    assert filled.deadline() is None


def test_fact_24_events_that_the_pattern_does_not_match_are_not_sent() -> None:
    filled = subscription()
    for message in ('{"eventName":"CheckMfa"}', "ConsoleLogin", "{"):
        assert list(filled.offer(message, 0)) == []
    assert list(filled.flush()) == []
    assert (filled.seen, filled.picked) == (3, 0)


def test_large_events_are_split_between_envelopes() -> None:
    filled = subscription("")
    large = json.dumps("x" * (MAX_ENVELOPE_BYTES // 2))
    records = [record for _ in range(5) for record in filled.offer(large, 0)]
    records += filled.flush()
    assert [len(opened(record)["logEvents"]) for record in records] == [1] * 5
