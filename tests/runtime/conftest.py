"""Fixtures: artifacts of `sam build`, and the Lambda runtime emulator with one of them."""

import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import ROOT

from console_login.local.emulator import RuntimeEmulator
from console_login.stack import template

FUNCTION = template.resolve(template.load()).resources["TransformFunction"].properties
HERE = (platform.system(), platform.machine())


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that builds once per architecture and returns the artifact."""
    built: dict[str, Path] = {}

    def run(architecture: str) -> Path:
        if architecture not in built:
            folder = tmp_path_factory.mktemp(architecture)
            options = ["--build-dir", str(folder / "build"), "--base-dir", str(ROOT)]
            options += ["--parameter-overrides", f"Architecture={architecture}"]
            done = subprocess.run(
                [str(ROOT / ".venv" / "bin" / "sam"), "build", "--no-cached", *options],
                cwd=ROOT,
                env=os.environ
                | {
                    "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
                    "AWS_DEFAULT_REGION": "ap-northeast-1",
                    "SAM_CLI_TELEMETRY": "0",
                    "__SAM_CLI_APP_DIR": str(ROOT / ".cache" / "sam"),
                    "PIP_CACHE_DIR": str(ROOT / ".cache" / "pip"),
                },
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr
            built[architecture] = folder / "build" / "TransformFunction"
        return built[architecture]

    return run


@pytest.fixture
def here() -> None:
    if HERE != ("Linux", "x86_64"):
        pytest.skip(f"the emulator and the artifact need x86_64 Linux, but this machine is {HERE}")


@pytest.fixture
def emulator(build: Callable[[str], Path], here: None) -> Iterator[RuntimeEmulator]:
    """Run the x86_64 artifact with the template's memory and Timeout."""
    with RuntimeEmulator(
        build("x86_64"),
        FUNCTION["Environment"]["Variables"],
        timeout_seconds=FUNCTION["Timeout"],
        memory_mb=FUNCTION["MemorySize"],
    ) as running:
        yield running
