"""The whole pipeline in one process: the resources of template.yaml, connected as on AWS."""

import base64
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, NamedTuple

from console_login.events.envelope import Origin
from console_login.function import FunctionError, FunctionFailure, InProcess
from console_login.local.accounting import Account, Ledger, delivered_lines, failed_messages
from console_login.local.clock import Clock, SimulatedClock
from console_login.local.emulator import RuntimeEmulator
from console_login.local.faults import Faults, FaultyFunction, FaultyStorage
from console_login.local.filter_pattern import FilterPattern
from console_login.local.firehose_api import FirehoseApi, FirehoseClient
from console_login.local.moto_state import State
from console_login.local.stream import Configuration, DeliveryStream, Function
from console_login.local.subscription import Subscription
from console_login.shipped import CHECKOUT
from console_login.stack.template import Stack

# The time between two events in simulated time.
SECONDS_PER_EVENT = 0.01


class StoredObject(NamedTuple):
    """An object in the bucket; `key_arn` is the KMS key that encrypts it."""

    key: str
    size: int
    key_arn: str
    is_error: bool


class Pipeline:
    """Log group, subscription filter, stream, function and bucket of a resolved template.

    client: a function in this process puts records back into the stream through it.
    """

    def __init__(
        self,
        state: State,
        function: Function,
        clock: Clock,
        faults: Faults,
        seed: int,
        client: FirehoseClient | None = None,
    ) -> None:
        stack = state.stack
        self.state = state
        self.stack = stack
        subscription_filter = stack.only("AWS::Logs::SubscriptionFilter")
        origin = Origin(
            owner=stack.account_id,
            log_group=subscription_filter.properties["LogGroupName"],
            log_stream=f"{stack.account_id}_CloudTrail_{stack.region}",
            filter_name=subscription_filter.physical_id,
        )
        pattern = FilterPattern(subscription_filter.properties["FilterPattern"])
        self.subscription = Subscription(pattern, origin, _randomness("subscription", seed))
        self._ledger = Ledger()
        self.stream = DeliveryStream(
            Configuration.from_stack(stack),
            _ExplainedFunction(
                FaultyFunction(function, faults),
                faults,
                self._ledger,
                lambda: self.stream.counts.records_in,
            ),
            FaultyStorage(state, faults),
            clock,
            _randomness("stream", seed),
        )
        self.api = FirehoseApi(self.stream, stack)
        if client is not None:
            client.api = self.api
        self._clock = clock
        self._faults = faults
        self._records_put = 0
        self._put([self.subscription.start(clock.now())])

    def subscribe(self, pattern: FilterPattern | None) -> None:
        """Send the waiting events, then use another pattern; None selects nothing."""
        self.flush()
        self.subscription.pattern = pattern
        if pattern is not None:
            self._put([self.subscription.start(self._clock.now())])

    def offer(self, message: str) -> None:
        """Write a log event to the log group."""
        picked = self.subscription.picked
        self._put(self.subscription.offer(message, self._clock.now()))
        if self.subscription.picked > picked:
            self._ledger.expect(message)

    def flush(self) -> None:
        """Send the events that are waiting in the subscription."""
        self._put(self.subscription.flush())

    def poll(self) -> None:
        """Do the work that is due in the subscription and in the stream."""
        deadline = self.subscription.deadline()
        if deadline is not None and self._clock.now() >= deadline:
            self.flush()
        self.stream.poll()

    def next_deadline(self) -> float | None:
        """Return when the next work is due, or None if no work is left."""
        deadlines = (self.subscription.deadline(), self.stream.next_deadline())
        return min((moment for moment in deadlines if moment is not None), default=None)

    def account(self) -> Account:
        """Account for every event, from the objects in the bucket."""
        stream = self.stream
        return self._ledger.settle(
            self.subscription.seen,
            (line for key in stream.keys for line in delivered_lines(self.state.get(key))),
            (text for key in stream.error_keys for text in failed_messages(self.state.get(key))),
        )

    def objects(self) -> list[StoredObject]:
        """Return the objects in the bucket in the order of writing, error objects last."""
        found = []
        for keys, is_error in ((self.stream.keys, False), (self.stream.error_keys, True)):
            for key in keys:
                head = self.state.head(key)
                size, key_arn = head["ContentLength"], head["SSEKMSKeyId"]
                found.append(StoredObject(key, size, key_arn, is_error))
        return found

    def stages(self) -> dict[str, int]:
        """Return how many items have passed each stage so far."""
        counts = self.stream.counts
        return {
            "events in": self.subscription.seen,
            "events picked": self.subscription.picked,
            "records put": self._records_put,
            "records put back": counts.records_in - self._records_put,
            "invocations": counts.invocations,
            "invocations failed": counts.invocations_failed,
            "records delivered": counts.records_ok,
            "records dropped": counts.records_dropped,
            "records failed": counts.records_failed,
            "objects": len(self.stream.keys),
            "error objects": len(self.stream.error_keys),
            "writes retried": counts.storage_retries,
            "objects lost": counts.objects_lost,
        }

    def _put(self, records: Iterable[bytes]) -> None:
        for record in records:
            copies = 2 if self._faults.strikes("duplicate") else 1
            if copies > 1:
                self._ledger.explain(record)
            for _ in range(copies):
                self.stream.put(record)
                self._records_put += 1


class _ExplainedFunction:
    """The function; reports to the ledger which events may be delivered again because of a fault.

    These are the events of an invocation that put records back and then failed, or whose call to
    PutRecordBatch failed. Firehose may have accepted that call, and parts of a failed record may
    already be back in the stream.

    records_in: returns how many records the stream has accepted so far.
    """

    def __init__(
        self, function: Function, faults: Faults, ledger: Ledger, records_in: Callable[[], int]
    ) -> None:
        self._function = function
        self._faults = faults
        self._ledger = ledger
        self._records_in = records_in

    def invoke(self, event: dict[str, Any]) -> Any:
        records_in, struck = self._records_in(), self._faults.struck.copy()
        failures = 0
        try:
            return self._function.invoke(event)
        except FunctionFailure:
            failures = 1
            raise
        finally:
            if self._records_in() > records_in:
                calls = self._faults.struck - struck
                failures += sum(
                    calls[kind] for kind in calls if kind.startswith("put-record-batch")
                )
                for record in event["records"] * failures:
                    self._ledger.explain(base64.b64decode(record["data"]))


def run(
    pipeline: Pipeline, clock: SimulatedClock, messages: Iterable[str], watch: Callable[[], None]
) -> None:
    """Send log events and advance the clock until all are delivered; call `watch` often."""
    for message in messages:
        pipeline.offer(message)
        clock.advance(SECONDS_PER_EVENT)
        pipeline.poll()
        watch()
    while (deadline := pipeline.next_deadline()) is not None:
        clock.advance_to(deadline)
        pipeline.poll()
        watch()


def in_process(stack: Stack, log: IO[str], client: FirehoseClient | None = None) -> InProcess:
    """Return the function in this process, with the template's environment and timeout."""
    function = stack.resources["TransformFunction"].properties
    variables = function["Environment"]["Variables"]
    return InProcess(variables, log, client, timeout_seconds=function["Timeout"])


def under_emulator(
    stack: Stack, endpoint_url: str, artifact: Path | None = None, log: Path | None = None
) -> RuntimeEmulator:
    """Return the built function in the emulator, with the template's environment and timeout.

    endpoint_url: the endpoint through which the function puts records back.
    artifact: the function's folder in the output of `sam build`; by default this checkout's.
    Raises FunctionError if it has not been built or cannot run here.
    """
    if artifact is None:
        if CHECKOUT is None:
            raise FunctionError("--runtime rie needs a checkout: run `make build` in it")
        artifact = CHECKOUT / ".aws-sam" / "build" / "TransformFunction"
    function = stack.resources["TransformFunction"].properties
    variables = function["Environment"]["Variables"] | {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": stack.region,
        "AWS_DEFAULT_REGION": stack.region,
        "AWS_ENDPOINT_URL_FIREHOSE": endpoint_url,
    }
    return RuntimeEmulator(artifact, variables, timeout_seconds=function["Timeout"], log=log)


def _randomness(purpose: str, seed: int) -> random.Random:
    return random.Random(f"{purpose} {seed}")  # noqa: S311 - not for secrets
