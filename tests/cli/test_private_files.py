"""Checks that only the owner can read written files, which contain names and addresses."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from support import EVENTS

from console_login import cli
from console_login.operate.backfill_state import Plan, Progress

SOURCE = EVENTS / "src" / "tokyo.jsonl"
# Options that name a file or folder: READ for input, WRITTEN for output.
READ = {("preflight", "--config-file")}
WRITTEN = {("pack", "-o"), ("local", "--out"), ("local", "--log"), ("backfill", "--state")}


@pytest.fixture(autouse=True)
def default_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_every_option_that_names_a_file_is_listed_here() -> None:
    found = {
        (name, parameter.opts[0])
        for name, command in cli.cli.commands.items()
        for parameter in command.params
        if isinstance(parameter, click.Option) and isinstance(parameter.type, click.Path)
    }
    assert found == READ | WRITTEN


def run(*arguments: object) -> None:
    cli.cli.main([str(each) for each in arguments], standalone_mode=False)


def test_a_packed_event_is_private(tmp_path: Path) -> None:
    run("pack", SOURCE, "-o", tmp_path / "event.json")
    assert mode(tmp_path / "event.json") == 0o600


def test_copies_of_the_objects_and_the_functions_log_are_private(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir(0o755)
    run("local", SOURCE, "--out", old / "new" / "out", "--log", old / "log")
    assert mode(old) == 0o755
    below = sorted((old / "new").rglob("*"))
    assert len([path for path in below if path.is_file()]) == 1
    # out/consolelogin/YYYY/MM/DD
    assert len([path for path in below if path.is_dir()]) == 5
    for path in (old / "new", *below):
        assert mode(path) == (0o700 if path.is_dir() else 0o600), path
    assert mode(old / "log") == 0o600


def test_an_existing_file_keeps_its_mode(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch(0o640)
    run("local", SOURCE, "--log", log)
    assert mode(log) == 0o640


@pytest.mark.parametrize("is_left", [False, True])
def test_the_state_of_a_backfill_is_private(is_left: bool, tmp_path: Path) -> None:
    state = tmp_path / "state"
    if is_left:
        # A killed run of an older version, or another user, left a run's temporary file.
        (tmp_path / "elsewhere").touch(0o644)
        (tmp_path / "state.new").symlink_to(tmp_path / "elsewhere")
    Progress(Plan({}, "stream", None, None, 0, 1), "", state).save("1970-01-01T00:00:00.000Z")
    assert mode(state) == 0o600
    assert not state.is_symlink()
    left = {"elsewhere"} if is_left else set()
    assert {path.name for path in tmp_path.iterdir()} == {"state"} | left
