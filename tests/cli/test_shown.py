"""Checks that every command escapes hostile names and lines, and quotes names for a shell."""

import ast
import contextlib
import io
import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from doctored import access, endpoint
from serving import BUCKET, GROUP, Endpoint
from support import ROOT, TOKYO, envelope, event, gz

from console_login import cli, shown
from console_login.operate import permissions
from console_login.operate.access import Access

__all__ = ["access", "endpoint"]

STACK = "console-login-firehose"
# Clear screen, window title, one-byte CSI, right-to-left characters and line breaks.
HOSTILE = "x $(touch y) \x1b[2J\x1b]0;t\x07\x9b2J\u202e\u2028\u2066\x7f\r\nforged `z`"
# moto does not accept a key with a line break.
KEY = "consolelogin/processing-failed/2024/03/30/" + HOSTILE.replace("\r\n", "")


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-northeast-1")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.chdir(tmp_path)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    monkeypatch.setattr(sys, "argv", ["console-login", *arguments])
    with pytest.raises(SystemExit) as raised:
        cli.main()
    return raised.value.code


def check(printed: str) -> None:
    for line in printed.split("\n"):
        assert line.isprintable(), ascii(line)
        assert not line.startswith("forged")


# Names from the user or the user's scripts -------------------------------------------------------

# The required arguments of each command.
REQUIRED = {
    "pack": ["-o", "packed.json", "in.jsonl"],
    "unpack": ["in.json"],
    "transform": ["in.json"],
    "local": ["in.jsonl"],
    "preflight": [],
    "doctor": ["--stack", STACK],
    "redrive": ["--stack", STACK],
    "backfill": ["--stack", STACK, "--start", "1h"],
    "compare": ["in.jsonl", "in.jsonl"],
    "key-policy": ["--stack", STACK, "--region", "us-east-1", "--account", "111122223333"],
    "drain": ["--stack", STACK],
}


def given_by_users() -> Iterator[tuple[str, str | None]]:
    """Yield each command with its options that accept any text, and with None for arguments."""
    for name, command in cli.cli.commands.items():
        for parameter in command.params:
            is_text = isinstance(parameter.type, click.Path) or parameter.type is click.STRING
            if isinstance(parameter, click.Option) and is_text:
                yield name, parameter.opts[0]
            elif isinstance(parameter, click.Argument):
                yield name, None


@pytest.mark.parametrize(("command", "option"), sorted(set(given_by_users()), key=str), ids=str)
def test_a_hostile_argument_is_escaped(
    command: str,
    option: str | None,
    endpoint: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("in.jsonl").write_text(f"{TOKYO}\n")
    Path("in.json").write_text(json.dumps(event(gz(envelope([TOKYO])))))
    Path("samconfig.toml").write_text("")
    arguments = [command, *REQUIRED[command]]
    if option is None:
        arguments = [each if not each.startswith("in.") else HOSTILE for each in arguments]
        assert HOSTILE in arguments
    else:
        arguments += [option, HOSTILE]
    served = "--endpoint-url" in {each for p in cli.cli.commands[command].params for each in p.opts}
    if served and option != "--endpoint-url":
        arguments += ["--endpoint-url", endpoint.url]
    run(monkeypatch, *arguments)
    printed = capsys.readouterr()
    check(printed.out)
    # Skip the function's log: its JSON is printed as Lambda writes it.
    check("".join(line for line in printed.err.splitlines(True) if not line.startswith("{")))


# Names in files and in AWS -----------------------------------------------------------------------


def test_a_hostile_name_in_a_settings_file_is_escaped(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"stack_name": HOSTILE, "parameter_overrides": [f"Name={HOSTILE}"]}
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    Path("samconfig.toml").write_text("\n".join(["[default.deploy.parameters]", *lines]))
    for more in ([], ["--json"]):
        run(monkeypatch, "preflight", "--endpoint-url", endpoint.url, *more)
        printed = capsys.readouterr()
        check(printed.out + printed.err)


def test_a_hostile_file_name_in_a_folder_is_escaped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("folder").mkdir()
    (Path("folder") / f"{HOSTILE}.jsonl").write_text("x\n")
    for arguments in (
        ("compare", "folder", "folder"),
        ("local", "folder"),
        ("pack", "folder", "-o", "packed.json"),
    ):
        assert run(monkeypatch, *arguments) in (1, 2)
        printed = capsys.readouterr()
        check(printed.out + printed.err)
        assert arguments[0] == "pack" or r"\x1b[2J" in printed.out + printed.err


@pytest.fixture
def hostile_stack(endpoint: Endpoint) -> Iterator[None]:
    """Give the filter and an error object of the served stack a hostile name."""
    logs, s3 = endpoint.client("logs"), endpoint.client("s3")
    (ours,) = logs.describe_subscription_filters(logGroupName=GROUP)["subscriptionFilters"]
    keys = ("logGroupName", "filterPattern", "destinationArn", "roleArn")
    kept = {key: ours[key] for key in keys}
    other = kept | {"filterPattern": '{ $.eventName = "other" }'}
    failed = json.dumps({"rawData": "!", "errorCode": HOSTILE, "attemptsMade": 1})
    logs.delete_subscription_filter(logGroupName=GROUP, filterName=ours["filterName"])
    logs.put_subscription_filter(**other, filterName=HOSTILE)
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=f"{failed}\n".encode())
    yield
    s3.delete_object(Bucket=BUCKET, Key=KEY)
    logs.delete_subscription_filter(logGroupName=GROUP, filterName=HOSTILE)
    logs.put_subscription_filter(**kept, filterName=ours["filterName"])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["doctor"], True),
        (["doctor", "--json"], True),
        (["redrive", "--dry-run"], True),
        (["redrive", "--dry-run", "--json"], True),
        (["redrive", "--yes"], True),
        (["redrive", "--settle", KEY, "--yes"], True),
        (["drain", "--dry-run"], True),
        (["drain", "--dry-run", "--json"], True),
        (["backfill", "--start", "1h", "--dry-run"], False),
    ],
    ids=str,
)
def test_a_hostile_name_in_aws_is_escaped(
    arguments: list[str],
    named: bool,
    hostile_stack: None,
    access: Access,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("console_login.cli.options.access", lambda *_: access)
    run(monkeypatch, *arguments, "--stack", STACK)
    printed = capsys.readouterr()
    check(printed.out + printed.err)
    assert ("[2J" in printed.out) == named


@pytest.mark.parametrize(
    "name", [HOSTILE, "`touch y` of Other", "x; touch y", "x > y", "x & touch y"]
)
def test_a_name_in_a_comment_runs_nothing(name: str, tmp_path: Path) -> None:
    # Interactive zsh does not support comments, and bash can disable them.
    place = permissions.Place("true", "echo put")
    get, edit, put = permissions.changes(place, [name, "statement 1 of Other"])
    assert edit.isprintable()
    script = f"shopt -u interactive_comments\n{get}\n{edit}\n{put}\n"
    ran = subprocess.run(
        ["bash", "--norc", "-i"],
        input=script,
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        start_new_session=True,
        env={"PATH": os.environ["PATH"], "HISTFILE": ""},
    )
    assert "#: command not found" in ran.stderr
    assert ran.stdout == "put\n"
    assert [each.name for each in tmp_path.iterdir()] == ["policy.json"]
    assert shown.comment("statement 1 of Other") == "statement 1 of Other"


def test_a_shell_reads_a_quoted_name_unchanged(tmp_path: Path) -> None:
    typed = shown.command(["printf", r"%s\0", HOSTILE, "it's", "\\", ""])
    assert typed.isprintable()
    done = subprocess.run(["bash", "-c", typed], cwd=tmp_path, check=True, capture_output=True)
    assert done.stdout.decode().split("\0")[:-1] == [HOSTILE, "it's", "\\", ""]
    assert list(tmp_path.iterdir()) == []


# Lines of data -----------------------------------------------------------------------------------

# A JSON string may contain these characters unescaped.
LINE = TOKYO.replace('"userAgent":"', '"userAgent":"\x9b2J\u202e\x7f')


@contextlib.contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Make stdout and stderr a terminal. Its output is in the list after the block."""
    reader, writer = pty.openpty()
    came: list[str] = []
    parts: list[bytes] = []

    def read() -> None:
        # At the end of the output, Linux returns an error.
        with contextlib.suppress(OSError):
            while part := os.read(reader, 65536):
                parts.append(part)

    thread = threading.Thread(target=read)
    thread.start()
    with os.fdopen(writer, "w", encoding="utf-8") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        yield came
    thread.join()
    os.close(reader)
    came.append(b"".join(parts).decode())


@pytest.mark.parametrize("command", ["unpack", "transform", "local"])
def test_lines_are_escaped_on_a_terminal_and_unchanged_in_a_pipe(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert LINE != TOKYO
    # Without line breaks, at which a plain record would be split.
    plain = HOSTILE.replace("\n", "").encode()
    packed = event(gz(envelope([LINE, HOSTILE])), plain, HOSTILE.replace("\n", ""))
    packed["records"][0]["recordId"] = HOSTILE
    Path("event.json").write_text(json.dumps(packed))
    Path("event.jsonl").write_text(f"{LINE}\n")
    source = "event.jsonl" if command == "local" else "event.json"
    assert not run(monkeypatch, command, source)
    printed = capsys.readouterr().out
    assert LINE in printed.split("\n")
    if command != "local":
        # The record's id is not data, so it is escaped.
        assert "]0;t\\x07\\x9b2J\\u202e" in printed.replace("\n", "").replace(" ", "")
    with terminal(monkeypatch) as came:
        assert not run(monkeypatch, command, source)
    (text,) = came
    assert r"\x9b2J\u202e" in text
    # Remove the styles of rich and click, and the cursor controls of a progress bar.
    styled = re.sub(r"\x1b\[(\d+(;\d+)*m|0m|1A|2K|\?25[lh])", "", text)
    check(styled.replace("\r", ""))


# Code that prints --------------------------------------------------------------------------------


def test_all_output_goes_through_one_module() -> None:
    found = []
    for path in sorted((ROOT / "console_login").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            is_printing = called in ("print", "click.echo", "click.secho", "click.style")
            if not is_printing and not re.search(r"\bstd(out|err)\.write", called):
                continue
            is_fixed = all(isinstance(each, ast.Constant) for each in node.args)
            # json.dumps escapes all but printable ASCII, unless ensure_ascii is given.
            is_escaped = re.search(
                r"\bshown\.|\bjson\.dumps\((?!.*ensure_ascii)", ast.unparse(node)
            )
            if not is_fixed and not is_escaped:
                found.append(f"{path.relative_to(ROOT)}: {ast.unparse(node)}")
    assert found == [
        # An interruption, and texts that contain only counts.
        "console_login/__main__.py: sys.stderr.write('\\n' * sys.stderr.isatty() +"
        " 'console-login: interrupted\\n')",
        "console_login/cli/options.py: click.echo(f'{question} [y/N]: ', nl=False, err=True)",
        "console_login/cli/options.py: click.echo(f'nothing was {done}')",
        "console_login/shown.py: sys.stdout.write(f'{(text(line) if escapes else line)}\\n')",
    ]
