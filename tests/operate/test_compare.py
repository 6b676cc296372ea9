"""`console-login compare`: two folders of objects, by eventID."""

import gzip
import json
from pathlib import Path

from click.testing import CliRunner
from support import OSAKA, TOKYO

from console_login.cli import cli
from console_login.errors import SourceError

OTHER = TOKYO.replace('"eventName":"ConsoleLogin"', '"eventName":"CheckMfa"')
NO_ID = json.dumps({"eventName": "ConsoleLogin", "n": 1})


def run(tmp_path: Path, old: str, new: bytes | str, *options: str) -> tuple[int, list[str]]:
    for name, body in (("old", old), ("new", new)):
        # As native extraction writes: no extension.
        path = tmp_path / name / "2026" / "stream-1-2026"
        path.parent.mkdir(parents=True)
        path.write_bytes(body if isinstance(body, bytes) else body.encode())
    paths = [str(tmp_path / "old"), str(tmp_path / "new")]
    done = CliRunner().invoke(cli, ["compare", *paths, *options])
    return done.exit_code, done.output.splitlines()


def test_the_same_sign_ins_are_the_same_whatever_else_one_side_has(tmp_path: Path) -> None:
    new = gzip.compress(f"{OSAKA}\n{TOKYO}\n{TOKYO}\n{NO_ID}\n".encode())
    status, lines = run(tmp_path, f"{TOKYO}\n{OTHER}\n{OSAKA}\n{NO_ID}\n", new)
    assert (status, lines) == (
        0,
        [
            "old  3 events, 0 copies besides",
            "new  3 events, 1 copy besides",
            "the same events on both sides",
        ],
    )


def test_what_one_side_lacks_is_named_and_exits_with_1(tmp_path: Path) -> None:
    status, lines = run(tmp_path, f"{TOKYO}\n", f"{OSAKA}\n{NO_ID}\n")
    assert status == 1
    assert lines[2] == f"only old has 1: {json.loads(TOKYO)['eventID']}"
    assert lines[3].startswith(f"only new has 2: {json.loads(OSAKA)['eventID']}, sha256:")


def test_other_events_count_where_they_are_asked_for(tmp_path: Path) -> None:
    line = f"{TOKYO.replace('eventID', 'id')}\n"
    assert run(tmp_path, line + f"{OTHER}\n", line, "--event-names", "*")[0] == 1


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    done = CliRunner().invoke(cli, ["compare", str(tmp_path / "old"), str(tmp_path / "new")])
    assert isinstance(done.exception, SourceError)
    assert str(done.exception).startswith(f"{tmp_path / 'old'}: there is no file in it: copy")


def test_nothing_on_both_sides_proves_nothing(tmp_path: Path) -> None:
    status, lines = run(tmp_path, f"{OTHER}\n", f"{OTHER}\n")
    assert (status, lines[2:]) == (1, ["neither side has a selected event"])


def test_an_id_that_is_none_is_not_printed(tmp_path: Path) -> None:
    odd = json.dumps({"eventName": "ConsoleLogin", "eventID": "a b\nalice@example.com"})
    status, lines = run(tmp_path, f"{odd}\n", f"{TOKYO}\n")
    assert status == 1
    assert "alice" not in "".join(lines)
