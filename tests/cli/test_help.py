"""Checks help texts, runs their examples, and checks version, suggestions and completion."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click
import forked
import pytest
from serving import REGION, Endpoint, serving
from support import EVENTS, ROOT

from console_login.cli import cli

COMMAND = ROOT / ".venv" / "bin" / "console-login"
COMMANDS = {"": cli, **cli.commands}
# A fragment, which lacks a noun or a verb, begins with one of these words.
FRAGMENT = re.compile(r"(?:Of|Such|With|Without|What|Where|When|How|Also|Keeps)\b")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments],
        env=os.environ | {"COLUMNS": "80"} | environment,
        capture_output=True,
        text=True,
    )


def help_of(name: str) -> str:
    done = run(*filter(None, [name]), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def examples(name: str) -> list[str]:
    """Return a command's examples. Lines that continue end with a backslash."""
    _, _, shown = help_of(name).partition("\nExamples:\n")
    return re.findall(r"^  (console-login(?:.*\\\n)*.*)$", shown, re.MULTILINE)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with serving("events/src/tokyo.jsonl") as running:
        running.lines(1)
        yield running


@pytest.mark.parametrize("name", COMMANDS)
def test_each_help_text_ends_with_one_or_two_examples(name: str) -> None:
    _, _, shown = help_of(name).partition("\nExamples:\n")
    found = examples(name)
    assert 1 <= len(found) <= 2
    assert shown == "".join(f"  {each}\n" for each in found)
    assert all(len(line) <= 100 for line in shown.splitlines())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_runs(name: str, endpoint: Endpoint, tmp_path: Path) -> None:
    shutil.copy(EVENTS / "src" / "tokyo.jsonl", tmp_path / "my-events.jsonl")
    shutil.copy(EVENTS / "mixed.json", tmp_path / "packed.json")
    shutil.copy(ROOT / "samconfig.toml", tmp_path)
    environment = os.environ | {
        "PATH": f"{forked.command(1, forks=False).parent}:{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": endpoint.url,
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": REGION,
    }
    for each in examples(name):
        if "--serve" in each:
            # On a free port, because another example may use the default port.
            arguments = each.replace("console-login local", "").replace("--serve", "").split()
            with serving(*arguments, folder=tmp_path) as running:
                assert running.lines(1)
            continue
        done = subprocess.run(
            ["sh", "-euc", each], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{each}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        assert done.stdout or "-o packed.json" in each


def test_summaries_are_not_truncated() -> None:
    _, _, listed = help_of("").partition("\nCommands:\n")
    lines = listed.partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in lines] == sorted(cli.commands)
    for line in lines:
        assert line.endswith(".")
        assert not line.endswith("...")
        assert len(line) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_text_is_a_sentence(name: str) -> None:
    command = COMMANDS[name]
    texts = [each.help for each in command.params if isinstance(each, click.Option)]
    for text in [command.help, *texts]:
        assert text is not None
        assert re.match(r"[A-Z]", text), text
        assert text.rstrip().endswith("."), text
        assert not FRAGMENT.match(text), text
        assert len(text.split()) > 2, text


def test_the_version_is_the_package_version() -> None:
    done = run("--version")
    assert done.stdout == f"console-login {version('console-login-firehose')}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["redirve"], "No such command: redirve. Did you mean redrive?"),
        (["doctr", "--stack", "s"], "No such command: doctr. Did you mean doctor?"),
        (["wrong"], "No such command: wrong; see console-login --help"),
        (["--versoin"], "No such option: --versoin. Did you mean --version?"),
        (["doctor", "--stak", "s"], "No such option: --stak. Did you mean --stack?"),
        (["pack", "--wrong"], "No such option: --wrong; see console-login pack --help"),
        (["transform"], "Missing argument 'EVENT'; see console-login transform --help"),
    ],
)
def test_a_usage_error_suggests_a_name_or_the_help(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"console-login: {message}\n"


def test_commands_and_options_are_completed() -> None:
    def completed(words: str) -> set[str]:
        count = len(words.split(" ")) - 1
        done = run(_CONSOLE_LOGIN_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(count))
        assert (done.returncode, done.stderr) == (0, "")
        return set(done.stdout.split())

    assert completed("console-login re") == {"plain,redrive"}
    assert completed("console-login doctor --st") == {"plain,--stack"}
    assert "complete" in run(_CONSOLE_LOGIN_COMPLETE="bash_source").stdout


def test_the_help_imports_neither_rich_nor_aws() -> None:
    code = (
        "import sys; from console_login.cli import cli\n"
        "cli.main(['--help'], standalone_mode=False)\n"
        "print({'rich', 'boto3', 'botocore', 'moto', 'samtranslator'} & set(sys.modules))"
    )
    done = subprocess.run(
        [COMMAND.parent / "python", "-c", code], check=True, stdout=subprocess.PIPE, text=True
    )
    assert done.stdout.splitlines()[-1] == "set()"
