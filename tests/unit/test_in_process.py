"""Tests that the function in this process fails as it does in Lambda."""

import io
from typing import Any

import pytest
from support import OSAKA, TOKYO, envelope, event, gz

from console_login.function import FunctionError, FunctionFailure, InProcess


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, KeyError])
def test_fact_4_a_handler_that_raises_is_a_failed_invocation(error: type[Exception]) -> None:
    function = InProcess(log=io.StringIO())

    def fail(*_: object) -> Any:
        raise error

    function._app.lambda_handler = fail
    with pytest.raises(FunctionFailure, match=error.__name__) as raised:
        function.invoke(event(b"x"))
    assert raised.value.code == "Lambda.FunctionError"


@pytest.mark.parametrize("answer", [{1, 2}, b"bytes", object()])
def test_fact_4_an_answer_that_is_not_json_is_a_failed_invocation(answer: Any) -> None:
    function = InProcess(log=io.StringIO())
    function._app.lambda_handler = lambda *_: answer
    with pytest.raises(FunctionFailure):
        function.invoke(event(b"x"))


def test_fact_2_an_answer_over_6_mb_is_a_failed_invocation() -> None:
    function = InProcess(log=io.StringIO())
    function._app.lambda_handler = lambda *_: "x" * (6 * 1024 * 1024 - 2)
    assert function.invoke(event(b"x"))
    function._app.lambda_handler = lambda *_: "x" * (6 * 1024 * 1024 - 1)
    with pytest.raises(FunctionFailure, match="6 MB"):
        function.invoke(event(b"x"))


def test_each_function_has_its_own_configuration() -> None:
    names = InProcess({"EVENT_NAMES": "CheckMfa"}, io.StringIO())
    every = InProcess({"EVENT_NAMES": "*"}, io.StringIO())
    firehose_event = event(gz(envelope([TOKYO, OSAKA])))
    assert names.invoke(firehose_event)["records"][0]["result"] == "Dropped"
    assert every.invoke(firehose_event)["records"][0]["result"] == "Ok"
    assert names.invoke(firehose_event)["records"][0]["result"] == "Dropped"


def test_a_configuration_that_is_refused_is_a_users_error() -> None:
    with pytest.raises(FunctionError, match=r"'a\*'"):
        InProcess({"EVENT_NAMES": "a*"}, io.StringIO())
