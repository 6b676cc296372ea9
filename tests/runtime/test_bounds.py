"""Tests that the function answers hostile requests within its time and memory.

Measures the CPU seconds of the process. `benchmarks/bounds.py` runs every request of hostile.py;
this file runs representative ones. `pytest -s` prints the figures.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import hostile
import pytest
from bounded import Measured, running
from hostile import CASES, EVERY, LONG, MANY, ONE

# Requests by EVENT_NAMES. Each list runs in one process, after a warm-up request.
CHOSEN = {
    ONE: [
        # Requests that broke earlier versions.
        "256 K backslashes beside a sign-in",
        "1 M backslashes beside a sign-in",
        "one message of backslashes, 4 KB",
        "megabytes of damaged backslashes, 4 KB",
        "64 sign-ins of a mebibyte with an emoji",
        "a gzip header of 65 KB",
        # Requests that every version answered.
        "960 MiB of blanks",
        "log events without a message, 64 MiB",
        "two letters and a damaged sign-in, 64 MiB",
        "brackets, 64 MiB",
        "arrays, 64 MiB",
        "arrays, 16 MiB",
        "emoji, 64 MiB",
        "an event with NaN, 64 MiB",
        "a damaged line with an emoji, 64 MiB",
        "glued objects, 16 MiB",
        "small lines, 64 MiB",
        "damaged lines, 64 MiB",
        "damaged objects, 64 MiB",
        # Those with the most time or memory of their kind.
        "one damaged emoji, 64 MiB",
        "smallest sign-ins, 64 MiB",
        "empty messages, a good and a damaged sign-in, 64 MiB",
        "a million sign-ins with NaN",
        "a million lines with NaN that name",
        "log events without a message, a good and a damaged sign-in, 16 MiB",
        "an envelope of unknown type, 64 MiB",
        "glued sign-ins, 16 MiB",
        "empty gzip members",
        "empty dynamic blocks",
        "ids only and a sign-in",
        # Records that must not be dropped.
        "an EventBridge envelope beside a sign-in",
        "a CloudTrail file of 10 MB beside a sign-in",
        "wrapped sign-ins, 4 KB",
    ],
    MANY: [
        "escaped A, 64 MiB",
        "names of A and escapes, 64 MiB",
        "299,000 log events without a message",
    ],
    LONG: ["one message of A, 64 MiB"],
    EVERY: ["empty objects, 64 MiB", "a million lines with NaN"],
}
# Requests with many slow records, each with the shortest Timeout.
SHORTEST_TIMEOUT = 30
FULL = ["eight glued records before a sign-in", "full of 4 KB of backslashes"]


@pytest.fixture(scope="module")
def function(build: Callable[[str], Path], request: pytest.FixtureRequest) -> Iterator[Measured]:
    with running(build("x86_64"), request.param) as measured:
        measured.warm_up()
        yield measured


@pytest.mark.parametrize(
    ("function", "name"),
    [(names, name) for names, chosen in CHOSEN.items() for name in chosen],
    indirect=["function"],
    ids=lambda value: {ONE: "one", MANY: "many", LONG: "long", EVERY: "every"}.get(value, value),
)
def test_a_warm_function_stays_within_its_bounds(name: str, function: Measured, here: None) -> None:
    _assert_bounded(name, function)


@pytest.mark.parametrize(
    "name",
    [
        "log events without a message, 64 MiB",
        "64 sign-ins of a mebibyte with an emoji",
    ],
)
def test_a_cold_function_stays_within_its_bounds(
    name: str, build: Callable[[str], Path], here: None
) -> None:
    with running(build("x86_64")) as measured:
        _assert_bounded(name, measured)


@pytest.mark.parametrize("name", FULL)
def test_a_request_full_of_slow_records_leaves_a_quarter_of_the_timeout(
    name: str, build: Callable[[str], Path], here: None
) -> None:
    with running(build("x86_64"), timeout=SHORTEST_TIMEOUT) as measured:
        _assert_bounded(name, measured)


def test_cases_are_legal_requests() -> None:
    for name, case in hostile.OTHERS.items():
        records = case.records()
        assert max(len(record.data) for record in records) <= hostile.MAX_RECORD_BYTES, name
        total = sum(len(record.data) * 4 // 3 + 100 for record in records)
        assert total <= hostile.MAX_REQUEST_BYTES, name
    for names in hostile.ALL_NAMES.values():
        assert len(names) <= 498


def _assert_bounded(name: str, function: Measured) -> None:
    figures = function.run(CASES[name])
    taken = f"{figures.cpu_seconds:.2f} CPU s, {figures.peak_mib:.0f} MiB"
    print(f"\n{name}: {taken}")  # noqa: T201 - shown with `-s`
    assert not figures.broken
