"""Filter patterns from AWS's own pages, and patterns that others measured on AWS."""

import json
from typing import Any

import pytest

from console_login.local.filter_pattern import FilterPattern, FilterPatternError

_DOCS = "https://docs.aws.amazon.com"
# The current page, and its versions of 2020 and 2022, because their examples differ.
SYNTAX = f"{_DOCS}/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html"
_GUIDE = "https://github.com/awsdocs/amazon-cloudwatch-logs-user-guide"
SYNTAX_2020 = f"{_GUIDE}/blob/7ee3db0/doc_source/FilterAndPatternSyntax.md"
SYNTAX_2022 = f"{_GUIDE}/blob/main/doc_source/FilterAndPatternSyntax.md"
BATCH = f"{_DOCS}/AmazonS3/latest/userguide/troubleshooting-batch-operations.html"
LIVE_TAIL = f"{_DOCS}/AmazonCloudWatch/latest/logs/CloudWatchLogs_LiveTail.html"
SUBSCRIPTION = f"{_DOCS}/AmazonCloudWatch/latest/logs/CreateSubscriptionFilter.html"
SIGNALS = f"{_DOCS}/AmazonCloudWatch/latest/monitoring/AppSignals-CustomMetrics.html"

TRAIL = {
    "eventType": "UpdateTrail",
    "sourceIPAddress": "111.111.111.111",
    "arrayKey": ["value", "another value"],
    "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}],
    "SomeObject": None,
    "cluster.name": "c",
    "ThisFlag": True,
}
USERS = {
    "user": {"id": 1, "email": "John.Stiles@example.com"},
    "users": [
        {"id": 2, "email": "John.Doe@example.com"},
        {"id": 3, "email": "Jane.Doe@example.com"},
    ],
    "actions": ["GET", "PUT", "DELETE"],
    "coordinates": [[0, 1, 2], [4, 5, 6], [7, 8, 9]],
}
JOHN = '$.user.email = "John.Stiles@example.com"'
NO_MATCH = '$.coordinates[0][1] = "nonmatch"'
PROCESSES = {"processes": [0, 0, 0, 0, {"averageRuntime": 55.5}]}


@pytest.mark.parametrize(
    ("pattern", "document", "expected", "source"),
    [
        ('{ $.eventType = "UpdateTrail" }', TRAIL, True, SYNTAX),
        ("{ $.sourceIPAddress != 123.123.* }", TRAIL, True, SYNTAX),
        ('{ $.arrayKey[0] = "value" }', TRAIL, True, SYNTAX),
        ("{ $.['cluster.name'] = \"c\" }", TRAIL, True, SYNTAX),
        ("{ $.SomeObject IS NULL }", TRAIL, True, SYNTAX),
        ("{ $.SomeOtherObject NOT EXISTS }", TRAIL, True, SYNTAX),
        ('{ $.eventType = "*" && $.sourceIPAddress != 123.123.* }', TRAIL, True, SYNTAX),
        ('" "', TRAIL, True, SYNTAX),
        ('{ ($.user.id = 1) && ($.users[0].email = "John.Doe@example.com") }', USERS, True, SYNTAX),
        (f'{{ {JOHN} || {NO_MATCH} && $.actions[2] = "nonmatch" }}', USERS, True, SYNTAX),
        (f'{{ ({JOHN} || {NO_MATCH}) && $.actions[2] = "nonmatch" }}', USERS, False, SYNTAX),
        (
            '{ ($.user.id = 2 && $.users[0].email = "nonmatch") || $.actions[2] = "GET" }',
            *(USERS, False, SYNTAX),
        ),
        ("{ $.bandwidth > 75 }", {"bandwidth": 76}, True, SYNTAX),
        ("{ $.bandwidth > 75 }", {"bandwidth": 75}, False, SYNTAX),
        ("{ $.latency < 50 }", {"latency": 49.9}, True, SYNTAX),
        ("{ $.latency < 50 }", {"latency": 50}, False, SYNTAX),
        ("{ $.refreshRate >= 60 }", {"refreshRate": 60}, True, SYNTAX),
        ("{ $.refreshRate >= 60 }", {"refreshRate": 59}, False, SYNTAX),
        ("{ $.responseTime <= 5 }", {"responseTime": 5}, True, SYNTAX),
        ("{ $.errorCode = 400}", {"errorCode": 400}, True, SYNTAX),
        ("{ $.errorCode != 500 }", {"errorCode": 400}, True, SYNTAX),
        ("{ $.errorCode != 500 }", {"errorCode": 500}, False, SYNTAX),
        ("{ $.number[0] = 1e+3 }", {"number": [1000]}, True, SYNTAX),
        ("{ $.number[0] != 1e-3 }", {"number": [0.001]}, False, SYNTAX),
        ("{ $.latency = * }", {"latency": 50, "requestType": "GET"}, True, SYNTAX),
        # "Use the asterisk as a wild card to match numbers."
        ("{ $.status = 4* }", {"status": 404}, True, SYNTAX),
        ("{ $.status != 5* }", {"status": 404}, True, SYNTAX),
        ("{ $.status != 4* }", {"status": 404}, False, SYNTAX),
        ("{ $.res.statusCode=2* }", {"res": {"statusCode": 200}}, True, SYNTAX),
        ("{ $.status = *4 }", {"status": 404}, True, SYNTAX),
        ("{ $.status = *0* }", {"status": 404}, True, SYNTAX),
        ("{ $.status = 4* }", {"status": 504}, False, SYNTAX),
        ("{ $.status = 4* }", {"status": "404"}, True, SYNTAX),
        ("{ $.number[0] = 1e-3 }", {"number": [0.001]}, True, SYNTAX_2022),
        ("{ $.number[0] != 1e+3 }", {"number": [1]}, True, SYNTAX_2022),
        # "Strings do not support scientific notation."
        ("{ $.a = 1e3 }", {"a": "1e3"}, False, SYNTAX_2022),
        ("{ $.objectList[1].id = 2 }", TRAIL, True, SYNTAX_2020),
        ("{ $.ThisFlag IS TRUE }", TRAIL, True, SYNTAX_2020),
        ("{$.users = 1}", {"users": [1, 2, 3]}, False, SYNTAX_2020),
        ("{$.users != 1}", {"users": [1, 2, 3]}, False, SYNTAX_2020),
        ("{ $.latency >= 500 }", {"latency": 500}, True, SYNTAX_2020),
        ("{ $.numbers[0] < 10e3 }", {"numbers": [9999]}, True, SYNTAX_2020),
        ("{ $.numbers[0] < 10e-3 }", {"numbers": [0.5]}, False, SYNTAX_2020),
        ("{ $.processes[4].averageRuntime <= 55.5 }", PROCESSES, True, SYNTAX_2020),
        ("{ $.latency > +1000 }", {"latency": 1001}, True, SYNTAX_2020),
        ("{$.foo = bar}", {"foo": "bar"}, True, SYNTAX_2020),
        ("{$.foo = baz }", {"foo": "bar"}, False, SYNTAX_2020),
        ("{$.foo = bar || $.foo = baz }", {"foo": "baz"}, True, SYNTAX_2020),
        ("{ $.e = *Event }", {"e": "PutEvent"}, True, SYNTAX_2020),
        ("{ $.e = *Event }", {"e": "GetEvent"}, True, SYNTAX_2020),
        ("{ $.e = Event* }", {"e": "EventId"}, True, SYNTAX_2020),
        ("{ $.e = Event* }", {"e": "EventName"}, True, SYNTAX_2020),
        ("{ $.e = Ev*ent }", {"e": "Ev*ent"}, True, SYNTAX_2020),
        ("{ $.e = Ev*ent }", {"e": "Event"}, False, SYNTAX_2020),
        ("{ $.errorCode = AccessDenied }", {"errorCode": "AccessDenied"}, True, BATCH),
        (
            "{ $.eventSource = s3.amazonaws.com && $.eventName = CreateJob }",
            *({"eventSource": "s3.amazonaws.com", "eventName": "CreateJob"}, True, BATCH),
        ),
        (
            "{ $.eventName = CreateJob || $.eventName = DescribeJob }",
            *({"eventName": "DescribeJob"}, True, BATCH),
        ),
        ("{$.userIdentity.type = Root}", {"userIdentity": {"type": "Root"}}, True, SUBSCRIPTION),
        (
            "{ $.attributes.['myattribute'] = * }",
            {"attributes": {"myattribute": "x"}},
            True,
            SIGNALS,
        ),
    ],
)
def test_an_example_of_aws_matches_as_its_page_says(
    pattern: str, document: Any, expected: bool, source: str
) -> None:
    assert FilterPattern(pattern).matches(json.dumps(document)) is expected, source


@pytest.mark.parametrize(
    ("pattern", "name", "source"),
    [
        ("{ $.eventType = %Trail% }", "the regular expression %Trail% is", SYNTAX),
        ("{ $.arrayKey[*] = %val.{2}% }", "the wildcard in $.arrayKey[*] is", SYNTAX),
        (r"{ $.* = %111\.111\.111\.1[0-9]{1,2}% }", "the wildcard in $.* is", SYNTAX),
        ('{ $.a.*.b != "x" }', "the wildcard in $.a.*.b is", SYNTAX),
        ("{ $.names = %Steve% }", "the regular expression %Steve% is", LIVE_TAIL),
        (r'{ $.a = "say \"hi\"" }', r'the escape in "say \"hi\"" is', SYNTAX),
        ("ERROR", "text patterns are", SYNTAX),
        ("ERROR ARGUMENTS", "text patterns are", SYNTAX),
        ('"INTERNAL SERVER ERROR"', "text patterns are", SYNTAX),
        ("?ERROR ?ARGUMENTS", "text patterns are", SYNTAX),
        ("ERROR -ARGUMENTS", "text patterns are", SYNTAX),
        ("%AUTHORIZED%", "text patterns are", SYNTAX),
        ("[ip, user, timestamp]", "patterns for space-delimited log events are", SYNTAX),
        (" [w1=ERROR, w2]", "patterns for space-delimited log events are", SYNTAX),
    ],
)
def test_a_documented_feature_that_is_not_supported_here_is_refused_by_name(
    pattern: str, name: str, source: str
) -> None:
    with pytest.raises(FilterPatternError) as raised:
        FilterPattern(pattern)
    assert str(raised.value) == f"filter pattern {pattern!r}: {name} not supported here", source


# Results that others measured on AWS ----------------------------------------------------------

MINE, THEIRS = "A" * 20, "D" * 20
OTHERS = f'(($.principal != "{MINE}*") && ($.principal != "{THEIRS}*"))'
WITHOUT_NULL = f"{{ ($.principal NOT EXISTS) || {OTHERS} }}"
WITH_NULL = f"{{ ($.principal NOT EXISTS) || ($.principal IS NULL) || {OTHERS} }}"


@pytest.mark.parametrize(
    ("document", "with_null", "without_null"),
    [
        ({"principal": f"{MINE}:x"}, False, False),
        ({"principal": f"{THEIRS}:x"}, False, False),
        ({"principal": MINE}, False, False),
        ({"principal": "AIDAEXAMPLEUSER0000"}, True, True),
        ({"principal": "ba67"}, True, True),
        ({}, True, True),
        ({"principal": None}, True, False),
        ({"principal": ""}, True, True),
        ({"principal": 42}, True, True),
    ],
)
def test_absent_null_and_other_types_match_as_measured_on_aws(
    document: Any, with_null: bool, without_null: bool
) -> None:
    message = json.dumps(document)
    assert FilterPattern(WITH_NULL).matches(message) is with_null
    assert FilterPattern(WITHOUT_NULL).matches(message) is without_null


def test_unequal_does_not_match_an_absent_property_as_measured_on_aws() -> None:
    # https://github.com/DataBiosphere/azul/issues/5884
    pattern = (
        '{($.errorCode = "AccessDenied") &&'
        ' ($.userIdentity.invokedBy != "cloudfront.amazonaws.com")}'
    )
    event = {"errorCode": "AccessDenied", "userIdentity": {"accountId": "anonymous"}}
    assert not FilterPattern(pattern).matches(json.dumps(event))


@pytest.mark.parametrize(
    ("pattern", "source"),
    [
        ('{ status = "401" }', "https://github.com/aws/aws-cdk/issues/15047"),
        (
            "{$.userIdentity.type = 'Root' && $.userIdentity.invokedBy NOT EXISTS"
            " && $.eventType != 'AwsServiceEvent'}",
            "https://github.com/hashicorp/terraform-provider-aws/issues/2945",
        ),
    ],
)
def test_patterns_that_aws_refused_are_refused(pattern: str, source: str) -> None:
    with pytest.raises(FilterPatternError, match="syntax error at character"):
        FilterPattern(pattern)
    assert source
