"""The function's settings, read from its environment once, at cold start."""

import re
from collections.abc import Mapping
from typing import NamedTuple

# CloudTrail's event names as services write them: GetUser, Login_GET, CreateFunction20150331.
_EVENT_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")

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
        """Read EVENT_NAMES and MAX_DECOMPRESSED_BYTES; ConfigurationError naming what is wrong."""
        config = cls()
        errors: list[str] = []
        if (value := environment.get("EVENT_NAMES")) is not None:
            names = [name.strip() for name in value.split(",")]
            config = config._replace(event_names=None if names == ["*"] else frozenset(names))
            errors = [
                f"EVENT_NAMES: {name!r} is no event name"
                " (letters, digits and _.:- are, or a lone *)"
                for name in sorted(config.event_names or ())
                if not _EVENT_NAME.fullmatch(name)
            ]
        if (value := environment.get("MAX_DECOMPRESSED_BYTES")) is not None:
            # No float, sign or blank: int() would take " 1_000 ".
            if re.fullmatch(r"[1-9][0-9]{0,11}", value):
                config = config._replace(max_decompressed_bytes=int(value))
            else:
                errors.append(
                    f"MAX_DECOMPRESSED_BYTES: {value!r} is no positive whole number of bytes"
                )
        if errors:
            raise ConfigurationError("; ".join(errors))
        return config
