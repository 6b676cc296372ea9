"""`console-login doctor` on lines that share an eventID and differ."""

import gzip
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from doctored import STACK, Refusing, examined, only_finding, result_of
from serving import BUCKET
from support import TOKYO

from console_login.operate import copies
from console_login.operate.access import Access
from console_login.operate.checks import FINDING, OK, UNCHECKED
from console_login.operate.subject import Subject

ID = json.loads(TOKYO)["eventID"]
FORGED = TOKYO.replace('"sourceIPAddress":"', '"sourceIPAddress":"192.0.2.1","sourceIPAddress":"')

pytestmark = pytest.mark.usefixtures("credentials")


@pytest.fixture
def put(access: Access) -> Iterator[Callable[..., None]]:
    """Put an object into today's folder."""
    s3 = access.client("s3")
    keys = []

    def put(name: str, body: bytes | str) -> None:
        # The folders are in the stack's time zone.
        day = time.strftime("%Y/%m/%d", time.gmtime(time.time() + 9 * 3600))
        keys.append(f"consolelogin/{day}/{name}")
        s3.put_object(Bucket=BUCKET, Key=keys[-1], Body=body)

    yield put
    for key in keys:
        s3.delete_object(Bucket=BUCKET, Key=key)


def test_a_repeated_or_respelled_line_is_a_copy(access: Access, put: Any) -> None:
    before = examined(access)["copies"]
    assert before.status == OK
    respelled = json.dumps(json.loads(TOKYO))
    put("copy", gzip.compress(f"{TOKYO}\n{TOKYO}\n\n{respelled}\n".encode()))
    found = examined(access)["copies"]
    assert (found.status, found.findings) == (OK, [])
    count = int(before.looked_at[0].split()[0])
    assert found.looked_at[0].startswith(f"{count + 3} lines in ")


def test_a_forged_line_is_a_finding(access: Access, put: Any) -> None:
    put("forged", FORGED)
    finding = only_finding(access, "copies")
    assert finding.problem.startswith(f"1 eventID has lines that differ: {ID}; CloudTrail writes")
    assert finding.remedy[0] == "# the lines: the saved query differing-lines of athena.yaml"
    lookup = (
        f" cloudtrail lookup-events --lookup-attributes AttributeKey=EventId,AttributeValue={ID}"
    )
    assert lookup in finding.remedy[2]
    # Nothing of a line is printed.
    assert "192.0.2.1" not in f"{finding}"


def test_many_forged_lines_are_counted(access: Access, put: Any) -> None:
    lines = [json.dumps({"eventID": f"e-{n}", "n": m}) for n in range(9) for m in range(2)]
    put("forged", "\n".join(lines))
    finding = only_finding(access, "copies")
    assert finding.problem.startswith("9 eventIDs have lines that differ: e-0, e-1, ")
    assert " e-4 and 4 more; " in finding.problem


def test_objects_older_than_the_window_are_not_read(access: Access, put: Any) -> None:
    put("forged", FORGED)
    later = Subject(access, STACK, 1, time.time() + 2 * 3600)
    result = result_of("copies", later)
    assert (result.status, result.looked_at) == (OK, ["0 lines in 0 objects of 1 hour"])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("no event", "1 line without an eventID"),
        ('{"eventID":"\\u001b[2J"}', "1 line without an eventID"),
        (b"[" * 100_000, "1 line without an eventID"),
        (gzip.compress(b"x" * 100, mtime=0)[:-9], "/odd: its gzip is damaged"),
        (b"x" * 5 * 1024 * 1024, "/odd: a line is too long"),
    ],
)
def test_lines_that_cannot_be_compared_are_never_ok(
    body: Any, words: str, access: Access, put: Any
) -> None:
    put("odd", body)
    result = examined(access)["copies"]
    assert result.status == UNCHECKED
    assert words in result.unchecked[0]
    # It hides no finding either.
    put("forged", FORGED)
    assert examined(access)["copies"].status == FINDING


@pytest.mark.parametrize(
    ("bound", "value", "words"),
    [
        ("MAX_LISTED", 1, "0 of 0 objects were read, the newest: there are more than 1;"),
        ("MAX_OBJECTS", 1, "the newest: no more than 1 are read;"),
        ("MAX_READ_BYTES", 1, "no more than 0 MiB are read;"),
        ("MAX_LINES", 1, "no more than 1 lines are read;"),
        ("MAX_SECONDS", -1, "minutes are allowed;"),
    ],
)
def test_objects_past_a_limit_could_not_be_checked(
    bound: str, value: int, words: str, access: Access, put: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("one", TOKYO)
    put("two", f"{TOKYO}\n{TOKYO}")
    monkeypatch.setattr(copies, bound, value)
    result = examined(access)["copies"]
    assert result.status == UNCHECKED
    assert words in result.unchecked[0]
    assert "the saved query differing-lines of athena.yaml reads all" in result.unchecked[0]


def test_the_newest_objects_are_read_first(
    access: Access, put: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("a", f"{TOKYO}\n{FORGED}")
    time.sleep(1)
    put("0", TOKYO)
    monkeypatch.setattr(copies, "MAX_OBJECTS", 1)
    assert examined(access)["copies"].findings == []
    put("a", f"{TOKYO}\n{FORGED}")
    time.sleep(1)
    put("b", TOKYO)
    monkeypatch.setattr(copies, "MAX_OBJECTS", 2)
    assert examined(access)["copies"].status == FINDING


def test_a_denied_read_could_not_be_checked(access: Access, put: Any) -> None:
    put("one", TOKYO)
    result = examined(Refusing(access, "get_object"))["copies"]
    assert result.status == UNCHECKED
    assert "AccessDenied" in result.unchecked[0]
