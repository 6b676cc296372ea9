"""A fixture that runs the pipeline of template.yaml in simulated time."""

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from console_login.local import moto_state as state
from console_login.local import pipeline as local
from console_login.local.clock import SimulatedClock
from console_login.local.faults import Faults
from console_login.local.firehose_api import FirehoseClient
from console_login.stack import template

# 2024-03-30 09:48:22 UTC, 18:48:22 in Tokyo.
START = 1711792102.0


class Run:
    """A pipeline after its run. `bodies`: the objects by key."""

    def __init__(self, pipeline: local.Pipeline) -> None:
        self.pipeline = pipeline
        self.stream = pipeline.stream
        self.keys = pipeline.stream.keys
        self.error_keys = pipeline.stream.error_keys
        self.account = pipeline.account()
        keys = [*self.keys, *self.error_keys]
        self.bodies = {key: pipeline.state.get(key) for key in keys}


@pytest.fixture
def run() -> Iterator[Callable[..., Run]]:
    with contextlib.ExitStack() as stack:

        def start(
            messages: Iterable[str],
            *,
            faults: Iterable[str] = (),
            start: float = START,
            seed: int = 0,
            max_response_bytes: int | None = None,
            wrap: Callable[[Any], Any] = lambda function: function,
            **parameters: str,
        ) -> Run:
            # End the previous run: moto has only one state.
            stack.close()
            started = stack.enter_context(state.started(template.load(), parameters))
            clock = SimulatedClock(start)
            made = Faults(faults, seed)
            client = FirehoseClient(made)
            function = local.in_process(started.stack, io.StringIO(), client)
            if max_response_bytes is not None:
                # The real function, but with a limit that few events fill.
                transformer = function._app.Transformer(
                    frozenset({"ConsoleLogin"}), max_response_bytes
                )
                function._app._transformer = transformer
            pipeline = local.Pipeline(started, wrap(function), clock, made, seed, client)
            local.run(pipeline, clock, messages, lambda: None)
            return Run(pipeline)

        yield start
