"""Tests the output of `sam build` for both architectures."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from packaged import dist
from support import ROOT

# ELF's e_machine, at bytes 18 and 19 (System V ABI).
MACHINES = {"arm64": 183, "x86_64": 62}


@pytest.mark.parametrize("architecture", MACHINES)
def test_native_modules_are_of_the_architecture(
    architecture: str, build: Callable[[str], Path]
) -> None:
    artifact = build(architecture)
    native = [path.read_bytes()[:20] for path in artifact.rglob("*.so")]
    assert len(native) >= 4, "msgspec, isal and pybase64 have native modules"
    assert all(header.startswith(b"\x7fELF") for header in native)
    machines = {int.from_bytes(header[18:20], "little") for header in native}
    assert machines == {MACHINES[architecture]}
    template = (artifact.parent / "template.yaml").read_text()
    assert "CodeUri: TransformFunction" in template


def test_the_artifact_holds_the_code_and_locked_packages_alone(
    build: Callable[[str], Path],
) -> None:
    artifact = build("arm64")
    code = ROOT / "functions" / "transform"
    ours = {"app.py", "requirements.txt", "transformer"}
    assert {path.name for path in code.iterdir() if path.name != "__pycache__"} == ours
    shipped = {path.name for path in artifact.iterdir()}
    shipped = {name for name in shipped if not name.endswith((".dist-info", ".data"))}
    packages = {"aws_lambda_powertools", "isal", "jmespath", "msgspec", "pybase64"}
    packages.add("typing_extensions.py")
    assert shipped - {"bin", "__pycache__"} == ours | packages
    assert not [path for path in artifact.rglob("tests") if path.is_dir()]


@pytest.mark.parametrize("architecture", MACHINES)
def test_make_package_ships_what_sam_builds(
    architecture: str, build: Callable[[str], Path], tmp_path: Path
) -> None:
    """Except commands that the function never runs, and the lists that name them."""
    done = dist(tmp_path / "dist")
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "dist").glob(f"*-{architecture}-*.zip")
    with zipfile.ZipFile(path) as archive:
        packaged = {name: archive.read(name) for name in archive.namelist()}
    artifact = build(architecture)
    built = {
        path.relative_to(artifact).as_posix(): path.read_bytes()
        for path in artifact.rglob("*")
        if path.is_file() and path.name != "RECORD" and "__pycache__" not in path.parts
    }
    del built["requirements.txt"]
    commands = {name for name in built if name.split("/")[0] == "bin" or ".data/scripts/" in name}
    assert packaged.keys() == built.keys() - commands
    assert [name for name in packaged if packaged[name] != built[name]] == []
