"""Write dist/: templates without a transform and the function's zips, or a complete release.

The bytes do not depend on time, place or user, so that anyone can build a release again and compare
it.
"""

import argparse
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import hatch_build
from console_login.errors import UserError
from console_login.stack import template

ROOT = Path(__file__).resolve().parent.parent
TRANSFORM = Path("functions") / "transform"
LOCK = ROOT / TRANSFORM / "requirements.txt"
# The libraries of Amazon Linux 2023, on which Lambda runs Python 3.13: glibc 2.34.
PLATFORMS = {"arm64": "aarch64-manylinux_2_34", "x86_64": "x86_64-manylinux_2_34"}
# Left out: the installer writes these, and RECORD would list them and commands that never run.
_INSTALLERS = {"INSTALLER", "RECORD", "REQUESTED"}

# The location of the zips, which `sam package` would have written into the template.
_PARAMETERS = {
    "CodeBucket": {
        "Type": "String",
        "Description": (
            "The bucket with the function's zips, in this Region. To create the stack, a user must"
            " be allowed to read them (s3:GetObject)."
        ),
        "AllowedPattern": "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        "ConstraintDescription": "must be a bucket's name (not its ARN)",
    },
    "CodePrefix": {
        "Type": "String",
        "Description": "The folder of the zips in the bucket, such as releases/, or empty.",
        "Default": "",
        "AllowedPattern": "^([A-Za-z0-9_.=-]+/)*$",
        "ConstraintDescription": "must be a plain folder that ends in a slash, or empty",
    },
}


def run(*command: str | Path, **environment: str) -> None:
    """Run a program; raise UserError with the start of its error output if it fails."""
    # hatchling and cyclonedx-py would take the dates in their output from SOURCE_DATE_EPOCH.
    variables = {key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"}
    done = subprocess.run(
        command, cwd=ROOT, env=variables | environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        error = " ".join(done.stderr.split())[:600] or "it printed no error"
        raise UserError(f"{command[0]} failed with exit status {done.returncode}: {error}")


def function_zip(uv: str, architecture: str, python: str) -> dict[str, bytes]:
    """Return the content of the function's zip by path: the listed code and the locked packages.

    python: the version that Lambda runs, such as 3.13.
    """
    code = (Path(name) for name in hatch_build.files(ROOT) if TRANSFORM in Path(name).parents)
    content = {path.relative_to(TRANSFORM).as_posix(): (ROOT / path).read_bytes() for path in code}
    with tempfile.TemporaryDirectory() as name:
        target = Path(name)
        place = ("--target", target, "--python", sys.executable, "--python-version", python)
        strict = ("--require-hashes", "--no-deps", "--only-binary", ":all:")
        platform = ("--python-platform", PLATFORMS[architecture])
        run(uv, "pip", "install", "--quiet", *place, *platform, *strict, "--requirement", LOCK)
        for path in target.rglob("*"):
            inside = path.relative_to(target)
            installers = path.name in _INSTALLERS and path.parent.suffix == ".dist-info"
            if path.is_file() and not installers and inside.parts[0] not in {"bin", ".lock"}:
                content[inside.as_posix()] = path.read_bytes()
    return content


def write_zip(path: Path, content: Mapping[str, bytes]) -> None:
    """Write files into an archive, in the order of their names."""
    # Not compressed: a compressor's output depends on its version.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(content.items()):
            entry = zipfile.ZipInfo(name)
            entry.create_system = 3
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, data)


def plain(document: dict[str, Any], zips: Mapping[str, str]) -> dict[str, Any]:
    """Return an expanded SAM template, with parameters for the location of the function's zips.

    zips: the zip's name for each architecture.
    """
    groups = document["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    groups.insert(0, {"Label": {"default": "The function's code"}, "Parameters": [*_PARAMETERS]})
    document["Parameters"] = _PARAMETERS | document["Parameters"]
    # Not a mapping: its keys cannot contain the underscore of x86_64.
    document["Conditions"]["FunctionIsArm64"] = {"Fn::Equals": [{"Ref": "Architecture"}, "arm64"]}
    name = {"Fn::If": ["FunctionIsArm64", zips["arm64"], zips["x86_64"]]}
    key = {"Fn::Sub": ["${CodePrefix}${Zip}", {"Zip": name}]}
    return template.expand(document, {}, code={"Bucket": {"Ref": "CodeBucket"}, "Key": key})


def package(uv: str, out: Path, version: str) -> None:
    """Replace the content of `out` with the templates and the function's zips."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    documents = {name: template.load(ROOT / name) for name in hatch_build.TEMPLATES}
    python = documents["template.yaml"]["Globals"]["Function"]["Runtime"].removeprefix("python")
    zips = {}
    for architecture in PLATFORMS:
        path = out / "unnamed.zip"
        write_zip(path, function_zip(uv, architecture, python))
        # CloudFormation deploys new code only if the S3 key changes, so the key has the digest.
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        zips[architecture] = f"console-login-firehose-{version}-{architecture}-{digest}.zip"
        path.rename(out / zips[architecture])
    for name, document in documents.items():
        if "Transform" in document:
            text = yaml.safe_dump(plain(document, zips), sort_keys=False, width=120)
            (out / name).write_text(
                f"# Version {version}, made from {name} by make package.\n{text}"
            )
        else:
            shutil.copyfile(ROOT / name, out / name)


def check(version: str, tag: str) -> None:
    """Raise UserError if the version does not match CHANGELOG.md and the tag, if any."""
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## {re.escape(version)}( |$)", changes, re.MULTILINE):
        raise UserError(
            f'CHANGELOG.md has no section "## {version}", the version in pyproject.toml:'
            " rename Unreleased, or change the version"
        )
    if tag and tag != f"v{version}":
        raise UserError(
            f"the tag is {tag}, but pyproject.toml's version is {version}: tag it v{version},"
            " or change the version"
        )


def release(uv: str, sbom: str, out: Path) -> None:
    """Add the wheel, an SBOM of the deployed packages and, last, the checksums."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hatchling = ("--wheel", "--no-build-isolation", "--python", sys.executable)
        run(uv, "build", *hatchling, "--out-dir", folder, ROOT)
        for wheel in folder.glob("*.whl"):
            shutil.copyfile(wheel, out / wheel.name)
        # Installed in a separate environment, so that the tool sees licences and dependencies.
        environment = folder / "environment"
        python = environment / "bin" / "python"
        run(uv, "venv", "--quiet", "--python", sys.executable, environment)
        run(uv, "pip", "sync", "--quiet", "--require-hashes", "--python", python, LOCK)
        form = ("--spec-version", "1.6", "--output-format", "JSON", "--output-reproducible")
        main_component = ("--pyproject", ROOT / "pyproject.toml", "--mc-type", "application")
        path = out / "sbom.cdx.json"
        run(sbom, "environment", *form, *main_component, "--output-file", path, environment)
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())
    }
    lines = (f"{digest}  {name}\n" for name, digest in digests.items())
    (out / "SHA256SUMS").write_text("".join(lines))


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the templates and the function's zips.")
    parser.add_argument("--uv", required=True, help="path of uv")
    parser.add_argument(
        "--out", type=Path, required=True, help="output folder; its content is removed"
    )
    parser.add_argument("--sbom", help="path of cyclonedx-py; if given, write a release")
    parser.add_argument("--tag", default="", help="the release's git tag, checked if given")
    options = parser.parse_args()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    try:
        if options.sbom:
            check(version, options.tag)
        package(options.uv, options.out.resolve(), version)
        if options.sbom:
            release(options.uv, options.sbom, options.out.resolve())
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
