"""Runs every command from the wheel, installed into a fresh environment outside the checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from importlib import metadata
from pathlib import Path

import packaged
import pytest
from serving import REGION, STREAM, Endpoint, serving
from support import EVENTS, ROOT, TOKYO

from console_login import shipped

STACK = STREAM.removesuffix("-DeliveryStream")
DEV_LOCK = ROOT / "requirements-dev.txt"
TRANSFORM = Path("functions") / "transform"
STRAYS = [".env", "console_login/.env", "console_login/notes.txt", "functions/transform/.env"]
STRAYS += ["functions/transform/requirements.local.txt", "functions/transform/transformer/.env"]


def uv(*arguments: str | Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    done = subprocess.run(
        [packaged.uv(), *arguments], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def build(checkout: Path, output: Path, *options: str) -> Path:
    """Return the wheel that the locked hatchling builds."""
    python = ("--no-build-isolation", "--python", sys.executable)
    uv("build", *python, *options, "--out-dir", output, checkout)
    (wheel,) = output.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the packaged files, with stray files."""
    unneeded = (".*", "dist", "tests", "docs", "benchmarks", "events")
    return packaged.copied(tmp_path_factory.mktemp("checkout") / "copy", unneeded, STRAYS)


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel, built from the sdist in the same folder."""
    return build(checkout, tmp_path_factory.mktemp("dist"))


class Installed:
    """The command in a separate environment, run in a read-only folder."""

    def __init__(self, wheel: Path, root: Path) -> None:
        self.environment = root / "an environment 日本"
        self.folder = root / "with blank 日本"
        self.out = root / "out"
        self.home = root / "home"
        for each in (self.folder, self.out, self.home):
            each.mkdir()
        python = self.environment / "bin" / "python"
        uv("venv", "--python", sys.executable, self.environment)
        uv("pip", "install", "--python", python, "--constraint", DEV_LOCK, wheel)
        self.program = str(self.environment / "bin" / "console-login")
        self.variables = {
            "PATH": os.defpath,
            "HOME": str(self.home),
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": REGION,
        }
        shutil.copy(EVENTS / "src" / "tokyo.jsonl", self.folder)
        # root can write here anyway, so `files` also finds new files.
        self.folder.chmod(0o500)
        self.before = self.files()

    def files(self) -> set[Path]:
        """Return the files in folders where no command may write, except Python's cache."""
        roots = (self.environment, self.folder, self.home)
        found = (path for each in roots for path in each.rglob("*"))
        return {path for path in found if "__pycache__" not in path.parts}

    def start(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *arguments],
            cwd=self.folder,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
        )

    def run(self, *arguments: str | Path) -> str:
        done = self.start(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    installed = Installed(wheel, tmp_path_factory.mktemp("installed"))
    yield installed
    assert installed.files() == installed.before
    installed.folder.chmod(0o700)


def test_the_archives_contain_exactly_what_the_commands_need(wheel: Path) -> None:
    package = {path.relative_to(ROOT) for path in (ROOT / "console_login").rglob("*.py")}
    code = {path.relative_to(ROOT) for path in (ROOT / TRANSFORM / "transformer").rglob("*.py")}
    templates = {path.relative_to(ROOT) for path in ROOT.glob("[a-z]*.yaml")}
    carried = code | templates | {TRANSFORM / "app.py"}
    in_wheel = {Path(name) for name in zipfile.ZipFile(wheel).namelist()}
    (information,) = {path.parts[0] for path in in_wheel if path.parts[0].endswith(".dist-info")}
    assert {path for path in in_wheel if path.parts[0] != information} == (
        package | {Path("console_login") / "_shipped" / path for path in carried}
    )
    (sdist,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        in_sdist = {Path(*Path(name).parts[1:]) for name in archive.getnames()}
    about = {"LICENSE", "PKG-INFO", "README.md", "hatch_build.py", "pyproject.toml"}
    assert in_sdist - {Path(".gitignore")} == package | carried | {Path(name) for name in about}


def test_the_sdist_and_the_checkout_build_the_same_wheel(
    wheel: Path, checkout: Path, tmp_path: Path
) -> None:
    assert build(checkout, tmp_path, "--wheel").read_bytes() == wheel.read_bytes()


def test_a_checkout_uses_its_own_files() -> None:
    (distribution,) = metadata.distributions(name="console-login-firehose")
    assert shipped.CHECKOUT == ROOT
    assert not [path for path in distribution.files or () if "_shipped" in path.parts]


def test_every_command_has_help(installed: Installed) -> None:
    listed = installed.run("--help").split("Commands:\n")[1].split("\nExamples:")[0]
    commands = re.findall(r"^  (\S+)", listed, re.MULTILINE)
    assert {"backfill", "compare", "doctor", "key-policy", "local", "redrive"} < set(commands)
    for command in commands:
        assert installed.run(command, "--help").startswith(f"Usage: console-login {command} ")


def test_the_pipeline_runs_on_the_wheels_template_and_code(installed: Installed) -> None:
    last = installed.run("local", "--generate", "200").splitlines()[-1]
    assert re.fullmatch(r"200 events: \d+ delivered, .*; nothing lost", last)


def test_the_emulator_needs_a_checkout(installed: Installed) -> None:
    done = installed.start("local", "--generate", "1", "--runtime", "rie")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.endswith("--runtime rie needs a checkout: run `make build` in it")


def test_events_are_packed_read_and_transformed(installed: Installed) -> None:
    packed = installed.out / "packed.json"
    installed.run("pack", "tokyo.jsonl", "--output", packed)
    assert installed.run("unpack", packed).splitlines()[-1] == TOKYO
    assert installed.run("transform", packed).splitlines()[-1] == TOKYO


def test_objects_are_compared(installed: Installed) -> None:
    objects = installed.out / "objects"
    installed.run("local", "tokyo.jsonl", "--out", objects)
    assert "both sides have the same events" in installed.run("compare", "tokyo.jsonl", objects)


def test_key_policy_prints_the_policy(installed: Installed) -> None:
    place = ("--stack", "s", "--region", REGION, "--account", "111122223333")
    policy = json.loads(installed.run("key-policy", *place))
    assert "RolesThroughS3" in {each["Sid"] for each in policy["Statement"]}


def test_doctor_finds_nothing_wrong_in_a_served_pipeline(installed: Installed) -> None:
    with served(installed) as endpoint:
        assert endpoint.lines(1) == [TOKYO]
        found = installed.run("doctor", "--stack", STACK, "--endpoint-url", endpoint.url)
    # `run` requires exit status 0, which means no findings and no failed checks.
    assert "trail" in found
    assert "not be checked" not in found


def test_redrive_sends_the_failed_record_of_a_served_pipeline(installed: Installed) -> None:
    # With this seed the first four invocations fail, and one of the next four succeeds.
    with served(installed, "--fail", "lambda:0.8", "--seed", "2") as endpoint:
        for _ in range(100):
            if endpoint.keys("consolelogin/processing-failed/"):
                break
            time.sleep(0.1)
        options = ("--stack", STACK, "--endpoint-url", endpoint.url, "--yes")
        sent = installed.run("redrive", *options)
        assert sent.splitlines()[-1] == "1 of 1 record sent"
        assert endpoint.lines(1) == [TOKYO]


def served(installed: Installed, *arguments: str) -> AbstractContextManager[Endpoint]:
    return serving(
        "tokyo.jsonl",
        *arguments,
        program=[installed.program],
        folder=installed.folder,
        environment=installed.variables,
    )
