"""The local pipeline over HTTP: one endpoint for any AWS client.

The stand-ins answer calls to Firehose and calls about the subscription filter. moto answers all
others. Events that PutLogEvents writes to the subscribed log group pass through the pipeline, and
are also written to files in the trail's bucket.
"""

import base64
import binascii
import io
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from console_login import shown
from console_login.errors import UserError
from console_login.local import moto_state
from console_login.local.firehose_api import ApiError
from console_login.local.logs_api import LogsApi
from console_login.local.pipeline import Pipeline
from console_login.stack.limits import MAX_LOG_EVENT_BYTES
from console_login.stack.template import Stack

_FIREHOSE = "Firehose_20150804."
_LOGS = "Logs_20140328."
_PUT_LOG_EVENTS = _LOGS + "PutLogEvents"
_FILTER_LOG_EVENTS = _LOGS + "FilterLogEvents"
_HEADERS = [("Content-Type", "application/x-amz-json-1.1")]
_POLL_SECONDS = 0.1

_LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:(?P<port>\d+))?", re.IGNORECASE)

# PutLogEvents rejects older and newer events, so they are not delivered (API reference).
_OLDEST_MS = 14 * 24 * 3600 * 1000
_NEWEST_MS = 2 * 3600 * 1000

_Environ = dict[str, Any]
_StartResponse = Callable[..., Any]


class ServiceError(UserError):
    """The endpoint cannot be opened, or its pipeline failed."""


class Application:
    """The WSGI application around a pipeline.

    Only programs on this machine may use it. Requests from web pages are rejected with 403, and no
    response has CORS headers.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._api = pipeline.api
        logs = LogsApi(pipeline)
        self._logs = {
            _LOGS + "DescribeSubscriptionFilters": logs.describe_subscription_filters,
            _LOGS + "PutSubscriptionFilter": logs.put_subscription_filter,
            _LOGS + "DeleteSubscriptionFilter": logs.delete_subscription_filter,
        }
        self._moto: Callable[..., Iterable[bytes]] = DomainDispatcherApplication(create_backend_app)
        # A stream accepts records from any thread; a subscription filter is not thread-safe.
        self._filtering = threading.Lock()
        # Each response must have the only data point of the age.
        self._measuring = threading.Lock()

    def __call__(self, environ: _Environ, start_response: _StartResponse) -> Iterable[bytes]:
        why = _refusal(environ)
        if why is not None:
            start_response("403 Forbidden", [("Content-Type", "text/plain; charset=utf-8")])
            return [f"rejected: {why}\n".encode()]

        def without_cors(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            # moto's CORS headers would let any web page read the response.
            kept = [each for each in headers if not each[0].lower().startswith("access-control-")]
            return start_response(status, kept, *rest)

        return self._answer(environ, without_cors)

    def _answer(self, environ: _Environ, start_response: _StartResponse) -> Iterable[bytes]:
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if target.startswith(_FIREHOSE):
            return self._firehose(target.removeprefix(_FIREHOSE), environ, start_response)
        if target == _PUT_LOG_EVENTS:
            return self._put_log_events(environ, start_response)
        if target == _FILTER_LOG_EVENTS:
            return self._filter_log_events(environ, start_response)
        if target in self._logs:
            return self._subscription_filter(self._logs[target], environ, start_response)
        if _is_for("cloudformation", environ):
            return self._cloudformation(environ, start_response)
        if _is_for("monitoring", environ):
            with self._measuring:
                moto_state.show_age(self._pipeline.stack, self._pipeline.stream.oldest_age())
                return self._moto(environ, start_response)
        return self._moto(environ, start_response)

    def _firehose(
        self, operation: str, environ: _Environ, start_response: _StartResponse
    ) -> Iterable[bytes]:
        try:
            answer, status = self._call(operation, _request(_body(environ))), "200 OK"
        except ApiError as error:
            answer, status = _error(error)
        start_response(status, _HEADERS)
        return [json.dumps(answer).encode()]

    def _call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        match operation, request:
            case "PutRecord", {"DeliveryStreamName": name, "Record": {"Data": data}}:
                return self._api.put_record(name, _decoded(data))
            case "PutRecordBatch", {"DeliveryStreamName": name, "Records": list(records)}:
                data = [
                    _decoded(record.get("Data") if isinstance(record, dict) else None)
                    for record in records
                ]
                return self._api.put_record_batch(name, data)
            case "DescribeDeliveryStream", {"DeliveryStreamName": name}:
                return self._api.describe_delivery_stream(name)
            case (("PutRecord" | "PutRecordBatch" | "DescribeDeliveryStream"), _):
                raise ApiError("SerializationException", "the request is malformed")
        raise ApiError("UnknownOperationException", f"{operation} is not supported here")

    def _subscription_filter(
        self,
        operation: Callable[[dict[str, Any]], dict[str, Any]],
        environ: _Environ,
        start_response: _StartResponse,
    ) -> Iterable[bytes]:
        try:
            with self._filtering:
                answer, status = operation(_request(_body(environ))), "200 OK"
        except ApiError as error:
            answer, status = _error(error)
        start_response(status, _HEADERS)
        return [json.dumps(answer).encode()]

    def _filter_log_events(
        self, environ: _Environ, start_response: _StartResponse
    ) -> Iterable[bytes]:
        statuses: list[str] = []
        try:
            body = _body(environ)
            request = _request(body)
            environ["wsgi.input"] = io.BytesIO(body)
            found = list(self._moto(environ, lambda status, *_: statuses.append(status)))
            if statuses[-1].startswith("200"):
                answer = LogsApi.filtered(request, json.loads(b"".join(found)))
                found = [json.dumps(answer).encode()]
        except ApiError as error:
            answer, status = _error(error)
            statuses.append(status)
            found = [json.dumps(answer).encode()]
        start_response(statuses[-1], _HEADERS)
        return found

    def _cloudformation(self, environ: _Environ, start_response: _StartResponse) -> Iterable[bytes]:
        """Answer for the one stack. moto's own CloudFormation needs large OpenAPI packages."""
        stack = self._pipeline.stack
        form = parse_qs(_body(environ).decode("utf-8", "replace"))
        answers = {"DescribeStacks": described, "DescribeStackResources": _resources_described}
        answer = answers.get(form.get("Action", [""])[0])
        if answer is not None and form.get("StackName") == [stack.name]:
            start_response("200 OK", [("Content-Type", "text/xml")])
            return [answer(stack).encode()]
        # XML cannot represent control characters.
        why = f"Stack with id {shown.text(form.get('StackName', ['?'])[0])} does not exist"
        start_response("400 Error", [("Content-Type", "text/xml")])
        return [
            "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>"
            f"<Message>{escape(why)}</Message></Error></ErrorResponse>".encode()
        ]

    def _put_log_events(self, environ: _Environ, start_response: _StartResponse) -> Iterable[bytes]:
        try:
            body = _body(environ)
            request = _request(body)
            messages = _accepted(request.get("logEvents", []))
            if any(len(message.encode()) > MAX_LOG_EVENT_BYTES for message in messages):
                raise ApiError("InvalidParameterException", "Log event too large")
        except ApiError as error:
            answer, status = _error(error)
            start_response(status, _HEADERS)
            return [json.dumps(answer).encode()]
        except (KeyError, TypeError, AttributeError, ValueError):
            messages = []
        environ["wsgi.input"] = io.BytesIO(body)
        statuses: list[str] = []

        def started(status: str, *arguments: Any) -> Any:
            statuses.append(status)
            return start_response(status, *arguments)

        # moto stores the events and rejects malformed requests.
        response = list(self._moto(environ, started))
        if (
            statuses[-1].startswith("200")
            and request.get("logGroupName") == self._pipeline.stack.outputs["LogGroupName"]
        ):
            with self._filtering:
                for message in messages:
                    self._pipeline.offer(message)
                self._pipeline.flush()
                moto_state.write_trail_files(self._pipeline.stack, messages)
        return response


def _refusal(environ: _Environ) -> str | None:
    """Return why a request is rejected (a web page may have sent it), or None."""
    if "HTTP_ORIGIN" in environ:
        return "requests with the header Origin come from web pages"
    # A page's images, scripts and links send no Origin. `none`: the user typed the address.
    if environ.get("HTTP_SEC_FETCH_SITE", "none") != "none":
        return "requests with the header Sec-Fetch-Site come from web pages"
    # Browsers from before 2023 do not send it, and no browser sends it to an untrusted address.
    user_agent = environ.get("HTTP_USER_AGENT", "")
    if user_agent.startswith("Mozilla/") and "HTTP_SEC_FETCH_SITE" not in environ:
        return "this browser does not show whether a web page sent the request"
    # A page's host name can resolve to this address (DNS rebinding). The request is then not
    # cross-site.
    port = environ["SERVER_PORT"]
    host = _LOOPBACK.fullmatch(environ.get("HTTP_HOST", ""))
    if host is None or host["port"] not in (None, port):
        return f"the header Host must name this machine, such as 127.0.0.1:{port}"
    return None


def _accepted(log_events: list[dict[str, Any]]) -> list[str]:
    """Return the messages that CloudWatch Logs accepts: the last 14 days and the next 2 hours."""
    now = time.time() * 1000
    return [
        log_event["message"]
        for log_event in log_events
        if now - _OLDEST_MS <= log_event["timestamp"] <= now + _NEWEST_MS
    ]


def _is_for(service: str, environ: _Environ) -> bool:
    """Whether a request is signed for a service: `Credential=KEY/DATE/REGION/SERVICE/...`."""
    return f"/{service}/aws4_request" in environ.get("HTTP_AUTHORIZATION", "")


def described(stack: Stack) -> str:
    """Return the response to DescribeStacks."""
    parameters = {
        name: ",".join(value) if isinstance(value, list) else value
        for name, value in stack.parameters.items()
    }
    arn = f"arn:aws:cloudformation:{stack.region}:{stack.account_id}:stack/{stack.name}/local"
    return (
        '<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">'
        f"<DescribeStacksResult><Stacks><member><StackName>{stack.name}</StackName>"
        f"<StackId>{arn}</StackId><StackStatus>CREATE_COMPLETE</StackStatus>"
        "<CreationTime>2024-03-30T09:45:53Z</CreationTime>"
        f"<Parameters>{_members('Parameter', parameters)}</Parameters>"
        f"<Outputs>{_members('Output', stack.outputs)}</Outputs>"
        "</member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
    )


def _resources_described(stack: Stack) -> str:
    resources = "".join(
        f"<member><LogicalResourceId>{logical_id}</LogicalResourceId>"
        f"<PhysicalResourceId>{escape(resource.physical_id)}</PhysicalResourceId>"
        f"<ResourceType>{resource.type}</ResourceType>"
        "<Timestamp>2024-03-30T09:45:53Z</Timestamp>"
        "<ResourceStatus>CREATE_COMPLETE</ResourceStatus></member>"
        for logical_id, resource in stack.resources.items()
    )
    return (
        '<DescribeStackResourcesResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">'
        f"<DescribeStackResourcesResult><StackResources>{resources}</StackResources>"
        "</DescribeStackResourcesResult></DescribeStackResourcesResponse>"
    )


def _members(kind: str, values: Mapping[str, str]) -> str:
    return "".join(
        f"<member><{kind}Key>{name}</{kind}Key><{kind}Value>{escape(value)}</{kind}Value></member>"
        for name, value in values.items()
    )


def _error(error: ApiError) -> tuple[dict[str, Any], str]:
    return {"__type": error.code, "message": error.message}, f"{error.status} Error"


def _body(environ: _Environ) -> bytes:
    length = environ.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal():
        raise ApiError("SerializationException", "the request has no valid Content-Length")
    body: bytes = environ["wsgi.input"].read(int(length))
    return body


def _request(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise ApiError("SerializationException", "the request is not a JSON object")
    return request


def _decoded(data: Any) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise ApiError("SerializationException", "Data is not valid base64") from error


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object, **__: object) -> None:
        """Log nothing: one line for each request would hide the important ones."""


class Service:
    """An endpoint on the loopback interface; `serve` answers there until `close`.

    port: 0 opens a free port.
    Raises ServiceError if the port cannot be opened.
    """

    def __init__(self, port: int) -> None:
        try:
            self._socket = socket.create_server(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            # Python appends the address to the system's message, in parentheses.
            why = str(getattr(error, "strerror", None) or error).split(" (")[0]
            raise ServiceError(
                f"port {port} cannot be opened ({why}): use --port PORT, or --port 0 for a free one"
            ) from error
        self.endpoint_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server: BaseWSGIServer | None = None
        self._stopped = threading.Event()
        self._failure: Exception | None = None
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def serve(self, pipeline: Pipeline, *, in_real_time: bool) -> None:
        """Serve a pipeline in threads; with `in_real_time`, also poll its stream."""
        self._server = make_server(
            "127.0.0.1",
            0,
            Application(pipeline),
            threaded=True,
            request_handler=_Quiet,
            fd=self._socket.fileno(),
        )
        self._threads = [threading.Thread(target=self._server.serve_forever, daemon=True)]
        if in_real_time:
            self._threads.append(threading.Thread(target=self._poll, args=[pipeline], daemon=True))
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Wait until the process is interrupted. Raises ServiceError if the pipeline fails."""
        self._stopped.wait()
        if self._failure is not None:
            raise ServiceError(f"the pipeline failed: {self._failure}") from self._failure

    def close(self) -> None:
        """Stop answering and free the port."""
        self._stopped.set()
        if self._server is not None:
            self._server.shutdown()
            for thread in self._threads:
                thread.join()
            self._server.server_close()
        self._socket.close()

    def _poll(self, pipeline: Pipeline) -> None:
        while not self._stopped.wait(_POLL_SECONDS):
            try:
                pipeline.stream.poll()
            # An uncaught exception in this thread would only stop the deliveries.
            except Exception as error:  # noqa: BLE001
                self._failure = error
                self._stopped.set()
