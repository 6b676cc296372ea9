"""Malicious objects, which the commands must read in bounded memory and time."""

import os
import resource
import subprocess
import sys
import zlib
from pathlib import Path

from support import TOKYO, b64, envelope, gz

TESTS = Path(__file__).parents[1]
MEMORY = 1536 * 1024 * 1024
MIB = 1024 * 1024


def bomb(start: bytes, filling: bytes, mebibytes: int, end: bytes = b"") -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    piece = filling * (MIB // len(filling))
    parts = [start, *[piece] * mebibytes, end]
    return b"".join([*map(packer.compress, parts), packer.flush()])


def bounded(script: str, *bodies: bytes, folder: Path) -> list[str]:
    """Return what a script prints; it gets the bodies as files, in a process with little memory."""
    paths = []
    for number, body in enumerate(bodies):
        paths.append(folder / f"{number}")
        paths[-1].write_bytes(body)
    path = [TESTS, TESTS / "operate", TESTS.parent / "functions" / "transform"]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, paths)],
        env=os.environ
        | {
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "PYTHONPATH": os.pathsep.join(map(str, path)),
        },
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def error_line(record: bytes) -> bytes:
    return b'{"errorCode":"x","rawData":"%s"}\n' % b64(record).encode()


GOOD = error_line(gz(envelope([TOKYO])))
# Joined JSON objects: 16 KB that take the function about a second.
SLOW = error_line(gz(b"{}" * (8 * MIB - 1)))
DEEP = b'{"rawData":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"

REDRIVE = """
import sys
from pathlib import Path
from moto import mock_aws
from test_redrive import Bucket, FakeFirehose, job
from console_login.operate import error_objects, redrive
# Less than the default, to save time.
error_objects.MAX_DECOMPRESSED_BYTES = 100 * 1024 * 1024
redrive.MAX_OBJECT_SECONDS = 3
with mock_aws():
    bucket = Bucket()
    for path in map(Path, sys.argv[1:]):
        bucket.put_body(path.name, path.read_bytes())
    firehose = FakeFirehose()
    plan = job(firehose).plan()
    for each in plan.unusable:
        print(each.key[-1], each.line, each.reason)
    assert job(firehose).send(plan).is_complete
    print(len(firehose.accepted), "sent")
"""


def test_redrive_names_the_object_and_sends_the_others(tmp_path: Path) -> None:
    bodies = [
        bomb(b"", b"x\n", 24, GOOD),
        bomb(b"", b"\n", 2),
        bomb(b"", b"x", 130),
        gz(SLOW * 1000),
        DEEP + GOOD,
        GOOD,
    ]
    assert bounded(REDRIVE, *bodies, folder=tmp_path) == [
        "0 None more than 10,000 of its lines are not error records",
        "1 None it has more than 1,000,000 lines",
        "2 None it contains more than 100 MiB",
        "3 None its records take more than 3 s to check",
        "4 1 the line is not JSON",
        "2 sent",
    ]


DRAIN = """
import sys
from pathlib import Path
from support import TOKYO
from test_drain import DAY, FakeAccess, completed
from console_login.operate import drain, error_objects
error_objects.MAX_DECOMPRESSED_BYTES = 100 * 1024 * 1024
for folder, path in zip(("p/processing-failed", "p"), sys.argv[1:]):
    body = Path(path).read_bytes()
    _, found = completed(FakeAccess([TOKYO], {f"{folder}/{DAY}/e": body}), wait_minutes=0)
    print(found.unread, len(found.missing), found.is_safe)
"""


def test_drain_does_not_trust_what_it_cannot_read(tmp_path: Path) -> None:
    values = b'{"messageType":"DATA_MESSAGE","logEvents":[{"message":""}'
    record = gz(values + b",{}" * (20 * MIB) + b"]}")
    assert len(record) < 1_000_000
    delivered = bomb(b"", b"x", 130)
    done = bounded(DRAIN, error_line(record), delivered, folder=tmp_path)
    assert done == ["1 1 False", "1 1 False"]


BACKFILL = """
import sys
from pathlib import Path
from console_login.operate.error_objects import ObjectError
from console_login.operate.trail_source import _records
for path in sys.argv[1:]:
    try:
        print(sum(1 for _ in _records(Path(path).read_bytes())))
    except ObjectError as error:
        print(error)
"""


def test_backfill_leaves_out_a_file_of_too_much(tmp_path: Path) -> None:
    bodies = [
        bomb(b'{"Records":[{"a":"', b"x", 130),
        bomb(b'{"Records":[{"a":[{}', b",{}", 100),
        gz(b'{"Records":[' + TOKYO.encode() + b"]}"),
    ]
    assert bounded(BACKFILL, *bodies, folder=tmp_path) == [
        "it is larger than any CloudTrail log file",
        "it has more than 4,000,000 values",
        "1",
    ]
