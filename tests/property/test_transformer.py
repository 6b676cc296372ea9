"""Tests properties of every input with hypothesis, compared with a naive reader."""

import base64
import binascii
import json
import re
from collections.abc import Callable

import naive
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import (
    OSAKA,
    SIGN_INS,
    TOKYO,
    answer_of,
    b64,
    envelope,
    event,
    gz,
    lines_of,
    messages_in,
    transform,
)

import app
from transformer.batch import Transformer
from transformer.careful import Odd, read
from transformer.cloudtrail import Selection
from transformer.codec import decode_base64
from transformer.outcome import Outcome, RecordError

NAMES = ("ConsoleLogin", "CheckMfa", "Login_GET")
SELECTIONS = st.sampled_from(
    [frozenset({"ConsoleLogin"}), frozenset({"ConsoleLogin", "Login_GET"}), None]
)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(NAMES),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=6) | st.just("eventName"), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def spelled(draw: st.DrawFn, text: str) -> str:
    """Return `text` with some of its characters as JSON escapes."""
    escape = st.sampled_from(["{0}", "{0}", "{0}", "\\u{1:04x}", "\\u{1:04X}"])
    return "".join(draw(escape).format(character, ord(character)) for character in text)


@st.composite
def events(draw: st.DrawFn) -> str:
    """Return the text of an object that contains an `eventName` in any spelling."""
    value = draw(st.dictionaries(st.text(max_size=8), json_values, max_size=3))
    text = json.dumps(
        value,
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, None, 1])),
    )
    name = draw(st.sampled_from(NAMES).flatmap(spelled) | spelled("NonConsoleLogin"))
    key = draw(spelled("eventName") | st.just("eventName"))
    member = f'"{key}":{draw(st.sampled_from([" ", "", "\n", "\r\n"]))}"{name}"'
    if text == "{}":
        return "{" + member + "}"
    if draw(st.booleans()):
        return text[:-1] + "," + member + "}"
    return "{" + member + "," + text[1:]


@st.composite
def damaged(draw: st.DrawFn) -> str:
    text = draw(events())
    cut = draw(st.integers(0, len(text)))
    return text[:cut] + draw(st.sampled_from(["", "x", "\n", "\\", '"', "\\u0043"]))


messages = events() | events() | damaged() | st.text(max_size=20) | json_values.map(json.dumps)


@given(st.lists(messages, max_size=5), SELECTIONS, st.booleans())
@settings(max_examples=400, deadline=None)
@example(['{"eventName":"\\u0043onsoleLogin"}', '{"eventName":"NonConsoleLogin"}'], None, True)
@example(['{"eventName":{"eventName":"ConsoleLogin"}}'], frozenset({"ConsoleLogin"}), False)
def test_lines_equal_the_selected_messages_in_order(
    found: list[str], names: frozenset[str] | None, compress: bool
) -> None:
    text = envelope(found)
    record = gz(text) if compress else text
    (outcome,) = transform(record, names=names)
    result, lines, damaged_messages = naive.read(b64(record), names)
    assert (outcome.result, lines_of(outcome)) == (result, lines)
    assert (outcome.put_back is None) == (not damaged_messages)
    if damaged_messages:
        assert messages_in(outcome.put_back) == [
            message.encode("utf-8", "backslashreplace").decode() for message in damaged_messages
        ]
    if outcome.data is not None:
        data = base64.b64decode(outcome.data)
        assert data.endswith(b"\n")
        assert b"\r" not in data
        assert data.count(b"\n") == outcome.events_delivered == len(lines_of(outcome))


@given(st.lists(events(), max_size=5), SELECTIONS)
@settings(max_examples=200, deadline=None)
def test_lines_without_an_envelope_equal_the_selected_events(
    found: list[str], names: frozenset[str] | None
) -> None:
    extracted = "".join(f"{event}\n" for event in found).encode("utf-8", "backslashreplace")
    if not extracted:
        return
    (outcome,) = transform(extracted, names=names)
    result, lines, _ = naive.read(b64(envelope(found)), names)
    assert (outcome.result, lines_of(outcome)) == (result, lines)


@given(st.lists(messages, max_size=4), SELECTIONS)
@settings(max_examples=400, deadline=None)
def test_the_prefilter_never_changes_an_answer(
    found: list[str], names: frozenset[str] | None
) -> None:
    selection = Selection(names)
    text = envelope(found)
    unfiltered = _Unfiltered(names)
    assert _read(text, selection) == _read(text, unfiltered)


class _Unfiltered(Selection):
    def __init__(self, names: frozenset[str] | None) -> None:
        super().__init__(names)
        self.may_be = lambda _: True


def _read(text: bytes, selection: Selection) -> object:
    outcome = Outcome("record")
    try:
        lines = [selection.line(message) for message in list(read(text, selection, outcome, Odd()))]
    except RecordError as error:
        return error.reason
    return [line for line in lines if line], outcome.events_in, outcome.reason


almost_base64 = st.builds(
    lambda data, cut, tail: b64(data)[: len(b64(data)) - cut] + tail,
    st.binary(max_size=80),
    st.integers(0, 5),
    st.text("AQgw+/=-_ \n\té\x00", max_size=5),
)


@given(almost_base64 | st.text("AQgw+/=", max_size=12))
@settings(max_examples=1000, deadline=None)
def test_base64_is_read_as_strictly_as_python_reads_it(text: str) -> None:
    assert _bytes_or_none(decode_base64, text, RecordError) == _bytes_or_none(
        lambda data: binascii.a2b_base64(data, strict_mode=True), text, ValueError
    )


def _bytes_or_none(
    decode: Callable[[str], bytes], text: str, refusal: type[Exception]
) -> bytes | None:
    try:
        return decode(text)
    except refusal:
        return None


@given(st.binary(max_size=300))
def test_base64_is_written_as_python_writes_it(data: bytes) -> None:
    outcome = Outcome("a")
    outcome.deliver(data, 1)
    assert outcome.response() == {"recordId": "a", "result": "Ok", "data": b64(data)}


raw_records = (
    st.binary(max_size=60)
    | st.binary(max_size=60).map(gz)
    | st.text(max_size=30)
    | st.none()
    | st.lists(messages, max_size=3).map(envelope)
    | st.lists(messages, max_size=3).map(lambda found: gz(envelope(found)))
    | json_values.map(lambda value: json.dumps(value).encode())
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return a good record with a few of its bytes changed."""
    record = bytearray(draw(st.sampled_from([gz(envelope([TOKYO])), envelope([OSAKA, "x"])])))
    for _ in range(draw(st.integers(1, 4))):
        record[draw(st.integers(0, len(record) - 1))] = draw(st.integers(0, 255))
    return bytes(record[: draw(st.integers(0, len(record)))])


@given(st.lists(raw_records | mutated(), max_size=5))
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_answered_and_ids_conserved_in_order(records: list[object]) -> None:
    firehose_event = event(*records)
    outcomes = app._transformer.transform(app.parse_event(firehose_event).records)
    answer = answer_of(outcomes)
    assert [record["recordId"] for record in answer["records"]] == [
        record["recordId"] for record in firehose_event["records"]
    ]
    assert {outcome.reason.value for outcome in outcomes} <= {
        "delivered",
        "control_message",
        "no_match",
        "undecodable",
        "corrupt_gzip",
        "malformed_event",
    }
    for outcome in outcomes:
        assert (outcome.result == "Ok") == (outcome.data is not None)
        for line in lines_of(outcome):
            assert json.loads(line)["eventName"] == "ConsoleLogin"


@given(st.lists(raw_records | mutated(), max_size=4), st.data())
@settings(max_examples=200, deadline=None)
def test_one_record_never_changes_anothers_outcome(
    records: list[object], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(records))))
    together = transform(*(records[index] for index in order))
    for index, outcome in zip(order, together, strict=True):
        (alone,) = transform(records[index])
        assert (outcome.reason, outcome.data) == (alone.reason, alone.data)


whole_envelopes = st.lists(messages, max_size=4).map(envelope) | st.lists(
    events(), min_size=1, max_size=4
).map(lambda found: gz(envelope(found)))


@given(
    st.lists(whole_envelopes | raw_records | mutated(), max_size=5),
    SELECTIONS,
    st.sampled_from([200, 600, 2000, 6_000_000]),
)
@settings(max_examples=400, deadline=None)
def test_the_short_path_gives_what_the_careful_path_gives(
    records: list[object], names: frozenset[str] | None, most: int
) -> None:
    found = app.parse_event(event(*records)).records
    short, careful = (Transformer(names, most) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(careful, "_deliver_whole", lambda *_: False)
        expected = careful.transform(found)
    assert short.transform(found) == expected


def test_the_short_path_delivers_what_cloudwatch_logs_writes() -> None:
    transformer = Transformer(SIGN_INS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transformer.careful.deliver", None)
        records = app.parse_event(event(gz(envelope([TOKYO, "{}"])), gz(envelope(["{}"])))).records
        outcomes = transformer.transform(records)
    assert [outcome.reason for outcome in outcomes] == ["delivered", "no_match"]


@given(st.text(alphabet=st.sampled_from('\\"u0{}[]:, \n43onsleLogi'), max_size=60))
@settings(max_examples=600, deadline=None)
def test_texts_of_json_punctuation_are_read_as_json_reads_them(text: str) -> None:
    message = '{"eventName":"ConsoleLogin","a":"' + text + '"}'
    (outcome,) = transform(envelope([message]))
    try:
        expected = json.loads(message)["eventName"] == "ConsoleLogin"
        lines = [re.sub("[\r\n]", " ", message)] if expected else []
        assert lines_of(outcome) == lines
    except json.JSONDecodeError:
        assert outcome.reason == "malformed_event"
