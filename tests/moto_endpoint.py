"""Serves moto over HTTP, for the commands in the documents.

moto has no CloudFormation outputs here, so the local pipeline's endpoint answers those requests.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from console_login.local.endpoint import described
from console_login.stack.template import Stack


class Moto:
    """A WSGI application: moto, and a stack's outputs."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if "/cloudformation/" in environ.get("HTTP_AUTHORIZATION", ""):
            start_response("200 OK", [("Content-Type", "text/xml")])
            return [described(self._stack).encode()]
        return self._moto(environ, start_response)


@contextlib.contextmanager
def serving_moto(stack: Stack) -> Iterator[str]:
    """Serve moto's state in this process; yield the address."""
    server = make_server("127.0.0.1", 0, Moto(stack), threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
