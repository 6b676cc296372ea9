"""Tests that the function stops early enough for any Timeout, and that batches always finish.

The remaining time is simulated: it falls with the CPU time of the process, as fast as on 0.58 of a
core. In tests of slow records it falls faster, so that a slow record takes nearly the longest
allowed time.
"""

import base64
import itertools
import json
import statistics
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from support import CONTROL_MESSAGE, TOKYO, FakeFirehose, b64, envelope, event, gz, messages_in

import app

CORE = 0.58
# Seconds of one core: below the limit for a record, with a margin for a busy machine.
SLOW_SECONDS = 4.0
TIMEOUTS = [30, 60, 120, 300]
CHECK_MFA = TOKYO.replace('"eventName":"ConsoleLogin"', '"eventName":"CheckMfa"')
# Text that must be read message by message, without a selected event.
SLOW = gz(envelope(['{"eventName":"CheckMfa","a":"ConsoleLogin"}'] * 20_000))


class Context:
    """Lambda's context of an invocation that starts now and has `timeout` seconds.

    speed: simulated seconds of CPU time for each real one.
    """

    aws_request_id = "00000000-0000-4000-8000-000000000001"

    def __init__(self, timeout: float, speed: float = 1.0) -> None:
        self._timeout = timeout
        self._speed = speed
        self._start = time.process_time()

    @property
    def seconds_left(self) -> float:
        used = (time.process_time() - self._start) * self._speed / CORE
        return self._timeout - used

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int(self.seconds_left * 1000))


def sign_in(number: int) -> str:
    return TOKYO.replace("124ae584-ac31-4bfa-b396-7a1ba71efaed", f"{number:032x}")


@pytest.fixture(scope="module")
def speed() -> float:
    """Measure a slow record; return the speed at which it takes SLOW_SECONDS."""
    taken = []
    for _ in range(5):
        context = Context(1000)
        answer = app.lambda_handler(event(SLOW), context)
        taken.append((1000 - context.seconds_left) * CORE)
        assert answer["records"][0]["result"] == "Dropped"
    return SLOW_SECONDS / statistics.median(taken)


class Rounds:
    """Invokes the function with the records that it put back, until none are left."""

    def __init__(self, firehose: FakeFirehose, timeout: int, speed: float) -> None:
        self._firehose = firehose
        self._timeout = timeout
        self._speed = speed
        self.delivered: list[str] = []
        self.failed: list[bytes] = []
        self.records_in = 0
        self.seconds_left: list[float] = []

    def run(self, records: list[bytes], most: int) -> None:
        for _ in range(most):
            if not records:
                return
            records = self._invoke(records)
        assert not records, f"{len(records)} records are still put back after {most} invocations"

    def _invoke(self, records: list[bytes]) -> list[bytes]:
        self._firehose.accepted.clear()
        self.records_in += len(records)
        context = Context(self._timeout, self._speed)
        answer = app.lambda_handler(event(*records), context)
        self.seconds_left.append(context.seconds_left)
        for record, each in zip(records, answer["records"], strict=True):
            if "data" in each:
                self.delivered += base64.b64decode(each["data"]).decode().split("\n")[:-1]
            if each["result"] == "ProcessingFailed":
                self.failed.append(record)
        return list(self._firehose.accepted)

    def sign_ins(self) -> Counter[str]:
        """Return the sign-ins that were delivered or written to the error output prefix."""
        failed = itertools.chain.from_iterable(
            messages_in(record) for record in self.failed if record != SLOW
        )
        return Counter(self.delivered) + Counter(failed)


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_ordinary_traffic_is_never_late(timeout: int, put_back: FakeFirehose) -> None:
    expected = [sign_in(number) for number in range(200)]
    records = [gz(envelope([CHECK_MFA] * 20 + [text])) for text in expected]
    rounds = Rounds(put_back, timeout, speed=1.0)
    rounds.run(records, most=1)
    assert rounds.records_in == 200
    assert rounds.delivered == expected


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_slow_records_before_a_sign_in_leave_a_quarter_of_the_time(
    timeout: int, speed: float, put_back: FakeFirehose
) -> None:
    # Lateness counts even if nothing is delivered before the last record.
    slow = 2 * timeout // 8
    app.lambda_handler(
        event(*[SLOW] * slow, gz(envelope([TOKYO]))), context := Context(timeout, speed)
    )
    assert context.seconds_left >= timeout / 4
    assert put_back.accepted, "nothing was put back: no record was slow"


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_slow_records_end_and_no_sign_in_is_lost_or_doubled(
    timeout: int, speed: float, put_back: FakeFirehose
) -> None:
    # Before, between and after the slow records.
    slow = timeout // 4
    expected = [sign_in(number) for number in range(3)]
    good = [gz(envelope([text])) for text in expected]
    records = [good[0], *[SLOW] * slow, good[1], *[SLOW] * slow, good[2]]
    rounds = Rounds(put_back, timeout, speed)
    # Each invocation finishes at least one record.
    rounds.run(records, most=len(records))
    assert rounds.sign_ins() == Counter(expected)
    assert min(rounds.seconds_left) >= timeout / 4


def test_slow_records_with_sign_ins_end(speed: float, put_back: FakeFirehose) -> None:
    expected = [sign_in(number) for number in range(12)]
    texts = json.loads(envelope(['{"eventName":"CheckMfa","a":"ConsoleLogin"}'] * 20_000))
    records = []
    for text in expected:
        texts["logEvents"][-1]["message"] = text
        records.append(gz(json.dumps(texts).encode()))
    rounds = Rounds(put_back, 30, speed)
    rounds.run(records, most=len(records))
    assert {text for text in rounds.sign_ins() if "ConsoleLogin" in text} >= set(expected)
    assert len(rounds.delivered) == len(set(rounds.delivered))


def test_an_invocation_with_little_time_still_ends(put_back: FakeFirehose) -> None:
    # Sixteen seconds are enough to put records back, and the time does not change.
    class Late(SimpleNamespace):
        aws_request_id = "x"

        def get_remaining_time_in_millis(self) -> int:
            return 16_000

    records = [gz(envelope([sign_in(number)])) for number in range(5)]
    for _ in range(6):
        put_back.accepted.clear()
        if records:
            app.lambda_handler(event(*records), Late())
        records = list(put_back.accepted)
    assert not records


def test_control_messages_alone_are_dropped_however_late(put_back: FakeFirehose) -> None:
    context: Any = Context(30)
    answer = app.lambda_handler(event(*[b64(CONTROL_MESSAGE.encode())] * 3), context)
    assert [each["result"] for each in answer["records"]] == ["Dropped"] * 3
    assert not put_back.accepted
