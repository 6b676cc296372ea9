"""The function's setting, read from the environment once, at cold start."""

import re
from collections.abc import Mapping

# CloudTrail's event names as services write them: GetUser, Login_GET, CreateFunction20150331.
_EVENT_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


class ConfigurationError(Exception):
    """Lists every invalid name in one message."""


def event_names(environment: Mapping[str, str]) -> frozenset[str] | None:
    """Return the names in EVENT_NAMES, None for every event; raise ConfigurationError if wrong."""
    listed = [name.strip() for name in environment.get("EVENT_NAMES", "ConsoleLogin").split(",")]
    if listed == ["*"]:
        return None
    errors = [
        f"EVENT_NAMES: {name!r} is not an event name (use letters, digits and _.:-, or * alone)"
        for name in sorted(set(listed))
        if not _EVENT_NAME.fullmatch(name)
    ]
    if errors:
        raise ConfigurationError("; ".join(errors))
    return frozenset(listed)
