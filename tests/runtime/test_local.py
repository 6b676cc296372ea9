"""Tests the local pipeline with the built function under the emulator."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from console_login.function import FunctionError, FunctionFailure
from console_login.local import generate
from console_login.local import moto_state as state
from console_login.local import pipeline as local
from console_login.local.clock import SimulatedClock
from console_login.local.emulator import RuntimeEmulator
from console_login.local.endpoint import Service
from console_login.local.faults import Faults
from console_login.local.firehose_api import FirehoseClient
from console_login.stack import template

START = 1711792102.0


def test_the_emulator_gives_the_same_objects_byte_for_byte(
    build: Callable[[str], Path], here: None
) -> None:
    objects = []
    for runtime in ("in-process", "rie"):
        events = generate.events(3000, 0.2, random.Random(4), START)
        faults = Faults(["lambda:0.3", "s3", "duplicate"], 9)
        with state.started(template.load(), {"Compression": "GZIP"}) as started:
            clock = SimulatedClock(START)
            if runtime == "rie":
                with (
                    Service(0) as service,
                    local.under_emulator(
                        started.stack, service.endpoint_url, build("x86_64")
                    ) as function,
                ):
                    pipeline = local.Pipeline(started, function, clock, faults, 9)
                    service.serve(pipeline, in_real_time=False)
                    local.run(pipeline, clock, events, lambda: None)
            else:
                with Path(os.devnull).open("w") as log:
                    client = FirehoseClient(faults)
                    in_process = local.in_process(started.stack, log, client)
                    pipeline = local.Pipeline(started, in_process, clock, faults, 9, client)
                    local.run(pipeline, clock, events, lambda: None)
            keys = [*pipeline.stream.keys, *pipeline.stream.error_keys]
            objects.append({key: started.get(key) for key in keys})
            assert pipeline.account().is_balanced
    assert len(objects[0]) >= 3
    assert objects[0] == objects[1]


def test_a_handler_that_raises_is_a_function_error(emulator: RuntimeEmulator) -> None:
    with pytest.raises(FunctionFailure) as raised:
        emulator.invoke({"no": "records"})
    assert raised.value.code == "Lambda.FunctionError"


def test_an_answer_over_6_mb_is_a_function_error(tmp_path: Path, here: None) -> None:
    (tmp_path / "app.py").write_text(
        "def lambda_handler(event, context):\n    return 'x' * (6 * 1024 * 1024 + 200)\n"
    )
    with (
        RuntimeEmulator(tmp_path, {}, timeout_seconds=5) as running,
        pytest.raises(FunctionFailure) as raised,
    ):
        running.invoke({"records": []})
    assert raised.value.code == "Lambda.FunctionError"


def test_a_function_that_outlasts_its_timeout_is_timed_out(tmp_path: Path, here: None) -> None:
    (tmp_path / "app.py").write_text(
        "import time\n\ndef lambda_handler(event, context):\n    time.sleep(20)\n"
    )
    with (
        RuntimeEmulator(tmp_path, {}, timeout_seconds=1) as running,
        pytest.raises(FunctionFailure) as raised,
    ):
        running.invoke({"records": []})
    assert raised.value.code == "Lambda.FunctionTimedOut"


def test_an_emulator_that_has_ended_is_reported(tmp_path: Path, here: None) -> None:
    (tmp_path / "app.py").write_text("def lambda_handler(event, context):\n    return {}\n")
    running = RuntimeEmulator(tmp_path, {}, timeout_seconds=1)
    running.close()
    with pytest.raises(FunctionError, match="does not respond"):
        running.invoke({"records": []})


def test_a_log_that_cannot_be_written_is_reported(tmp_path: Path, here: None) -> None:
    (tmp_path / "app.py").write_text("")
    with pytest.raises(FunctionError, match="No such file"):
        RuntimeEmulator(tmp_path, {}, timeout_seconds=1, log=tmp_path / "no" / "log")


def test_a_build_for_another_machine_is_reported(build: Callable[[str], Path], here: None) -> None:
    with pytest.raises(FunctionError, match="run make build ARCHITECTURE=x86_64 first"):
        RuntimeEmulator(build("arm64"), {}, timeout_seconds=1)


def test_a_missing_build_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FunctionError, match="no built function"):
        RuntimeEmulator(tmp_path, {}, timeout_seconds=1)
