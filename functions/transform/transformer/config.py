"""The function's settings, read from its environment once, at cold start."""

import re
from collections.abc import Mapping
from typing import NamedTuple

# CloudTrail's event names as services write them: GetUser, Login_GET, CreateFunction20150331.
_EVENT_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")

EVERY_EVENT = "*"

# A Firehose record is 1,000 KiB at most; 64 MiB lets it decompress at sixty-five to one, where
# real envelopes reach about ten.
DEFAULT_MAX_DECOMPRESSED_BYTES = 64 * 1024 * 1024


class ConfigurationError(Exception):
    """Every setting that is wrong, in one message."""


class Config(NamedTuple):
    """What to select and how far to decompress.

    event_names: the `eventName`s selected, or None for every event.
    max_decompressed_bytes: of one record, all gzip members together.
    """

    event_names: frozenset[str] | None = frozenset({"ConsoleLogin"})
    max_decompressed_bytes: int = DEFAULT_MAX_DECOMPRESSED_BYTES

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Config":
        """Read EVENT_NAMES and MAX_DECOMPRESSED_BYTES.

        Raises ConfigurationError naming everything that is wrong.
        """
        errors: list[str] = []
        config = cls(
            _event_names(environment.get("EVENT_NAMES"), errors),
            _max_decompressed_bytes(environment.get("MAX_DECOMPRESSED_BYTES"), errors),
        )
        if errors:
            raise ConfigurationError("; ".join(errors))
        return config


def _event_names(value: str | None, errors: list[str]) -> frozenset[str] | None:
    if value is None:
        return Config().event_names
    names = [name.strip() for name in value.split(",")]
    if names == [EVERY_EVENT]:
        return None
    errors.extend(
        f"EVENT_NAMES: {name!r} is no event name (letters, digits and _.:- are, or a lone *)"
        for name in names
        if not _EVENT_NAME.fullmatch(name)
    )
    return frozenset(names)


def _max_decompressed_bytes(value: str | None, errors: list[str]) -> int:
    if value is None:
        return DEFAULT_MAX_DECOMPRESSED_BYTES
    # No float, sign or blank: int() would take " 1_000 ".
    if re.fullmatch(r"[1-9][0-9]{0,11}", value):
        return int(value)
    errors.append(f"MAX_DECOMPRESSED_BYTES: {value!r} is no positive whole number of bytes")
    return DEFAULT_MAX_DECOMPRESSED_BYTES
