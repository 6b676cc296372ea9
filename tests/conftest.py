"""Shared fixtures, and the flag that rewrites expected outputs."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from support import CONTEXT, ROOT, FakeFirehose

import app
from transformer import report
from transformer.put_back import PutBack

_LONG = ("cli", "local", "operate", "project", "runtime")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew-golden", action="store_true", help="rewrite tests/golden/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run each file in one xdist worker, to share fixtures; tests/runtime in one, for its builds.

    The folders with the longest files run first, so that no long file starts last.
    """
    items.sort(key=lambda item: item.path.relative_to(ROOT).parts[1] not in _LONG)
    for item in items:
        path = item.path.relative_to(ROOT)
        group = "runtime" if path.parts[1] == "runtime" else str(path)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(autouse=True)
def put_back(monkeypatch: pytest.MonkeyPatch) -> "FakeFirehose":
    """Replace Firehose for put-back records, so that no test calls AWS."""
    firehose = FakeFirehose()
    monkeypatch.setattr(app, "_putter", PutBack(lambda: firehose, sleep=firehose.sleep))
    return firehose


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


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the handler on an event; return its answer and the lines that it printed."""
    # Powertools' log handler keeps the stdout that was set when it was created.
    monkeypatch.setattr(report._logger.registered_handler, "stream", _Stdout())

    def run(firehose_event: Any) -> tuple[Any, list[dict[str, Any]]]:
        capsys.readouterr()
        answer = app.lambda_handler(firehose_event, CONTEXT)
        return answer, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


class _Stdout:
    def write(self, text: str) -> None:
        sys.stdout.write(text)

    def flush(self) -> None:
        pass
