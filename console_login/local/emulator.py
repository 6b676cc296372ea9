"""Run the built function in AWS's runtime emulator, without Docker."""

import contextlib
import http.client
import importlib.util
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from console_login import private
from console_login.function import FunctionError, FunctionFailure

_STARTS_WITHIN_SECONDS = 10


class RuntimeEmulator:
    """The built function in AWS's runtime emulator, called over HTTP; `with` closes it.

    artifact: the function's folder in the output of `sam build`.
    environment: the function's environment variables, from the template.
    memory_mb: a limit for the address space; None for no limit.
    log: a file for the logs of the emulator and the function.
    Raises FunctionError if the emulator or the artifact is missing.
    """

    def __init__(
        self,
        artifact: Path,
        environment: Mapping[str, str],
        *,
        timeout_seconds: int,
        memory_mb: int | None = None,
        log: Path | None = None,
    ) -> None:
        build = f"run make build ARCHITECTURE={architecture()} first"
        if not (artifact / "app.py").is_file():
            raise FunctionError(f"no built function in {artifact}: {build}")
        native = list(artifact.rglob("*-linux-gnu.so"))
        if native and not any(platform.machine() in path.name for path in native):
            raise FunctionError(f"the function in {artifact} is for another architecture: {build}")
        self._timeout_seconds = timeout_seconds
        # Use no proxy, because the emulator runs on this machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._folder = tempfile.TemporaryDirectory(prefix="console-login-")
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._start(artifact, environment, memory_mb, log)
        except BaseException:
            self.close()
            raise

    def _start(
        self,
        artifact: Path,
        environment: Mapping[str, str],
        memory_mb: int | None,
        log: Path | None,
    ) -> None:
        folder = Path(self._folder.name)
        binary = folder / "aws-lambda-rie"
        shutil.copy(_emulator(), binary)
        binary.chmod(0o755)
        address, runtime_api = _free_address(), _free_address()
        self._url = f"http://{address}/2015-03-31/functions/function/invocations"
        limit = ["prlimit", f"--as={memory_mb * 1024 * 1024}"] if memory_mb else []
        runtime = str(_runtime(folder / "runtime"))
        with _opened(log or folder / "log") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [
                    *(str(binary), "--runtime-interface-emulator-address", address),
                    *("--runtime-api-address", runtime_api),
                    *(*limit, sys.executable, "-I", "-c", _BOOTSTRAP, runtime),
                    "app.lambda_handler",
                ],
                cwd=artifact,
                stdout=output,
                stderr=subprocess.STDOUT,
                # The emulator starts the runtime as a child; `close` kills their process group.
                start_new_session=True,
                env={
                    "PATH": os.environ["PATH"],
                    "AWS_LAMBDA_FUNCTION_TIMEOUT": str(self._timeout_seconds),
                    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb or 3008),
                    **environment,
                },
            )
        self._wait_for(address)

    def __enter__(self) -> "RuntimeEmulator":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the emulator and the function."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._folder.cleanup()

    def post(self, event: Any) -> tuple[int, Any]:
        """Return the HTTP status and the response, or the text of an error."""
        body = json.dumps(event).encode()
        request = urllib.request.Request(self._url, body, method="POST")  # noqa: S310 - loopback
        try:
            with self._opener.open(request, timeout=self._timeout_seconds + 10) as response:
                return response.status, _answer(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (urllib.error.URLError, ConnectionError, http.client.HTTPException) as error:
            raise FunctionError(f"the runtime emulator does not respond: {error}") from error

    def invoke(self, event: Any) -> Any:
        """Return the response. Raises FunctionFailure if Lambda fails."""
        try:
            status, answer = self.post(event)
        except TimeoutError as error:
            raise FunctionFailure("Lambda.FunctionTimedOut", "The function timed out.") from error
        # After a timeout the emulator returns a line of text.
        if isinstance(answer, str) and "Task timed out" in answer:
            raise FunctionFailure("Lambda.FunctionTimedOut", answer)
        if status != 200:
            raise FunctionFailure("Lambda.FunctionError", str(answer)[:1000])
        if isinstance(answer, dict) and "errorType" in answer:
            raise FunctionFailure("Lambda.FunctionError", str(answer["errorType"]))
        return answer

    def _wait_for(self, address: str) -> None:
        host, port = address.split(":")
        deadline = time.monotonic() + _STARTS_WITHIN_SECONDS
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) == 0:
                    return
            time.sleep(0.02)
        raise FunctionError(
            f"the runtime emulator did not open a port within {_STARTS_WITHIN_SECONDS} seconds"
        )


def _answer(body: bytes) -> Any:
    """Return a response's JSON, or its text if it is not JSON."""
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")


# As in the managed runtime, only /var/task, /var/runtime and the standard library are on the path.
_BOOTSTRAP = """
import os, sys
runtime, handler = sys.argv[1:]
sys.path = [os.getcwd(), runtime, *(path for path in sys.path if "site-packages" not in path)]
from awslambdaric.__main__ import main
main(["awslambdaric", handler])
"""

# What the managed runtime has in addition to Python: the runtime interface client, and boto3.
_RUNTIME_PACKAGES = (
    *("awslambdaric", "runtime_client*", "snapshot_restore_py*", "simplejson"),
    *("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six.py", "urllib3"),
)


def _opened(log: Path) -> IO[bytes]:
    try:
        return private.file(log)
    except OSError as error:
        raise FunctionError(f"{log}: {error.strerror}") from error


def architecture() -> str:
    """Return this machine's architecture as the template spells it."""
    return {"aarch64": "arm64"}.get(platform.machine(), platform.machine())


def _emulator() -> Path:
    """Return the path of the emulator for this machine, which is part of the SAM CLI."""
    samcli = importlib.util.find_spec("samcli")
    if platform.system() != "Linux" or samcli is None or samcli.origin is None:
        raise FunctionError("--runtime rie needs Linux and the SAM CLI: use --runtime in-process")
    binary = Path(samcli.origin).parent / "local" / "rapid" / f"aws-lambda-rie-{architecture()}"
    if not binary.is_file():
        raise FunctionError(f"the SAM CLI has no runtime emulator for {architecture()}")
    return binary


def _runtime(folder: Path) -> Path:
    """Link the managed runtime's packages into a folder; the artifact has the others."""
    awslambdaric = importlib.util.find_spec("awslambdaric")
    if awslambdaric is None or awslambdaric.origin is None:
        raise FunctionError("--runtime rie needs awslambdaric: run make setup")
    folder.mkdir()
    for name in _RUNTIME_PACKAGES:
        for path in Path(awslambdaric.origin).parent.parent.glob(name):
            (folder / path.name).symlink_to(path)
    return folder


def _free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
