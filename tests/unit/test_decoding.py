"""Tests the rows of the table in docs/function.md: a record's content, result and reason."""

import gzip
import json
import tracemalloc
import zlib
from typing import Any

import pytest
from support import CONTROL_MESSAGE, OSAKA, TOKYO, b64, envelope, gz, result_of, transform

from transformer.codec import decompress
from transformer.outcome import RecordError

CONTROL = CONTROL_MESSAGE.encode()
CHECK_MFA = TOKYO.replace('"eventName":"ConsoleLogin"', '"eventName":"CheckMfa"')
DROPPED_CONTROL = ("Dropped", "control_message", [])
NO_MATCH = ("Dropped", "no_match", [])
UNDECODABLE = ("ProcessingFailed", "undecodable", [])
CORRUPT_GZIP = ("ProcessingFailed", "corrupt_gzip", [])
TOO_LARGE = ("ProcessingFailed", "too_large", [])
MALFORMED_EVENT = ("ProcessingFailed", "malformed_event", [])


def delivered(*lines: str, put_back: list[str] | None = None) -> tuple[object, ...]:
    result = "Ok", "delivered", list(lines)
    return result if put_back is None else (*result, put_back)


@pytest.mark.parametrize("compress", [gz, bytes], ids=["gzip", "plain"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(CONTROL, DROPPED_CONTROL, id="control message"),
        pytest.param(b"", DROPPED_CONTROL, id="empty"),
        pytest.param(b"\n \r\n", DROPPED_CONTROL, id="blank"),
        pytest.param(CONTROL + b"\n" + CONTROL, DROPPED_CONTROL, id="two control messages"),
        pytest.param(envelope([]), NO_MATCH, id="no events"),
        pytest.param(envelope([CHECK_MFA]), NO_MATCH, id="no selected event"),
        pytest.param(CONTROL + envelope([CHECK_MFA]), NO_MATCH, id="control and no match"),
        pytest.param(envelope([TOKYO, CHECK_MFA, OSAKA]), delivered(TOKYO, OSAKA), id="envelope"),
        pytest.param(
            envelope([TOKYO]) + envelope([OSAKA]), delivered(TOKYO, OSAKA), id="glued envelopes"
        ),
        pytest.param(
            envelope([TOKYO]) + b"\r\n\n" + envelope([CHECK_MFA]) + b"\n" + envelope([OSAKA]),
            delivered(TOKYO, OSAKA),
            id="an envelope per line",
        ),
        pytest.param(
            json.dumps(json.loads(envelope([TOKYO])), indent=1).encode() + CONTROL,
            delivered(TOKYO),
            id="pretty envelope",
        ),
        pytest.param(
            f"{TOKYO}\n{CHECK_MFA}\n{OSAKA}\n".encode(), delivered(TOKYO, OSAKA), id="lines"
        ),
        pytest.param(f"{TOKYO}\r\n".encode(), delivered(TOKYO), id="line with CR LF"),
        pytest.param(
            f"{TOKYO}\n".encode() + envelope([OSAKA]), delivered(TOKYO, OSAKA), id="both forms"
        ),
        pytest.param(f"{CHECK_MFA}\n".encode(), NO_MATCH, id="lines, none selected"),
        pytest.param(b'{"ticker_symbol":"QXZ","price":84.51}', NO_MATCH, id="console's test data"),
        pytest.param(
            f"START RequestId\n{TOKYO}\n{CHECK_MFA[:300]}\n{OSAKA}\n".encode(),
            delivered(TOKYO, OSAKA),
            id="damaged lines that name no sign-in",
        ),
        pytest.param(
            f"{OSAKA}\n{TOKYO[:-1]}\n".encode(),
            delivered(OSAKA, put_back=[TOKYO[:-1]]),
            id="damaged sign-in among lines",
        ),
        pytest.param(
            f"{OSAKA}\n{TOKYO[:-1]}\n{{cut\n".encode(),
            delivered(OSAKA, put_back=[TOKYO[:-1]]),
            id="two damaged lines",
        ),
        pytest.param(CONTROL + b"\ntext", NO_MATCH, id="control message and text"),
        pytest.param(
            b'text\n{\n"eventName":"CheckMfa","a":\n{"eventName":"ConsoleLogin"}\n}\n',
            UNDECODABLE,
            id="an object inside one left open",
        ),
        *[
            pytest.param(
                f"text\n{left_open}\n{TOKYO}\n".encode(),
                UNDECODABLE,
                id=f"an event after an object left open at {left_open[-1]}",
            )
            for left_open in ('{"a":{', '{"a":[', '{"a":1,', '{"a":')
        ],
        pytest.param(
            b'{}\nage":"{\\"eventName\\":\\"Consol\\\\u0065Login\\"}"}]}',
            MALFORMED_EVENT,
            id="the end of a cut envelope",
        ),
        pytest.param(f"\ntext\n{TOKYO}\n".encode(), delivered(TOKYO), id="blank and damaged lines"),
        pytest.param(b"\x0c", UNDECODABLE, id="whitespace that JSON does not allow"),
        pytest.param(
            f"{OSAKA}\n\x0c{TOKYO}\x0b\n{TOKYO}\x0b\n".encode(),
            delivered(OSAKA, put_back=[f"\x0c{TOKYO}\x0b", f"{TOKYO}\x0b"]),
            id="whitespace that JSON does not allow, around sign-ins",
        ),
        pytest.param(b"\n" * 500_001, UNDECODABLE, id="too many lines"),
        pytest.param(b"{}\n" * 300_000, NO_MATCH, id="many lines"),
        pytest.param(b"no JSON", UNDECODABLE, id="no JSON"),
        pytest.param(b"no JSON but ConsoleLogin", UNDECODABLE, id="no JSON that names the event"),
        pytest.param(b"[]", UNDECODABLE, id="array"),
        pytest.param(b"null\n7\n", UNDECODABLE, id="scalars"),
        pytest.param(b"\xffConsoleLogin", UNDECODABLE, id="invalid UTF-8 at the start"),
        pytest.param(b"\xef\xbb\xbf{}", UNDECODABLE, id="byte order mark"),
        pytest.param(b'{"owner":"\xff"}', UNDECODABLE, id="invalid UTF-8"),
        pytest.param(b'{"owner":"\xed\xa0\x80"}', UNDECODABLE, id="UTF-8 of a lone surrogate"),
        pytest.param("{}あ".encode()[:-1], UNDECODABLE, id="UTF-8 cut in a character"),
        pytest.param(envelope([TOKYO], messageType="NEW"), UNDECODABLE, id="unknown messageType"),
        pytest.param(envelope([TOKYO], messageType=None), UNDECODABLE, id="messageType null"),
        pytest.param(b'{"messageType":"DATA_MESSAGE"}', UNDECODABLE, id="no logEvents"),
        pytest.param(envelope([], logEvents=None), UNDECODABLE, id="logEvents null"),
        pytest.param(envelope([], logEvents=[1]), UNDECODABLE, id="logEvents of numbers"),
        pytest.param(envelope([], logEvents={"a": TOKYO}), UNDECODABLE, id="logEvents an object"),
        pytest.param(
            json.dumps({"logEvents": json.loads(envelope([TOKYO]))["logEvents"]}).encode(),
            UNDECODABLE,
            id="no messageType",
        ),
        pytest.param(envelope([TOKYO])[:-40], UNDECODABLE, id="cut envelope"),
        pytest.param(
            f"{TOKYO}\n".encode() + envelope([OSAKA])[:-40], UNDECODABLE, id="cut after a line"
        ),
        pytest.param(
            json.dumps({"a": 1}).encode() + b"\n" + b"[" * 50_000, NO_MATCH, id="deep nesting"
        ),
        pytest.param(
            envelope([TOKYO[:-1], OSAKA]),
            delivered(OSAKA, put_back=[TOKYO[:-1]]),
            id="damaged sign-in beside a good one",
        ),
        pytest.param(envelope(['["ConsoleLogin"]']), MALFORMED_EVENT, id="array naming the event"),
        pytest.param(envelope([json.loads(TOKYO)]), MALFORMED_EVENT, id="message an object"),
        pytest.param(envelope([None, 3]), NO_MATCH, id="messages no strings, none selected"),
        pytest.param(
            envelope([None], messageType="NEW"), UNDECODABLE, id="no strings, unknown messageType"
        ),
        pytest.param(
            CONTROL + b"\n" + envelope([None]), NO_MATCH, id="control message and no strings"
        ),
        *[
            pytest.param(
                f'{OSAKA}\n{{{key}:"\n{TOKYO}\n'.encode(), UNDECODABLE, id=f"a cut line with {key}"
            )
            for key in ('"messageType"', '"logEvents"')
        ],
        pytest.param(envelope([None, 3, TOKYO]), delivered(TOKYO), id="messages no strings"),
        pytest.param(envelope(["text", TOKYO]), delivered(TOKYO), id="message no JSON"),
        pytest.param(
            envelope([TOKYO], policyLevel="ACCOUNT_LEVEL_POLICY", new={"deep": [float("nan")]}),
            delivered(TOKYO),
            id="unknown keys",
        ),
    ],
)
def test_each_row_of_the_table(text: bytes, expected: object, compress: object) -> None:
    assert result_of(compress(text)) == expected


@pytest.mark.parametrize(
    "data",
    [None, 7, {}, "%%%", "e30", "e30=\n", "あ", "e30=e30="],
)
def test_invalid_base64_is_undecodable(data: object) -> None:
    assert result_of(data) == UNDECODABLE


GOOD = gz(envelope([TOKYO]))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(GOOD[:2], id="magic number alone"),
        pytest.param(GOOD[:9], id="cut in the header"),
        pytest.param(GOOD[:200], id="cut in the data"),
        pytest.param(GOOD[:-8], id="no trailer"),
        pytest.param(GOOD[:-1], id="cut in the trailer"),
        pytest.param(GOOD[:-8] + bytes(4) + GOOD[-4:], id="wrong checksum"),
        pytest.param(GOOD[:-4] + bytes(4), id="wrong length"),
        pytest.param(GOOD[:100] + bytes(20) + GOOD[120:], id="overwritten"),
        pytest.param(GOOD[:2] + b"\x07" + GOOD[3:], id="unknown method"),
        pytest.param(GOOD + b"text", id="trailing bytes"),
        pytest.param(GOOD + bytes(8), id="trailing zeros"),
        pytest.param(GOOD + b"\x1f", id="half a magic number"),
        pytest.param(GOOD + GOOD[:-1], id="second member cut"),
    ],
)
def test_damaged_gzip_is_corrupt_gzip(data: bytes) -> None:
    assert result_of(data) == CORRUPT_GZIP


def test_gzip_members_are_read_as_one_text() -> None:
    text = envelope([TOKYO]) + b"\n" + envelope([OSAKA])
    for cut in (1, len(text) // 3, len(text) - 1):
        assert result_of(gz(text[:cut]) + gz(b"") + gz(text[cut:])) == delivered(TOKYO, OSAKA)


def test_large_envelopes_glued_by_gzip_members_are_read() -> None:
    large = [f'{{"eventName":"CheckMfa","a":"{"x" * 100_000}"}}'] * 50
    member = gz(envelope([*large, TOKYO]))
    assert result_of(member + member) == delivered(TOKYO, TOKYO)


def test_gzip_header_fields_are_skipped() -> None:
    named = bytearray(GOOD)
    named[3] |= 0x08  # FNAME
    assert result_of(bytes(named[:10]) + b"name\0" + bytes(named[10:])) == delivered(TOKYO)


def test_gzip_inside_gzip_is_undecodable() -> None:
    assert result_of(gz(GOOD)) == UNDECODABLE


@pytest.mark.parametrize("compress", [gz, bytes], ids=["gzip", "plain"])
def test_the_limit_is_exact(compress: object, monkeypatch: pytest.MonkeyPatch) -> None:
    text = envelope([TOKYO])
    monkeypatch.setattr("transformer.codec.MAX_DECOMPRESSED_BYTES", len(text))
    assert result_of(compress(text)) == delivered(TOKYO)
    assert result_of(compress(text + b" ")) == TOO_LARGE


@pytest.mark.parametrize("compress", [gz, bytes], ids=["gzip", "plain"])
def test_a_control_message_is_dropped_even_if_every_event_is_selected(compress: object) -> None:
    every = None
    named = CONTROL_MESSAGE.replace("CWL CONTROL", "ConsoleLogin").encode()
    pretty = json.dumps(json.loads(CONTROL_MESSAGE), indent=2).encode()
    for text in (CONTROL, named, pretty, b""):
        assert result_of(compress(text), every) == DROPPED_CONTROL
        assert result_of(compress(text)) == DROPPED_CONTROL
    assert result_of(compress(CONTROL + b"\n" + envelope([TOKYO])), every) == delivered(TOKYO)


def test_the_limit_counts_all_members(monkeypatch: pytest.MonkeyPatch) -> None:
    text = envelope([TOKYO])
    two = gz(text) + gz(b"\n" + text)
    monkeypatch.setattr("transformer.codec.MAX_DECOMPRESSED_BYTES", 2 * len(text) + 1)
    assert result_of(two)[1] == "delivered"
    assert result_of(two + gz(b" ")) == TOO_LARGE


def test_the_limit_is_64_mib() -> None:
    most = 64 * 1024 * 1024
    for compress in (gz, bytes):
        assert result_of(compress(b" " * most))[1] == "control_message"
        assert result_of(compress(b" " * (most + 1))) == TOO_LARGE


def test_a_bomb_is_not_decompressed_past_the_limit() -> None:
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = compressor.compress(bytes(256 * 1024 * 1024)) + compressor.flush()
    tracemalloc.start()
    try:
        with pytest.raises(RecordError, match="too_large"):
            decompress(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 160 * 1024 * 1024


def test_messages_that_cannot_fit_are_not_joined() -> None:
    # With an emoji, Python stores each character in four bytes: 40 MiB of messages take 160 MiB.
    message = TOKYO[:-1] + ',"a":"\U0001f600' + "a" * (1024 * 1024 - len(TOKYO) - 20) + '"}'
    data = b64(gz(envelope([message] * 40)))
    tracemalloc.start()
    try:
        assert result_of(data)[:2] == ("Ok", "delivered")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 400 * 1024 * 1024


def test_members_are_fed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[int] = []
    decompressobj = zlib.decompressobj

    class Member:
        def __init__(self, wbits: int) -> None:
            self._member = decompressobj(wbits)

        def decompress(self, piece: bytes, max_length: int) -> bytes:
            fed.append(len(piece))
            return self._member.decompress(piece, max_length)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._member, name)

    monkeypatch.setattr("transformer.codec.zlib.decompressobj", Member)
    members = gzip.compress(b"", mtime=0) * 20_000
    assert decompress(members) == b""
    assert len(fed) >= 20_000
    assert max(fed) == 64 * 1024


def test_lines_beside_a_damaged_one_are_counted_once() -> None:
    text = f"{CHECK_MFA}\n{TOKYO}\n{{cut\n{CHECK_MFA}\n".encode() + envelope([CHECK_MFA] * 3)
    (outcome,) = transform(text)
    assert (outcome.events_in, outcome.events_delivered) == (6, 1)


def test_messages_that_are_not_strings_are_counted() -> None:
    (outcome,) = transform(envelope([None, 3, CHECK_MFA]))
    assert (outcome.events_in, outcome.reason) == (3, "no_match")


def test_an_odd_envelope_is_read_up_to_16_mib() -> None:
    assert result_of(envelope([None, "x" * 15 * 1024 * 1024])) == NO_MATCH
    assert result_of(envelope([None, "x" * 17 * 1024 * 1024])) == UNDECODABLE


def test_odd_lines_are_read_up_to_16_mib_in_all() -> None:
    odd = '{"a":NaN,"b":"%s"}\n' % ("x" * (1024 * 1024 - 16))
    assert len(odd) == 1024 * 1024 + 1
    text = f"text\n{TOKYO}\n"
    assert result_of((text + odd * 15).encode()) == delivered(TOKYO)
    assert result_of((text + odd * 16).encode()) == UNDECODABLE


def test_a_large_event_among_damaged_lines_is_delivered() -> None:
    large = TOKYO.replace("example-user", "x" * 1024 * 1024)
    assert result_of(f"text\n{large}\n".encode()) == delivered(large)


@pytest.mark.parametrize(("more", "expected"), [(0, delivered("{ " + TOKYO[1:])), (1, UNDECODABLE)])
def test_documents_that_span_lines_are_read_up_to_16_mib(more: int, expected: object) -> None:
    text = "{\n" + TOKYO[1:]
    assert result_of(text.ljust(16 * 1024 * 1024 + more).encode()) == expected


def test_documents_beyond_the_limit_are_undecodable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("transformer.careful._MAX_DOCUMENTS", 3)
    for few in (b"{}" * 3, b"{}\n\n\n"):
        assert result_of(few) == NO_MATCH
    for many in (b"{}" * 4, b"{}\n\n\n\n"):
        assert result_of(many) == UNDECODABLE


@pytest.mark.parametrize("form", ["lines", "messages"])
@pytest.mark.parametrize("text", ["%s", "ConsoleLogin%s", '{"a":"%s"}'])
def test_text_that_is_not_an_event_is_read_up_to_a_total_limit(
    text: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 4096
    # With this many names, every message is parsed.
    names = frozenset({"ConsoleLogin", "1", "2", "3", "4"})
    if form == "lines" and text.startswith("{"):
        # It counts twice: as an object that msgspec refuses, and as text.
        text, limit = text[:-1], 2 * limit
    monkeypatch.setattr("transformer.careful._MAX_ODD_BYTES", limit)
    for more in (0, 1):
        sizes = [512] * 3 + [512 + more]
        texts = [TOKYO, *(text % ("x" * (size - len(text) + 2)) for size in sizes)]
        record = "\n".join(texts).encode() if form == "lines" else envelope(texts)
        if more:
            reason = "malformed_event" if text.startswith("ConsoleLogin") else "undecodable"
            assert result_of(record, names) == ("ProcessingFailed", reason, [])
        else:
            assert result_of(record, names)[:3] == delivered(TOKYO)


def test_the_limit_is_16_mib_with_512_bytes_more_for_each_text() -> None:
    names = frozenset({"ConsoleLogin", "a", "b", "c", "d"})
    texts = [TOKYO, *["x"] * (16 * 1024 * 1024 // 513)]
    assert result_of(envelope(texts), names) == delivered(TOKYO)
    assert result_of(envelope([*texts, "x"]), names) == UNDECODABLE


def test_messages_that_are_not_strings_count_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    record = envelope([TOKYO, None, [1], None])
    # The envelope itself is a document that CloudWatch Logs does not write.
    limit = 512 + len(record) + 3 * 512 + len("null[1]null")
    monkeypatch.setattr("transformer.careful._MAX_ODD_BYTES", limit)
    assert result_of(record) == delivered(TOKYO)
    monkeypatch.setattr("transformer.careful._MAX_ODD_BYTES", limit - 1)
    assert result_of(record) == UNDECODABLE


@pytest.mark.parametrize(
    ("text", "reason"), [(TOKYO, "too_large"), ("example-user", "malformed_event")]
)
def test_more_than_16_mib_that_cannot_be_delivered_fails_for_its_reason(
    text: str, reason: str
) -> None:
    names = frozenset({"ConsoleLogin", "a", "b", "c", "d"})
    large = [
        text.replace("example-user", "x" * (7 * 1024 * 1024 // text.count("example-user")))
    ] * 2
    assert result_of(envelope([TOKYO, *large]), names) == (*delivered(TOKYO), large)
    assert result_of(envelope([TOKYO, *large, large[0]]), names) == ("ProcessingFailed", reason, [])


def test_a_large_odd_envelope_does_not_fail_other_sign_ins() -> None:
    odd = envelope([None, "x" * 1_300_000])
    fine = envelope(["x" * 1_000_000])
    for rest in (b"text", b"\n".join([fine] * 17)):
        assert result_of(b"\n".join([envelope([TOKYO]), odd, rest])) == delivered(TOKYO)


def test_a_plain_record_keeps_its_text() -> None:
    assert result_of(b64(TOKYO.encode())) == delivered(TOKYO)
