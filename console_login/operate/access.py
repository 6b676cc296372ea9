"""How a command reaches AWS, or a local pipeline behind an endpoint; what a stack is made of."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from console_login.errors import UserError


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
            session = boto3.Session(profile_name=self.profile, region_name=self.region)
            settings: Any = {"endpoint_url": self.endpoint_url} if self.endpoint_url else {}
            return session.client(service, config=Config(**config), **settings)


@contextlib.contextmanager
def one_line() -> Iterator[None]:
    """Turn what a client raises into AccessError."""
    try:
        yield
    except ClientError as error:
        found = error.response["Error"]
        message = f"{error.operation_name}: {found['Code']}: {found.get('Message', '')}"
        # An endpoint that is none of AWS's may answer with a page.
        raise AccessError(" ".join(message.split())) from error
    # ValueError: an endpoint that is no URL.
    except (BotoCoreError, ValueError) as error:
        raise AccessError(str(error)) from error


@dataclass(frozen=True)
class Deployed:
    """A deployed stack of template.yaml: the values of its parameters, and its outputs."""

    name: str
    parameters: dict[str, str]
    outputs: dict[str, str]


def deployed(access: Access, stack_name: str) -> Deployed:
    """Return a deployed stack; AccessError where there is none of ours with this name."""
    with one_line():
        described = access.client("cloudformation").describe_stacks(StackName=stack_name)
    (stack,) = described["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", ())}
    if "DeliveryStreamArn" not in outputs:
        raise AccessError(f"stack {stack_name} is {stack['StackStatus']} and has no stream of ours")
    parameters = {
        each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", ())
    }
    return Deployed(stack_name, parameters, outputs)
