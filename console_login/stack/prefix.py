"""The keys of Firehose's objects: prefix expressions and object names.

https://docs.aws.amazon.com/firehose/latest/dev/s3-prefixes.html
https://docs.aws.amazon.com/firehose/latest/dev/s3-object-name.html
"""

import random
import re
import string
import uuid
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.dates import format_datetime

from console_login.errors import UserError

MAX_PREFIX_CHARACTERS = 512

_EXPRESSION = re.compile(r"!\{([^:}]*):([^}]*)\}")
_QUOTED = re.compile(r"'[^']*'")
# Letters with the same meaning in Java's DateTimeFormatter and in Babel's date patterns.
_PATTERN_LETTERS = frozenset("yuMdDEaHhKkmsS")
_RANDOM_STRING_CHARACTERS = 11
_ERROR_OUTPUT_TYPE = "!{firehose:error-output-type}"


class PrefixError(UserError):
    """A prefix or time zone that Firehose would reject, or that is not supported here."""


def time_zone(name: str) -> ZoneInfo:
    """Return the time zone of an IANA name. Raises PrefixError if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise PrefixError(
            f"{name!r} is not a time zone of the IANA database, such as Asia/Tokyo"
        ) from error


class Prefix:
    """A stream's prefix for data, or for errors.

    expression: the prefix as in the stream's configuration.
    zone: the stream's CustomTimeZone.
    is_error: whether it is the ErrorOutputPrefix.
    """

    def __init__(self, expression: str, zone: ZoneInfo, *, is_error: bool = False) -> None:
        if len(expression) > MAX_PREFIX_CHARACTERS:
            raise PrefixError(
                f"prefix has {len(expression)} characters: at most {MAX_PREFIX_CHARACTERS} are"
                " allowed"
            )
        for namespace, value in _EXPRESSION.findall(expression):
            _check(namespace, value)
        if "!{" in _EXPRESSION.sub("", expression):
            raise PrefixError(f"prefix {expression!r}: write an expression as !{{namespace:value}}")
        if is_error != (_ERROR_OUTPUT_TYPE in expression):
            raise PrefixError(f"{_ERROR_OUTPUT_TYPE} must be in ErrorOutputPrefix, and only there")
        if not is_error and "!{timestamp:" not in expression:
            expression += "!{timestamp:yyyy/MM/dd/HH}/"
        self._expression = expression
        self._zone = zone
        try:
            self.evaluate(0, random.Random(0))  # noqa: S311 - the result is not used
        except ValueError as error:
            raise PrefixError(f"prefix {expression!r}: {error}") from error

    def evaluate(
        self, arrival: float, randomness: random.Random, error_output_type: str = ""
    ) -> str:
        """Return the prefix of an object.

        arrival: when its oldest record reached Firehose, in seconds since the epoch.
        error_output_type: such as `processing-failed`; empty for data.
        """
        moment = datetime.fromtimestamp(arrival, UTC).astimezone(self._zone)

        def replace(match: re.Match[str]) -> str:
            namespace, value = match.groups()
            if namespace == "timestamp":
                return format_datetime(moment, value, tzinfo=self._zone, locale="en")
            if value == "error-output-type":
                return error_output_type
            alphabet = string.ascii_letters + string.digits
            return "".join(randomness.choices(alphabet, k=_RANDOM_STRING_CHARACTERS))

        return _EXPRESSION.sub(replace, self._expression)


def _check(namespace: str, value: str) -> None:
    if namespace == "firehose":
        known = value in ("error-output-type", "random-string")
    elif namespace == "timestamp":
        letters = {letter for letter in _QUOTED.sub("", value) if letter.isalpha()}
        known = bool(value) and letters <= _PATTERN_LETTERS and value.count("'") % 2 == 0
    else:
        known = False
    if not known:
        raise PrefixError(f"prefix expression !{{{namespace}:{value}}} is not supported here")


def object_name(
    stream_name: str, arrival: float, zone: ZoneInfo, extension: str, randomness: random.Random
) -> str:
    """Return the part of a key after the prefix: stream, version, time, UUID and extension."""
    moment = datetime.fromtimestamp(arrival, UTC).astimezone(zone)
    unique = uuid.UUID(int=randomness.getrandbits(128), version=4)
    # The version is 1 until the stream is changed, and the local stream is never changed.
    return f"{stream_name}-1-{moment:%Y-%m-%d-%H-%M-%S}-{unique}{extension}"
