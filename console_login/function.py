"""The deployed function, imported from its CodeUri as Lambda imports it: the only door to it."""

import contextlib
import os
import sys
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from console_login.errors import UserError

if TYPE_CHECKING:
    from transformer.batch import Outcome
    from transformer.firehose import Response

CODE_URI = Path(__file__).resolve().parent.parent / "functions" / "transform"


class FunctionError(UserError):
    """The function refused its configuration or the event; the message says why."""


def invoke(event: Any) -> "tuple[Response, list[Outcome]]":
    """Run the function in this process; return its answer and each record's fate.

    Its log and metrics go to stderr. Raises FunctionError where Lambda would report an error.
    """
    os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "console-login")
    os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "ConsoleLoginFirehose")
    if str(CODE_URI) not in sys.path:
        sys.path.insert(0, str(CODE_URI))
    from transformer.batch import response
    from transformer.config import ConfigurationError
    from transformer.firehose import NotAFirehoseEventError

    with contextlib.redirect_stdout(sys.stderr):
        try:
            import app

            outcomes = app.handle(event, SimpleNamespace(aws_request_id=str(uuid.uuid4())))
        except (ConfigurationError, NotAFirehoseEventError) as error:
            raise FunctionError(str(error)) from error
    return response(outcomes), outcomes
