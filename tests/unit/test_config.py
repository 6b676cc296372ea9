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
        ("a" * 128, {"a" * 128}),
        ("aZ09_.:-", {"aZ09_.:-"}),
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


@pytest.mark.parametrize("value", ["1", "10", "999999999999"])
def test_max_decompressed_bytes(value: str) -> None:
    config = Config.from_environment({"MAX_DECOMPRESSED_BYTES": value})
    assert config == Config(max_decompressed_bytes=int(value))


@pytest.mark.parametrize(
    "value", ["", "0", "-1", "1e6", "1" * 13, "1_000", " 1", "64MiB", "1.0", "\u0661"]
)
def test_max_decompressed_bytes_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match="MAX_DECOMPRESSED_BYTES: "):
        Config.from_environment({"MAX_DECOMPRESSED_BYTES": value})


def test_every_error_is_in_one_message() -> None:
    environment = {"EVENT_NAMES": "a b,c*", "MAX_DECOMPRESSED_BYTES": "many"}
    with pytest.raises(ConfigurationError) as caught:
        Config.from_environment(environment)
    assert str(caught.value).split("; ") == [
        "EVENT_NAMES: 'a b' is no event name (letters, digits and _.:- are, or a lone *)",
        "EVENT_NAMES: 'c*' is no event name (letters, digits and _.:- are, or a lone *)",
        "MAX_DECOMPRESSED_BYTES: 'many' is no positive whole number of bytes",
    ]
