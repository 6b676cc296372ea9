"""Firehose's error objects: JSON lines with the error and, in `rawData`, the original record.

https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-failure-handling.html
"""

import binascii
import contextlib
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from console_login.operate.access import one_line
from console_login.stack.limits import MAX_RECORD_BYTES, MIB

# Firehose's buffers hold at most 128 MiB, so Firehose did not write a much larger object.
MAX_OBJECT_BYTES = 256 * MIB
# Of the content, plain or decompressed. A record of one byte makes a line of about 300 bytes.
MAX_DECOMPRESSED_BYTES = 1024 * MIB
MAX_LINES = 1_000_000
MAX_JUNK_LINES = 10_000
# A record is 1,000 KiB before base64; the other fields are short.
MAX_LINE_BYTES = 4 * MIB

_GZIP_MAGIC = b"\x1f\x8b"
_ERROR_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")

# Errors that concern one object only; any other error would also occur for the next object.
_ERRORS_OF_ONE_OBJECT = {
    "NoSuchKey": "it no longer exists",
    "404": "it no longer exists",
    "PreconditionFailed": "it was overwritten in the meantime",
    "412": "it was overwritten in the meantime",
    "InvalidObjectState": "it is archived, and must be restored first",
}


class ObjectError(Exception):
    """A single object that cannot be read; the message says why."""


class ListedObject(NamedTuple):
    """An object of a listing; `etag` distinguishes it from a later object with the same key."""

    key: str
    size: int
    etag: str
    written: datetime | None = None


class ErrorRecord(NamedTuple):
    """A record that failed. line: from 1; error_code: Firehose's; raw_data: base64."""

    line: int
    error_code: str
    raw_data: str

    @property
    def data(self) -> bytes:
        return binascii.a2b_base64(self.raw_data)


class JunkLine(NamedTuple):
    """A line that is not an error record, and why."""

    line: int
    reason: str


def listed(s3: Any, bucket: str, prefix: str, after: str = "") -> Iterator[ListedObject]:
    """Yield the objects under a prefix in order, without the folders that the console creates.

    after: only keys that follow this one. Raises AccessError.
    """
    request = {"Bucket": bucket, "Prefix": prefix} | ({"StartAfter": after} if after else {})
    with one_line():
        for page in s3.get_paginator("list_objects_v2").paginate(**request):
            for each in page.get("Contents", ()):
                if each["Size"] or not each["Key"].endswith("/"):
                    yield ListedObject(
                        each["Key"], each["Size"], each["ETag"], each.get("LastModified")
                    )


def read(s3: Any, bucket: str, listed_object: ListedObject) -> bytes:
    """Return the content of a listed object. Raises ObjectError, AccessError."""
    if listed_object.size > MAX_OBJECT_BYTES:
        raise ObjectError(f"it is larger than {MAX_OBJECT_BYTES // MIB} MiB")
    with _errors_of_one_object():
        response = s3.get_object(Bucket=bucket, Key=listed_object.key, IfMatch=listed_object.etag)
        body: bytes = response["Body"].read()
        return body


def check_unchanged(s3: Any, bucket: str, listed_object: ListedObject) -> None:
    """Raise ObjectError if the object is no longer the one that was listed; AccessError."""
    with _errors_of_one_object():
        s3.head_object(Bucket=bucket, Key=listed_object.key, IfMatch=listed_object.etag)


@contextlib.contextmanager
def _errors_of_one_object() -> Iterator[None]:
    with one_line():
        try:
            yield
        except ClientError as error:
            why = _ERRORS_OF_ONE_OBJECT.get(error.response["Error"]["Code"])
            if why is None:
                raise
            raise ObjectError(why) from error


def records(body: bytes) -> Iterator[ErrorRecord | JunkLine]:
    """Yield the record of each line of an object: plain, or any number of gzip members.

    Blank lines are counted but skipped. Raises ObjectError if the object is damaged or too large;
    the records before the error may be damaged as well.
    """
    junk = 0
    for number, line in enumerate(lines(body), 1):
        if line is None:
            found: ErrorRecord | JunkLine = JunkLine(number, "the line is too long")
        elif line.strip():
            found = _record(number, line)
        else:
            continue
        junk += isinstance(found, JunkLine)
        if junk > MAX_JUNK_LINES:
            raise ObjectError(f"more than {MAX_JUNK_LINES:,} of its lines are not error records")
        yield found


def lines(body: bytes) -> Iterator[bytes | None]:
    """Yield each line, or None for a line that is too long. Raises ObjectError."""
    plain = io.BytesIO(body)
    stream = gzip.GzipFile(fileobj=plain) if body.startswith(_GZIP_MAGIC) else plain
    count = size = 0
    is_too_long = False
    try:
        while line := stream.readline(MAX_LINE_BYTES):
            size += len(line)
            if size > MAX_DECOMPRESSED_BYTES:
                raise ObjectError(f"it contains more than {MAX_DECOMPRESSED_BYTES // MIB:,} MiB")
            if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                is_too_long = True
                continue
            count += 1
            if count > MAX_LINES:
                raise ObjectError(f"it has more than {MAX_LINES:,} lines")
            yield None if is_too_long else line
            is_too_long = False
        if is_too_long:
            yield None
    except (EOFError, OSError, zlib.error) as error:
        raise ObjectError("its gzip is damaged") from error


def _record(number: int, line: bytes) -> ErrorRecord | JunkLine:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return JunkLine(number, "the line is not JSON")
    raw_data = fields.get("rawData") if isinstance(fields, dict) else None
    if not isinstance(raw_data, str):
        return JunkLine(number, "the line has no rawData")
    try:
        size = len(binascii.a2b_base64(raw_data, strict_mode=True))
    except ValueError:
        return JunkLine(number, "rawData is not base64")
    if size > MAX_RECORD_BYTES:
        return JunkLine(number, "rawData is larger than any record")
    code = fields.get("errorCode")
    # Codes are printed, so nothing else may pass.
    is_code = isinstance(code, str) and _ERROR_CODE.fullmatch(code)
    return ErrorRecord(number, code if is_code else "unknown", raw_data)
