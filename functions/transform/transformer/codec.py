"""A record's `data` to the UTF-8 text inside it: base64, and gzip where its magic number is."""

import codecs
import zlib
from typing import Any

import pybase64
from isal import isal_zlib

from transformer.outcome import Reason, RecordError

_GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952, section 2.3.1
GZIP_WRAPPER = 31  # zlib's wbits for a gzip header and a checked trailer around the data

# A Firehose record of 1,000 KiB at sixty-five to one; real envelopes reach about ten.
MAX_DECOMPRESSED_BYTES = 64 * 1024 * 1024
# Every member's end costs a copy of what is left of its piece. Fed whole, 50,000 empty members, a
# record of 1,000 KB, take 2.7 times as long, and the factor grows with the record.
_PIECE_BYTES = 64 * 1024


def decode_base64(data: Any) -> bytes:
    """Return the bytes that Firehose encoded; RecordError `undecodable` if it is no base64."""
    try:
        return pybase64.b64decode(data, validate=True)
    except (TypeError, ValueError) as error:
        raise RecordError(Reason.UNDECODABLE) from error


def decompress(data: bytes) -> bytes:
    """Return all gzip members' contents joined, or plain data as it is.

    Raises RecordError: `too_large` past the limit, where decompression stops; `corrupt_gzip`
    for a truncated or damaged member, a wrong checksum, or trailing bytes that are no member.
    """
    if not data.startswith(_GZIP_MAGIC):
        if len(data) > MAX_DECOMPRESSED_BYTES:
            raise RecordError(Reason.TOO_LARGE)
        return data
    # One member, as CloudWatch Logs writes it. isal is twice as fast as zlib, which takes
    # everything that is odd: several members, a header of many kilobytes, damage.
    try:
        only = isal_zlib.decompressobj(wbits=GZIP_WRAPPER)
        content = only.decompress(data, MAX_DECOMPRESSED_BYTES + 1)
        if len(content) > MAX_DECOMPRESSED_BYTES:
            raise RecordError(Reason.TOO_LARGE)
        if only.eof and not only.unused_data:
            return content
        del content
    except isal_zlib.IsalError:  # type: ignore[misc] # an instance in isal's stub
        pass
    contents: list[bytes] = []
    room, position = MAX_DECOMPRESSED_BYTES, 0
    while position < len(data):
        member = zlib.decompressobj(GZIP_WRAPPER)
        while not member.eof:
            piece = data[position : position + _PIECE_BYTES]
            if not piece:
                raise RecordError(Reason.CORRUPT_GZIP)
            try:
                content = member.decompress(piece, room + 1)
            except zlib.error as error:
                raise RecordError(Reason.CORRUPT_GZIP) from error
            room -= len(content)
            if room < 0:
                raise RecordError(Reason.TOO_LARGE)
            contents.append(content)
            position += len(piece) - len(member.unused_data)
    return b"".join(contents)


def check_utf8(text: bytes) -> None:
    """Raise RecordError `undecodable` unless `text` is UTF-8."""
    if text.isascii():
        return
    # In pieces: one emoji makes Python hold the whole text at four bytes a character.
    pieces = (text[start : start + _PIECE_BYTES] for start in range(0, len(text), _PIECE_BYTES))
    try:
        for _ in codecs.iterdecode(pieces, "utf-8"):
            pass
    except UnicodeDecodeError as error:
        raise RecordError(Reason.UNDECODABLE) from error
