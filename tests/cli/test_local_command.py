"""Runs `console-login local` as a user does."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import forked
import pytest
from support import EVENTS, OSAKA, ROOT, TOKYO

from console_login import cli

CLOCK = "2024-03-30T18:48:22+09:00"
ARTICLE = [str(EVENTS / "src" / "tokyo.jsonl"), str(EVENTS / "src" / "osaka.jsonl")]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [forked.command(), "local", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_demo_shows_two_lines_in_the_days_folder() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (command,) = re.findall(r"^demo:.*\n\t@console-login local (.*)$", makefile, re.MULTILINE)
    done = run(*command.split(), "--clock", CLOCK)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert re.search(r"^events in +102 *$", done.stdout, re.MULTILINE)
    assert re.search(r"^events picked +2 *$", done.stdout, re.MULTILINE)
    assert re.search(
        r"  consolelogin/2024/03/30/\S+\.json  2,368 bytes  key \S+$", done.stdout, re.MULTILINE
    )
    assert [line for line in lines if line.startswith("{")] == [TOKYO, OSAKA]
    assert lines[-1] == (
        "102 events: 2 delivered, 100 not selected, 0 in the error output prefix; nothing lost"
    )


def test_json_output_and_objects_on_disk(tmp_path: Path) -> None:
    done = run(*ARTICLE, "--clock", CLOCK, "--json", "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    document: Any = json.loads(done.stdout)
    assert document["stages"]["records delivered"] == 1
    assert document["account"]["is_balanced"] is True
    assert document["account"]["delivered"] == 2
    (stored,) = document["objects"]
    assert stored["is_error"] is False
    assert (tmp_path / "out" / stored["key"]).read_text() == f"{TOKYO}\n{OSAKA}\n"
    assert stored["size"] == (tmp_path / "out" / stored["key"]).stat().st_size


def test_a_clock_without_an_offset_uses_the_time_zone_parameter() -> None:
    arguments = ("--parameter", "TimeZone=UTC", "--clock", "2024-03-30T23:59", "--json")
    (stored,) = json.loads(run(*ARTICLE, *arguments).stdout)["objects"]
    assert stored["key"].startswith("consolelogin/2024/03/30/")
    arguments = ("--clock", "2024-03-30T00:00", "--json")
    (stored,) = json.loads(run(*ARTICLE, *arguments).stdout)["objects"]
    assert stored["key"].startswith("consolelogin/2024/03/30/")


def test_the_functions_log_is_written_to_the_given_file(tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = run(*ARTICLE, "--log", str(log))
    assert done.returncode == 0
    messages = [json.loads(line) for line in log.read_text().splitlines()]
    (summary,) = [each for each in messages if each.get("message") == "batch transformed"]
    assert summary["service"] == "console-login-firehose"
    assert "batch transformed" not in done.stdout + done.stderr


def test_failures_and_duplicates_are_counted_and_nothing_is_lost() -> None:
    faults = ("--fail", "lambda:1", "--fail", "duplicate:1")
    done = run(*ARTICLE, *faults, "--generate", "50", "--sign-ins", "0", "--json")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert document["account"]["in_error_prefix"] == 2
    assert document["account"]["duplicates"] == 2
    assert set(document["failed_by_code"]) == {"Lambda.FunctionError"}


def test_a_loss_lists_the_missing_events_and_exits_1() -> None:
    done = run(*ARTICLE, "--fail", "s3:1")
    assert done.returncode == 1
    assert "MISSING 2: " in done.stdout
    for message in (TOKYO, OSAKA):
        assert json.loads(message)["eventID"] in done.stdout


@pytest.mark.parametrize("form", ["glued", "lookup-events", "filter-log-events", "bom"])
def test_events_in_each_format_are_delivered(form: str, tmp_path: Path) -> None:
    forms = {
        "glued": TOKYO + OSAKA,
        "lookup-events": json.dumps({"Events": [{"CloudTrailEvent": e} for e in (TOKYO, OSAKA)]}),
        "filter-log-events": json.dumps({"events": [{"message": e} for e in (TOKYO, OSAKA)]}),
        "bom": f"\ufeff{TOKYO}\n{OSAKA}\n",
    }
    (tmp_path / "events").write_text(forms[form], encoding="utf-8")
    done = run(str(tmp_path / "events"))
    last = "2 events: 2 delivered, 0 not selected, 0 in the error output prefix; nothing lost"
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, last)


def test_a_truncated_line_is_an_error_and_not_skipped(tmp_path: Path) -> None:
    (tmp_path / "cut.jsonl").write_text(f"{TOKYO}\n{OSAKA[:-300]}\n")
    done = run(str(tmp_path / "cut.jsonl"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "cut.jsonl line 2: the line is not JSON, or is cut off" in done.stderr


def test_the_users_aws_configuration_has_no_effect() -> None:
    environment = {"AWS_PROFILE": "nowhere", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    done = run(*ARTICLE, AWS_CONFIG_FILE=str(ROOT / "Makefile"), **environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to do"),
        (["nowhere.jsonl"], "nowhere.jsonl: No such file"),
        ([str(ROOT / "Makefile")], "Makefile line 1: the line is not JSON"),
        ([str(ROOT / "docs")], ".md line 1: the line is not JSON"),
        ([str(EVENTS / "article.json")], "a Firehose transformation event: use console-login tr"),
        ([*ARTICLE, "--parameter", "Nothing=1"], "no such parameter: Nothing"),
        ([*ARTICLE, "--parameter", "Prefix=x"], "must be a plain folder"),
        ([*ARTICLE, "--parameter", "Prefix"], "write NAME=VALUE"),
        ([*ARTICLE, "--parameter", "EventNames=a*"], "plain event names"),
        ([*ARTICLE, "--parameter", "TimeZone=Mars"], "must be an IANA time zone name"),
        # Firehose rejects names of three letters. Athena reads objects that end in .gz as gzip.
        ([*ARTICLE, "--parameter", "TimeZone=EST"], "must be an IANA time zone name"),
        ([*ARTICLE, "--parameter", "FileExtension=.json.gz"], "not end in .gz"),
        (
            [*ARTICLE, "--parameter", "EventNames=" + ",".join(["x" * 100] * 12)],
            "498 characters at most",
        ),
        ([*ARTICLE, "--runtime", "docker"], "'docker' is not one of"),
        ([*ARTICLE, "--fail", "disk"], "available: lambda"),
        ([*ARTICLE, "--fail", "s3:2"], "is not a share"),
        ([*ARTICLE, "--fail", "s3:"], "is not a share"),
        ([*ARTICLE, "--clock", "noon"], "not a time: write 72h, 3d, "),
        ([*ARTICLE, "--generate", "-1"], "-1"),
        (["--generate", "1", "--sign-ins", "2"], "2"),
        ([*ARTICLE, "--seed", "x"], "'x' is not a valid"),
        ([*ARTICLE, "--out", str(ROOT / "Makefile")], "Makefile is not a folder"),
        ([*ARTICLE, "--out", str(ROOT / "Makefile" / "x")], "Makefile is not a folder"),
        ([*ARTICLE, "--log", "no/such/folder/log"], "No such file"),
        ([*ARTICLE, "--port", "99999", "--serve"], "99999"),
        ([*ARTICLE, "--port", "4566"], "--port needs --serve"),
        ([*ARTICLE, "--serve", "--json"], "cannot be combined with --out, --json or --clock"),
        ([*ARTICLE, "--clock", "9999-12-31T23:59:59Z"], "from 1971 to 9998"),
        ([*ARTICLE, "--clock", "0001-01-01T00:00:00+09:00"], "from 1971 to 9998"),
        (["--generate", str(10**26)], "--generate"),
        (["--generate", "1", "--sign-ins", "nan"], "--sign-ins"),
        ([*ARTICLE, "--parameter", "BufferSizeMiB=1.5"], "not a whole number"),
        ([*ARTICLE, "--parameter", "ExpireAfterDays=1.5"], "not a whole number"),
        ([*ARTICLE, "--parameter", "Prefix=../../x/"], "must be a plain folder"),
        ([*ARTICLE, "--log", ARTICLE[0]], "would overwrite FILES"),
        ([str(EVENTS / "src"), "--log", ARTICLE[0]], "would overwrite FILES"),
        (
            [*ARTICLE, "--fail", "put-record-batch:timeout", "--runtime", "rie"],
            "needs --runtime in-process",
        ),
    ],
)
def test_a_users_error_is_one_line_and_exit_status_2(
    arguments: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["console-login", "local", *arguments])
    with pytest.raises(SystemExit) as raised:
        cli.main()
    printed = capsys.readouterr()
    assert raised.value.code == 2, printed.out
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("console-login: ")
    assert words in line


def test_an_error_in_a_separate_process_is_one_line_too() -> None:
    done = run("nowhere.jsonl")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"console-login: nowhere.jsonl: No such file or directory in {ROOT}\n"


def test_an_unwritable_log_is_reported_at_the_end() -> None:
    done = run(*ARTICLE, "--log", "/dev/full")
    assert done.returncode == 2
    assert done.stderr == "console-login: cannot write: No space left on device\n"


def test_a_closed_pipe_during_long_output_is_not_an_error(tmp_path: Path) -> None:
    source, event = tmp_path / "many.jsonl", tmp_path / "many.json"
    # More than a pipe's buffer, so the command itself writes to the closed pipe.
    source.write_text(f"{TOKYO}\n" * 500)
    program = [sys.executable, "-m", "console_login"]
    subprocess.run([*program, "pack", source, "-o", event], cwd=ROOT, check=True)
    command = shlex.join([*program, "transform", str(event)])
    shell = f"{command} 2>/dev/null | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_closed_pipe_is_not_an_error() -> None:
    program = [sys.executable, "-m", "console_login", "local", ARTICLE[0]]
    shell = f"{shlex.join(program)} --generate 5000 --sign-ins 1 | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith("stage")
    assert done.stderr == ""
    assert done.returncode in (0, 141)


def test_a_missing_build_is_reported_on_one_line(tmp_path: Path) -> None:
    # A copy of the package in a folder where nothing has been built.
    copy = tmp_path / "console_login"
    shutil.copytree(ROOT / "console_login", copy, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "template.yaml").write_bytes((ROOT / "template.yaml").read_bytes())
    command = [sys.executable, "-m", "console_login", "local", *ARTICLE, "--runtime", "rie"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "no built function" in line
    assert "run make build ARCHITECTURE=" in line


def test_a_port_in_use_is_reported_on_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("--serve", "--port", port)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"port {port} cannot be opened" in line
    assert "use --port PORT, or --port 0 for a free one" in line
