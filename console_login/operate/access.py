"""How a command reaches AWS, or a local pipeline behind an endpoint; what a stack is made of."""

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
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from console_login.errors import UserError

_LOG_IN = "sign in again, such as with `aws sso login`"
_CREDENTIALS = "check the credentials and --profile"

# What the user does next: by an error's class, where there was no answer, or by its code.
_NEXT: dict[type[Exception] | str, str] = {
    EndpointConnectionError: "check --endpoint-url, AWS_ENDPOINT_URL and --region",
    NoCredentialsError: "sign in, such as with `aws sso login`, or name a --profile",
    NoRegionError: "name it with --region, or set AWS_DEFAULT_REGION",
    ProfileNotFound: "`aws configure list-profiles` lists those that exist",
    SSOError: _LOG_IN,
    TokenRetrievalError: _LOG_IN,
    "ExpiredToken": _LOG_IN,
    "ExpiredTokenException": _LOG_IN,
    "RequestExpired": _LOG_IN,
    "InvalidClientTokenId": _CREDENTIALS,
    "UnrecognizedClientException": _CREDENTIALS,
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
}


class AccessError(UserError):
    """AWS cannot be reached, or refuses; the message says what was asked and why not."""


@dataclass(frozen=True)
class Access:
    """Where and as whom; what is None is found as in any AWS tool (environment, profile, role)."""

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None

    def client(self, service: Any, **config: Any) -> Any:
        """Return a client; `config` are settings of botocore's. Raises AccessError."""
        with one_line():
            settings: Any = {"endpoint_url": self.endpoint_url} if self.endpoint_url else {}
            return self._session.client(service, config=Config(**config), **settings)

    @functools.cached_property
    def _session(self) -> Any:
        """One session: it keeps the service models, and asks for credentials once."""
        return boto3.Session(profile_name=self.profile, region_name=self.region)


@contextlib.contextmanager
def one_line() -> Iterator[None]:
    """Turn what a client raises into AccessError."""
    try:
        yield
    except ClientError as error:
        found = error.response["Error"]
        message = f"{error.operation_name}: {found['Code']}: {found.get('Message', '')}"
        # An endpoint that is none of AWS's may answer with a page.
        raise AccessError(_with_next(" ".join(message.split()), found["Code"])) from error
    except ResponseParserError as error:
        raise AccessError(
            _with_next("the answer is not from AWS", EndpointConnectionError)
        ) from error
    # ValueError: an endpoint that is no URL.
    except (BotoCoreError, ValueError) as error:
        raise AccessError(_with_next(str(error), *type(error).__mro__)) from error


def _with_next(message: str, *kinds: type[Exception] | str) -> str:
    """Return the message with what to do next, where the first of these kinds says it."""
    steps = [_NEXT[kind] for kind in kinds if kind in _NEXT]
    return f"{message.rstrip('.')}; {steps[0]}" if steps else message


@dataclass(frozen=True)
class Deployed:
    """A deployed stack of template.yaml: the values of its parameters, its outputs, its age."""

    name: str
    parameters: dict[str, str]
    outputs: dict[str, str]
    created: datetime | None = None


def deployed(access: Access, stack_name: str) -> Deployed:
    """Return a deployed stack; AccessError where there is none of ours with this name."""
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
            f"stack {stack_name} is {stack['StackStatus']} and has no stream of ours:"
            " name a stack of template.yaml"
        )
    parameters = {
        each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", ())
    }
    return Deployed(stack_name, parameters, outputs, stack.get("CreationTime"))
