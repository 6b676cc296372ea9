"""Tests that the configuration is read correctly and that one message lists all its errors."""

import pytest

from transformer.config import ConfigurationError, event_names


def test_the_default() -> None:
    assert event_names({}) == {"ConsoleLogin"}


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("ConsoleLogin", {"ConsoleLogin"}),
        (" ConsoleLogin , Login_GET,ConsoleLogin", {"ConsoleLogin", "Login_GET"}),
        ("*", None),
        ("a" * 128, {"a" * 128}),
        ("aZ09_.:-", {"aZ09_.:-"}),
    ],
)
def test_event_names(value: str, names: set[str] | None) -> None:
    assert event_names({"EVENT_NAMES": value}) == names


@pytest.mark.parametrize(
    "value", ["", "a,", "*,ConsoleLogin", "Console*", "a b", "a\nb", "ログイン", "a" * 129]
)
def test_event_names_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match="EVENT_NAMES: "):
        event_names({"EVENT_NAMES": value})


def test_every_error_is_in_one_message() -> None:
    with pytest.raises(ConfigurationError) as caught:
        event_names({"EVENT_NAMES": "a b,c*"})
    assert str(caught.value).split("; ") == [
        "EVENT_NAMES: 'a b' is not an event name (use letters, digits and _.:-, or * alone)",
        "EVENT_NAMES: 'c*' is not an event name (use letters, digits and _.:-, or * alone)",
    ]
