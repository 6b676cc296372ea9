"""Artifacts as `sam build` makes them, and the Lambda runtime emulator around one of them."""

import importlib.util
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

from console_login import template

FUNCTION = template.resolve(template.load()).resources["TransformFunction"].properties
MEMORY_MB = FUNCTION["MemorySize"]
HERE = (platform.system(), platform.machine())


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Build for an architecture, once a session; return the function's artifact."""
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


class Emulator:
    """The function under the runtime emulator: `invoke` answers as Lambda would."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}/2015-03-31/functions/function/invocations"

    def invoke(self, event: Any) -> tuple[int, Any]:
        """Return the HTTP status and the answer."""
        request = urllib.request.Request(self._url, json.dumps(event).encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


@pytest.fixture
def emulator(build: Callable[[str], Path], tmp_path: Path) -> Iterator[Emulator]:
    if HERE != ("Linux", "x86_64"):
        pytest.skip(f"the emulator's binary and the artifact are for x86_64 Linux, this is {HERE}")
    samcli = importlib.util.find_spec("samcli")
    assert samcli is not None
    assert samcli.origin is not None
    packed = Path(samcli.origin).parent / "local" / "rapid" / "aws-lambda-rie-x86_64"
    binary = tmp_path / "aws-lambda-rie"
    shutil.copy(packed, binary)
    binary.chmod(0o755)
    artifact = build("x86_64")
    address, runtime_api = _free_address(), _free_address()
    # The artifact's packages, then only what the managed runtime brings: awslambdaric.
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    site_packages = Path(importlib.util.find_spec("awslambdaric").origin).parent.parent  # type: ignore
    for name in ("awslambdaric", "runtime_client*", "snapshot_restore_py", "simplejson"):
        for path in site_packages.glob(name):
            (runtime / path.name).symlink_to(path)
    limit = ["prlimit", f"--as={MEMORY_MB * 1024 * 1024}"]
    handler = [*limit, sys.executable, "-I", "-c", _BOOTSTRAP, str(runtime), "app.lambda_handler"]
    addresses = ["--runtime-interface-emulator-address", address]
    addresses += ["--runtime-api-address", runtime_api]
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        [str(binary), *addresses, *handler],
        cwd=artifact,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={
            "PATH": os.environ["PATH"],
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(FUNCTION["Timeout"]),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(MEMORY_MB),
        }
        | FUNCTION["Environment"]["Variables"],
    )
    try:
        _wait_for(address)
        yield Emulator(address)
    finally:
        process.kill()
        process.wait()
        log.close()


# As the managed runtime starts: nothing but /var/task, /var/runtime and the standard library.
_BOOTSTRAP = """
import os, sys
runtime, handler = sys.argv[1:]
sys.path = [os.getcwd(), runtime, *(path for path in sys.path if "site-packages" not in path)]
from awslambdaric.__main__ import main
main(["awslambdaric", handler])
"""


def _free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def _wait_for(address: str) -> None:
    host, port = address.split(":")
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.05)
    pytest.fail("the runtime emulator does not listen")
