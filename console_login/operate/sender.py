"""Send records to a stream from the command line, with the function's batching and back-off."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from console_login.function import make_importable
from console_login.operate.access import Access

# If a stream has not accepted a batch after this time, more retries will not help.
SECONDS_FOR_A_BATCH = 120


class Sender:
    """Sends records to one stream, one PutRecordBatch call after another.

    bytes_per_second: bytes of records before base64; None sends as fast as the stream accepts.
    problem: why the last call was not fully accepted, None if it was.
    """

    def __init__(
        self,
        access: Access,
        stream_name: str,
        bytes_per_second: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        make_importable()
        from transformer import put_back

        self._stream_name = stream_name
        self._bytes_per_second = bytes_per_second
        self._sleep = sleep
        self._free_at = 0.0
        # Only the function's code decides on retries.
        client = access.client(
            "firehose",
            connect_timeout=put_back.CONNECT_SECONDS,
            read_timeout=put_back.READ_SECONDS,
            retries={"total_max_attempts": 1},
        )
        self._client = _RecordingClient(client)
        self._putter = put_back.PutBack(lambda: self._client, sleep)
        self._batches = put_back.batches

    @property
    def problem(self) -> str | None:
        return self._client.problem

    def batches(self, records: Sequence[bytes]) -> Iterator[list[int]]:
        """Yield the indexes of the records for each call, in order.

        A call sends at most the bytes of one second, unless a single record is larger: a stream's
        quota is per second, and a call with its maximum of 4 MiB would be throttled.
        """
        for batch in self._batches(records):
            yield from self._split_by_rate(records, batch)

    def send(self, batch: Sequence[bytes]) -> list[bool]:
        """Send the records of one call; return for each whether it was certainly accepted.

        Accepted records are not sent again here. Records of a call that timed out may have been
        accepted.
        """
        self._wait(sum(map(len, batch)))
        self._client.problem = None
        end = time.monotonic() + SECONDS_FOR_A_BATCH
        return self._putter.put(self._stream_name, batch, lambda: end - time.monotonic())

    def _split_by_rate(self, records: Sequence[bytes], batch: list[int]) -> Iterator[list[int]]:
        part: list[int] = []
        size = 0
        for index in batch:
            size += len(records[index])
            if part and self._bytes_per_second is not None and size > self._bytes_per_second:
                yield part
                part, size = [], len(records[index])
            part.append(index)
        yield part

    def _wait(self, size: int) -> None:
        if self._bytes_per_second is None:
            return
        now = time.monotonic()
        self._sleep(max(0.0, self._free_at - now))
        self._free_at = max(now, self._free_at) + size / self._bytes_per_second


class _RecordingClient:
    """A client that keeps the reason why a call failed, which the function's code does not need."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.problem: str | None = None

    def put_record_batch(self, **arguments: Any) -> Any:
        try:
            response = self._client.put_record_batch(**arguments)
        except Exception as error:
            self.problem = str(error)
            raise
        rejected = [each for each in response["RequestResponses"] if "ErrorCode" in each]
        self.problem = rejected[0]["ErrorCode"] if rejected else None
        return response

    def close(self) -> None:
        self._client.close()
