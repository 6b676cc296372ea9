"""Checks that the project's files agree: locks, templates and configuration."""

import os
import re
import subprocess
import tomllib
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from stacks import DOCUMENTS
from support import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GROUPS = PYPROJECT["dependency-groups"]
FUNCTION_LOCK = ROOT / "functions" / "transform" / "requirements.txt"
DEV_LOCK = ROOT / "requirements-dev.txt"
DEPLOY_LOCK = ROOT / "tests" / "deploy" / "requirements.txt"
MUTATION_LOCK = ROOT / "tests" / "mutation" / "requirements.txt"
SCAN_LOCK = ROOT / ".ci" / "scan.txt"
SBOM_LOCK = ROOT / ".ci" / "sbom.txt"
UV_LOCK = ROOT / ".ci" / "uv.txt"
LOCKS = [FUNCTION_LOCK, DEV_LOCK, DEPLOY_LOCK, MUTATION_LOCK, SCAN_LOCK, SBOM_LOCK, UV_LOCK]
IDS = ["function", "dev", "deploy", "mutation", "scan", "sbom", "uv"]
DEV_GROUPS = {name: GROUPS[name] for name in ("function", "dev")}
ORIGIN = re.compile(r"console-login-firehose \(pyproject\.toml(?::(\w+))?\)")


def locked(path: Any) -> dict[str, tuple[str, set[str], int]]:
    """Return each locked package's version, its groups in pyproject.toml, and its hash count."""
    packages: dict[str, tuple[str, set[str], int]] = {}
    for block in re.split(r"\n(?=[a-z])", path.read_text()):
        head = re.match(r"([a-z0-9-]+)==([^ ;]+)", block)
        if head:
            origins = {match[1] or "project" for match in ORIGIN.finditer(block)}
            packages[head[1]] = (head[2], origins, block.count("--hash=sha256:"))
    return packages


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize(
    ("path", "groups"),
    [
        (FUNCTION_LOCK, {"function": GROUPS["function"]}),
        (DEV_LOCK, {"project": PYPROJECT["project"]["dependencies"]} | DEV_GROUPS),
        (DEPLOY_LOCK, {"deploy": GROUPS["deploy"]}),
        (MUTATION_LOCK, {"mutation": GROUPS["mutation"]}),
        (SCAN_LOCK, {"scan": GROUPS["scan"]}),
        (SBOM_LOCK, {"sbom": GROUPS["sbom"]}),
        (UV_LOCK, {"bootstrap": GROUPS["bootstrap"]}),
    ],
    ids=IDS,
)
def test_locks_satisfy_pyproject(path: Any, groups: dict[str, list[str]]) -> None:
    packages = locked(path)
    for group, requirements in groups.items():
        required = {canonical(Requirement(each).name): Requirement(each) for each in requirements}
        for name, requirement in required.items():
            assert name in packages, f"{path.name} lacks {name}: run make lock"
            version = packages[name][0]
            assert requirement.specifier.contains(version), f"{name} {version}: run make lock"
        assert set(required) == {name for name, entry in packages.items() if group in entry[1]}


def test_locks_agree_with_each_other() -> None:
    function, dev = locked(FUNCTION_LOCK), locked(DEV_LOCK)
    assert {name: entry[0] for name, entry in function.items()} == {
        name: dev[name][0] for name in function
    }


@pytest.mark.parametrize("path", LOCKS, ids=IDS)
def test_locks_hold_hashes_and_no_addresses(path: Any) -> None:
    packages = locked(path)
    assert packages
    assert all(hashes for _, _, hashes in packages.values())
    assert "://" not in path.read_text()


def test_the_commands_install_the_functions_libraries_too() -> None:
    assert set(GROUPS["function"]) <= set(PYPROJECT["project"]["dependencies"])


def test_boto3_is_not_shipped() -> None:
    assert not {"boto3", "botocore"} & set(locked(FUNCTION_LOCK))


@pytest.mark.parametrize("file", DOCUMENTS)
def test_a_template_is_ascii(file: str) -> None:
    assert (ROOT / file).read_bytes().isascii()


@pytest.mark.parametrize("file", DOCUMENTS)
def test_every_template_is_linted_and_scanned(file: str) -> None:
    # Make's shell expands the pattern, which excludes files whose names begin with a dot.
    assert "\tcfn-lint *.yaml\n" in (ROOT / "Makefile").read_text()
    assert file in yaml.safe_load((ROOT / ".checkov.yaml").read_text())["file"]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    (hook,) = (hook for hook in hooks if hook["id"] == "cfn-lint")
    assert re.search(hook["files"], file)


def test_make_alone_lists_the_targets() -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(
        ["make", "-C", str(ROOT)], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    targets = set(re.findall(r"^  (\S+) ", done.stdout, re.MULTILINE))
    phony = set(re.findall(r"^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert targets == phony
    assert targets >= {"setup", "demo", "test", "lint", "build", "invoke", "deploy", "clean"}
    assert targets >= {"deploy-trail", "deploy-athena"}


def test_each_stack_has_its_target() -> None:
    def commands(target: str) -> list[str]:
        done = subprocess.run(
            ["make", "-C", str(ROOT), "--dry-run", "--no-print-directory", target],
            env={key: value for key, value in os.environ.items() if not key.startswith("MAKE")},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        programs = ("sam ", "console-login ")
        return [line for line in done.stdout.splitlines() if line.startswith(programs)]

    # preflight runs after the build, to check its output too. Its exit status 1 stops make.
    assert commands("deploy") == ["sam build", "console-login preflight", "sam deploy"]
    # These stacks are not built, so they cannot overwrite the pipeline's build.
    assert commands("deploy-trail") == ["sam deploy --config-env trail"]
    assert commands("deploy-athena") == ["sam deploy --config-env athena"]
