"""Decodes a record's `data` to UTF-8 text: base64, then gzip if it has the magic number."""

import codecs
import zlib
from typing import Any

import pybase64
from isal import isal_zlib

from transformer.outcome import Reason, RecordError

_GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952, section 2.3.1
GZIP_WRAPPER = 31  # zlib's wbits for data with a gzip header and a checked trailer

# A Firehose record of 1,000 KiB compressed 65 to one; real envelopes reach about ten to one.
MAX_DECOMPRESSED_BYTES = 64 * 1024 * 1024
# At the end of each member, zlib copies the rest of the piece. With the record as one piece, 50,000
# empty members (1,000 KB) take 2.7 times as long, and the factor grows with the record.
_PIECE_BYTES = 64 * 1024


def decode_base64(data: Any) -> bytes:
    """Return the bytes that Firehose encoded; raise RecordError `undecodable` if not base64."""
    try:
        return pybase64.b64decode(data, validate=True)
    except (TypeError, ValueError) as error:
        raise RecordError(Reason.UNDECODABLE) from error


def decompress(data: bytes) -> bytes:
    """Return the joined contents of all gzip members, or plain data unchanged.

    Raises RecordError: `too_large` past the limit, where decompression stops; `corrupt_gzip` for
    a truncated or damaged member, a wrong checksum, or trailing bytes that are not a member.
    """
    if not data.startswith(_GZIP_MAGIC):
        if len(data) > MAX_DECOMPRESSED_BYTES:
            raise RecordError(Reason.TOO_LARGE)
        return data
    # CloudWatch Logs writes one member. isal reads it twice as fast as zlib, which is used for
    # everything unusual: several members, a header of many kilobytes, damage.
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
    # In pieces, because with one emoji Python stores the whole text at four bytes per character.
    pieces = (text[start : start + _PIECE_BYTES] for start in range(0, len(text), _PIECE_BYTES))
    try:
        for _ in codecs.iterdecode(pieces, "utf-8"):
            pass
    except UnicodeDecodeError as error:
        raise RecordError(Reason.UNDECODABLE) from error
