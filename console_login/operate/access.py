"""Clients of AWS, or of a local pipeline behind an endpoint, and the description of a stack."""

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from console_login.errors import UserError

_LOG_IN = "sign in again, for example with `aws sso login`"
_CREDENTIALS = "check the credentials and --profile"

# The user's next step, by the error's class (no response) or by its code (error response).
_NEXT: dict[type[Exception] | str, str] = {
    EndpointConnectionError: "check --endpoint-url, AWS_ENDPOINT_URL and --region",
    NoCredentialsError: "sign in, for example with `aws sso login`, or use --profile",
    NoRegionError: "use --region, or set AWS_DEFAULT_REGION",
    InvalidRegionError: "check --region",
    ProfileNotFound: "`aws configure list-profiles` lists the existing profiles",
    SSOError: _LOG_IN,
    TokenRetrievalError: _LOG_IN,
    # The endpoint is not a valid URL.
    ValueError: "check --endpoint-url and AWS_ENDPOINT_URL",
    "ExpiredToken": _LOG_IN,
    "ExpiredTokenException": _LOG_IN,
    "RequestExpired": _LOG_IN,
    "InvalidClientTokenId": _CREDENTIALS,
    "UnrecognizedClientException": _CREDENTIALS,
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
}


class AccessError(UserError):
    """AWS cannot be reached, or denies a call; the message names the call and the reason."""


@dataclass(frozen=True)
class Access:
    """Endpoint, Region and profile; None: as in any AWS tool (environment, profile, role)."""

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None

    def client(self, service: Any, **config: Any) -> Any:
        """Return a client; config: settings of botocore. Raises AccessError."""
        with one_line():
            settings: Any = {"endpoint_url": self.endpoint_url} if self.endpoint_url else {}
            return self._session.client(service, config=Config(**config), **settings)

    @functools.cached_property
    def _session(self) -> Any:
        """One session for all clients: it loads service models and credentials once."""
        return boto3.Session(profile_name=self.profile, region_name=self.region)


@contextlib.contextmanager
def one_line() -> Iterator[None]:
    """Turn a client's exceptions into AccessError, with a message of one line."""
    try:
        yield
    except ClientError as error:
        found = error.response["Error"]
        message = f"{error.operation_name}: {found['Code']}: {found.get('Message', '')}"
        # An endpoint outside AWS may respond with an HTML page.
        raise AccessError(_with_next(" ".join(message.split()), found["Code"])) from error
    except ResponseParserError as error:
        raise AccessError(
            _with_next("the response is not from AWS", EndpointConnectionError)
        ) from error
    except (BotoCoreError, ValueError) as error:
        raise AccessError(_with_next(str(error), *type(error).__mro__)) from error


def _with_next(message: str, *kinds: type[Exception] | str) -> str:
    """Return the message with the next step, taken from the first of these kinds that has one."""
    steps = [_NEXT[kind] for kind in kinds if kind in _NEXT]
    return f"{message.rstrip('.')}; {steps[0]}" if steps else message


@dataclass(frozen=True)
class Deployed:
    """A deployed stack of template.yaml: its parameters, outputs and creation time."""

    name: str
    parameters: dict[str, str]
    outputs: dict[str, str]
    created: datetime | None = None


def deployed(access: Access, stack_name: str) -> Deployed:
    """Return a deployed stack; raise AccessError if no stack of template.yaml has this name."""
    client = access.client("cloudformation")
    try:
        with one_line():
            described = client.describe_stacks(StackName=stack_name)
    except AccessError as error:
        if "does not exist" not in str(error):
            raise
        region = client.meta.region_name
        raise AccessError(f"{error} in {region}; check --stack and --region") from error.__cause__
    (stack,) = described["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", ())}
    if "DeliveryStreamArn" not in outputs:
        raise AccessError(
            f"stack {stack_name} is {stack['StackStatus']} and has no output DeliveryStreamArn;"
            " --stack must name a stack of template.yaml"
        )
    parameters = {
        each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", ())
    }
    return Deployed(stack_name, parameters, outputs, stack.get("CreationTime"))
