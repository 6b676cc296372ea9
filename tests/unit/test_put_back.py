"""Tests PutRecordBatch: its limits, retries, final errors, and the end of the time."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from support import TIMEOUT, FakeFirehose, client_error

from transformer import put_back
from transformer.put_back import PutBack

THROTTLED = client_error("ServiceUnavailableException", 503)


class Time:
    """The remaining seconds of an invocation, which waiting and calls use up."""

    def __init__(self, seconds: float = 120) -> None:
        self.left = seconds
        self.slept: list[float] = []

    def seconds_left(self) -> float:
        return self.left

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.left -= seconds


def put(
    records: list[bytes],
    *answers: Any,
    time: Time | None = None,
    jitter: Callable[[float, float], float] | None = None,
) -> tuple[list[bool], FakeFirehose]:
    firehose, time = FakeFirehose(*answers), time or Time()
    putter = PutBack(lambda: firehose, time.sleep, jitter or random.Random(1).uniform)
    return putter.put("stream", records, time.seconds_left), firehose


def test_everything_is_accepted_at_once() -> None:
    accepted, firehose = put([b"a", b"b"])
    assert accepted == [True, True]
    assert firehose.calls == [[b"a", b"b"]]
    assert firehose.streams == ["stream"]


def test_nothing_makes_no_call_and_no_client() -> None:
    def fail() -> Any:
        raise AssertionError

    assert PutBack(fail).put("stream", [], lambda: 1000) == []


def test_the_client_is_made_once() -> None:
    made: list[FakeFirehose] = []

    def make() -> FakeFirehose:
        made.append(FakeFirehose())
        return made[-1]

    putter = PutBack(make)
    for _ in range(3):
        putter.put("stream", [b"a"], lambda: 1000)
    assert len(made) == 1


def test_a_call_has_500_records_at_most() -> None:
    records = [str(number).encode() for number in range(1201)]
    accepted, firehose = put(records)
    assert accepted == [True] * 1201
    assert [len(call) for call in firehose.calls] == [500, 500, 201]
    assert firehose.accepted == records


def test_a_call_has_4_mib_at_most() -> None:
    records = [bytes(1000 * 1024)] * 9
    _, firehose = put(records)
    assert [len(call) for call in firehose.calls] == [4, 4, 1]
    assert all(sum(map(len, call)) <= 4 * 1024 * 1024 for call in firehose.calls)


def test_records_of_4_mib_together_go_in_one_call() -> None:
    mib = bytes(1024 * 1024)
    assert list(put_back.batches([mib] * 8)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert list(put_back.batches([mib, mib, mib, mib + b"x"])) == [[0, 1, 2], [3]]
    assert list(put_back.batches([b"x", mib, mib, mib, mib])) == [[0, 1, 2, 3], [4]]
    # One call each, even if Firehose will refuse them.
    assert list(put_back.batches([mib * 5, mib * 5])) == [[0], [1]]


def test_a_call_has_500_records_however_small() -> None:
    assert list(put_back.batches([b""] * 501)) == [list(range(500)), [500]]
    assert list(put_back.batches([])) == []


def test_firehoses_limits() -> None:
    assert put_back.MAX_RECORD_BYTES == 1_024_000
    assert put_back.MAX_BATCH_RECORDS == 500
    assert put_back.MAX_BATCH_BYTES == 4_194_304


def test_only_refused_records_are_sent_again() -> None:
    refused: dict[int, str] = {1: "ServiceUnavailableException", 3: "InternalFailure"}
    accepted, firehose = put([b"a", b"b", b"c", b"d"], refused, {0: "InternalFailure"})
    assert accepted == [True] * 4
    assert firehose.calls == [[b"a", b"b", b"c", b"d"], [b"b", b"d"], [b"b"]]
    assert sorted(firehose.accepted) == [b"a", b"b", b"c", b"d"]


@pytest.mark.parametrize(
    "error",
    [
        THROTTLED,
        client_error("LimitExceededException"),
        client_error("RequestLimitExceeded"),
        client_error("ServiceUnavailable"),
        client_error("ServiceUnavailableException"),
        client_error("Throttling"),
        client_error("ThrottledException"),
        client_error("ThrottlingException"),
        client_error("TooManyRequestsException"),
        client_error("Unknown", 429),
        client_error("Unknown", 503),
        ConnectTimeoutError(endpoint_url="x"),
        EndpointConnectionError(endpoint_url="x"),
    ],
    ids=lambda error: type(error).__name__ + str(getattr(error, "response", {}).get("Error", "")),
)
def test_throttled_and_unsent_records_are_sent_again(error: Exception) -> None:
    accepted, firehose = put([b"a"], *[error] * 5)
    assert accepted == [True]
    assert len(firehose.calls) == 6


@pytest.mark.parametrize(
    "error",
    [
        client_error("InvalidSourceException"),
        client_error("AccessDeniedException"),
        client_error("ValidationException"),
        client_error("InvalidArgumentException"),
        client_error("ResourceNotFoundException"),
        client_error("InvalidKMSResourceException"),
        ClientError({}, "PutRecordBatch"),
    ],
    ids=lambda error: type(error).__name__ + str(getattr(error, "response", {}).get("Error", "")),
)
def test_a_refusal_is_final_at_once(error: Exception) -> None:
    accepted, firehose = put([b"a"] * 501, error)
    assert accepted == [False] * 501
    assert len(firehose.calls) == 1


@pytest.mark.parametrize(
    "error",
    [
        ReadTimeoutError(endpoint_url="x"),
        ConnectionClosedError(endpoint_url="x"),
        RuntimeError("nobody knows"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_unknown_outcome_is_not_sent_again_and_not_accepted(error: Exception) -> None:
    accepted, firehose = put([b"a", b"b"], error)
    assert accepted == [False, False]
    assert len(firehose.calls) == 1


@pytest.mark.parametrize("status", [500, 502, 504])
def test_another_5xx_is_tried_three_times_because_it_may_have_been_accepted(status: int) -> None:
    error = client_error("InternalFailure", status)
    assert put([b"a"], error, error)[0] == [True]
    accepted, firehose = put([b"a"] * 501, error, error, error)
    # The next batch is still tried.
    assert accepted == [False] * 500 + [True]
    assert [len(call) for call in firehose.calls] == [500] * 3 + [1]


def test_an_unknown_outcome_does_not_keep_other_batches_from_being_put() -> None:
    accepted, firehose = put([b"a"] * 1200, ConnectionClosedError(endpoint_url="x"))
    assert accepted == [False] * 500 + [True] * 700
    assert [len(call) for call in firehose.calls] == [500, 500, 200]


def test_a_client_that_cannot_be_closed_does_not_raise() -> None:
    class Stuck(FakeFirehose):
        def close(self) -> None:
            raise OSError

    assert PutBack(Stuck).put("stream", [b"a"], lambda: 1000) == [True]


def test_connections_end_with_the_invocation() -> None:
    for answers in ([], [TIMEOUT], [client_error("AccessDeniedException")]):
        assert put([b"a"], *answers)[1].closed == 1


def test_records_accepted_before_an_unknown_outcome_stay_accepted() -> None:
    accepted, firehose = put([b"a", b"b"], {1: "InternalFailure"}, TIMEOUT)
    assert accepted == [True, False]
    assert firehose.calls == [[b"a", b"b"], [b"b"]]


@pytest.mark.parametrize("answer", [{}, {"RequestResponses": []}, None])
def test_an_answer_that_makes_no_sense_accepts_nothing(answer: Any) -> None:
    class Odd:
        def put_record_batch(self, **_: Any) -> Any:
            return answer

        def close(self) -> None:
            pass

    assert PutBack(Odd).put("stream", [b"a"], lambda: 1000) == [False]


def test_delays_grow_with_full_jitter_up_to_five_seconds() -> None:
    ranges: list[tuple[float, float]] = []

    def jitter(low: float, high: float) -> float:
        ranges.append((low, high))
        return high

    put([b"a"], *[THROTTLED] * 9, jitter=jitter)
    assert [low for low, _ in ranges] == [0] * len(ranges)
    assert [high for _, high in ranges[:9]] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5]


def test_an_outage_ends_before_the_invocation_does() -> None:
    time = Time(60)
    accepted, firehose = put([b"a"], *[THROTTLED] * 1000, time=time)
    assert accepted == [False]
    assert len(firehose.calls) > 10
    # Time for a call that hangs, and for the answer after it.
    needed = put_back.CONNECT_SECONDS + put_back.READ_SECONDS + put_back.RESERVE_SECONDS
    assert put_back.RESERVE_SECONDS <= time.left < needed


@pytest.mark.parametrize(
    ("seconds", "call_seconds", "left"),
    # It wants to wait for five seconds, but waits only as long as the call leaves time for.
    [(30, 9, 5), (15, 9, 5), (15, 9.5, 5), (15, 12, 3)],
)
def test_waiting_leaves_time_for_the_answer(
    seconds: float, call_seconds: float, left: float
) -> None:
    time = Time(seconds)

    class Slow(FakeFirehose):
        def put_record_batch(self, **keys: Any) -> Any:
            time.left -= call_seconds
            return super().put_record_batch(**keys)

    firehose = Slow(*[THROTTLED] * 9)
    putter = PutBack(lambda: firehose, time.sleep, lambda low, high: 5.0)
    assert putter.put("stream", [b"a"], time.seconds_left) == [False]
    assert len(firehose.calls) == seconds // 15
    assert time.left == left
    assert min(time.slept) >= 0


def test_without_time_nothing_is_sent() -> None:
    accepted, firehose = put([b"a"], time=Time(14.9))
    assert accepted == [False]
    assert firehose.calls == []
    assert put([b"a"], time=Time(15))[0] == [True]


def test_the_client_tries_once_with_short_time_outs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-northeast-1")
    client = put_back.firehose_client()
    config = client.meta.config
    assert config.retries["total_max_attempts"] == 1
    assert (config.connect_timeout, config.read_timeout) == (2, 8)
