r"""Generates legal requests that are as expensive as possible, and checks their answers.

A case's record is between two good ones, unless the case excludes them. Each kind of text has three
sizes: 64 MiB, the limit for decompressed text; 16 MiB, the limit for Python's `json`; and 4 KB of
gzip.
"""

import base64
import functools
import gzip
import json
import random
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from support import OSAKA, TOKYO, b64, envelope, event, gz

MIB = 1024 * 1024
MAX_RECORD_BYTES = 1000 * 1024
MAX_REQUEST_BYTES = 6 * MIB
# Deflate expands a byte to 1,032 bytes at most.
SMALL_GZIP, SMALL_TEXT = 4096, 3 * MIB

# Values of EVENT_NAMES: 498 characters at most.
ONE = "ConsoleLogin"
MANY = ",".join([ONE, *("A" * 17 + chr(ord("B") + number) for number in range(24))])
LONG = ",".join([ONE, "A" * 127 + "B", "B" + "A" * 127, "A" * 64 + "B" + "A" * 63])
EVERY = "*"
NAMES = {"one": ONE, "many": MANY, "every": EVERY}
ALL_NAMES = NAMES | {"long": LONG}

# Results of a record. PUT_BACK: all of it was put back. With DELIVERED, a part may be put back.
DELIVERED, DROPPED, FAILED, PUT_BACK = "Ok", "Dropped", "ProcessingFailed", "put back"
# No event in it is selected: it is dropped, or fails because of its shape or size.
NOTHING = frozenset({DROPPED, FAILED})
# It contains a selected event, or text that may be one.
KEPT = frozenset({DELIVERED, FAILED, PUT_BACK})
ANY = KEPT | {DROPPED}


class Record(NamedTuple):
    """A record's bytes.

    results: its allowed results if ConsoleLogin is selected, and not every event.
    good: the sign-ins in it. Each must be delivered or put back once, or fail with the record.
    """

    data: bytes
    results: frozenset[str] = ANY
    good: tuple[str, ...] = ()


class Case(NamedTuple):
    """A request.

    hostile: its records, without the good ones around them.
    is_beside_good: whether there is a good record before and after them, which must be delivered.
    is_full: expensive records fill the request, so the last good one may be put back or fail.
    """

    hostile: Callable[[], list[Record]]
    is_beside_good: bool = True
    is_full: bool = False

    def records(self) -> list[Record]:
        hostile = self.hostile()
        if not self.is_beside_good:
            return hostile
        # Millions of lines fill the answer, and a full request uses up the time.
        may_fill = {DELIVERED, PUT_BACK}
        is_filled = self.is_full or any(may_fill <= each.results for each in hostile)
        after = KEPT if is_filled else OK
        good = [
            Record(gz(envelope([text])), results, (text,))
            for text, results in ((TOKYO, OK), (OSAKA, after))
        ]
        return [good[0], *hostile, good[1]]

    def max_seconds(self, records: list[Record], timeout_seconds: float) -> float:
        """Return the limit for an answer in CPU seconds of one core here.

        The limit for a request is three quarters of the Timeout, at the 0.58 cores of 1,024 MB.
        """
        request = 0.75 * 0.58 * timeout_seconds
        hostile = records[1:-1] if self.is_beside_good else records
        if len(hostile) != 1:
            return request
        return min(request, 1.0 if len(hostile[0].data) <= SMALL_GZIP else 5.0)


# Making texts ------------------------------------------------------------------------------------

GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


def bomb(start: bytes, repeated: bytes, end: bytes, size: int) -> bytes:
    """Return the gzip of at most `size` bytes: start, a repeated piece, and end.

    If `size` is at most SMALL_TEXT, the gzip has at most SMALL_GZIP bytes.
    """
    room = max(0, size - len(start) - len(end))
    block = repeated * max(1, min(MIB, room) // len(repeated))
    count = room // len(block)

    if size <= SMALL_TEXT:
        pieces = room // len(repeated)
        while True:
            small = gzip.compress(start + repeated * pieces + end, 9, mtime=0)
            if len(small) <= SMALL_GZIP or pieces < 2:
                return small
            pieces = min(pieces - 1, pieces * SMALL_GZIP // len(small))

    def deflated(text: bytes, mode: int) -> bytes:
        compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
        return compressor.compress(text) + compressor.flush(mode)

    # After a full flush no data refers to earlier data, so a block is compressed only once.
    crc = functools.reduce(
        lambda crc, part: zlib.crc32(part, crc), [block] * count, zlib.crc32(start)
    )
    length = len(start) + len(block) * count + len(end)
    body = deflated(start, zlib.Z_FULL_FLUSH) + deflated(block, zlib.Z_FULL_FLUSH) * count
    body += deflated(end, zlib.Z_FINISH)
    return GZIP_HEADER + body + struct.pack("<II", zlib.crc32(end, crc), length)


def member(text: bytes, header: bytes = GZIP_HEADER, body: bytes | None = None) -> bytes:
    """Return a gzip member, optionally with another header or deflate stream."""
    if body is None:
        compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
        body = compressor.compress(text) + compressor.flush()
    return header + body + struct.pack("<II", zlib.crc32(text), len(text))


def header(name_bytes: int) -> bytes:
    """Return a gzip header with a file name of this length, and a comment (RFC 1952)."""
    return GZIP_HEADER[:3] + b"\x18" + GZIP_HEADER[4:] + b"n" * name_bytes + b"\0comment\0"


def empty_dynamic_blocks(count: int) -> bytes:
    """Return a deflate stream of blocks that contain only Huffman tables (RFC 1951).

    Each block has ninety bits, for which a decoder builds two tables.
    """
    # Code lengths in the order 16, 17, 18, 0, ..., 1: 1 and 18 (a run of zeros) have one bit each,
    # the codes "0" and "1". The header before them: 257 literals, 1 distance, 18 code lengths.
    lengths = [0, 0, 1, *([0] * 14), 1]
    bits = "0" + "01" + "00000" + "00000" + f"{14:04b}"[::-1]
    bits += "".join(f"{length:03b}"[::-1] for length in lengths)
    # 0-255 as two runs of zeros, one bit for 256 and for the only distance, then the end of block.
    bits += "1" + f"{138 - 11:07b}"[::-1] + "1" + f"{118 - 11:07b}"[::-1] + "0" + "0" + "0"
    # Eight blocks end at a byte boundary. An empty last block with fixed codes ends the stream.
    eight = bits * 8
    packed = bytes(int(eight[at : at + 8][::-1], 2) for at in range(0, len(eight), 8))
    return packed * (count // 8) + b"\x03\0"


def messages(message: str, *first: str) -> tuple[bytes, bytes, bytes]:
    """Return start, piece and end of an envelope that repeats `message` after the `first` ones."""
    start = envelope(first)[: -len(b"]}")]
    piece = json.dumps({"message": message}, separators=(",", ":")).encode()
    return start + (b"," if first else b"") + piece, b"," + piece, b"]}"


def log_events(piece: bytes, *first: str) -> tuple[bytes, bytes, bytes]:
    """Do the same with any JSON in place of a log event."""
    start = envelope(first)[: -len(b"]}")] + (b"," if first else b"")
    return start + piece, b"," + piece, b"]}"


def one_message(start: str, repeated: str, end: str) -> tuple[bytes, bytes, bytes]:
    """Return an envelope with one message that fills the record."""
    opened = envelope([])[: -len(b"]}")] + b'{"message":"'
    quoted = [
        json.dumps(text, ensure_ascii=False)[1:-1].encode() for text in (start, repeated, end)
    ]
    return opened + quoted[0], quoted[1], quoted[2] + b'"}]}'


def spelled(name: str) -> str:
    """Return a name with every character as a JSON escape."""
    return "".join(f"\\u{ord(letter):04x}" for letter in name)


NAMED = TOKYO[:-1]
SPELLED = TOKYO.replace('"ConsoleLogin"', f'"{spelled("ConsoleLogin")}"')
CHECK_MFA = TOKYO.replace('"eventName":"ConsoleLogin"', '"eventName":"CheckMfa"')

# Kinds of text: start, repeated piece, end, and the allowed results of a record with it -----------

Kind = tuple[tuple[bytes, bytes, bytes], frozenset[str]]
D, F = frozenset({DROPPED}), frozenset({FAILED})
OK = frozenset({DELIVERED})

# Envelopes with many log events. A record may fail if it has more than half a million log events
# that CloudWatch Logs does not write.
IN_ENVELOPES: dict[str, Kind] = {
    "log events without a message": (log_events(b"{}"), D | F),
    "log events with null": (log_events(b'{"message":null}'), D | F),
    "log events with numbers": (log_events(b'{"message":1}'), D | F),
    "log events with objects that name": (log_events(b'{"message":{"a":"ConsoleLogin"}}'), F),
    # In ASCII, each DEL would be an escape, and would be decoded again.
    "log events with arrays of DEL": (
        log_events(b'{"message":["' + b"\x7f" * 16_500 + b'"]}'),
        D,
    ),
    "log events that are arrays": (log_events(b"[]"), F),
    "empty messages": (messages(""), D),
    "two letters": (messages("xy"), D),
    "two letters and a damaged sign-in": (messages("xy", "ConsoleLogin"), F),
    "empty objects": (messages("{}"), D),
    "escaped A": (messages("\\u0041"), D | F),
    "escaped names cut short": (messages(spelled("ConsoleLogi")), D),
    "events of escaped names": (messages(f'{{"eventName":"{spelled("ConsoleLogi")}"}}'), D),
    "escapes of escapes": (messages('{"a":"' + "\\u005cu0043\\\\u0043" * 4 + '"}'), D),
    "escapes of all kinds": (messages(r'{"\/":"\n\t\ud83d\uDE00\u00e9\u2028\u0000"}'), D),
    "lone surrogates": (log_events(b'{"message":"\\ud800"}'), NOTHING),
    "objects with lone surrogates": (messages('{"a":"\\ud800"}'), D),
    "objects with NaN": (messages('{"a":NaN}'), D),
    "events with NaN": (messages('{"eventName":"CheckMfa","a":NaN,"b":"ConsoleLogin"}'), D),
    "sign-ins with NaN": (messages('{"eventName":"ConsoleLogin","a":NaN}'), KEPT),
    "smallest sign-ins": (messages('{"eventName":"ConsoleLogin"}'), KEPT),
    "sign-ins in escapes": (messages(f'{{"eventName":"{spelled("ConsoleLogin")}"}}'), KEPT),
    "damaged sign-ins": (messages('{"eventName":"ConsoleLogin"'), F),
    "names alone": (messages("ConsoleLogin"), F),
    "strings that name": (messages('"ConsoleLogin"'), F),
    "objects that name": (messages('{"a":"ConsoleLogin"}'), D | F),
    "objects that nearly contain one": (
        messages('{"d":{"eventName":"X"},"a":"ConsoleLogin"}'),
        D,
    ),
    "wrapped sign-ins": (messages('{"detail":{"eventName":"ConsoleLogin"}}'), F),
    "deep messages": (messages('{"a":' + "[" * 5000 + "]" * 5000 + "}"), D),
    "deep objects that name": (
        messages('{"a":"ConsoleLogin","b":' + "[" * 900 + "]" * 900 + "}"),
        D,
    ),
    "unusual calls that name": (
        messages('{"insightDetails":{"eventName":"ConsoleLogin"},"b":[[]' + ",[]" * 900 + "]}"),
        D,
    ),
    "deep messages that name": (messages('{"a":"ConsoleLogin","b":' + "[" * 900), F),
    "names of A": (messages("A" * 18), D),
    "names of A and escapes": (messages("A" * 126 + "\\u0041"), D | F),
    "long texts of A": (messages("A" * (MIB - 100)), D),
    "megabytes of objects with NaN": (
        messages('{"eventName":"CheckMfa","a":[NaN' + ",[]" * 340_000 + "]}"),
        D,
    ),
    "megabytes of sign-ins with NaN": (
        messages('{"eventName":"ConsoleLogin","a":[NaN' + ",[]" * 340_000 + "]}"),
        KEPT,
    ),
    "megabytes of damaged backslashes": (messages("ConsoleLogin" + "\\" * 500_000), F),
    # Raw emoji, which CloudWatch Logs does not write: one makes Python use four bytes a character.
    "megabytes of sign-ins with an emoji": (
        log_events(
            '{"message":"{\\"eventName\\":\\"ConsoleLogin\\",\\"a\\":\\"😀'.encode()
            + b"x" * (MIB - 120)
            + b'\\"}"}'
        ),
        KEPT,
    ),
    "megabytes damaged with an emoji": (
        log_events(
            '{"message":"{\\"eventName\\":\\"ConsoleLogin\\",\\"a\\":\\"😀'.encode()
            + b"x" * (MIB - 120)
            + b'"}'
        ),
        F,
    ),
    # To put back the rest, the function searches the text again, log event by log event.
    "empty messages, a good and a damaged sign-in": (messages("", TOKYO, NAMED), KEPT),
    "log events without a message, a good and a damaged sign-in": (
        log_events(b"{}", TOKYO, NAMED),
        KEPT,
    ),
    "log events with null and a good sign-in": (log_events(b'{"message":null}', TOKYO), KEPT),
}

# Records filled by one message or one document.
IN_ONE: dict[str, Kind] = {
    "one message of text": (one_message("", "x", ""), D),
    "one message of emoji": (one_message("😀", "xyz", ""), D),
    "one message of A": (one_message("", "A", ""), D),
    "one sign-in": (one_message('{"eventName":"ConsoleLogin","a":"', "x", '"}'), KEPT),
    "one sign-in with an emoji": (
        one_message('{"eventName":"ConsoleLogin","a":"😀', "x", '"}'),
        KEPT,
    ),
    "one sign-in of arrays": (
        one_message('{"eventName":"ConsoleLogin","a":[[]', ",[]", "]}"),
        KEPT,
    ),
    "one sign-in of line breaks": (
        one_message('{"eventName":"ConsoleLogin",', "\n", '"a":1}'),
        KEPT,
    ),
    "one event of names": (one_message('{"eventName":"X"', ',"eventName":"X"', "}"), D),
    "one damaged sign-in": (one_message('{"eventName":"ConsoleLogin","a":"', "x", ""), F),
    "one damaged emoji": (one_message('{"eventName":"ConsoleLogin","a":"😀', "x", ""), F),
    "one message of backslashes": (one_message("ConsoleLogin", "\\", ""), F),
    "one message of backslashes unnamed": (one_message("", "\\", ""), D),
    "one message of escapes": (one_message("ConsoleLogi", "\\u0043", ""), NOTHING),
    "one message of half escapes": (one_message("ConsoleLogin", "\\\\\\\\u00", ""), F),
    "one message of nearly escapes": (one_message("", "\\\\u004", ""), NOTHING),
    "one deep message": (one_message('{"a":', "[", ""), D),
    "one deep message that names": (one_message('{"eventName":"ConsoleLogin","a":', "[", ""), F),
    "one deep object that names": (
        one_message('{"eventName":"ConsoleLogin"', ',"a":{"b":1', ""),
        F,
    ),
    "one wrapper of events": (
        one_message('{"Records":[{"eventName":"CheckMfa"}', ',{"eventName":"X"}', f",{TOKYO}]}}"),
        F,
    ),
    "one wrapper without a sign-in": (
        one_message('{"a":"ConsoleLogin","Records":[1', ',{"eventName":"X"}', "]}"),
        D,
    ),
    "emoji": (('{"a":"あ😀'.encode(), "ConsoleLogin😀".encode(), b'"}'), D),
    "an event with NaN": ((b'{"eventName":"ConsoleLogin","a":[NaN', b",[]", b"]}"), F),
    "an event of backslashes": ((b'{"a":"ConsoleLogin', b"\\\\", b'"}'), D),
    "a damaged line of backslashes": ((b'{"a":"ConsoleLogin', b"\\", b""), F),
    "a damaged line with an emoji": (("\n{}😀ConsoleLogin".encode(), b"x" * 64, b""), F),
    "brackets": ((b"", b"[", b""), F),
    "arrays": ((b"[[]", b",[]", b"]"), F),
    "an array of sign-ins": ((b'[{"eventName":"ConsoleLogin"}', b',{"a":1}', b"]"), F),
    "a wrapper": (
        (b'{"Records":[{"eventName":"X"}', b',{"eventName":"X"}', f",{TOKYO}]}}".encode()),
        F,
    ),
    "a wrapper that is damaged": (
        (b'{"Records":[{"eventName":"X"}', b',{"eventName":"X"}', f",{TOKYO}]".encode()),
        F,
    ),
    "a control message": (
        (b'{"messageType":"CONTROL_MESSAGE","logEvents":[{}', b",{}", b"]}"),
        NOTHING,
    ),
    "an envelope of unknown type": ((b'{"messageType":"X","logEvents":[{}', b",{}", b"]}"), F),
    "an envelope that was cut": (
        (envelope([TOKYO])[:-2] + b',{"message":""}', b',{"message":""}', b""),
        F,
    ),
    "UTF-8 that ends wrong": ((envelope([TOKYO]) + b"\n", b" ", b"\xff"), F),
}

# Records of many lines or many documents.
IN_LINES: dict[str, Kind] = {
    "glued objects": ((b"{}", b"{}", b"{}"), NOTHING),
    "glued objects that name": ((b"", b'{"a":"ConsoleLogin"}', b""), NOTHING),
    "glued objects, damaged at the end": ((b"{}", b"{}", b"x"), NOTHING),
    "glued sign-ins": ((b"", b'{"eventName":"ConsoleLogin"}', b""), KEPT),
    "glued envelopes": (
        (b"", b'{"messageType":"DATA_MESSAGE","logEvents":[]}', envelope([TOKYO])),
        KEPT,
    ),
    "small lines": ((b"{}\n", b"{}\n", b"{}"), F),
    "lines of a bracket": ((b"{}\n", b"[\n", b""), NOTHING),
    "damaged lines": ((b"{}\nx\n", b"x\n", b""), F),
    "damaged objects": ((b"{}\n", b"{\n", b""), F),
    "objects over two lines": ((b"", b"{\n}", b""), NOTHING),
    "damaged lines of A that name": (
        (b"{}\nConsoleLogin\n", b"A" * (MIB - 100) + b"\n", b""),
        KEPT,
    ),
    "blank lines and a sign-in": ((b"", b"\n", TOKYO.encode()), KEPT),
}

# Records with about a million lines, which the function reads at most, as long as they can be.
A_MILLION_LINES: dict[str, Kind] = {
    "a million lines": ((b"", b"{}\n", b""), NOTHING),
    "a million lines that name": ((b"", b'{"a":"ConsoleLogin"}\n', b""), NOTHING),
    "a million lines with NaN": ((b"", b'{"a":NaN}\n', b""), NOTHING),
    "a million lines with NaN that name": ((b"", b'{"a":NaN,"b":"ConsoleLogin"}\n', b""), NOTHING),
    "a million lines with lone surrogates": ((b"", b'{"a":"\\ud800"}\n', b""), NOTHING),
    "a million sign-ins": ((b"", b'{"eventName":"ConsoleLogin"}\n', b""), KEPT),
    "a million sign-ins with NaN": ((b"", b'{"eventName":"ConsoleLogin","a":NaN}\n', b""), KEPT),
    "a million wrapped sign-ins": (
        (b"", b'{"detail":{"eventName":"ConsoleLogin"}}\n', b""),
        KEPT,
    ),
    "a million damaged lines that name": ((b"{}\n", b"ConsoleLogin\n", b""), KEPT),
    "a million lines of backslashes": ((b"{}\n", b"x" + b"\\" * 60 + b"\n", b""), NOTHING),
    "a million envelopes": (
        (b"", b'{"messageType":"DATA_MESSAGE","logEvents":[]}\n', b""),
        NOTHING,
    ),
    "a million blank lines, a good and a damaged sign-in": (
        (envelope([TOKYO, NAMED]), b"\n", b""),
        KEPT,
    ),
}
MOST_LINES = 999_000


def _case(kind: Kind, size: int) -> Case:
    (start, repeated, end), results = kind
    # A large record that would be dropped may exceed a limit of time or memory, and then fails.
    some = NOTHING if results == D and size > SMALL_TEXT else results
    return Case(lambda: [Record(bomb(start, repeated, end, size), some)])


def _kinds(kinds: dict[str, Kind], label: str, size: int) -> dict[str, Case]:
    return {f"{name}, {label}": _case(kind, size) for name, kind in kinds.items()}


def _lines(kinds: dict[str, Kind]) -> dict[str, Case]:
    return {
        name: _case(kind, sum(map(len, kind[0])) + MOST_LINES * len(kind[0][1]))
        for name, kind in kinds.items()
    }


# Cases that are not a kind of text ---------------------------------------------------------------


def _full(make: Callable[[], Record]) -> list[Record]:
    """Return as many copies of a record as fit into a request with two good records."""
    record = make()
    room = MAX_REQUEST_BYTES - 20_000
    return [record] * (room // (len(b64(record.data)) + 100))


def _kind_of(name: str, size: int) -> Callable[[], Record]:
    (start, repeated, end), results = (IN_ENVELOPES | IN_ONE | IN_LINES | A_MILLION_LINES)[name]
    return lambda: Record(bomb(start, repeated, end, size), results | {PUT_BACK, FAILED})


def _backslashes(count: int) -> Record:
    """Return a record with a good sign-in, which is delivered, and a damaged one, put back."""
    damaged = "ConsoleLogin" + "\\" * count
    return Record(gz(envelope([TOKYO, damaged])), OK, (TOKYO, damaged))


def _glued_before_a_sign_in() -> list[Record]:
    glued = Record(bomb(b"", b"{}", b"", 16 * MIB - 1), ANY)
    return [*[glued] * 8, Record(gz(envelope([TOKYO])), KEPT, (TOKYO,))]


def _emoji_sign_ins() -> list[Record]:
    """Return 64 sign-ins of a mebibyte, each with a unique number and an emoji."""
    start = '{"message": "{\\"eventName\\":\\"ConsoleLogin\\",\\"n\\":%d,\\"a\\":\\"😀'
    texts = [(start % n).encode() + b"x" * (MIB - 2000) + b'\\"}"}' for n in range(64)]
    document = b'{"messageType":"DATA_MESSAGE","logEvents":[' + b",".join(texts) + b"]}"
    return [Record(gzip.compress(document, 9, mtime=0), KEPT)]


def _dense() -> Record:
    """Return a record of real sign-ins, compressed ten to one, as large as Firehose accepts."""
    seeded = random.Random(14)
    text = envelope(
        TOKYO.replace("6b1e1551c87fb3b9", f"{seeded.getrandbits(640):0160x}") for _ in range(6400)
    )
    return Record(gz(text), KEPT)


def _ids_only() -> list[Record]:
    return [Record(b"", NOTHING)] * 40_000


def _random_lines() -> Record:
    """Return a record of incompressible lines, without gzip, nearly as large as allowed."""
    seeded = random.Random(3)
    lines = (f'{{"eventName":"{seeded.getrandbits(64):x}"}}' for _ in range(40_000))
    return Record("\n".join(lines).encode()[: MAX_RECORD_BYTES // 40 * 39] + b"\n{}", NOTHING)


OTHERS: dict[str, Case] = {
    "256 K backslashes beside a sign-in": Case(lambda: [_backslashes(262_144)]),
    "1 M backslashes beside a sign-in": Case(lambda: [_backslashes(MIB)]),
    "15 M backslashes beside a sign-in": Case(lambda: [_backslashes(15 * MIB)]),
    "299,000 log events without a message": Case(
        lambda: [Record(bomb(*log_events(b"{}"), 299_000 * 3), F)]
    ),
    "eight glued records before a sign-in": Case(_glued_before_a_sign_in, is_beside_good=False),
    "64 sign-ins of a mebibyte with an emoji": Case(_emoji_sign_ins),
    "960 MiB of blanks": Case(lambda: [Record(bomb(b"", b" ", b"", 960 * MIB), F)]),
    "a gzip header of 65 KB": Case(
        lambda: [Record(member(envelope([TOKYO]), header(65_536 + 1024)), OK, (TOKYO,))]
    ),
    "a gzip header of 900 KB": Case(
        lambda: [Record(member(envelope([TOKYO]), header(900_000)), OK, (TOKYO,))]
    ),
    "100 gzip headers of 9 KB": Case(
        lambda: [Record(member(envelope([CHECK_MFA]) + b"\n", header(9000)) * 100, D)]
    ),
    "empty gzip members": Case(lambda: [Record(member(b"") * 50_000, D)]),
    "gzip members of a byte": Case(lambda: [Record(member(b" ") * 45_000, D)]),
    "gzip members of a letter": Case(lambda: [Record(member(b"x") * 45_000, F)]),
    "gzip members of a line": Case(lambda: [Record(member(b"{}\n") * 40_000, D)]),
    "gzip members of 1,600 blanks": Case(lambda: [Record(member(b" " * 1600) * 30_000, NOTHING)]),
    "empty stored blocks": Case(
        lambda: [Record(member(b"{}", body=b"\0\0\0\xff\xff" * 200_000 + b"\1\2\0\xfd\xff{}"), D)]
    ),
    "empty fixed blocks": Case(
        lambda: [
            # Ten bits each, so four fit into five bytes.
            Record(member(b"", body=b"\x02\x08\x20\x80\x00" * 190_000 + b"\x03\0"), NOTHING)
        ]
    ),
    "empty dynamic blocks": Case(
        lambda: [Record(member(b"", body=empty_dynamic_blocks(88_000)), NOTHING)]
    ),
    "64 MiB with a wrong checksum": Case(
        lambda: [Record(bomb(*messages("xy", TOKYO), 64 * MIB)[:-8] + b"\0" * 8, F)]
    ),
    "64 MiB cut short": Case(lambda: [Record(bomb(*messages("xy", TOKYO), 64 * MIB)[:-9], F)]),
    "a sign-in spelled in escapes": Case(
        lambda: [Record(gz(envelope([SPELLED, TOKYO])), OK, (SPELLED, TOKYO))]
    ),
    "an EventBridge envelope beside a sign-in": Case(
        lambda: [_beside(f'{{"version":"0","detail-type":"x","detail":{TOKYO}}}')]
    ),
    "a CloudTrail file of 10 MB beside a sign-in": Case(
        lambda: [_beside('{"Records":[' + f"{CHECK_MFA}," * 9000 + TOKYO + "]}")]
    ),
    "a sign-in 100,000 deep beside a sign-in": Case(
        lambda: [_beside('{"a":' + "[" * 100_000 + TOKYO + "]" * 100_000 + "}")]
    ),
    "ids only and a sign-in": Case(_ids_only),
    "records without data": Case(lambda: [Record(b"\0", F)] * 30_000),
    "full of 4 KB of backslashes": Case(
        lambda: _full(_kind_of("one message of backslashes", SMALL_TEXT)), is_full=True
    ),
    "full of glued objects": Case(
        lambda: _full(_kind_of("glued objects", 16 * MIB - 1)), is_full=True
    ),
    "full of escaped A": Case(lambda: _full(_kind_of("escaped A", 64 * MIB)), is_full=True),
    "full of empty messages": Case(
        lambda: _full(_kind_of("empty messages", 64 * MIB)), is_full=True
    ),
    "full of smallest sign-ins": Case(
        lambda: _full(_kind_of("smallest sign-ins", 64 * MIB)), is_full=True
    ),
    "full of smallest sign-ins, 4 KB": Case(
        lambda: _full(_kind_of("smallest sign-ins", SMALL_TEXT)), is_full=True
    ),
    "full of a million lines with NaN": Case(
        lambda: _full(_kind_of("a million lines with NaN", 10 * MOST_LINES)), is_full=True
    ),
    "full of lone surrogates": Case(
        lambda: _full(_kind_of("objects with lone surrogates", 64 * MIB)), is_full=True
    ),
    "full of damaged emoji": Case(
        lambda: _full(_kind_of("megabytes damaged with an emoji", 64 * MIB)), is_full=True
    ),
    "full of dense sign-ins": Case(lambda: _full(_dense), is_full=True),
    "full of plain lines": Case(lambda: _full(_random_lines), is_full=True),
}


def _beside(wrapper: str) -> Record:
    return Record(gz(envelope([TOKYO, wrapper])), OK, (TOKYO, wrapper))


CASES: dict[str, Case] = (
    _kinds(IN_ENVELOPES | IN_ONE | IN_LINES, "64 MiB", 64 * MIB)
    | _kinds(IN_ENVELOPES | IN_ONE | IN_LINES, "16 MiB", 16 * MIB - 1)
    | _kinds(IN_ENVELOPES | IN_ONE | IN_LINES, "4 KB", SMALL_TEXT)
    | _lines(A_MILLION_LINES)
    | OTHERS
)


# Checking an answer ------------------------------------------------------------------------------


def request(records: Iterable[Record]) -> dict[str, Any]:
    """Return the event. If it has thousands of records, their ids are as long as Firehose's."""
    made = event(*(record.data for record in records))
    if len(made["records"]) > 1000:
        for number, record in enumerate(made["records"]):
            record["recordId"] = f"{number:062d}"
    return made


def faults(
    records: list[Record], answer: Any, stream: list[bytes], *, names: str = ONE
) -> list[str]:
    """Return the errors in an answer and in the records put back into `stream`.

    If every event is selected (`*`), only the sign-ins are checked, not the records' results.
    """
    ids = [record["recordId"] for record in request(records)["records"]]
    if not isinstance(answer, dict) or "records" not in answer:
        return [f"no answer: {str(answer)[:200]}"]
    if [each["recordId"] for each in answer["records"]] != ids:
        return ["other ids, or in another order"]
    found: list[str] = []
    waiting = Counter(stream)
    expected: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    for number, (record, each) in enumerate(zip(records, answer["records"], strict=True)):
        result = each["result"]
        if result == DROPPED and waiting[record.data] > 0:
            waiting[record.data] -= 1
            result = PUT_BACK
        results = record.results
        # With many names, every message is parsed, so more records exceed a limit and fail.
        if names == MANY and DROPPED in results:
            results |= {FAILED}
        if names != EVERY and result not in results:
            found.append(f"record {number}: {result}, not {' or '.join(sorted(results))}")
        if result in (DELIVERED, DROPPED):
            expected.update(record.good)
        if "data" in each and record.good:
            lines.update(_lines_in(each["data"], record.good))
    wanted = set(expected)
    for data in waiting.elements() if wanted else ():
        text = zlib.decompress(data, 31)
        lines.update(
            each["message"] for each in json.loads(text)["logEvents"] if each["message"] in wanted
        )
    if lines != expected:
        found.append(
            f"sign-ins lost {(expected - lines).total()}, doubled {(lines - expected).total()}"
        )
    return found


def _lines_in(data: str, good: tuple[str, ...]) -> Iterable[str]:
    return (line for line in base64.b64decode(data).decode().split("\n")[:-1] if line in good)
