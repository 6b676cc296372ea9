"""Filter patterns against AWS's documentation, the CIS patterns and real sign-ins."""

import json
from typing import Any

import pytest
from support import DATA, EVENTS

from console_login.local.filter_pattern import FilterPattern, FilterPatternError

# The two documents of "Matching terms in JSON log events" and "JSON compound conditions".
TRAIL = {
    "eventType": "UpdateTrail",
    "sourceIPAddress": "111.111.111.111",
    "arrayKey": ["value", "another value"],
    "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}],
    "SomeObject": None,
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
LATENCY = {
    "latency": 750,
    "numbers": [0.005],
    "errorCode": 400,
    "processes": [0, 0, 0, 0, {"averageRuntime": 55.5}],
}


def matches(pattern: str, document: Any) -> bool:
    return FilterPattern(pattern).matches(json.dumps(document))


@pytest.mark.parametrize(
    ("pattern", "document", "expected"),
    [
        ('{ $.eventType = "UpdateTrail" }', TRAIL, True),
        ("{ $.sourceIPAddress != 123.123.* }", TRAIL, True),
        ("{ $.sourceIPAddress != 111.111.* }", TRAIL, False),
        ('{ $.arrayKey[0] = "value" }', TRAIL, True),
        ("{ $.objectList[1].id = 2 }", TRAIL, True),
        ("{ $.SomeObject IS NULL }", TRAIL, True),
        ("{ $.SomeOtherObject NOT EXISTS }", TRAIL, True),
        ("{ $.SomeObject NOT EXISTS }", TRAIL, False),
        ("{ $.SomeOtherObject IS NULL }", TRAIL, False),
        ("{ $.ThisFlag IS TRUE }", TRAIL, True),
        ("{ $.ThisFlag IS FALSE }", TRAIL, False),
        # "If arrayKey is not an array this will be false."
        ('{ $.eventType[0] = "value" }', TRAIL, False),
        ('{ $.arrayKey[2] = "value" }', TRAIL, False),
        ('{ ($.user.id = 1) && ($.users[0].email = "John.Doe@example.com") }', USERS, True),
        (
            '{ ($.user.id = 2 && $.users[0].email = "nonmatch") || $.actions[2] = "GET" }',
            USERS,
            False,
        ),
        (
            '{ $.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = nonmatch'
            " && $.actions[2] = nomatch }",
            USERS,
            True,
        ),
        (
            '{ ($.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = nonmatch)'
            " && $.actions[2] = nomatch }",
            USERS,
            False,
        ),
        # An array or an object: "both will fail to match".
        ("{ $.users = 1 }", {"users": [1, 2, 3]}, False),
        ("{ $.users != 1 }", {"users": [1, 2, 3]}, False),
        ("{ $.latency >= 500 }", LATENCY, True),
        ("{ $.numbers[0] < 10e3 }", LATENCY, True),
        ("{ $.numbers[0] < 10e-3 }", LATENCY, True),
        ("{ $.processes[4].averageRuntime <= 55.5 }", LATENCY, True),
        ("{ $.errorCode = 400 }", LATENCY, True),
        ("{ $.errorCode != 500 }", LATENCY, True),
        ("{ $.latency > +1000 }", LATENCY, False),
        ("{ $.latency = * }", LATENCY, True),
        ("{ $.latency > 750 }", LATENCY, False),
        ("{ $.latency < 750 }", LATENCY, False),
        # "OR pattern matching"
        ("{$.foo = bar}", {"foo": "bar"}, True),
        ("{$.foo = baz }", {"foo": "bar"}, False),
        ("{$.foo = bar || $.foo = baz }", {"foo": "baz"}, True),
        # "*Event will match PutEvent; Event* EventId; Ev*ent only Ev*ent."
        ("{ $.e = *Event }", {"e": "PutEvent"}, True),
        ("{ $.e = Event* }", {"e": "EventName"}, True),
        ("{ $.e = *vent* }", {"e": "EventName"}, True),
        ("{ $.e = Event* }", {"e": "PutEvent"}, False),
        ("{ $.e = Ev*ent }", {"e": "Event"}, False),
        ("{ $.e = Ev*ent }", {"e": "Ev*ent"}, True),
        ('{ $.e = "*Event" }', {"e": "PutEvent"}, True),
        # Case-sensitive.
        ("{ $.e = consolelogin }", {"e": "ConsoleLogin"}, False),
    ],
)
def test_as_documented(pattern: str, document: Any, expected: bool) -> None:
    assert matches(pattern, document) is expected


@pytest.mark.parametrize(
    ("pattern", "document", "expected"),
    [
        # A property that is absent: as for an array, "the format does not match the filter".
        ('{ $.a != "x" }', {}, False),
        ("{ $.a != 1 }", {}, False),
        ('{ $.a.b != "x" }', {"a": "y"}, False),
        # A value of the other type is not equal, so it is unequal.
        ('{ $.a = "1" }', {"a": 1}, False),
        ('{ $.a != "1" }', {"a": 1}, True),
        ("{ $.a = 1 }", {"a": "1"}, False),
        ("{ $.a != 1 }", {"a": "1"}, True),
        ("{ $.a > 1 }", {"a": "2"}, False),
        # null, true and false are reached by IS alone.
        ("{ $.a = true }", {"a": True}, False),
        ("{ $.a != x }", {"a": None}, False),
        ("{ $.a = * }", {"a": None}, False),
        ("{ $.a = 1 }", {"a": True}, False),
        ("{ $.a NOT EXISTS }", {"a": None}, False),
    ],
)
def test_unconfirmed_where_the_documentation_is_silent(
    pattern: str, document: Any, expected: bool
) -> None:
    assert matches(pattern, document) is expected


@pytest.mark.parametrize("message", ["", "no JSON", "[1]", '"x"', "{", "[" * 100_000])
def test_fact_24_a_message_that_is_no_json_object_never_matches(message: str) -> None:
    assert not FilterPattern("{ $.a NOT EXISTS }").matches(message)


@pytest.mark.parametrize("pattern", ["", "  "])
def test_an_empty_pattern_matches_everything(pattern: str) -> None:
    assert FilterPattern(pattern).matches("no JSON")
    assert FilterPattern(pattern).matches("{}")


@pytest.mark.parametrize(
    ("pattern", "position"),
    [
        ("ERROR", "at character 1"),
        ("[ip, user]", "at character 1"),
        ("{ $.a = }", "at character 9"),
        ("{ $.a = 1", "at its end"),
        ("{ $.a = 1 } x", "at character 13"),
        ("{ $.a = %regex% }", "at character 9"),
        ("{ a = 1 }", "at character 3"),
        ("{ $ = 1 }", "at character 3"),
        ("{ $.a == 1 }", "at character 8"),
        ("{ $.a = 1 & $.b = 2 }", "at character 11"),
        ("{ $.a = 1 and $.b = 2 }", "at character 11"),
        ("{ ($.a = 1 }", "at character 12"),
        ("{ $.a EXISTS }", "at character 7"),
        ("{ $.a IS 1 }", "at character 10"),
        ('{ $.a = "x }', "at character 9"),
        ("{ $.['a'] = 1 }", "at character 3"),
        ("{ }", "at character 3"),
        ("{ $.a > x }", "compares numbers"),
        ('{ $.a <= "1" }', "compares numbers"),
        ("{ $.a = " + "x" * 1024 + " }", "1024 are allowed"),
    ],
)
def test_what_is_not_known_is_refused_with_its_position(pattern: str, position: str) -> None:
    with pytest.raises(FilterPatternError, match=position):
        FilterPattern(pattern)


def test_fact_24_and_binds_before_or_and_parentheses_before_both() -> None:
    pattern = '{ ($.a = "x") && ($.b != "y") || ($.c NOT EXISTS) }'
    assert matches(pattern, {"a": "x", "b": "z", "c": 1})
    assert matches(pattern, {"a": "q", "b": "y"})
    assert not matches(pattern, {"a": "x", "b": "y", "c": 1})


# Fact 30: the CIS patterns ------------------------------------------------------------------------

NO_MFA = (
    '{ ($.eventName = "ConsoleLogin") && ($.additionalEventData.MFAUsed != "Yes")'
    ' && ($.userIdentity.type = "IAMUser") && ($.responseElements.ConsoleLogin = "Success") }'
)
FAILED = '{ ($.eventName = ConsoleLogin) && ($.errorMessage = "Failed authentication") }'
ROOT_USED = (
    '{ $.userIdentity.type = "Root" && $.userIdentity.invokedBy NOT EXISTS'
    ' && $.eventType != "AwsServiceEvent" }'
)


@pytest.mark.parametrize(
    ("pattern", "source"),
    [(NO_MFA, "no-mfa"), (FAILED, "failed"), (ROOT_USED, "root")],
)
def test_fact_30_a_cis_pattern_picks_its_own_sign_in_among_our_sources(
    pattern: str, source: str
) -> None:
    found = set()
    for path in sorted((EVENTS / "src").glob("*.jsonl")):
        lines = [line for line in path.read_text().split("\n") if line]
        if any(FilterPattern(pattern).matches(line) for line in lines):
            found.add(path.stem)
    assert source in found
    assert not found & {"tokyo", "osaka", "siblings"}


def real(kind: str) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in sorted((DATA / "cloudtrail").glob(f"{kind}.*.ndjson"))
        for line in path.read_text().split("\n")
        if line
    ]


def test_fact_30_the_cis_patterns_on_real_sign_ins_agree_with_plain_python() -> None:
    def at(event: Any, *keys: str) -> Any:
        for key in keys:
            event = event.get(key) if isinstance(event, dict) else None
        return event

    def text(value: Any) -> bool:
        return isinstance(value, str)

    plain = {
        NO_MFA: lambda event: (
            at(event, "eventName") == "ConsoleLogin"
            and text(at(event, "additionalEventData", "MFAUsed"))
            and at(event, "additionalEventData", "MFAUsed") != "Yes"
            and at(event, "userIdentity", "type") == "IAMUser"
            and at(event, "responseElements", "ConsoleLogin") == "Success"
        ),
        FAILED: lambda event: (
            at(event, "eventName") == "ConsoleLogin"
            and at(event, "errorMessage") == "Failed authentication"
        ),
        ROOT_USED: lambda event: (
            at(event, "userIdentity", "type") == "Root"
            and "invokedBy" not in event["userIdentity"]
            and text(at(event, "eventType"))
            and at(event, "eventType") != "AwsServiceEvent"
        ),
    }
    events = real("consolelogin") + real("negative")
    assert len(events) > 90
    for pattern, expected in plain.items():
        picked = [event for event in events if matches(pattern, event)]
        assert picked == [event for event in events if expected(event)]
        assert picked, pattern


def test_the_templates_pattern_picks_every_real_sign_in_and_nothing_else() -> None:
    pattern = '{ ($.eventName = "ConsoleLogin") }'
    assert all(matches(pattern, event) for event in real("consolelogin"))
    assert not any(matches(pattern, event) for event in real("negative"))
