"""The deployed function defines its own limits, which must equal those of the other packages."""

from console_login.stack import limits
from transformer import cloudtrail, put_back


def test_the_functions_limits_equal_the_services_limits() -> None:
    assert put_back.MAX_RECORD_BYTES == limits.MAX_RECORD_BYTES == 1_024_000
    assert put_back.MAX_BATCH_BYTES == limits.MAX_BATCH_BYTES == 4_194_304
    assert put_back.MAX_BATCH_RECORDS == limits.MAX_BATCH_RECORDS == 500
    assert cloudtrail.MAX_LOG_EVENT_BYTES == limits.MAX_LOG_EVENT_BYTES == 1_048_576
