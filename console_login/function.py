"""The transformation function in this process, imported from its CodeUri as Lambda imports it."""

import base64
import contextlib
import importlib.util
import json
import logging
import os
import random
import sys
import uuid
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING, Any, cast

from console_login import shown
from console_login.errors import UserError
from console_login.shipped import CODE_URI

if TYPE_CHECKING:
    from transformer.firehose import Response
    from transformer.outcome import Outcome

# Lambda's quota. Its runtime interface emulator allows a hundred bytes more.
MAX_RESPONSE_BYTES = 6 * 1024 * 1024


class FunctionError(UserError):
    """The function rejected its configuration or the event, or cannot run; the message says why."""


class FunctionFailure(Exception):  # noqa: N818 - a failure of the function, not an error here
    """An invocation without a usable response: Firehose retries, then fails the whole batch.

    code: Firehose's errorCode, such as `Lambda.FunctionError`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class AcceptingFirehose:
    """A Firehose client for use without a stream: it accepts and discards every record."""

    def put_record_batch(self, *, DeliveryStreamName: str, Records: list[Any]) -> Any:  # noqa: ARG002, N803
        return {"FailedPutCount": 0, "RequestResponses": [{"RecordId": ""} for _ in Records]}

    def close(self) -> None:
        """Do nothing: there is no connection."""


class InProcess:
    """The function, imported from its CodeUri as Lambda imports it.

    environment: variables that override this process's own, such as the template's.
    log: receives the function's log and metrics; stderr by default.
    firehose: the client for records that the function puts back, never a client of AWS.
    timeout_seconds: the function's timeout, against which only the function's waits count.
    Raises FunctionError if the configuration is rejected.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        log: IO[str] | None = None,
        firehose: Any = None,
        timeout_seconds: float = 120,
    ) -> None:
        self._log = log
        self._timeout_seconds = timeout_seconds
        self._slept = 0.0
        with self._logged(), _environment(environment or {}):
            self._app = _load()
        client = firehose or AcceptingFirehose()
        from transformer.put_back import PutBack

        # Waits take no real time here, but count against the invocation's timeout.
        jitter = random.Random(0).uniform  # noqa: S311 - not a secret
        self._app._putter = PutBack(lambda: client, self._sleep, jitter)

    def invoke(self, event: Any) -> Any:
        """Return the response as Lambda sends it. Raises FunctionFailure if Lambda fails."""
        with self._logged():
            try:
                text = json.dumps(self._app.lambda_handler(event, self._context()))
            # Lambda reports any exception of a handler, and Firehose retries.
            except Exception as error:
                raise FunctionFailure("Lambda.FunctionError", type(error).__name__) from error
        if len(text.encode()) > MAX_RESPONSE_BYTES:
            raise FunctionFailure("Lambda.FunctionError", "Response payload size exceeded 6 MB.")
        return json.loads(text)

    def handle(self, event: Any) -> "tuple[Response, list[Outcome]]":
        """Return the response and each record's outcome.

        Raises FunctionError if the event is not a Firehose transformation event.
        """
        from transformer.firehose import NotAFirehoseEventError

        with self._logged():
            try:
                outcomes = self._app.handle(event, self._context())
            except NotAFirehoseEventError as error:
                raise FunctionError(f"not a Firehose transformation event: {error}") from error
        return {"records": [outcome.response() for outcome in outcomes]}, outcomes

    def _sleep(self, seconds: float) -> None:
        self._slept += seconds

    def _context(self) -> SimpleNamespace:
        self._slept = 0.0
        return SimpleNamespace(
            aws_request_id=str(uuid.uuid4()),
            get_remaining_time_in_millis=lambda: (self._timeout_seconds - self._slept) * 1000,
        )

    @contextlib.contextmanager
    def _logged(self) -> Iterator[None]:
        previous = _log.target
        _log.target = self._log or sys.stderr
        # If the log cannot be written, the error is reported once, when the log is closed.
        raising, logging.raiseExceptions = logging.raiseExceptions, False
        try:
            with contextlib.redirect_stdout(cast("IO[str]", _log)):
                yield
        finally:
            _log.target = previous
            logging.raiseExceptions = raising


class _Log:
    """The function's stdout. A single object, because Powertools keeps the first one it finds."""

    def __init__(self) -> None:
        self.target: IO[str] = sys.stderr

    def write(self, text: str) -> int:
        # Powertools does not escape U+009B and U+202E in its JSON.
        escapes = self.target.isatty()
        return self.target.write("\n".join(map(shown.text, text.split("\n"))) if escapes else text)

    def flush(self) -> None:
        self.target.flush()


_log = _Log()


@contextlib.contextmanager
def restored_environment() -> Iterator[None]:
    """Restore this process's environment on exit."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    with restored_environment():
        os.environ.update(variables)
        os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "console-login")
        os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "ConsoleLoginFirehose")
        yield


def lines_of(outcome: "Outcome") -> list[str]:
    r"""Return the lines that an outcome delivers, without their `\n`."""
    return base64.b64decode(outcome.data or "").decode().split("\n")[:-1]


def make_importable() -> None:
    """Make the function's package `transformer` importable from its CodeUri."""
    if str(CODE_URI) not in sys.path:
        sys.path.insert(0, str(CODE_URI))


def _load() -> Any:
    """Import app.py again, because it reads its configuration during import."""
    make_importable()
    from transformer.config import ConfigurationError

    spec = importlib.util.spec_from_file_location("app", CODE_URI / "app.py")
    if spec is None or spec.loader is None:
        raise FunctionError(f"{CODE_URI / 'app.py'} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ConfigurationError as error:
        raise FunctionError(str(error)) from error
    return module
