"""The API of the Firehose stand-in: PutRecord, PutRecordBatch, DescribeDeliveryStream.

https://docs.aws.amazon.com/firehose/latest/APIReference/
"""

from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from console_login.local.faults import Faults
from console_login.local.stream import DeliveryStream, StreamError
from console_login.stack.limits import MAX_BATCH_BYTES, MAX_BATCH_RECORDS
from console_login.stack.template import Stack


class ApiError(Exception):
    """An error response of Firehose's API, with its code and HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class FirehoseApi:
    """Firehose's API for one stream."""

    def __init__(self, stream: DeliveryStream, stack: Stack) -> None:
        self._stream = stream
        self._stack = stack

    def put_record(self, stream_name: str, record: bytes) -> dict[str, Any]:
        """Answer PutRecord."""
        self._check(stream_name)
        return {"RecordId": self._put(record), "Encrypted": True}

    def put_record_batch(self, stream_name: str, records: list[bytes]) -> dict[str, Any]:
        """Answer PutRecordBatch."""
        self._check(stream_name)
        if not 0 < len(records) <= MAX_BATCH_RECORDS:
            raise ApiError("ValidationException", f"1 to {MAX_BATCH_RECORDS} records are allowed")
        if sum(map(len, records)) > MAX_BATCH_BYTES:
            raise ApiError("InvalidArgumentException", "Records size exceeds 4 MB limit")
        try:
            for record in records:
                self._stream.check(record)
        except StreamError as error:
            raise ApiError("ValidationException", str(error)) from error
        responses = [{"RecordId": self._put(record)} for record in records]
        return {"FailedPutCount": 0, "Encrypted": True, "RequestResponses": responses}

    def describe_delivery_stream(self, stream_name: str) -> dict[str, Any]:
        """Answer DescribeDeliveryStream."""
        self._check(stream_name)
        stream = self._stack.only("AWS::KinesisFirehose::DeliveryStream")
        s3 = stream.properties["ExtendedS3DestinationConfiguration"]
        hints = {key: int(value) for key, value in s3["BufferingHints"].items()}
        destination = {
            "DestinationId": "destinationId-000000000001",
            "ExtendedS3DestinationDescription": {**s3, "BufferingHints": hints},
        }
        encryption = stream.properties["DeliveryStreamEncryptionConfigurationInput"]
        return {
            "DeliveryStreamDescription": {
                "DeliveryStreamName": stream_name,
                "DeliveryStreamARN": self._stream.configuration.arn,
                "DeliveryStreamStatus": "ACTIVE",
                "DeliveryStreamType": "DirectPut",
                "DeliveryStreamEncryptionConfiguration": {**encryption, "Status": "ENABLED"},
                "VersionId": "1",
                "Destinations": [destination],
                "HasMoreDestinations": False,
            }
        }

    def _put(self, record: bytes) -> str:
        try:
            return self._stream.put(record)
        except StreamError as error:
            raise ApiError("ValidationException", str(error)) from error

    def _check(self, stream_name: str) -> None:
        configuration = self._stream.configuration
        if stream_name != configuration.name:
            raise ApiError(
                "ResourceNotFoundException",
                f"Firehose {stream_name} under account {configuration.account_id} not found.",
            )


class FirehoseClient:
    """Stands in for the boto3 client of a function in this process; has only PutRecordBatch.

    faults: the kinds `put-record-batch:...` are injected here.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.api: FirehoseApi | None = None

    def put_record_batch(self, *, DeliveryStreamName: str, Records: list[Any]) -> Any:  # noqa: N803
        """Return boto3's result. Raises ClientError, or ReadTimeoutError as an injected fault."""
        if self.api is None:
            error = ApiError("ResourceNotFoundException", "The stream does not exist yet.")
            raise _client_error(error)
        if self._faults.strikes("put-record-batch:outage"):
            raise _client_error(ApiError("InternalFailure", "Outage (injected fault).", 500))
        if self._faults.strikes("put-record-batch:throttle"):
            raise _client_error(ApiError("ServiceUnavailableException", "Slow down.", 503))
        rejected = {
            index
            for index in range(len(Records))
            if self._faults.strikes("put-record-batch:partial")
        }
        sent = [each["Data"] for index, each in enumerate(Records) if index not in rejected]
        try:
            answer = self.api.put_record_batch(DeliveryStreamName, sent) if sent else {}
        except ApiError as error:
            raise _client_error(error) from error
        if self._faults.strikes("put-record-batch:timeout"):
            raise ReadTimeoutError(endpoint_url="injected fault")
        accepted = iter(answer.get("RequestResponses", ()))
        responses = [
            {"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "Slow down."}
            if index in rejected
            else next(accepted)
            for index in range(len(Records))
        ]
        return {"FailedPutCount": len(rejected), "RequestResponses": responses}

    def close(self) -> None:
        """Do nothing: there is no connection."""


def _client_error(error: ApiError) -> ClientError:
    return ClientError(
        {
            "Error": {"Code": error.code, "Message": error.message},
            "ResponseMetadata": {"HTTPStatusCode": error.status},  # type: ignore[typeddict-item]
        },
        "PutRecordBatch",
    )
