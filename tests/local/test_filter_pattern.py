"""Filter patterns against AWS's documentation, the CIS patterns and real sign-ins."""

import json
from typing import Any

import pytest
from support import DATA, EVENTS

from console_login.local.filter_pattern import FilterPattern, FilterPatternError


def matches(pattern: str, document: Any) -> bool:
    return FilterPattern(pattern).matches(json.dumps(document))


@pytest.mark.parametrize(
    ("pattern", "document", "expected"),
    [
        ("{ $.sourceIPAddress != 111.111.* }", {"sourceIPAddress": "111.111.111.111"}, False),
        ("{ $.a NOT EXISTS }", {"a": 1}, False),
        ("{ $.a IS NULL }", {}, False),
        ("{ $.a IS FALSE }", {"a": True}, False),
        ("{ $.a IS FALSE }", {"a": False}, True),
        # "If arrayKey is not an array this will be false."
        ('{ $.a[0] = "value" }', {"a": "value"}, False),
        ('{ $.a[2] = "value" }', {"a": ["x", "value"]}, False),
        # An array or an object: "both will fail to match".
        ("{ $.a != 1 }", {"a": {"b": 1}}, False),
        ("{ $.a > 750 }", {"a": 750}, False),
        ("{ $.a < 750 }", {"a": 750}, False),
        ("{ $.e = *vent* }", {"e": "EventName"}, True),
        ("{ $.e = Event* }", {"e": "PutEvent"}, False),
        ('{ $.e = "*Event" }', {"e": "PutEvent"}, True),
        ('{ $.e = "*b*d*" }', {"e": "abcde"}, False),
        # Case-sensitive.
        ("{ $.e = consolelogin }", {"e": "ConsoleLogin"}, False),
        # A name in brackets is a single name, whatever characters it has.
        ("{ $.['a.b'].['*'][1] = 1 }", {"a.b": {"*": [0, 1]}}, True),
        ("{ $.['a.b'] = 1 }", {"a": {"b": 1}}, False),
    ],
)
def test_as_documented(pattern: str, document: Any, expected: bool) -> None:
    assert matches(pattern, document) is expected


@pytest.mark.parametrize(
    ("pattern", "document", "expected"),
    [
        # A wildcard in quotes matches only strings.
        ('{ $.a = "4*" }', {"a": 404}, False),
        # A value of the other type is not equal, so != matches.
        ('{ $.a = "1" }', {"a": 1}, False),
        ('{ $.a != "1" }', {"a": 1}, True),
        ("{ $.a = 1 }", {"a": "1"}, False),
        ("{ $.a != 1 }", {"a": "1"}, True),
        ("{ $.a > 1 }", {"a": "2"}, False),
        # Only IS matches true and false.
        ("{ $.a = true }", {"a": True}, False),
        ("{ $.a != x }", {"a": True}, False),
        ("{ $.a = * }", {"a": None}, False),
        ("{ $.a = 1 }", {"a": True}, False),
    ],
)
def test_unconfirmed_cases_that_are_not_documented(
    pattern: str, document: Any, expected: bool
) -> None:
    assert matches(pattern, document) is expected


@pytest.mark.parametrize("message", ["", "no JSON", "[1]", '"x"', "{", "[" * 100_000])
def test_fact_24_a_message_that_is_not_a_json_object_never_matches(message: str) -> None:
    assert not FilterPattern("{ $.a NOT EXISTS }").matches(message)


@pytest.mark.parametrize(
    "pattern", ["{ $.a is true }", "{ $.a IS true }", "{ $.b not exists }", "{ $.c is\nnull }"]
)
def test_keywords_are_accepted_in_lower_case_as_others_deploy_them(pattern: str) -> None:
    assert matches(pattern, {"a": True, "c": None})


@pytest.mark.parametrize("number", ["9007199254740993", "12345678901234567891", "-5", "5.0"])
def test_a_number_equals_itself_however_large_it_is(number: str) -> None:
    message = f'{{"id": {number}}}'
    assert FilterPattern(f"{{ $.id = {number} }}").matches(message)
    assert not FilterPattern(f"{{ $.id != {number} }}").matches(message)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_a_message_with_a_constant_that_json_does_not_have_never_matches(constant: str) -> None:
    assert not FilterPattern("{ $.b = 1 }").matches(f'{{"a": {constant}, "b": 1}}')


def test_as_many_parentheses_as_fit_into_a_pattern_are_parsed() -> None:
    assert matches("{" + "(" * 508 + "$.a=1" + ")" * 508 + "}", {"a": 1})


@pytest.mark.parametrize("pattern", ["", "  ", '" "'])
def test_an_empty_pattern_matches_everything(pattern: str) -> None:
    assert FilterPattern(pattern).matches("no JSON")
    assert FilterPattern(pattern).matches("{}")


@pytest.mark.parametrize(
    ("pattern", "position"),
    [
        ("{ $.a = }", "at character 9"),
        ("{ $.a = 1", "at its end"),
        ("{ $.a = 1 } x", "at character 13"),
        ("{ a = 1 }", "at character 3"),
        ("{ $ = 1 }", "at character 3"),
        ("{ $.a == 1 }", "at character 8"),
        ("{ $.a = 1 & $.b = 2 }", "at character 11"),
        ("{ $.a = 1 and $.b = 2 }", "at character 11"),
        ("{ ($.a = 1 }", "at character 12"),
        ("{ $.a EXISTS }", "at character 7"),
        ("{ $.a IS 1 }", "at character 7"),
        ("{ $.a ISNULL }", "at character 7"),
        ("{ $.a NOTEXISTS }", "at character 7"),
        ('{ $.a = "x }', "at character 9"),
        ('{ $.["a"] = 1 }', "at character 3"),
        ("{ $['a'] = 1 }", "at character 3"),
        ("{ $.a = %x }", "at character 9"),
        ("{ }", "at character 3"),
        ("{ $.a > x }", "compares numbers"),
        ('{ $.a <= "1" }', "compares numbers"),
        ("{ $.a = " + "x" * 1024 + " }", "at most 1024 are allowed"),
    ],
)
def test_unknown_syntax_is_refused_with_its_position(pattern: str, position: str) -> None:
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
def test_fact_30_a_cis_pattern_selects_its_own_sign_in_among_our_sources(
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


def test_the_templates_pattern_selects_every_real_sign_in_and_nothing_else() -> None:
    pattern = '{ ($.eventName = "ConsoleLogin") }'
    assert all(matches(pattern, event) for event in real("consolelogin"))
    assert not any(matches(pattern, event) for event in real("negative"))
