"""Records into a stream from the command line: batches and back-off are the function's own code."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from console_login.function import make_importable
from console_login.operate.access import Access

# What a stream does not take for so long, it will not take now.
SECONDS_FOR_A_BATCH = 120


class Sender:
    """Puts records into one stream, one call of PutRecordBatch after the other.

    bytes_per_second: of records, before base64; None sends as fast as the stream takes them.
    problem: why the last call was not accepted in full, None if it was.
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
        # One place decides on retries, and it is the function's.
        client = access.client(
            "firehose",
            connect_timeout=put_back.CONNECT_SECONDS,
            read_timeout=put_back.READ_SECONDS,
            retries={"total_max_attempts": 1},
        )
        self._client = _Remembering(client)
        self._putter = put_back.PutBack(lambda: self._client, sleep)
        self._batches = put_back.batches

    @property
    def problem(self) -> str | None:
        return self._client.problem

    def batches(self, records: Sequence[bytes]) -> Iterator[list[int]]:
        """Yield the indexes of the records that one call can take, in order.

        None takes more than may be sent in a second, but for a record that is larger alone: a
        stream's quota is per second, and a call's 4 MiB at once would be throttled.
        """
        for batch in self._batches(records):
            yield from self._of_a_second(records, batch)

    def send(self, batch: Sequence[bytes]) -> list[bool]:
        """Send what one call can take; return for each record whether it was certainly accepted.

        Nothing accepted is sent again here. What timed out may have been accepted all the same.
        """
        self._wait(sum(map(len, batch)))
        self._client.problem = None
        end = time.monotonic() + SECONDS_FOR_A_BATCH
        return self._putter.put(self._stream_name, batch, lambda: end - time.monotonic())

    def _of_a_second(self, records: Sequence[bytes], batch: list[int]) -> Iterator[list[int]]:
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


class _Remembering:
    """A client that remembers what the function's code has no use for: why a call failed."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.problem: str | None = None

    def put_record_batch(self, **arguments: Any) -> Any:
        try:
            answer = self._client.put_record_batch(**arguments)
        except Exception as error:
            self.problem = str(error)
            raise
        refused = [each for each in answer["RequestResponses"] if "ErrorCode" in each]
        self.problem = refused[0]["ErrorCode"] if refused else None
        return answer

    def close(self) -> None:
        self._client.close()
