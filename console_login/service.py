"""The local pipeline over HTTP: one endpoint for any AWS client.

Firehose's calls go to the stand-in, the rest to moto; what PutLogEvents puts into the subscribed
log group goes on its way through the pipeline.
"""

import base64
import binascii
import io
import json
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from console_login.errors import UserError
from console_login.local import Pipeline
from console_login.stream import MAX_BATCH_BYTES, MAX_BATCH_RECORDS, StreamError

_FIREHOSE = "Firehose_20150804."
_PUT_LOG_EVENTS = "Logs_20140328.PutLogEvents"
_POLL_SECONDS = 0.1

_Environ = dict[str, Any]
_StartResponse = Callable[..., Any]


class ServiceError(UserError):
    """The endpoint cannot be opened."""


class _ApiError(Exception):
    """An error that Firehose's API answers."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Application:
    """The WSGI application around a pipeline; `lock` guards the pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._moto = DomainDispatcherApplication(create_backend_app)
        self.lock = threading.Lock()
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "PutRecord": self._put_record,
            "PutRecordBatch": self._put_record_batch,
            "DescribeDeliveryStream": self._describe_delivery_stream,
        }

    def __call__(self, environ: _Environ, start_response: _StartResponse) -> Iterable[bytes]:
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if target.startswith(_FIREHOSE):
            return self._firehose(target.removeprefix(_FIREHOSE), environ, start_response)
        if target == _PUT_LOG_EVENTS:
            return self._put_log_events(environ, start_response)
        response: Iterable[bytes] = self._moto(environ, start_response)
        return response

    def _firehose(
        self, operation: str, environ: _Environ, start_response: _StartResponse
    ) -> Iterable[bytes]:
        try:
            request = json.loads(_body(environ) or b"{}")
            if operation not in self._operations:
                raise _ApiError("UnknownOperationException", f"{operation} is not answered here")
            with self.lock:
                answer = self._operations[operation](request)
            status = "200 OK"
        except _ApiError as error:
            status = "400 Bad Request"
            answer = {"__type": error.code, "message": error.message}
        except (ValueError, TypeError, KeyError, AttributeError):
            status = "400 Bad Request"
            answer = {"__type": "SerializationException", "message": "the request is malformed"}
        start_response(status, [("Content-Type", "application/x-amz-json-1.1")])
        return [json.dumps(answer).encode()]

    def _put_record(self, request: dict[str, Any]) -> dict[str, Any]:
        self._check_stream(request)
        data = _decoded(request["Record"]["Data"])
        try:
            return {"RecordId": self._pipeline.stream.put(data), "Encrypted": True}
        except StreamError as error:
            raise _ApiError("ValidationException", str(error)) from error

    def _put_record_batch(self, request: dict[str, Any]) -> dict[str, Any]:
        self._check_stream(request)
        records = [_decoded(record["Data"]) for record in request["Records"]]
        if not 0 < len(records) <= MAX_BATCH_RECORDS:
            raise _ApiError("ValidationException", f"1 to {MAX_BATCH_RECORDS} records are allowed")
        if sum(map(len, records)) > MAX_BATCH_BYTES:
            raise _ApiError("InvalidArgumentException", "Records size exceeds 4 MB limit")
        try:
            ids = [self._pipeline.stream.put(record) for record in records]
        except StreamError as error:
            raise _ApiError("ValidationException", str(error)) from error
        responses = [{"RecordId": record_id} for record_id in ids]
        return {"FailedPutCount": 0, "Encrypted": True, "RequestResponses": responses}

    def _describe_delivery_stream(self, request: dict[str, Any]) -> dict[str, Any]:
        self._check_stream(request)
        stack = self._pipeline.stack
        (stream,) = stack.of_type("AWS::KinesisFirehose::DeliveryStream").values()
        configuration = self._pipeline.stream.configuration
        s3 = stream.properties["ExtendedS3DestinationConfiguration"]
        hints = {key: int(value) for key, value in s3["BufferingHints"].items()}
        destination = {
            "DestinationId": "destinationId-000000000001",
            "ExtendedS3DestinationDescription": {**s3, "BufferingHints": hints},
        }
        encryption = stream.properties["DeliveryStreamEncryptionConfigurationInput"]
        return {
            "DeliveryStreamDescription": {
                "DeliveryStreamName": configuration.name,
                "DeliveryStreamARN": configuration.arn,
                "DeliveryStreamStatus": "ACTIVE",
                "DeliveryStreamType": "DirectPut",
                "DeliveryStreamEncryptionConfiguration": {**encryption, "Status": "ENABLED"},
                "VersionId": "1",
                "Destinations": [destination],
                "HasMoreDestinations": False,
            }
        }

    def _check_stream(self, request: dict[str, Any]) -> None:
        name = request["DeliveryStreamName"]
        if name != self._pipeline.stream.configuration.name:
            configuration = self._pipeline.stream.configuration
            raise _ApiError(
                "ResourceNotFoundException",
                f"Firehose {name} under account {configuration.account_id} not found.",
            )

    def _put_log_events(self, environ: _Environ, start_response: _StartResponse) -> Iterable[bytes]:
        body = _body(environ)
        environ["wsgi.input"] = io.BytesIO(body)
        statuses: list[str] = []

        def started(status: str, *arguments: Any) -> Any:
            statuses.append(status)
            return start_response(status, *arguments)

        # moto keeps the events, and refuses what is no request.
        response = list(self._moto(environ, started))
        request = json.loads(body) if statuses[-1].startswith("200") else {}
        if request.get("logGroupName") == self._pipeline.stack.outputs["LogGroupName"]:
            with self.lock:
                for log_event in request["logEvents"]:
                    self._pipeline.offer(log_event["message"])
                self._pipeline.flush()
        return response


def _body(environ: _Environ) -> bytes:
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return body


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise _ApiError("SerializationException", "Data is no base64") from error


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object, **__: object) -> None:
        """Say nothing: a line a request would bury what matters."""


class Service:
    """The endpoint, running in threads until it is closed.

    port: 0 takes a free one.
    Raises ServiceError where the port is taken.
    """

    def __init__(self, pipeline: Pipeline, port: int) -> None:
        self._pipeline = pipeline
        self._application = Application(pipeline)
        try:
            self._socket = socket.create_server(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise ServiceError(f"port {port} cannot be opened: {error}") from error
        self._server: BaseWSGIServer = make_server(
            "127.0.0.1",
            port,
            self._application,
            threaded=True,
            request_handler=_Quiet,
            fd=self._socket.fileno(),
        )
        self.endpoint_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._server.serve_forever, daemon=True),
            threading.Thread(target=self._poll, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Serve until the process is interrupted."""
        self._stopped.wait()

    def close(self) -> None:
        self._stopped.set()
        self._server.shutdown()
        for thread in self._threads:
            thread.join()
        self._server.server_close()
        self._socket.close()

    def _poll(self) -> None:
        while not self._stopped.wait(_POLL_SECONDS):
            with self._application.lock:
                self._pipeline.stream.poll()
