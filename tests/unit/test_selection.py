"""Tests the selection of events and their lines."""

import json
import string

import pytest
from support import OSAKA, TOKYO, envelope, result_of

from transformer.config import event_names

EVERY = None
NAME = '"eventName":"ConsoleLogin"'


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(TOKYO, id="as written"),
        pytest.param(TOKYO.replace("ConsoleLogin", "\\u0043onsole\\u004Cogin"), id="escaped name"),
        pytest.param(TOKYO.replace('"eventName"', '"event\\u004eame"'), id="escaped key"),
        pytest.param(TOKYO.replace("&", "\\u0026").replace("=", "\\u003d"), id="usual escapes"),
        pytest.param(TOKYO.replace("example-user", "例の利用者 😀"), id="Japanese"),
        pytest.param(TOKYO.replace("example-user", "\\ud83d\\ude00\\/\\t"), id="other escapes"),
        pytest.param(TOKYO.replace("example-user", "\\ud800"), id="lone surrogate"),
        pytest.param(TOKYO.replace('"readOnly":false', '"readOnly":NaN'), id="NaN"),
        pytest.param(TOKYO.replace('"readOnly":false', '"n":-Infinity'), id="-Infinity"),
        pytest.param(TOKYO.replace('"readOnly":false', '"n":1E+400,"m":1.0'), id="numbers"),
        pytest.param(
            TOKYO.replace('"readOnly":false', f'"n":{"1" * 5000}'), id="a very long number"
        ),
        pytest.param(TOKYO.replace(NAME, f'"eventName":"CheckMfa",{NAME}'), id="last key wins"),
        pytest.param(" \t" + TOKYO.replace(",", " , ") + " ", id="blanks"),
        pytest.param(TOKYO.replace("example-user", "\u2028\u0085\x7f"), id="Unicode line breaks"),
        pytest.param('{"eventName":"ConsoleLogin"}', id="nothing else"),
    ],
)
def test_the_line_is_the_message_byte_for_byte(message: str) -> None:
    assert result_of(envelope([message])) == ("Ok", "delivered", [message])
    assert result_of(envelope([message]), EVERY) == ("Ok", "delivered", [message])


def test_raw_line_breaks_become_spaces() -> None:
    message = json.dumps(json.loads(TOKYO), indent=2)
    windows = message.replace("\n", "\r\n") + "\n"
    assert result_of(envelope([message, windows]))[2] == [
        message.replace("\n", " "),
        message.replace("\n", "  ") + " ",
    ]


def test_a_lone_surrogate_of_the_envelope_becomes_its_escape_again() -> None:
    message = TOKYO.replace("example-user", "\ud800")
    line = TOKYO.replace("example-user", "\\ud800")
    assert result_of(envelope([message])) == ("Ok", "delivered", [line])


@pytest.mark.parametrize("escape", ["\\u005cu0043", "\\\\u\\u0030043", "\\\\\\u00750043"])
def test_an_escape_spelled_with_escapes_in_the_envelope_is_found(escape: str) -> None:
    message = '{\\"eventName\\":\\"' + escape + 'onsoleLogin\\"}'
    text = '{"messageType":"DATA_MESSAGE","logEvents":[{"message":"' + message + '"}]}'
    assert result_of(text.encode()) == ("Ok", "delivered", ['{"eventName":"\\u0043onsoleLogin"}'])


@pytest.mark.parametrize(
    "message",
    [
        "text without JSON",
        TOKYO.replace(NAME, '"eventName":"NonConsoleLogin"'),
        TOKYO.replace(NAME, '"eventName":"ConsoleLogins"'),
        TOKYO.replace(NAME, '"eventName":"consolelogin"'),
        TOKYO.replace(NAME, '"eventName":["ConsoleLogin"]'),
        TOKYO.replace(NAME, '"eventName":{"ConsoleLogin":1}'),
        TOKYO.replace(NAME, '"eventName":null'),
        TOKYO.replace(NAME, '"eventName":1e999'),
        TOKYO.replace(NAME + ",", ""),
        TOKYO.replace(NAME, f'{NAME},"eventName":"CheckMfa"'),
        '{"eventName":"CheckMfa","detail":' + TOKYO + "}",
        '{"message":"' + TOKYO.replace('"', '\\"') + '"}',
        '{"insightDetails":' + TOKYO + ',"eventCategory":"Insight"}',
        '{"Records":[{"insightDetails":' + TOKYO + "}]}",
        '{"text":"eventName ConsoleLogin"}',
        '{"eventName":"PutMetricFilter","p":"{ ($.eventName = ConsoleLogin) }"}',
        "CheckMfa cut short {",
    ],
)
def test_other_messages_are_not_selected(message: str) -> None:
    assert result_of(envelope([message])) == ("Dropped", "no_match", [])


@pytest.mark.parametrize(
    "message",
    [
        TOKYO[:-1],
        TOKYO + "}",
        TOKYO + TOKYO,
        TOKYO[:300],
        TOKYO.replace("example-user", "raw\nbreak"),
        TOKYO.replace("example-user", "raw\ttab"),
        TOKYO.replace("example-user", "\\x"),
        TOKYO.replace("ConsoleLogin", "\\u0043onsoleLogin")[:-1],
        "ConsoleLogin",
        '"ConsoleLogin"',
        "[" + TOKYO + "]",
        '{"eventName":"ConsoleLogin","a":' + "[" * 50_000 + "}",
        '{"eventName":"ConsoleLogin","a":NaN,"b":"' + "x" * 1024 * 1024 + '"}',
    ],
    ids=range(13),
)
def test_a_damaged_sign_in_is_malformed(message: str) -> None:
    assert result_of(envelope([message])) == ("ProcessingFailed", "malformed_event", [])
    assert result_of(envelope([message]), EVERY) == ("ProcessingFailed", "malformed_event", [])


@pytest.mark.parametrize("form", ["envelope", "lines"])
def test_an_odd_event_is_read_up_to_1_mib(form: str) -> None:
    # Only `json` reads it: msgspec refuses NaN.
    start, end = '{"eventName":"ConsoleLogin","a":NaN,"b":"', '"}'
    for more in (0, 1):
        message = start + "x" * (1024 * 1024 - len(start + end) + more) + end
        text = f"text\n{message}\n".encode() if form == "lines" else envelope([message])
        failed = ("ProcessingFailed", "malformed_event", [])
        assert result_of(text) == (failed if more else ("Ok", "delivered", [message]))


def test_a_lone_carriage_return_between_tokens_becomes_a_blank() -> None:
    message = '{"eventName":\r"ConsoleLogin"}'
    assert result_of(envelope([message])) == ("Ok", "delivered", [message.replace("\r", " ")])


@pytest.mark.parametrize("other", ["{}", "[]", '{"c":[]}'])
@pytest.mark.parametrize("around", ['{"a":%s,"b":%s}', '{"a":[%s,%s]}'])
def test_an_event_beside_others_inside_an_object_is_found(around: str, other: str) -> None:
    event = '{"eventName":"ConsoleLogin"}'
    for inside in ((event, other), (other, event)):
        found = result_of(envelope([around % inside]))
        assert found == ("ProcessingFailed", "malformed_event", [])


@pytest.mark.parametrize("name", ["ConsoleLogin", "Login_GET", "Console\\u004cogin"])
def test_an_event_inside_an_object_too_large_for_json_is_found(name: str) -> None:
    names = frozenset({"ConsoleLogin", "Login_GET"})
    message = f'{{"detail":{{"eventName":"{name}"}},"a":"{"x" * 1024 * 1024}"}}'
    assert result_of(envelope([message]), names) == ("ProcessingFailed", "malformed_event", [])
    other = message.replace(name, "CheckMfa")
    assert result_of(envelope([other]), names) == ("Dropped", "no_match", [])


def test_text_longer_than_a_log_event_is_kept_unsearched() -> None:
    text = "\\u0041" + "x" * (1024 * 1024 - 6)
    assert result_of(envelope([text])) == ("Dropped", "no_match", [])
    assert result_of(envelope([text + "x"])) == ("ProcessingFailed", "malformed_event", [])


def test_a_message_that_is_not_a_string_is_searched_unchanged() -> None:
    for message, expected in (
        # Encoded as ASCII, it would be longer than the limit for the search.
        ("\x7f" * 200_000, ("Dropped", "no_match", [])),
        ("\ud800ConsoleLogin", ("ProcessingFailed", "malformed_event", [])),
        ("é\\u0043onsoleLogin", ("ProcessingFailed", "malformed_event", [])),
    ):
        text = '{"messageType":"DATA_MESSAGE","logEvents":[{"message":%s}]}'
        document = (text % json.dumps([message])).replace("\\u007f", "\x7f")
        assert result_of(document.encode()) == expected


def test_several_names_select_each() -> None:
    names = frozenset({"CheckMfa", "Login_GET"})
    messages = ['{"eventName":"CheckMfa"}', TOKYO, '{"eventName":"Login\\u005fGET"}']
    assert result_of(envelope(messages), names)[2] == [messages[0], messages[2]]


@pytest.mark.parametrize("case", ["04x", "04X"])
def test_every_character_of_a_name_is_found_escaped(case: str) -> None:
    for character in string.ascii_letters + string.digits + "_.:-":
        names = event_names({"EVENT_NAMES": f"A{character}"})
        message = f'{{"eventName":"A\\u{ord(character):{case}}"}}'
        assert result_of(envelope([message]), names) == ("Ok", "delivered", [message]), message


def test_a_star_selects_every_object() -> None:
    messages = [TOKYO, "{}", '{"eventName":7}', '{"eventName":NaN}']
    assert result_of(envelope(messages), EVERY) == ("Ok", "delivered", messages)
    failed = ("ProcessingFailed", "malformed_event", [])
    for damaged in ("text", "[]", ""):
        assert result_of(envelope([damaged]), EVERY) == failed
        # In a record with a good event it is put back, so that it fails alone.
        found = result_of(envelope([TOKYO, damaged]), EVERY)
        assert found == ("Ok", "delivered", [TOKYO], [damaged])
    assert result_of(envelope([TOKYO, None]), EVERY) == failed


@pytest.mark.parametrize(
    "message",
    [
        '{"Records":[' + TOKYO + "]}",
        '{"detail-type":"AWS Console Sign In via CloudTrail","detail":' + TOKYO + "}",
        '{"eventName":null,"a":[{"b":' + TOKYO + "}]}",
        '{"eventName":["CheckMfa"],"a":' + TOKYO + "}",
        '{"a":' + TOKYO.replace('"eventName"', '"\\u0065ventName"') + "}",
        # Two too large for `json`, and one too deep.
        '{"Records":[' + TOKYO + ',"' + "x" * 1024 * 1024 + '"]}',
        '{"Records":[' + TOKYO + ',"' + "x" * 1024 * 1024 + '"]}'.replace("Con", "\\u0043on"),
        '{"a":' + "[" * 100_000 + TOKYO + "]" * 100_000 + "}",
    ],
    ids=range(8),
)
def test_an_object_around_a_sign_in_is_kept(message: str) -> None:
    assert result_of(envelope([message])) == ("ProcessingFailed", "malformed_event", [])
    assert result_of(envelope([OSAKA, message])) == ("Ok", "delivered", [OSAKA], [message])


def test_a_large_object_that_only_mentions_the_name_is_dropped() -> None:
    text = '{"a":"' + "x" * 1024 * 1024 + '","b":"ConsoleLogin","eventName":"CheckMfa"}'
    found = result_of(envelope([text.replace('"eventName"', '"name"')]))
    assert found == ("Dropped", "no_match", [])
