"""Tests the forms of time that options accept."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from console_login.moments import MomentError, is_relative, moment

TOKYO = ZoneInfo("Asia/Tokyo")
NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("72h", "2026-11-22T03:00:00"),
        ("3d", "2026-11-22T03:00:00"),
        ("90m", "2026-11-25T01:30:00"),
        ("2w", "2026-11-11T03:00:00"),
        ("0h", "2026-11-25T03:00:00"),
        ("2026-11-24", "2026-11-23T15:00:00"),
        ("2026-11-24T09:00", "2026-11-24T00:00:00"),
        ("2026-11-24T09:00+09:00", "2026-11-24T00:00:00"),
        ("2026-11-24T09:00Z", "2026-11-24T09:00:00"),
    ],
)
def test_every_form_names_its_moment(text: str, utc: str) -> None:
    found = moment("--start", text, TOKYO, NOW)
    assert found.astimezone(UTC) == datetime.fromisoformat(utc).replace(tzinfo=UTC)


def test_without_a_zone_a_day_begins_in_utc() -> None:
    assert moment("--start", "2026-11-24") == datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "d",
        "-3d",
        "3 d",
        "3y",
        "1e3h",
        "\u0663d",
        "noon",
        "2026-13-01",
        "20261124",
        "2026-W48-2",
        "2026-11-24x09:00",
        "+09:00",
    ],
)
def test_anything_else_is_refused_with_the_forms_that_work(text: str) -> None:
    with pytest.raises(
        MomentError, match=r"^--end .* is not a time: write 72h, 3d, 2026-11-24 or "
    ):
        moment("--end", text, TOKYO, NOW)


def test_a_saved_time_is_never_relative() -> None:
    with pytest.raises(MomentError):
        moment("position", "3d")


def test_before_the_calendar_is_too_long_ago() -> None:
    with pytest.raises(MomentError, match="too long ago"):
        moment("--start", "999999w", TOKYO, NOW)


@pytest.mark.parametrize("text", ["1970-12-31", "9999-01-01", "30000d"])
def test_a_year_at_the_limits_of_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(MomentError, match="from 1971 to 9998"):
        moment("--clock", text, TOKYO, NOW)


def test_relative_times_are_recognized() -> None:
    assert is_relative("72h")
    assert not is_relative("2026-11-24")
