"""Prefix expressions and object names, as documented for Firehose."""

import random
import re

import pytest

from console_login.stack.prefix import Prefix, PrefixError, object_name, time_zone

# 2018-08-27 10:30:05 UTC, on the day of the example in the documentation.
ARRIVAL = 1535365805.0
UTC = time_zone("UTC")


def evaluated(expression: str, zone: str = "UTC") -> str:
    return Prefix(expression, time_zone(zone)).evaluate(ARRIVAL, random.Random(1))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("!{timestamp:yyyy}/", "2018/"),
        ("fhbase/!{timestamp:yyyy/MM/dd}/", "fhbase/2018/08/27/"),
        ("!{timestamp:yyyy-MM-dd-HH:mm:ss}/", "2018-08-27-10:30:05/"),
        (
            "y=!{timestamp:yy}/m=!{timestamp:M}/!{timestamp:MMM}/!{timestamp:EEE}/",
            "y=18/m=8/Aug/Mon/",
        ),
        ("!{timestamp:hh a}/!{timestamp:D}/", "10 AM/239/"),
        ("!{timestamp:'Year='yyyy}/", "Year=2018/"),
    ],
)
def test_expressions(expression: str, expected: str) -> None:
    assert evaluated(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("x/!{timestamp:yyyy}/!{firehose:error-output-type}/", "x/2018/processing-failed/"),
        # As in AWS's table, an error output prefix gets no date.
        (
            "myFirehoseFailures/!{firehose:error-output-type}/",
            "myFirehoseFailures/processing-failed/",
        ),
    ],
)
def test_error_prefixes(expression: str, expected: str) -> None:
    prefix = Prefix(expression, UTC, is_error=True)
    assert prefix.evaluate(ARRIVAL, random.Random(1), "processing-failed") == expected


def test_fact_11_the_error_output_type_is_allowed_only_in_the_error_prefix() -> None:
    with pytest.raises(PrefixError, match="must be in ErrorOutputPrefix, and only there"):
        Prefix("errors/", UTC, is_error=True)
    with pytest.raises(PrefixError, match="must be in ErrorOutputPrefix, and only there"):
        Prefix("!{firehose:error-output-type}/!{timestamp:yyyy}/", UTC)


def test_a_random_string_has_eleven_characters_and_is_new_each_time() -> None:
    text = evaluated("!{firehose:random-string}/!{firehose:random-string}/!{timestamp:yyyy}/")
    first, second, _, _ = text.split("/")
    assert re.fullmatch("[A-Za-z0-9]{11}", first)
    assert re.fullmatch("[A-Za-z0-9]{11}", second)
    assert first != second


def test_fact_11_a_prefix_without_a_timestamp_gets_one_in_its_time_zone() -> None:
    assert evaluated("") == "2018/08/27/10/"
    assert evaluated("sign-ins/") == "sign-ins/2018/08/27/10/"
    assert evaluated("sign-ins/", "Asia/Tokyo") == "sign-ins/2018/08/27/19/"


@pytest.mark.parametrize(
    "expression",
    [
        "!{timestamp:}/",
        "!{timestamp:yyyy-QQ}/",
        "!{timestamp:n}/",
        "!{firehose:nothing}/",
        "a!{timestamp}/",
        "!{timestamp:yyyy",
        "!{timestamp:yyyy'}/",
        "!{timestamp:dddd}/",
        "!{partitionKeyFromQuery:x}/",
        "x" * 513,
    ],
)
def test_an_unknown_expression_is_refused(expression: str) -> None:
    with pytest.raises(PrefixError):
        Prefix(expression, UTC)


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc", "/etc/passwd"])
def test_a_wrong_time_zone_is_refused(name: str) -> None:
    with pytest.raises(PrefixError, match="not a time zone"):
        time_zone(name)


def test_an_object_is_named_by_stream_version_time_and_uuid_in_the_zone() -> None:
    name = object_name("stream", ARRIVAL, time_zone("Asia/Tokyo"), ".json", random.Random(1))
    pattern = r"stream-1-2018-08-27-19-30-05-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.json"
    assert re.fullmatch(pattern, name)
