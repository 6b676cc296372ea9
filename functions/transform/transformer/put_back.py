"""Records back into their own stream: PutRecordBatch, until accepted, refused or out of time.

https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html
"""

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

MAX_RECORD_BYTES = 1000 * 1024  # Firehose quotas: 1,000 KiB before base64
MAX_BATCH_RECORDS = 500
MAX_BATCH_BYTES = 4 * 1024 * 1024

CONNECT_SECONDS = 2
READ_SECONDS = 8
# What an invocation needs after its last call: the log, the metrics, six megabytes of answer.
RESERVE_SECONDS = 5

_FIRST_DELAY_SECONDS = 0.1
_LAST_DELAY_SECONDS = 5.0

# Nothing was accepted. Any other refusal is final, such as InvalidSourceException (a stream with
# native decompression) and AccessDeniedException.
_THROTTLED = {
    *("LimitExceededException", "RequestLimitExceeded", "ServiceUnavailable"),
    *("ServiceUnavailableException", "Throttling", "ThrottledException", "ThrottlingException"),
    "TooManyRequestsException",
}
_THROTTLED_STATUSES = {429, 503}

# Any other 5xx may hide that the records were accepted: each further try may double them.
_MAX_SERVER_ERRORS = 3


def firehose_client() -> Any:
    """Return a client that tries once: one place decides on retries, and it is here."""
    # The managed runtime's; importing it costs several times the rest of a cold start.
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": 1},
    )
    return boto3.client("firehose", config=config)


class _RefusedError(Exception):
    """A refusal that stays one."""


class _ServerError(Exception):
    """An answer of 5xx."""


class PutBack:
    """Puts records back into a stream.

    make_client: called on first use; the client is kept between invocations.
    """

    def __init__(
        self,
        make_client: Callable[[], Any] = firehose_client,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._make_client = make_client
        self._client: Any = None
        self._sleep = sleep
        self._jitter = jitter

    def put(
        self, stream_name: str, records: Sequence[bytes], seconds_left: Callable[[], float]
    ) -> list[bool]:
        """Return for each record whether the stream has certainly accepted it.

        An accepted record is never sent again. One whose call timed out may have been accepted:
        it is not sent again either, and counts as not accepted. Never raises.
        """
        accepted = [False] * len(records)
        for batch in batches(records):
            # Past here it would make Firehose retry a batch of which a part lies in the stream
            # again: what is not accepted fails instead, and is kept under the error prefix.
            try:
                if not self._put_batch(stream_name, records, batch, accepted, seconds_left):
                    break
            # A time-out while reading above all, but whatever happened: it may have been accepted.
            except Exception:  # noqa: BLE001, S112
                continue
        # Lambda freezes between invocations, and the connections would be stale.
        if self._client is not None:
            with contextlib.suppress(Exception):
                self._client.close()
        return accepted

    def _put_batch(
        self,
        stream_name: str,
        records: Sequence[bytes],
        waiting: list[int],
        accepted: list[bool],
        seconds_left: Callable[[], float],
    ) -> bool:
        """Put the records of these indexes; whether it makes sense to go on with others."""
        server_errors = 0
        longest = _FIRST_DELAY_SECONDS
        while seconds_left() >= RESERVE_SECONDS + CONNECT_SECONDS + READ_SECONDS:
            responses: list[dict[str, Any]] = []
            try:
                responses = self._call(stream_name, [records[index] for index in waiting])
            except _RefusedError:
                return False
            except _ServerError:
                server_errors += 1
                if server_errors == _MAX_SERVER_ERRORS:
                    return True
            for index, response in zip(waiting, responses, strict=False):
                accepted[index] = "ErrorCode" not in response
            waiting = [index for index in waiting if not accepted[index]]
            if not waiting:
                return True
            # Exponential, with full jitter: time is the limit.
            delay = self._jitter(0, longest)
            longest = min(longest * 2, _LAST_DELAY_SECONDS)
            self._sleep(min(delay, max(0.0, seconds_left() - RESERVE_SECONDS)))
        return False

    def _call(self, stream_name: str, records: list[bytes]) -> list[dict[str, Any]]:
        """Return the answer for each record, or none if nothing was accepted.

        Raises _RefusedError where trying again is useless, _ServerError where it may double the
        records, and anything else where their fate is unknown.
        """
        from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError

        self._client = self._client or self._make_client()
        try:
            answer = self._client.put_record_batch(
                DeliveryStreamName=stream_name, Records=[{"Data": record} for record in records]
            )
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            code = error.response.get("Error", {}).get("Code")
            if code in _THROTTLED or status in _THROTTLED_STATUSES:
                return []
            raise (_ServerError if status >= 500 else _RefusedError) from error
        # Nothing was sent.
        except (ConnectTimeoutError, EndpointConnectionError):
            return []
        responses: list[dict[str, Any]] = answer["RequestResponses"]
        if len(responses) != len(records):
            raise ValueError
        return responses


def batches(records: Sequence[bytes]) -> Iterator[list[int]]:
    """Yield the indexes of the records that one call can take, in order."""
    batch: list[int] = []
    size = 0
    for index, record in enumerate(records):
        if batch and (len(batch) == MAX_BATCH_RECORDS or size + len(record) > MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(index)
        size += len(record)
    if batch:
        yield batch
