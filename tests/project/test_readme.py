"""Runs the shell commands of the README, docs/deploy.md and docs/local.md unchanged.

Commands of make are skipped, because make runs these tests. `make demo` has its own test.
"""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from serving import serving
from shell import blocks, run
from support import ROOT, TOKYO

LOCAL = ROOT / "docs" / "local.md"
PAGES = (ROOT / "README.md", ROOT / "docs" / "deploy.md", LOCAL)
BLOCKS = [each for page in PAGES for each in blocks(page)]
SERVE = "console-login local"
URL = "http://127.0.0.1:4566"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the files of a checkout that the commands use, and a user's events."""
    shutil.copytree(ROOT / "events", tmp_path / "events")
    (tmp_path / "my-events.jsonl").write_text(f"{TOKYO}\n")
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    return tmp_path


def lines_without(block: str, *starts: str) -> str:
    return "".join(line for line in block.splitlines(keepends=True) if not line.startswith(starts))


def test_the_picture_shows_the_output_of_make_demo() -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(
        ["make", "-C", str(ROOT), "--no-print-directory", "demo"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    shown, rows = picture(ROOT / "docs" / "demo-light.svg"), done.stdout.splitlines()
    assert shown[0] == "$ make demo"
    assert len(shown) == len(rows) + 1
    # Object names contain dates and ids, which differ between runs.
    of_a_run = re.compile(r"\d{4}.\d\d.\d\d/console-login-firehose-1-[\d-]+-[0-9a-f-]+")
    for drawn, printed in zip(shown[1:], rows, strict=True):
        start = of_a_run.sub("-", drawn.removesuffix("…"))
        assert of_a_run.sub("-", printed).rstrip().startswith(start)
        assert drawn.endswith("…") or of_a_run.sub("-", printed).rstrip() == start


def picture(path: Path) -> list[str]:
    """Return the rows of text in a terminal's picture, with the parts of a row joined."""
    rows: dict[str, str] = {}
    for text in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text"):
        rows[text.attrib["y"]] = rows.get(text.attrib["y"], "") + (text.text or "")
    return [row.replace("\xa0", " ").rstrip() for row in rows.values()]


def test_every_command_runs(folder: Path) -> None:
    plain = [each for each in BLOCKS if URL not in each]
    script = "\n".join(lines_without(each, "make ") for each in plain)
    script = "\n".join(line for line in script.splitlines() if "--serve" not in line)
    done = run(script, folder, {})
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert (folder / "objects" / "consolelogin").is_dir()
    assert done.stdout.count("nothing lost") == 4


def test_redrive_delivers_the_failed_record(folder: Path) -> None:
    (command,) = [line for each in BLOCKS for line in each.splitlines() if "--fail lambda:" in line]
    (typed,) = [each for each in BLOCKS if "console-login redrive" in each]
    arguments = shlex.split(command.removeprefix(SERVE))
    arguments.remove("--serve")
    with serving(*arguments) as endpoint:
        for _ in range(100):
            if endpoint.keys("consolelogin/processing-failed/"):
                break
        done = run(typed.replace(URL, endpoint.url), folder, {})
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert endpoint.lines(1) == [TOKYO]
    shown = LOCAL.read_text().split("prints the result:\n\n```\n")[1].split("```")[0]
    printed = "\n".join(line.rstrip() for line in done.stdout.splitlines())
    assert shown.rstrip() in printed


def test_the_endpoint_lists_its_objects(folder: Path) -> None:
    (typed,) = [each for each in BLOCKS if "s3 ls" in each]
    with serving("events/src/tokyo.jsonl") as endpoint:
        endpoint.lines(1)
        done = run(typed.replace(URL, endpoint.url), folder, {})
    assert done.returncode == 0, done.stderr
    assert "consolelogin/" in done.stdout
