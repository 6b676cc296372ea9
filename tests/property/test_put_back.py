"""Tests the loop: records put back are delivered again, the loop ends, and nothing is lost.

Runs a stream, the handler, and a Firehose client that accepts, throttles, accepts in part, times
out after accepting, and refuses, in any order. docs/architecture.md documents the guarantees.
"""

import gzip
import json
from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support import (
    CONTROL_MESSAGE,
    SIGN_INS,
    TIMEOUT,
    FakeFirehose,
    answer_of,
    b64,
    client_error,
    envelope,
    gz,
    lines_of,
)

from transformer.batch import Transformer, put_back
from transformer.firehose import InputRecord
from transformer.put_back import PutBack

# A limit so small that a few events fill an answer.
LIMIT = 1500

honest_answers = st.sampled_from(
    [{}, {}, {0: "InternalFailure"}, {1: "ServiceUnavailableException"}, "throttled"]
)
answers = honest_answers | st.sampled_from(["refused", "crash", TIMEOUT])
ERRORS = {
    "throttled": client_error("ServiceUnavailableException", 503),
    "refused": client_error("AccessDeniedException"),
    "crash": RuntimeError("nobody foresaw it"),
}

# The kind and size of each event in a record.
contents = st.lists(
    st.tuples(st.sampled_from(["good", "good", "good", "damaged", "other"]), st.integers(0, 900)),
    max_size=12,
)


class Strict(FakeFirehose):
    """Never refuses more records than a call has."""

    def put_record_batch(self, *, DeliveryStreamName: str, Records: list[Any]) -> Any:  # noqa: N803
        refused = self.answers[0] if self.answers else {}
        if isinstance(refused, dict):
            self.answers[:1] = [{k: v for k, v in refused.items() if k < len(Records)}]
        return super().put_record_batch(DeliveryStreamName=DeliveryStreamName, Records=Records)


class Loop(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.stream: list[bytes] = []
        self.expected: set[str] = set()
        self.damaged: set[str] = set()
        self.delivered: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.number = 0
        self.timed_out = False

    @rule(content=contents, form=st.sampled_from(["gzip", "plain", "lines"]))
    def a_record_arrives(self, content: list[tuple[str, int]], form: str) -> None:
        messages = [self.message(kind, size) for kind, size in content]
        if form == "lines" and any('"other"' in each or '"good"' in each for each in messages):
            self.stream.append("".join(f"{each}\n" for each in messages).encode())
        else:
            text = envelope(messages)
            self.stream.append(gz(text) if form == "gzip" else text)

    @rule(record=st.sampled_from([gz(CONTROL_MESSAGE.encode()), b"\0", b"", gz(b"{")[:-1]]))
    def a_record_without_an_event_arrives(self, record: bytes) -> None:
        self.stream.append(record)

    def message(self, kind: str, size: int) -> str:
        self.number += 1
        name = "CheckMfa" if kind == "other" else "ConsoleLogin"
        event_id = f"id-{self.number}"
        text = json.dumps({"eventName": name, "eventID": event_id, kind: "x" * size})
        if kind != "other":
            self.expected.add(event_id)
        if kind == "damaged":
            self.damaged.add(event_id)
            return text[:-1]
        return text

    @rule(
        size=st.integers(1, 6),
        scripted=st.lists(answers, max_size=5),
        late_after=st.integers(0, 6),
    )
    def the_function_is_invoked(self, size: int, scripted: list[Any], late_after: int) -> None:
        self.invoke(size, scripted, late_after)

    @rule(size=st.integers(1, 6), scripted=st.lists(honest_answers, max_size=5))
    def the_function_is_invoked_on_a_good_day(self, size: int, scripted: list[Any]) -> None:
        self.invoke(size, scripted)

    def invoke(self, size: int, scripted: list[Any], late_after: int = 6) -> None:
        batch, self.stream = self.stream[:size], self.stream[size:]
        if not batch:
            return
        firehose = Strict(
            *(ERRORS.get(each, each) if isinstance(each, str) else each for each in scripted)
        )
        clock = [120.0]

        def sleep(seconds: float) -> None:
            clock[0] -= seconds

        records = [InputRecord(str(number), b64(data)) for number, data in enumerate(batch)]
        # The first value is the time at the start of the invocation.
        left = iter([120.0] * (late_after + 1))
        outcomes = Transformer(SIGN_INS, LIMIT).transform(records, lambda: next(left, 0.0))
        going_back = [outcome.put_back for outcome in outcomes if outcome.put_back is not None]
        put_back(
            outcomes, "s", PutBack(lambda: firehose, sleep, lambda _, high: high), lambda: clock[0]
        )

        self.timed_out |= firehose.timed_out
        # Nothing that was accepted is sent again in the same invocation.
        assert Counter(firehose.accepted) <= Counter(going_back)
        assert len(json.dumps(answer_of(outcomes))) <= LIMIT
        before = ids_in(batch)
        delivered = Counter(
            json.loads(line)["eventID"] for outcome in outcomes for line in lines_of(outcome)
        )
        failed: Counter[str] = Counter()
        for outcome, data in zip(outcomes, batch, strict=True):
            if outcome.result == "ProcessingFailed":
                assert outcome.data is None
                failed.update(ids_in([data]))
        back = ids_in(firehose.accepted)
        # Records to put back contain no delivered event, and fewer events than the batch.
        offered = ids_in(going_back)
        assert not offered & delivered
        assert not back & delivered
        # Fewer events; or fewer records if it is late, when dropped records count as progress.
        if going_back:
            assert offered.total() + len(going_back) < before.total() + len(batch)
        if going_back and late_after >= len(batch):
            assert offered.total() < before.total()
        assert back <= before
        # No event of the batch is lost.
        assert set(before) == set(delivered) | set(failed) | set(back)
        self.delivered += delivered
        self.failed += failed
        self.stream += firehose.accepted

    @invariant()
    def every_event_is_somewhere(self) -> None:
        here = set(self.delivered) | set(self.failed) | set(ids_in(self.stream))
        assert self.expected == here

    @invariant()
    def nothing_is_delivered_that_is_damaged(self) -> None:
        assert not self.damaged & set(self.delivered)

    @invariant()
    def exactly_once_without_time_outs_after_accepting(self) -> None:
        if not self.timed_out:
            together = self.delivered + self.failed + ids_in(self.stream)
            assert set(together.values()) <= {1}

    def teardown(self) -> None:
        if not hasattr(self, "stream"):
            return
        # Each invocation delivers or fails an event, or drops a record.
        for _ in range(ids_in(self.stream).total() + len(self.stream)):
            self.invoke(3, [])
        assert self.stream == []
        assert self.expected == set(self.delivered) | set(self.failed)
        assert self.damaged <= set(self.failed)


def ids_in(records: list[bytes]) -> Counter[str]:
    """Return the ids of the selected events in records, including damaged ones."""
    found: Counter[str] = Counter()
    for record in records:
        try:
            text = gzip.decompress(record) if record.startswith(b"\x1f\x8b") else record
        except EOFError:
            continue
        if text.startswith(b'{"messageType"'):
            messages = [each["message"] for each in json.loads(text)["logEvents"]]
        else:
            messages = text.decode().splitlines()
        for message in messages:
            if "ConsoleLogin" in message:
                found[message.split('"eventID": "')[1].split('"')[0]] += 1
    return found


TestLoop = Loop.TestCase
TestLoop.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
