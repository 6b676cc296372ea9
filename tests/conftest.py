"""Fixtures and the flag that renews expected outputs."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from support import ROOT


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew-golden", action="store_true", help="write tests/golden/ anew")


@pytest.fixture
def run_python() -> Callable[[str], str]:
    """Run code in a fresh interpreter that imports from the CodeUri; return its stdout."""

    def run(code: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(ROOT / "functions" / "transform")}
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout

    return run
