"""The closed set of reasons that a record's fate has, and the error that carries one."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a record got its result. The values are stable: logs, tests and documents use them."""

    DELIVERED = "delivered"
    CONTROL_MESSAGE = "control_message"
    NO_MATCH = "no_match"
    PUT_BACK = "put_back"
    UNDECODABLE = "undecodable"
    CORRUPT_GZIP = "corrupt_gzip"
    TOO_LARGE = "too_large"
    MALFORMED_EVENT = "malformed_event"
    PUT_BACK_FAILED = "put_back_failed"
    UNEXPECTED_ERROR = "unexpected_error"


class RecordError(Exception):
    """A record that cannot be delivered; Firehose keeps its source under the error prefix."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason
