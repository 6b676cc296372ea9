"""Configuration is read once, and everything wrong with it is told at once."""

import pytest

from transformer.config import Config, ConfigurationError


def test_defaults() -> None:
    assert Config.from_environment({}) == Config()
    assert Config() == (frozenset({"ConsoleLogin"}), 64 * 1024 * 1024)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("ConsoleLogin", {"ConsoleLogin"}),
        (" ConsoleLogin , Login_GET,ConsoleLogin", {"ConsoleLogin", "Login_GET"}),
        ("*", None),
    ],
)
def test_event_names(value: str, names: set[str] | None) -> None:
    assert Config.from_environment({"EVENT_NAMES": value}).event_names == names


@pytest.mark.parametrize(
    "value", ["", "a,", "*,ConsoleLogin", "Console*", "a b", "a\nb", "ログイン", "a" * 129]
)
def test_event_names_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match="EVENT_NAMES: "):
        Config.from_environment({"EVENT_NAMES": value})


@pytest.mark.parametrize("value", ["", "0", "-1", "1e6", "1_000", " 1", "64MiB", "1.0", "\u0661"])
def test_max_decompressed_bytes_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match="MAX_DECOMPRESSED_BYTES: "):
        Config.from_environment({"MAX_DECOMPRESSED_BYTES": value})


def test_every_error_is_in_one_message() -> None:
    environment = {"EVENT_NAMES": "a b,c*", "MAX_DECOMPRESSED_BYTES": "many"}
    with pytest.raises(ConfigurationError) as caught:
        Config.from_environment(environment)
    for wrong in ("'a b'", "'c*'", "'many'"):
        assert wrong in str(caught.value)
