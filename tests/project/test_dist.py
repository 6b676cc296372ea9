"""Tests the output of `make package` and `make release` in dist/."""

import copy
import hashlib
import json
import os
import re
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path
from types import SimpleNamespace

import packaged
import pytest
from packaged import dist as run
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from stacks import COMBINATIONS, DOCUMENT, DOCUMENTS
from support import ROOT

from console_login.stack import template

# One worker, so that the fixtures are created once.
pytestmark = pytest.mark.xdist_group("dist")

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
CODE = {"CodeBucket": "amzn-s3-demo-bucket", "CodePrefix": "releases/"}
ARCHITECTURES = ("arm64", "x86_64")
ZIP = re.compile(
    rf"console-login-firehose-{re.escape(VERSION)}-(arm64|x86_64)-([0-9a-f]{{12}})\.zip"
)
STRAYS = ["functions/transform/.env", "functions/transform/transformer/.env"]
STRAYS += ["functions/transform/notes.txt", "functions/transform/__pycache__/app.pyc"]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def copied(folder: Path) -> Path:
    """Copy the packaged files, with stray files and a section for the version in CHANGELOG."""
    unneeded = (".[!c]*", ".cache", "dist", "tests", "docs", "benchmarks")
    packaged.copied(folder, unneeded, STRAYS)
    changes = folder / "CHANGELOG.md"
    changes.write_text(changes.read_text().replace("## Unreleased", f"## {VERSION}"))
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("checkout") / "copy")


@pytest.fixture(scope="module")
def dist(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Package the checkout into a folder that contains an old zip."""
    folder = tmp_path_factory.mktemp("packaged") / "dist"
    folder.mkdir()
    (folder / "console-login-firehose-0.0.9-arm64-0123456789ab.zip").write_bytes(b"old")
    done = run(folder, checkout=checkout)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def sbom() -> Path:
    """Return the locked cyclonedx-py, installed as `make release` does."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(
        ["make", "-C", str(ROOT), ".cache/sbom/.ready"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return ROOT / ".cache" / "sbom" / "bin" / "cyclonedx-py"


@pytest.fixture(scope="module")
def release(checkout: Path, sbom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released") / "dist"
    done = run(folder, "--sbom", sbom, "--tag", f"v{VERSION}", checkout=checkout)
    assert done.returncode == 0, done.stderr
    return folder


def zips(folder: Path) -> dict[str, Path]:
    found = {match[1]: path for path in folder.iterdir() if (match := ZIP.fullmatch(path.name))}
    assert set(found) == set(ARCHITECTURES)
    return found


def test_a_package_is_templates_and_zips(dist: Path) -> None:
    assert {path.name for path in dist.iterdir()} == (
        set(DOCUMENTS) | {path.name for path in zips(dist).values()}
    )


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_template_is_plain(name: str, dist: Path) -> None:
    document = template.load(dist / name)
    assert "Transform" not in document
    assert "Globals" not in document
    types = {each["Type"] for each in document["Resources"].values()}
    assert not {each for each in types if "Serverless" in each}
    text = (dist / name).read_text()
    assert text.isascii()
    # CloudFormation does not support YAML aliases everywhere.
    assert not re.search(r"[&*]id\d", text)
    if "Transform" not in DOCUMENTS[name]:
        assert text == (ROOT / name).read_text()


def test_the_templates_pass_the_linter(dist: Path) -> None:
    done = subprocess.run(
        [ROOT / ".venv" / "bin" / "cfn-lint", *sorted(dist.glob("*.yaml"))],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", ["nothing given", "everything optional"])
def test_the_template_is_what_sam_expands(name: str, dist: Path) -> None:
    """Expand as CloudFormation does: with the parameter values and the zip's location."""
    packaged = copy.deepcopy(DOCUMENT)
    function = packaged["Resources"]["TransformFunction"]["Properties"]
    function["CodeUri"] = "s3://amzn-s3-demo-bucket/releases/code.zip"
    defaults = {key: str(each["Default"]) for key, each in packaged["Parameters"].items()}
    expanded = Translator(None, Parser(), boto_session=SimpleNamespace(region_name="us-east-1"))
    expected = expanded.translate(packaged, defaults | COMBINATIONS[name])

    document = template.load(dist / "template.yaml")
    code = document["Resources"]["TransformFunction"]["Properties"].pop("Code")
    place = expected["Resources"]["TransformFunction"]["Properties"].pop("Code")
    assert code.keys() == place.keys() == {"S3Bucket", "S3Key"}
    for parameter in CODE:
        del document["Parameters"][parameter]
    del document["Conditions"]["FunctionIsArm64"]
    document["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"].pop(0)
    assert document == expected


@pytest.mark.parametrize("name", COMBINATIONS)
def test_it_makes_the_same_stack(name: str, dist: Path) -> None:
    document = template.load(dist / "template.yaml")
    ours = template.resolve(DOCUMENT, COMBINATIONS[name])
    plain = template.resolve(document, COMBINATIONS[name] | CODE)
    assert plain.outputs == ours.outputs
    for each in (ours, plain):
        each.resources["TransformFunction"].properties.pop("Code")
    assert plain.resources == ours.resources


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_function_takes_the_zip_of_its_architecture(architecture: str, dist: Path) -> None:
    document = template.load(dist / "template.yaml")
    stack = template.resolve(document, CODE | {"Architecture": architecture})
    properties = stack.resources["TransformFunction"].properties
    name = zips(dist)[architecture].name
    assert properties["Code"] == {"S3Bucket": "amzn-s3-demo-bucket", "S3Key": f"releases/{name}"}
    assert properties["Architectures"] == [architecture]


def test_the_bucket_must_be_given_and_the_prefix_be_a_folder(dist: Path) -> None:
    document = template.load(dist / "template.yaml")
    with pytest.raises(template.TemplateError, match="CodeBucket has no default"):
        template.resolve(document, {})
    for wrong in ({"CodeBucket": "arn:aws:s3:::b"}, {"CodePrefix": "/a/"}, {"CodePrefix": "a"}):
        with pytest.raises(template.TemplateError, match=next(iter(wrong))):
            template.resolve(document, CODE | wrong)
    at_the_root = template.resolve(document, {"CodeBucket": "amzn-s3-demo-bucket"})
    key = at_the_root.resources["TransformFunction"].properties["Code"]["S3Key"]
    assert key == zips(dist)["arm64"].name


def test_a_zips_name_changes_with_its_content(dist: Path, tmp_path: Path) -> None:
    """CloudFormation compares only S3 keys: new code under the same key is not deployed."""
    for path in zips(dist).values():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert ZIP.fullmatch(path.name)[2] == digest[:12]  # type: ignore[index]
    changed = copied(tmp_path / "copy")
    with (changed / "functions" / "transform" / "app.py").open("a") as file:
        file.write("# other\n")
    done = run(tmp_path / "dist", checkout=changed)
    assert done.returncode == 0, done.stderr
    for architecture, path in zips(tmp_path / "dist").items():
        assert path.name != zips(dist)[architecture].name


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_zip_holds_named_code_and_locked_packages_alone(architecture: str, dist: Path) -> None:
    with zipfile.ZipFile(zips(dist)[architecture]) as archive:
        entries = archive.infolist()
        assert archive.testzip() is None
    names = [each.filename for each in entries]
    assert names == sorted(set(names))
    assert {each.date_time for each in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {each.external_attr >> 16 for each in entries} == {0o100644}
    assert {each.compress_type for each in entries} == {zipfile.ZIP_STORED}
    # These files name the installer and its Python.
    assert not {Path(name).name for name in names} & {"INSTALLER", "RECORD", "REQUESTED"}
    code = ROOT / "functions" / "transform"
    ours = {path.relative_to(code).as_posix() for path in code.rglob("*.py")}
    top = {name.split("/")[0] for name in names}
    packages = {"aws_lambda_powertools", "isal", "jmespath", "msgspec", "pybase64"}
    packages.add("typing_extensions.py")
    assert {name for name in top if not name.endswith(".dist-info")} == (
        packages | {"app.py", "transformer"}
    )
    assert {name for name in names if name.startswith(("app.py", "transformer/"))} == ours


def test_two_releases_have_the_same_bytes(release: Path, sbom: Path, tmp_path: Path) -> None:
    """Build in another folder, with other file times and modes, time zone and epoch."""
    other = copied(tmp_path / "another 日本" / "copy")
    changes = other / "CHANGELOG.md"
    changes.write_text(changes.read_text().replace(f"## {VERSION}\n", f"## {VERSION} (2026-12)\n"))
    for path in other.rglob("*.py"):
        path.chmod(0o600)
        os.utime(path, (1_000_000_000, 1_000_000_000))
    elsewhere = {"TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "1000000000", "PYTHONHASHSEED": "1"}
    done = run(tmp_path / "dist", "--sbom", sbom, checkout=other, **elsewhere)
    assert done.returncode == 0, done.stderr
    first, second = files(release), files(tmp_path / "dist")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_a_release_is_a_package_with_wheel_sbom_and_checksums(release: Path, dist: Path) -> None:
    found = files(release)
    assert files(dist).items() < found.items()
    wheel = f"console_login_firehose-{VERSION}-py3-none-any.whl"
    assert found.keys() - files(dist).keys() == {wheel, "sbom.cdx.json", "SHA256SUMS"}
    sums = found.pop("SHA256SUMS").decode()
    assert sums == "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in found.items()
    )


def test_contributing_lists_what_a_release_has(release: Path) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text().split("\n## Make a release\n")[1]
    rows = re.findall(r"^ *\| (`[^|]+`) \|", text.split("\n## ")[0], re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert len(rows) == 5
    zip_name = "console-login-firehose-VERSION-ARCHITECTURE-DIGEST.zip"
    found = {ZIP.sub(zip_name, name).replace(VERSION, "VERSION") for name in files(release)}
    assert named == found


def test_the_sbom_lists_what_the_zips_hold(release: Path) -> None:
    document = json.loads((release / "sbom.cdx.json").read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    root = document["metadata"]["component"]
    assert (root["name"], root["version"]) == ("console-login-firehose", VERSION)
    listed = {each["purl"] for each in document["components"]}
    assert all(each["licenses"] for each in document["components"])
    for path in zips(release).values():
        with zipfile.ZipFile(path) as archive:
            metadata = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        shipped = {name.split(".dist-info")[0].replace("_", "-") for name in metadata}
        assert {f"pkg:pypi/{'@'.join(name.rsplit('-', 1))}" for name in shipped} == listed
    # A serial number or time would differ in every build.
    assert "serialNumber" not in document
    assert "timestamp" not in document["metadata"]


@pytest.mark.parametrize(
    ("heading", "tag", "words"),
    [
        ("## Unreleased", "", f'CHANGELOG.md has no section "## {VERSION}"'),
        (f"## {VERSION}.1", "", f'CHANGELOG.md has no section "## {VERSION}"'),
        (f"### {VERSION}", "", f'CHANGELOG.md has no section "## {VERSION}"'),
        (
            f"## {VERSION}",
            "v0.1.1",
            f"the tag is v0.1.1, but pyproject.toml's version is {VERSION}",
        ),
        (f"## {VERSION}", VERSION, f"the tag is {VERSION}, but"),
    ],
)
def test_a_release_needs_its_version_in_the_changes_and_the_tag(
    heading: str, tag: str, words: str, checkout: Path, sbom: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(checkout, copy)
    changes = copy / "CHANGELOG.md"
    changes.write_text(changes.read_text().replace(f"## {VERSION}\n", f"{heading}\n"))
    done = run(tmp_path / "dist", "--sbom", sbom, "--tag", tag, checkout=copy)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert words in line
    assert not (tmp_path / "dist").exists()


@pytest.mark.parametrize("program", ["--uv", "--sbom"])
def test_a_program_that_fails_is_one_line_and_no_checksums(
    program: str, checkout: Path, sbom: Path, tmp_path: Path
) -> None:
    done = run(tmp_path / "dist", "--sbom", sbom, program, "/bin/false", checkout=checkout)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "/bin/false" in line
    assert not (tmp_path / "dist" / "SHA256SUMS").exists()


def test_a_package_whose_hash_is_not_the_locks_is_refused(checkout: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(checkout, copy)
    lock = copy / "functions" / "transform" / "requirements.txt"
    lock.write_text(re.sub(r"sha256:\w+", f"sha256:{'0' * 64}", lock.read_text()))
    done = run(tmp_path / "dist", checkout=copy)
    assert (done.returncode, done.stdout) == (2, "")
    assert "hash" in done.stderr.lower()
    assert not list((tmp_path / "dist").glob("*.zip"))
