"""A stand-in for Data Firehose: buffers, the Lambda processor, delivery to S3, error objects.

tests/local/test_stream.py lists the known facts about the service, one by one. Behaviour that is
not known is marked UNCONFIRMED there.
"""

import base64
import binascii
import gzip
import heapq
import itertools
import json
import random
import threading
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from console_login.errors import UserError
from console_login.function import FunctionFailure
from console_login.local.clock import Clock
from console_login.stack.limits import (
    MAX_INVOCATION_BYTES,
    MAX_RECORD_BYTES,
    MIB,
    PROCESSING_FAILED,
)
from console_login.stack.prefix import Prefix, object_name, time_zone
from console_login.stack.template import Stack, whole_number

_RETRY_S3_FOR_SECONDS = 24 * 60 * 60
_FIRST_S3_RETRY_SECONDS = 5.0
_LAST_S3_RETRY_SECONDS = 600.0

# Bytes around the data of a record in an invocation's event.
_RECORD_OVERHEAD_BYTES = 160

# Firehose's own messages, as captured by others:
# https://github.com/floci-io/floci/pull/3393
_MISSING = (
    "One or more record Ids were not returned. Ensure that the Lambda function returns all received"
    " record Ids."
)
_DUPLICATED = (
    "Multiple records were returned with the same record Id. Ensure that the Lambda function"
    " returns a unique record Id for each record."
)
_NO_DATA = (
    "The data field cannot be null when the SourceType is DirectPut or KinesisStreamAsSource and"
    " processing result is Ok. The value field cannot be null when the SourceType is MSKAsSource"
    " and processing result is Ok."
)


class StreamError(UserError):
    """A record that PutRecord rejects; the message gives the reason."""


class StorageFailure(Exception):  # noqa: N818
    """An object could not be written. Firehose retries for a day."""


class Function(Protocol):
    """The transformation function."""

    def invoke(self, event: dict[str, Any]) -> Any:
        """Return the response to an event. Raises FunctionFailure if there is none."""


class Storage(Protocol):
    """The bucket."""

    def put(self, key: str, body: bytes) -> None:
        """Write an object. Raises StorageFailure if the write failed."""


class Record(NamedTuple):
    """A record in the stream; `arrival` in seconds since the epoch."""

    record_id: str
    data: bytes
    arrival: float


@dataclass(frozen=True)
class Configuration:
    """A stream's configuration, from the template."""

    name: str
    arn: str
    region: str
    account_id: str
    function_arn: str
    bucket: str
    prefix: Prefix
    error_prefix: Prefix
    zone: ZoneInfo
    extension: str
    compress: bool
    buffer_bytes: int
    buffer_seconds: float
    function_buffer_bytes: int
    function_buffer_seconds: float
    retries: int

    @classmethod
    def from_stack(cls, stack: Stack) -> "Configuration":
        """Read the configuration of the only stream of a resolved template."""
        stream = stack.only("AWS::KinesisFirehose::DeliveryStream")
        s3 = stream.properties["ExtendedS3DestinationConfiguration"]
        (processor,) = s3["ProcessingConfiguration"]["Processors"]
        parameters = {
            each["ParameterName"]: each["ParameterValue"] for each in processor["Parameters"]
        }
        zone = time_zone(s3["CustomTimeZone"])
        arn = stack.outputs["DeliveryStreamArn"]
        return cls(
            name=arn.rsplit("/", 1)[1],
            arn=arn,
            region=stack.region,
            account_id=stack.account_id,
            function_arn=parameters["LambdaArn"],
            bucket=s3["BucketARN"].rsplit(":", 1)[1],
            prefix=Prefix(s3["Prefix"], zone),
            error_prefix=Prefix(s3["ErrorOutputPrefix"], zone, is_error=True),
            zone=zone,
            extension=s3["FileExtension"],
            compress=s3["CompressionFormat"] == "GZIP",
            buffer_bytes=whole_number(s3["BufferingHints"]["SizeInMBs"]) * MIB,
            buffer_seconds=whole_number(s3["BufferingHints"]["IntervalInSeconds"]),
            function_buffer_bytes=int(float(parameters["BufferSizeInMBs"]) * MIB),
            function_buffer_seconds=float(parameters["BufferIntervalInSeconds"]),
            retries=int(parameters["NumberOfRetries"]),
        )


@dataclass
class Counts:
    """What a stream has counted so far."""

    records_in: int = 0
    invocations: int = 0
    invocations_failed: int = 0
    records_ok: int = 0
    records_dropped: int = 0
    records_failed: int = 0
    failed_by_code: Counter[str] = field(default_factory=Counter)
    storage_retries: int = 0
    objects_lost: int = 0


class _Buffer[Item]:
    """Collects items until they have `max_bytes`, or the first has waited for `max_seconds`."""

    def __init__(self, max_bytes: int, max_seconds: float, size: Callable[[Item], int]) -> None:
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._size = size
        self._items: deque[tuple[Item, float]] = deque()
        self._bytes = 0

    def add(self, item: Item, now: float) -> None:
        self._items.append((item, now))
        self._bytes += self._size(item)

    def deadline(self) -> float | None:
        """Return the latest time at which the buffer is due, or None if it is empty."""
        return self._items[0][1] + self._max_seconds if self._items else None

    def is_due(self, now: float) -> bool:
        deadline = self.deadline()
        return deadline is not None and (self._bytes >= self._max_bytes or now >= deadline)

    def items(self) -> list[Item]:
        return [item for item, _ in list(self._items)]

    def take(self) -> list[Item]:
        """Remove and return the first items, up to the one that reaches `max_bytes`."""
        taken: list[Item] = []
        remaining = self._max_bytes
        while self._items and remaining > 0:
            item, _ = self._items.popleft()
            self._bytes -= self._size(item)
            remaining -= self._size(item)
            taken.append(item)
        return taken


class _Output(NamedTuple):
    """Bytes to write into an object, and the arrival time of their record."""

    data: bytes
    arrival: float


class _Object(NamedTuple):
    """An object to write. Objects are ordered by the time of their next attempt."""

    next_try: float
    number: int
    first_try: float
    tries: int
    key: str
    body: bytes
    is_error: bool
    arrival: float


class DeliveryStream:
    """A Direct PUT stream with one Lambda processor and an S3 destination.

    It does nothing by itself: `poll` does the work that is due, `next_deadline` is when to call it.

    keys, error_keys: keys of the objects written so far.
    """

    def __init__(
        self,
        configuration: Configuration,
        function: Function,
        storage: Storage,
        clock: Clock,
        randomness: random.Random,
    ) -> None:
        self.configuration = configuration
        self.counts = Counts()
        self.keys: list[str] = []
        self.error_keys: list[str] = []
        self._function = function
        self._storage = storage
        self._clock = clock
        self._randomness = randomness
        self._records = _Buffer[Record](
            configuration.function_buffer_bytes,
            configuration.function_buffer_seconds,
            lambda record: len(record.data),
        )
        size, seconds = configuration.buffer_bytes, configuration.buffer_seconds
        self._data = _Buffer[_Output](size, seconds, lambda output: len(output.data))
        self._errors = _Buffer[_Output](size, seconds, lambda output: len(output.data))
        self._unwritten: list[_Object] = []
        self._numbers = itertools.count()
        # The function puts records back while it is invoked, so the lock is held only briefly.
        self._taking = threading.Lock()

    def check(self, data: bytes) -> None:
        """Raise StreamError for a record that is too large."""
        if len(data) > MAX_RECORD_BYTES:
            limit = f"at most {MAX_RECORD_BYTES} are allowed"
            raise StreamError(f"the record has {len(data)} bytes: {limit}")

    def put(self, data: bytes) -> str:
        """Accept a record from any thread and return its id. Raises StreamError if too large."""
        self.check(data)
        with self._taking:
            now = self._clock.now()
            record_id = f"{self._randomness.getrandbits(160):040x}{self.counts.records_in:016d}"
            self.counts.records_in += 1
            self._records.add(Record(record_id, data, now), now)
        return record_id

    def poll(self) -> None:
        """Invoke the function and write objects, if they are due."""
        now = self._clock.now()
        while self._records.is_due(now):
            with self._taking:
                records = self._records.take()
            for batch in _invocations(records):
                self._transform(batch)
        for buffer, is_error in ((self._data, False), (self._errors, True)):
            while buffer.is_due(now):
                self._begin(buffer.take(), is_error=is_error)
        while self._unwritten and self._unwritten[0].next_try <= now:
            self._write(heapq.heappop(self._unwritten))

    def next_deadline(self) -> float | None:
        """Return when the next work is due, or None if no work is left."""
        deadlines = [buffer.deadline() for buffer in (self._records, self._data, self._errors)]
        if self._unwritten:
            deadlines.append(self._unwritten[0].next_try)
        return min((moment for moment in deadlines if moment is not None), default=None)

    def oldest_age(self) -> float | None:
        """Return the age of the oldest unwritten record in seconds, or None if there is none."""
        arrivals = [each.arrival for each in self._records.items()]
        arrivals += [each.arrival for each in (*self._data.items(), *self._errors.items())]
        arrivals += [each.arrival for each in list(self._unwritten)]
        return self._clock.now() - min(arrivals) if arrivals else None

    # The function -------------------------------------------------------------------------------

    def _transform(self, batch: list[Record]) -> None:
        failure = FunctionFailure("", "")
        tries = self.configuration.retries + 1
        for _ in range(tries):
            self.counts.invocations += 1
            try:
                answers = _answers(self._function.invoke(self._event(batch)))
            except FunctionFailure as error:
                self.counts.invocations_failed += 1
                failure = error
            else:
                for record in batch:
                    self._settle(record, answers.get(record.record_id, []))
                return
        for record in batch:
            self._fail(record, failure.code, failure.message, tries)

    def _event(self, batch: list[Record]) -> dict[str, Any]:
        # Each attempt of an invocation has its own id, as captures of Firehose's events show.
        return {
            "invocationId": str(uuid.UUID(int=self._randomness.getrandbits(128), version=4)),
            "deliveryStreamArn": self.configuration.arn,
            "region": self.configuration.region,
            "records": [
                {
                    "recordId": record.record_id,
                    "approximateArrivalTimestamp": int(record.arrival * 1000),
                    "data": base64.b64encode(record.data).decode(),
                }
                for record in batch
            ],
        }

    def _settle(self, record: Record, answers: list["_Answer"]) -> None:
        now = self._clock.now()
        if not answers:
            self._fail(record, "Lambda.MissingRecordId", _MISSING, 1)
            return
        if len(answers) > 1:
            self._fail(record, "Lambda.DuplicatedRecordId", _DUPLICATED, 1)
            return
        result, data = answers[0]
        if result == "Dropped":
            self.counts.records_dropped += 1
        elif result == "ProcessingFailed":
            message = "ProcessingFailed status set for record"
            self._fail(record, "Lambda.ProcessingFailedStatus", message, 1)
        elif data is None:
            self._fail(record, "Lambda.InvalidReturnFormat", _NO_DATA, 1)
        else:
            self.counts.records_ok += 1
            self._data.add(_Output(data, record.arrival), now)

    def _fail(self, record: Record, code: str, message: str, tries: int) -> None:
        now = self._clock.now()
        self.counts.records_failed += 1
        self.counts.failed_by_code[code] += 1
        line = {
            "attemptsMade": tries,
            "arrivalTimestamp": int(record.arrival * 1000),
            "errorCode": code,
            "errorMessage": message,
            "attemptEndingTimestamp": int(now * 1000),
            "rawData": base64.b64encode(record.data).decode(),
            "lambdaARN": f"{self.configuration.function_arn}:$LATEST",
        }
        self._errors.add(_Output(f"{json.dumps(line)}\n".encode(), record.arrival), now)

    # The bucket ---------------------------------------------------------------------------------

    def _begin(self, outputs: list[_Output], *, is_error: bool) -> None:
        now = self._clock.now()
        configuration = self.configuration
        arrival = min(output.arrival for output in outputs)
        body = b"".join(output.data for output in outputs)
        # Error objects on AWS have no extension. UNCONFIRMED: whether they are compressed.
        if is_error:
            prefix = configuration.error_prefix.evaluate(
                arrival, self._randomness, PROCESSING_FAILED
            )
            extension = ""
        else:
            prefix = configuration.prefix.evaluate(arrival, self._randomness)
            extension = configuration.extension
            if configuration.compress:
                body = gzip.compress(body, mtime=0)
        name = object_name(
            configuration.name, arrival, configuration.zone, extension, self._randomness
        )
        number = next(self._numbers)
        heapq.heappush(
            self._unwritten, _Object(now, number, now, 0, prefix + name, body, is_error, arrival)
        )

    def _write(self, unwritten: _Object) -> None:
        try:
            self._storage.put(unwritten.key, unwritten.body)
        except StorageFailure:
            now = self._clock.now()
            if now - unwritten.first_try >= _RETRY_S3_FOR_SECONDS:
                self.counts.objects_lost += 1
                return
            self.counts.storage_retries += 1
            wait = min(_FIRST_S3_RETRY_SECONDS * 2**unwritten.tries, _LAST_S3_RETRY_SECONDS)
            again = unwritten._replace(next_try=now + wait, tries=unwritten.tries + 1)
            heapq.heappush(self._unwritten, again)
        else:
            (self.error_keys if unwritten.is_error else self.keys).append(unwritten.key)


def _invocations(records: Iterable[Record]) -> Iterable[list[Record]]:
    """Split records so that no invocation's request is too large."""
    batch: list[Record] = []
    size = 0
    for record in records:
        request = len(record.data) * 4 // 3 + _RECORD_OVERHEAD_BYTES
        if batch and size + request > MAX_INVOCATION_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += request
    if batch:
        yield batch


class _Answer(NamedTuple):
    result: str
    data: bytes | None


def _answers(response: Any) -> dict[str, list[_Answer]]:
    """Return the results by record id. Raises FunctionFailure if Firehose could not read them."""
    records = response.get("records") if isinstance(response, dict) else None
    if not isinstance(records, list):
        # As measured on AWS: Firehose treats every record's id as missing and does not retry.
        return {}
    found: dict[str, list[_Answer]] = {}
    for record in records:
        record_id = record.get("recordId") if isinstance(record, dict) else None
        if not isinstance(record_id, str):
            raise _unreadable("a record has no recordId")
        result = record.get("result")
        if result not in ("Ok", "Dropped", "ProcessingFailed"):
            raise _unreadable(f"a record has the result {result!r}")
        data = record.get("data")
        if result == "Ok" and data is not None:
            try:
                data = base64.b64decode(data, validate=True)
            except (binascii.Error, TypeError, ValueError) as error:
                message = "The response is not valid: a record's data is not base64."
                raise FunctionFailure("Lambda.FunctionError", message) from error
        found.setdefault(record_id, []).append(_Answer(result, data))
    return found


def _unreadable(why: str) -> FunctionFailure:
    return FunctionFailure("Lambda.JsonProcessingException", f"The response is not valid: {why}.")
