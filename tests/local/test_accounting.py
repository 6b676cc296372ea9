"""The accounting: which events count as delivered, failed, missing and unexpected."""

import base64
import gzip
import json

import pytest
from support import CONTROL_MESSAGE, OSAKA, TOKYO, envelope, gz

from console_login.events.identity import identity
from console_login.local.accounting import Ledger, delivered_lines, failed_messages

IDS = {name: json.loads(text)["eventID"] for name, text in (("tokyo", TOKYO), ("osaka", OSAKA))}


def ledger(*messages: str) -> Ledger:
    made = Ledger()
    for message in messages:
        made.expect(message)
    return made


def test_every_event_has_one_of_four_results() -> None:
    account = ledger(TOKYO, OSAKA, '{"a":1}').settle(10, [TOKYO], [OSAKA])
    assert (account.events, account.not_selected) == (10, 7)
    assert (account.delivered, account.in_error_prefix, account.missing) == (1, 1, 1)
    assert account.missing_ids == [f"sha256:{identity('{"a":1}').digest}"]
    assert not account.is_balanced


def test_copies_are_counted_separately() -> None:
    account = ledger(TOKYO, OSAKA).settle(2, [TOKYO, TOKYO, TOKYO, OSAKA], [OSAKA])
    assert (account.delivered, account.in_error_prefix, account.duplicates) == (2, 0, 3)


def test_copies_that_no_fault_explains_are_named() -> None:
    made = ledger(TOKYO, OSAKA)
    made.explain(gz(envelope([TOKYO, OSAKA])))
    assert made.settle(2, [TOKYO, TOKYO, OSAKA], []).is_balanced
    account = made.settle(2, [TOKYO, TOKYO, OSAKA], [TOKYO, OSAKA, OSAKA])
    assert (account.duplicates, account.unexplained) == (4, 2)
    assert account.unexplained_ids == sorted(IDS.values())
    assert not account.is_balanced
    assert not ledger(TOKYO).settle(1, [TOKYO, TOKYO], []).is_balanced
    assert not ledger(TOKYO).settle(1, [TOKYO], [TOKYO]).is_balanced


@pytest.mark.parametrize(
    "record", [b"", b"{", b"[]", b"{}", b"\x1f\x8b", b"\x1f\x8b\x08\0" * 9, b"\xff"]
)
def test_a_record_that_is_not_an_envelope_explains_nothing(record: bytes) -> None:
    made = ledger(TOKYO)
    made.explain(record)
    assert not made.settle(1, [TOKYO, TOKYO], []).is_balanced


@pytest.mark.parametrize("position", [0, 300, len(TOKYO) - 1, len(TOKYO)])
@pytest.mark.parametrize("byte", [b"", b"\r", b"\n\n", b"\xff", b"~", b"\0"])
def test_no_byte_of_a_line_can_change(position: int, byte: bytes) -> None:
    line = f"{TOKYO}\n".encode()
    found = list(delivered_lines(line[:position] + byte + line[position + 1 :]))
    assert not ledger(TOKYO).settle(1, found, []).is_balanced
    more = list(delivered_lines(line[:position] + b"\xff" + line[position:]))
    assert not ledger(TOKYO).settle(1, more, []).is_balanced


def test_a_blank_that_became_a_carriage_return_is_a_change() -> None:
    message = '{"eventID": "1"}'
    assert ledger(message).settle(1, [message], []).is_balanced
    assert not ledger(message).settle(1, [message.replace(" ", "\r")], []).is_balanced
    # The function replaces a carriage return in the message with a blank.
    assert ledger(message.replace(" ", "\r")).settle(1, [message], []).is_balanced


def test_an_event_that_was_sent_twice_must_be_found_twice() -> None:
    assert ledger(TOKYO, TOKYO).settle(2, [TOKYO], []).missing == 1
    assert ledger(TOKYO, TOKYO).settle(2, [TOKYO], [TOKYO]).is_balanced
    assert ledger(TOKYO, TOKYO).settle(2, [TOKYO, TOKYO], []).duplicates == 0


def test_an_event_that_was_not_selected_is_unexpected() -> None:
    account = ledger(TOKYO).settle(5, [TOKYO, OSAKA, OSAKA], [])
    assert (account.unexpected, account.unexpected_ids) == (2, [IDS["osaka"]])
    assert account.duplicates == 0
    assert not account.is_balanced


def test_an_event_in_the_error_prefix_that_was_not_selected_is_unexpected() -> None:
    account = ledger(TOKYO).settle(5, [TOKYO], [OSAKA])
    assert (account.unexpected, account.duplicates) == (1, 0)
    assert not account.is_balanced


def test_an_altered_event_is_missing_and_unexpected() -> None:
    account = ledger(TOKYO).settle(1, [TOKYO.replace("Success", "Failure")], [])
    assert (account.missing, account.unexpected) == (1, 1)
    assert account.missing_ids == account.unexpected_ids == [IDS["tokyo"]]


def test_different_events_with_the_same_id_are_told_apart() -> None:
    first, second = ('{"eventID":"1","a":1}', '{"eventID":"1","a":2}')
    assert not ledger(first, second).settle(2, [first, first], []).is_balanced


def test_at_most_ten_events_are_named() -> None:
    messages = [f'{{"eventID":"{number:03}"}}' for number in range(50)]
    account = ledger(*messages).settle(50, [], [])
    assert account.missing == 50
    assert account.missing_ids == [f"{number:03}" for number in range(10)]


@pytest.mark.parametrize("message", ['{"a":1}', '{"eventID":5}', '{"eventID":""}', "[]", "no JSON"])
def test_an_event_without_an_id_is_identified_by_its_line(message: str) -> None:
    assert identity(message).event_id == ""
    assert identity(message) != identity(message + " ")


def test_a_line_is_the_same_event_as_its_message() -> None:
    pretty = json.dumps({"a": [1, 2]}, indent=2)
    assert identity(pretty) == identity(pretty.replace("\n", " "))


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_error_objects_are_decoded_to_their_messages(compress: object) -> None:
    records = [gz(envelope([TOKYO, OSAKA])), gz(CONTROL_MESSAGE.encode()), envelope(["{"])]
    body = "".join(
        json.dumps({"rawData": base64.b64encode(record).decode()}) + "\n" for record in records
    ).encode()
    assert list(failed_messages(compress(body))) == [TOKYO, OSAKA, "{"]  # type: ignore[operator]


def test_a_last_line_without_a_line_break_differs_from_the_line_that_was_sent() -> None:
    assert list(delivered_lines(b"a\nb\n")) == ["a", "b"]
    assert list(delivered_lines(b"a\nb")) == ["a", "b (no line break)"]
    assert list(delivered_lines(b"")) == []
