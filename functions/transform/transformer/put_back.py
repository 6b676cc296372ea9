"""Puts records back into their stream, and retries until accepted, rejected or out of time."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

MAX_RECORD_BYTES = 1000 * 1024  # Firehose quotas: 1,000 KiB before base64
MAX_BATCH_RECORDS, MAX_BATCH_BYTES = 500, 4 * 1024 * 1024  # API reference of PutRecordBatch
CONNECT_SECONDS, READ_SECONDS = 2, 8
# Time that an invocation needs after its last call: log, metrics, and a response of 6 MB.
RESERVE_SECONDS = 5
_FIRST_DELAY_SECONDS, _LAST_DELAY_SECONDS = 0.1, 5.0

# Error codes and statuses after which nothing was accepted. Any other status below 500 is final,
# such as InvalidSourceException (a stream with native decompression) and AccessDeniedException.
_THROTTLED = {
    *("LimitExceededException", "RequestLimitExceeded", "ServiceUnavailable"),
    *("ServiceUnavailableException", "Throttling", "ThrottledException", "ThrottlingException"),
    *("TooManyRequestsException", 429, 503),
}

# After any other 5xx, the records may have been accepted: each retry may duplicate them.
_MAX_SERVER_ERRORS = 3

Clock = Callable[[], float]


def firehose_client() -> Any:
    """Return a client that never retries: only this module decides on retries."""
    # The managed runtime has these. Importing them takes several times the rest of a cold start.
    import boto3
    from botocore.config import Config

    once = Config(retries={"total_max_attempts": 1})
    times = Config(connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS)
    return boto3.client("firehose", config=once.merge(times))


@dataclass
class PutBack:
    """Puts records into a stream. Creates the client on first use, then keeps it for reuse."""

    make_client: Callable[[], Any] = firehose_client
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[float, float], float] = random.uniform
    _client: Any = field(default=None, init=False)

    def put(self, stream_name: str, records: Sequence[bytes], seconds_left: Clock) -> list[bool]:
        """Return for each record whether the stream certainly accepted it. Never raises.

        Does not send a record again after it was accepted, or after a timeout: it may have been.
        """
        accepted = [False] * len(records)
        for batch in batches(records):
            waiting = {index: records[index] for index in batch}
            # After any error, such as a timeout, the records may have been accepted. An exception
            # would make Firehose retry a batch of which a part is already back in the stream.
            with contextlib.suppress(Exception):
                if not self._put_batch(stream_name, waiting, accepted, seconds_left):
                    break
        # Lambda freezes between invocations, so connections would go stale. `_client` may be None.
        with contextlib.suppress(Exception):
            self._client.close()
        return accepted

    def _put_batch(
        self, stream_name: str, waiting: dict[int, bytes], accepted: list[bool], seconds_left: Clock
    ) -> bool:
        """Put these records, by index in `accepted`; return False if the stream will reject others.

        Raises any error after which the records may or may not have been accepted.
        """
        from botocore import exceptions

        server_errors, longest = 0, _FIRST_DELAY_SECONDS
        while seconds_left() >= RESERVE_SECONDS + CONNECT_SECONDS + READ_SECONDS:
            self._client = self._client or self.make_client()
            data = [{"Data": record} for record in waiting.values()]
            try:
                reply = self._client.put_record_batch(DeliveryStreamName=stream_name, Records=data)
                for index, response in list(zip(waiting, reply["RequestResponses"], strict=True)):
                    accepted[index] = "ErrorCode" not in response
                waiting = {index: each for index, each in waiting.items() if not accepted[index]}
                if not waiting:
                    return True
            except exceptions.ClientError as error:
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
                if not _THROTTLED & {status, error.response.get("Error", {}).get("Code")}:
                    server_errors += 1
                    if status < 500 or server_errors == _MAX_SERVER_ERRORS:
                        # A rejection applies to other batches too; a server error may not.
                        return bool(status >= 500)
            # The connection failed, so nothing was sent.
            except (exceptions.ConnectTimeoutError, exceptions.EndpointConnectionError):
                pass
            # Exponential backoff with full jitter. Only time limits the retries.
            self.sleep(min(self.jitter(0, longest), max(0.0, seconds_left() - RESERVE_SECONDS)))
            longest = min(longest * 2, _LAST_DELAY_SECONDS)
        return False


def batches(records: Sequence[bytes]) -> Iterator[list[int]]:
    """Yield the indexes of the records for each call, in order, within the API's limits."""
    batch: list[int] = []
    size = 0
    for index, record in enumerate(records):
        size += len(record)
        if batch and (len(batch) == MAX_BATCH_RECORDS or size > MAX_BATCH_BYTES):
            yield batch
            batch, size = [], len(record)
        batch.append(index)
    if batch:
        yield batch
