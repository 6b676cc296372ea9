"""Runs `console-login` as a user does, and checks its output and exit status."""

import base64
import gzip
import json
import os
import subprocess
from pathlib import Path

import pytest
from support import EVENTS, OSAKA, ROOT, TOKYO, envelope, event

COMMAND = str(ROOT / ".venv" / "bin" / "console-login")
ARTICLE = str(EVENTS / "article.json")
KEY_POLICY = ["key-policy", "--stack", "s", "--region", "us-east-1", "--account", "1" * 12]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [COMMAND, *arguments],
        env=os.environ | {"COLUMNS": "80"} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )


def test_transform_prints_results_and_then_the_unchanged_lines() -> None:
    done = run("transform", ARTICLE)
    assert done.returncode == 0
    *table, first, second = done.stdout.decode().splitlines()
    assert (first, second) == (TOKYO, OSAKA)
    assert [row.split()[:3] for row in table] == [
        ["record", "result", "reason"],
        ["001-control-message", "Dropped", "control_message"],
        ["002-tokyo", "Ok", "delivered"],
        ["003-osaka", "Ok", "delivered"],
    ]


@pytest.mark.parametrize("arguments", [["--version"], ["unpack", "--help"], ["unpack", ARTICLE]])
def test_a_full_disk_is_reported_on_one_line(arguments: list[str]) -> None:
    # stdout is buffered, as outside containers, so Python flushes it again at exit.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [COMMAND, *arguments], env=environment, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, done.stderr) == (
        2,
        "console-login: cannot write: No space left on device\n",
    )


def test_the_table_fits_a_terminal_of_80_columns() -> None:
    rows = run("transform", str(EVENTS / "poison.json")).stdout.decode().splitlines()[:15]
    table = [row for row in rows if not row.startswith("{")]
    assert table[0].split() == ["record", "result", "reason", "events", "lines", "bytes", "out"]
    assert any("ProcessingFailed malformed_event" in " ".join(row.split()) for row in table)
    assert all(len(row) <= 80 for row in table)


def test_transform_json_prints_only_the_response() -> None:
    done = run("transform", "--json", ARTICLE)
    answer = json.loads(done.stdout)
    assert [record["result"] for record in answer["records"]] == ["Dropped", "Ok", "Ok"]
    assert base64.b64decode(answer["records"][1]["data"]).decode() == TOKYO + "\n"


def test_lines_are_utf_8_in_any_locale() -> None:
    done = run("transform", str(EVENTS / "mixed.json"), LC_ALL="C", PYTHONUTF8="0")
    assert "例の利用者" in done.stdout.decode()


def test_the_functions_log_is_on_stderr() -> None:
    done = run("transform", ARTICLE)
    assert b"batch transformed" in done.stderr
    assert b"batch transformed" not in done.stdout


def test_pack_and_unpack_are_inverse(tmp_path: Path) -> None:
    source = tmp_path / "mine.jsonl"
    source.write_text(f"{TOKYO}\n{OSAKA}\n")
    packed = tmp_path / "packed.json"
    assert run("pack", str(source), "-o", str(packed)).returncode == 0
    heading, envelope, *messages = run("unpack", str(packed)).stdout.decode().splitlines()
    assert heading.startswith("001-mine  gzip, ")
    assert json.loads(envelope)["messageType"] == "DATA_MESSAGE"
    assert messages == [TOKYO, OSAKA]


@pytest.mark.parametrize("options", [[], ["--plain"], ["--plain", "--lines"], ["--lines"]])
def test_every_packing_is_transformed_to_the_same_line(options: list[str], tmp_path: Path) -> None:
    packed = tmp_path / "packed.json"
    run("pack", *options, str(EVENTS / "src" / "tokyo.jsonl"), "-o", str(packed))
    assert run("transform", str(packed)).stdout.decode().splitlines()[-1] == TOKYO


def test_unpack_shows_damage_without_a_traceback() -> None:
    done = run("unpack", str(EVENTS / "poison.json"))
    shown = done.stdout.decode()
    assert done.returncode == 0
    for words in ("not base64", "truncated", "damaged: ", "only the first 1,048,576"):
        assert words in shown
    assert len(shown) < 1_000_000


def test_help_lists_the_commands() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert all(name in done.stdout.decode() for name in ("pack", "transform", "unpack"))
    assert run().returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["transform"], "Missing argument"),
        (["transform", "nowhere.json"], "nowhere.json: No such file"),
        (["transform", "."], "Is a directory"),
        (["transform", str(EVENTS / "src" / "tokyo.jsonl")], "not a Firehose transformation"),
        (["transform", str(ROOT / "Makefile")], "not JSON"),
        (["transform", str(ROOT / "docs/deployer-policy.json")], "console-login pack creates"),
        (["unpack", "nowhere.json"], "No such file"),
        (["unpack", str(EVENTS / "src" / "tokyo.jsonl")], "not a Firehose transformation"),
        (["pack", "-o", "out.json"], "Missing argument"),
        (["pack", ARTICLE], "Missing option"),
        (["pack", "nowhere.jsonl", "-o", "out.json"], "nowhere.jsonl: No such file"),
        (["pack", str(EVENTS / "src" / "tokyo.jsonl"), "-o", "no/such/x.json"], "No such file"),
        (["pack", str(ROOT / "Makefile"), "--wrong", "-o", "x"], "No such option"),
        (["wrong"], "No such command"),
        (["key-policy", "--stack", "s"], "Missing option"),
        ([*KEY_POLICY, "--stack", "9"], "not a stack name"),
        ([*KEY_POLICY, "--region", "tokyo"], "is not a Region"),
        ([*KEY_POLICY, "--account", "1"], "is not an account id"),
        ([*KEY_POLICY, "--parameter", "SignInAlarms"], "write NAME=VALUE"),
        ([*KEY_POLICY, "--parameter", "=x"], "write NAME=VALUE"),
        ([*KEY_POLICY, "--parameter", "Nothing=x"], "no such parameter: Nothing"),
        ([*KEY_POLICY, "--parameter", "SignInAlarms=yes"], "must be one of false, true"),
        ([*KEY_POLICY, "--parameter", "ExistingKeyArn=x"], "must be the ARN of a key"),
    ],
)
def test_an_error_is_one_line_and_exit_status_2(arguments: list[str], words: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == b""
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("console-login: ")
    assert words in line


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000, b"[]", b'{"records":[null]}'])
def test_an_invalid_event_file_is_reported_on_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "event.json"
    path.write_bytes(content)
    for command in ("transform", "unpack"):
        done = run(command, str(path))
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


@pytest.mark.parametrize("name", ["trail.json", "trail.json.gz", "glued.jsonl", "envelopes.json"])
@pytest.mark.parametrize("options", [[], ["--plain", "--lines"]])
def test_events_in_each_format_are_packed_and_delivered(
    name: str, options: list[str], tmp_path: Path
) -> None:
    records = json.dumps({"Records": [json.loads(TOKYO), json.loads(OSAKA)]}, indent=1).encode()
    content = {
        "trail.json": records,
        "trail.json.gz": gzip.compress(records),
        "glued.jsonl": f"\ufeff{TOKYO}{OSAKA}".encode(),
        "envelopes.json": envelope([TOKYO]) + envelope([OSAKA]),
    }
    (tmp_path / name).write_bytes(content[name])
    packed = str(tmp_path / "packed.json")
    assert run("pack", *options, str(tmp_path / name), "-o", packed).returncode == 0
    assert run("transform", packed).stdout.decode().splitlines()[-2:] == [TOKYO, OSAKA]


def test_an_envelope_is_packed_unchanged(tmp_path: Path) -> None:
    (tmp_path / "e.json").write_bytes(envelope([TOKYO, "no JSON"], owner="444455556666"))
    assert run("pack", str(tmp_path / "e.json"), "-o", str(tmp_path / "out")).returncode == 0
    _, keys, *messages = run("unpack", str(tmp_path / "out")).stdout.decode().splitlines()
    assert json.loads(keys)["owner"] == "444455556666"
    assert messages == [TOKYO, "no JSON"]


def test_an_invalid_source_is_reported_on_one_line(tmp_path: Path) -> None:
    wrong = {
        "a.json": b"{",
        "b.jsonl": b"\xff",
        "c.json": b"[" * 200_000 + b"]" * 200_000,
        "d.json": (EVENTS / "article.json").read_bytes(),
        "e.jsonl": TOKYO[:-9].encode(),
    }
    for name, content in wrong.items():
        (tmp_path / name).write_bytes(content)
        done = run("pack", str(tmp_path / name), "-o", str(tmp_path / "out"))
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert not (tmp_path / "out").exists()


def test_an_escaped_lone_surrogate_stays_escaped_when_packed(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_bytes(b'{"messageType":"\\ud800"}')
    done = run("pack", "--plain", str(tmp_path / "d.json"), "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    (record,) = json.loads((tmp_path / "out").read_text())["records"]
    assert base64.b64decode(record["data"]) == b'{"messageType":"\\ud800"}'


def test_an_invalid_configuration_is_reported_on_one_line() -> None:
    done = run("transform", ARTICLE, EVENT_NAMES="a*,b c")
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert "'a*'" in line
    assert "'b c'" in line


def test_event_names_are_read_from_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "event.json"
    path.write_text(json.dumps(event(b'{"eventName":"CheckMfa"}\n')))
    done = run("transform", str(path), EVENT_NAMES="CheckMfa")
    assert done.stdout.decode().splitlines()[-1] == '{"eventName":"CheckMfa"}'


def test_ids_with_any_characters_are_printed(tmp_path: Path) -> None:
    path = tmp_path / "event.json"
    path.write_text(json.dumps({"records": [{"recordId": "日本 \ud800", "data": ""}]}))
    for command in ("transform", "unpack"):
        done = run(command, str(path), PYTHONIOENCODING="ascii")
        assert done.returncode == 0, done.stderr.decode()
        assert "日本 \\ud800" in done.stdout.decode()
