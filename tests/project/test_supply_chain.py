"""Checks that dependencies are pinned, audited, and listed with their licences."""

import importlib.metadata
import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import programs
import pytest
import yaml
from support import ROOT

AUDIT = runpy.run_path(str(ROOT / ".ci" / "audit.py"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").iterdir())


def pip_audit(folder: Path, answer: str) -> str:
    """Return a program that accepts pip-audit's options and reports a Python expression.

    In the expression, `required` has the requested pairs of name and version.
    """
    program = folder / "pip-audit"
    text = f"""\
import json, sys
arguments = dict(zip(sys.argv, sys.argv[1:]))
required = [line.split("==") for line in open(arguments["--requirement"]).read().split()]
print("No known vulnerabilities found")
json.dump({{"dependencies": {answer}}}, open(arguments["--output"], "w"))
"""
    programs.write(program, text)
    return str(program)


CLEAN = '[{"name": n, "version": v, "vulns": []} for n, v in required]'
# The report of pip-audit 2.10, with exit status 0, if it cannot reach PyPI.
SKIPPED = '[{"name": n, "skip_reason": "Dependency not found on PyPI"} for n, v in required]'
ONE_SHORT = CLEAN + "[1:]"
VULNERABLE = CLEAN.replace("[]", '[{"id": "PYSEC-1", "fix_versions": ["9.9"]}] * (n == "isal")')


def audited(capsys: pytest.CaptureFixture[str], program: str) -> tuple[int, str]:
    return AUDIT["main"](program), capsys.readouterr().out


def test_an_audit_that_looked_up_every_locked_package_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = audited(capsys, pip_audit(tmp_path, CLEAN))
    assert status == 0
    locks = {str(path.relative_to(ROOT)): path for path in map(ROOT.joinpath, AUDIT["LOCKS"])}
    assert len(said.splitlines()) == len(locks)
    for name, path in locks.items():
        pinned = re.findall(r"^\S+==", path.read_text(), re.MULTILINE)
        assert f"{name}: {len(pinned)} packages looked up, no known vulnerability" in said


@pytest.mark.parametrize("answer", [SKIPPED, "[]", ONE_SHORT, "sys.exit(0)", "1 / 0"])
def test_an_audit_that_could_not_look_up_one_package_never_passes(
    answer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = audited(capsys, pip_audit(tmp_path, answer))
    assert status == 1
    for line in said.splitlines():
        assert ": could not be checked: " in line
    assert "aws-lambda-powertools" in said


def test_an_audit_names_a_vulnerable_package(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = audited(capsys, pip_audit(tmp_path, VULNERABLE))
    assert status == 1
    lock = "functions/transform/requirements.txt"
    assert re.search(rf"^{lock}: isal \S+: PYSEC-1 \(fixed in 9\.9\)$", said, re.MULTILINE)
    assert f"{lock}: 6 packages looked up" not in said
    assert "tests/mutation/requirements.txt: 21 packages looked up, no known" in said


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "isal>=1\n", "./local\n", "isal[x] @ file:///x\n"]
)
def test_a_line_of_a_lock_that_is_no_pin_is_no_package_looked_up(text: str, tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(text)
    _, _, unknown = AUDIT["audit"](pip_audit(tmp_path, CLEAN), lock)
    assert unknown
    lock.write_text("isal[x]==1.9.1 ; sys_platform == 'win32' \\\n    --hash=sha256:0\n")
    assert AUDIT["audit"](pip_audit(tmp_path, CLEAN), lock) == (1, [], [])


def test_every_lock_is_audited() -> None:
    locks = {path for path in ROOT.rglob("*.txt") if "--hash=sha256:" in path.read_text()[:1000]}
    locks = {path for path in locks if not {".venv", ".cache", ".uv"} & set(path.parts)}
    assert {ROOT / name for name in AUDIT["LOCKS"]} == locks


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_an_action_is_pinned_by_its_commit_and_names_its_release(workflow: Path) -> None:
    uses = re.findall(r"uses: *(.+)", workflow.read_text())
    assert uses
    for each in uses:
        assert re.fullmatch(r"[\w-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each), each


def test_dependabot_looks_at_actions_and_at_every_lock() -> None:
    document = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())
    updates: dict[str, Any] = {each["package-ecosystem"]: each for each in document["updates"]}
    assert set(updates) == {"github-actions", "pip"}
    folders = {ROOT / folder.strip("/") for folder in updates["pip"]["directories"]}
    assert folders == {(ROOT / lock).parent for lock in AUDIT["LOCKS"]}


def test_everything_that_make_installs_is_checked_against_hashes() -> None:
    makefile = (ROOT / "Makefile").read_text()
    # A tool run by name and version is not checked against hashes.
    assert not re.findall(
        r"tool run|uvx|pipx", makefile.replace("`uv tool run` checks no hashes", "")
    )
    installs = re.findall(r"^.*(?:pip install|pip sync).*$", makefile, re.MULTILINE)
    assert len(installs) >= 5
    for line in installs:
        assert "--require-hashes" in line or "--no-deps --no-build-isolation" in line or "#" in line


def test_the_deployed_packages_are_listed_with_version_licence_and_origin() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    table = text.split("\n## What is deployed\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([\w-]+)` \| ([\w.]+) \| ([^|]+) \| <(https://[^>]+)> \|", table, re.M)
    lock = (ROOT / "functions" / "transform" / "requirements.txt").read_text()
    assert [row[:2] for row in rows] == re.findall(r"^([\w-]+)==(\S+)", lock, re.MULTILINE)
    for name, version, licence, origin in rows:
        found: Any = importlib.metadata.metadata(name)
        assert found["Version"] == version
        declared = str(found.get("License-Expression") or found.get("License"))
        # If a package has two licences, the table lists both.
        assert licence.strip().startswith(declared), (name, declared)
        urls = [found.get("Home-page") or "", *(found.get_all("Project-URL") or [])]
        assert any(url.endswith(origin) for url in urls), (name, urls)


def test_security_md_counts_the_deployed_packages() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["function"]
    count = ["no", "one", "two", "three", "four", "five", "six"][len(required)]
    assert f"locked with hashes: {count} packages and what they need" in text
    assert "(docs/security.md)" in text
