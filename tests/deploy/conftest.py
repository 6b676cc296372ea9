"""Fixtures: one MiniStack for the session, and the pipeline that SAM builds and deploys to it."""

import os
import platform
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from deployed import ACCOUNT_ID, GROUP, LACKS, REGION, STACK, TEMPLATES, Cloud, without
from support import ROOT

from console_login.stack import template

PROGRAM = ROOT / ".cache" / "ministack" / "bin" / "ministack"
LOG = ROOT / ".cache" / "ministack.log"


@pytest.fixture(scope="session")
def cloud(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cloud]:
    """Run MiniStack on 127.0.0.1. Its log stays in .cache if a test fails."""
    assert PROGRAM.exists(), "MiniStack is not installed: run `make deploy-test`"
    home = tmp_path_factory.mktemp("home")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = {
        "HOME": str(home),
        "TMPDIR": str(home),
        "PATH": os.environ["PATH"],
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
        "MINISTACK_REGION": REGION,
    }
    with LOG.open("wb") as log:
        process = subprocess.Popen(
            [str(PROGRAM)],
            cwd=home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # A separate session, so that only MiniStack and its child processes are ended.
            start_new_session=True,
        )
    try:
        _wait(process, url)
        running = Cloud(url, home)
        running.client("logs").create_log_group(logGroupName=GROUP)
        yield running
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if not request.session.testsfailed:
        LOG.unlink()


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    for _ in range(300):
        assert process.poll() is None, LOG.read_text()
        try:
            with urllib.request.urlopen(f"{url}/_ministack/health"):
                return
        except urllib.error.URLError:
            time.sleep(0.1)
    raise AssertionError("MiniStack does not answer: see .cache/ministack.log")


@pytest.fixture(scope="session")
def checkout(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy SAM's input files, set this machine's architecture, and build the pipeline."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in TEMPLATES:
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "functions", folder / "functions")
    machine = platform.machine().replace("aarch64", "arm64")
    settings = (ROOT / "samconfig.toml").read_text()
    assert settings.count('"Architecture=arm64"') == 1
    settings = settings.replace('"Architecture=arm64"', f'"Architecture={machine}"')
    (folder / "samconfig.toml").write_text(settings)
    done = cloud.run("sam", "build", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def pipeline(cloud: Cloud, checkout: Path) -> str:
    """Run `sam deploy`; return the stack's name."""
    done = cloud.run("sam", "deploy", "--no-confirm-changeset", folder=checkout)
    assert done.returncode == 0, done.stderr
    return STACK


@pytest.fixture(scope="session")
def documents(cloud: Cloud, pipeline: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the templates: the pipeline's as sent by `sam deploy`, the others unchanged."""
    found = cloud.client("cloudformation").get_template(
        StackName=pipeline, TemplateStage="Original"
    )
    sent = tmp_path_factory.mktemp("sent") / "template.yaml"
    sent.write_text(found["TemplateBody"])
    return {name: template.load(ROOT / name) for name in TEMPLATES} | {
        "template.yaml": template.load(sent)
    }


@pytest.fixture(scope="session")
def possible(documents: Mapping[str, Any]) -> dict[str, Any]:
    """Return the templates without the resources that MiniStack does not support."""
    return {name: without(document, LACKS[name]) for name, document in documents.items()}


@pytest.fixture
def runs_the_function() -> None:
    if platform.system() != "Linux":
        pytest.skip(f"the built function needs Linux, but this machine is {platform.system()}")
