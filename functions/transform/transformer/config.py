"""The function's settings, read from its environment once, at cold start."""

import re
from collections.abc import Mapping
from typing import NamedTuple

# CloudTrail's event names as services write them: GetUser, Login_GET, CreateFunction20150331.
_EVENT_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")

DEFAULT_EVENT_NAMES = "ConsoleLogin"
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

    event_names: frozenset[str] | None = frozenset({DEFAULT_EVENT_NAMES})
    max_decompressed_bytes: int = DEFAULT_MAX_DECOMPRESSED_BYTES

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Config":
        """Read EVENT_NAMES and MAX_DECOMPRESSED_BYTES; ConfigurationError naming what is wrong."""
        value = environment.get("EVENT_NAMES", DEFAULT_EVENT_NAMES)
        listed = [name.strip() for name in value.split(",")]
        names = None if listed == ["*"] else frozenset(listed)
        size = environment.get("MAX_DECOMPRESSED_BYTES", str(DEFAULT_MAX_DECOMPRESSED_BYTES))
        errors = [
            f"EVENT_NAMES: {name!r} is no event name (letters, digits and _.:- are, or a lone *)"
            for name in sorted(names or ())
            if not _EVENT_NAME.fullmatch(name)
        ]
        # No float, sign or blank: int() would take " 1_000 ".
        if not re.fullmatch(r"[1-9][0-9]{0,11}", size):
            errors.append(f"MAX_DECOMPRESSED_BYTES: {size!r} is no positive whole number of bytes")
        if errors:
            raise ConfigurationError("; ".join(errors))
        return cls(names, int(size))
