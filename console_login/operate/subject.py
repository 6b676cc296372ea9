"""Read access to AWS, and to a deployed stack, for the checks of doctor and preflight."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

from console_login.operate import commands
from console_login.operate.access import Access, Deployed, deployed, one_line
from console_login.stack import template


class Reader:
    """Read-only calls to AWS, and AWS CLI commands for the user with the same options."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._clients: dict[tuple[str, str | None], Any] = {}

    def call(
        self, service: str, operation: str, *, region: str | None = None, **arguments: Any
    ) -> Any:
        """Return the response to one call; raise AccessError if it fails.

        region: overrides the Region of the access.
        """
        with one_line():
            return getattr(self._client(service, region), operation)(**arguments)

    def pages(self, service: str, operation: str, key: str) -> Callable[..., Iterator[Any]]:
        """Return a function that yields the items of a paginated call, and may raise AccessError.

        key: the list in each page of the response.
        """

        def read(**arguments: Any) -> Iterator[Any]:
            with one_line():
                paginator = self._client(service).get_paginator(operation)
                for page in paginator.paginate(**arguments):
                    yield from page.get(key, ())

        return read

    def stack_resources(self, stack_name: str) -> dict[str, str]:
        """Return the physical ids of a stack's resources by logical id; may raise AccessError."""
        found = self.call("cloudformation", "describe_stack_resources", StackName=stack_name)
        return {
            # A composite id ("NAME|LOG_GROUP") begins with the value of `Ref`.
            each["LogicalResourceId"]: each.get("PhysicalResourceId", "").split("|")[0]
            for each in found["StackResources"]
        }

    def aws(self, *words: str, region: str | None = None) -> str:
        """Return an AWS CLI command to paste; region: overrides the Region of the access."""
        return commands.aws(self.access, *words, region=region)

    def _client(self, service: str, region: str | None = None) -> Any:
        if (service, region) not in self._clients:
            config = {"region_name": region} if region else {}
            self._clients[service, region] = self.access.client(service, **config)
        return self._clients[service, region]


class Subject(Reader):
    """A deployed stack: its actual state, and its expected state according to template.yaml.

    hours: how far back events and objects are compared.
    now: in seconds since the epoch.
    Raises AccessError if the stack does not exist, TemplateError if the template rejects its
    parameters.
    """

    def __init__(self, access: Access, stack_name: str, hours: int, now: float) -> None:
        super().__init__(access)
        self.hours = hours
        self.now = now
        self.stack: Deployed = deployed(access, stack_name)
        self.stream_arn = self.stack.outputs["DeliveryStreamArn"]
        _, self.partition, _, self.region, self.account_id, stream = self.stream_arn.split(":")
        self.stream_name = stream.removeprefix("deliverystream/")
        self.log_group = self.stack.outputs["LogGroupName"]
        self.bucket = self.stack.outputs["BucketName"]
        self.key_arn = self.stack.outputs["KeyArn"]
        self.document = template.load()
        # A stack of an older or newer version of the template may have other parameters.
        self.parameters = {
            name: value
            for name, value in self.stack.parameters.items()
            if name in self.document["Parameters"]
        }
        self.expected = template.resolve(self.document, self.parameters, **self.place)

    @property
    def place(self) -> dict[str, Any]:
        return {
            "stack_name": self.stack.name,
            "region": self.region,
            "account_id": self.account_id,
        }

    @property
    def pattern(self) -> str:
        properties = self.expected.only("AWS::Logs::SubscriptionFilter").properties
        return str(properties["FilterPattern"])

    @property
    def destination(self) -> dict[str, Any]:
        """The stream's destination as the template configures it."""
        stream = self.expected.only("AWS::KinesisFirehose::DeliveryStream")
        found: dict[str, Any] = stream.properties["ExtendedS3DestinationConfiguration"]
        return found

    @property
    def log_group_arn(self) -> str:
        place = f"{self.region}:{self.account_id}"
        return f"arn:{self.partition}:logs:{place}:log-group:{self.log_group}"

    @functools.cached_property
    def filters(self) -> list[dict[str, Any]]:
        """The log group's subscription filters."""
        return list(
            self.pages("logs", "describe_subscription_filters", "subscriptionFilters")(
                logGroupName=self.log_group
            )
        )

    @functools.cached_property
    def resources(self) -> dict[str, str]:
        """The physical ids of the stack's resources, by logical id."""
        return self.stack_resources(self.stack.name)

    def role_arn(self, logical_id: str) -> str:
        name = self.resources[logical_id]
        return f"arn:{self.partition}:iam::{self.account_id}:role/{name}"

    @property
    def our_filters(self) -> list[dict[str, Any]]:
        return [each for each in self.filters if each["destinationArn"] == self.stream_arn]

    def command(self, name: str, *words: str) -> str:
        """Return a `console-login` command for the stack, to paste."""
        return commands.console_login(self.access, name, "--stack", self.stack.name, *words)

    def backfill(self) -> list[str]:
        """Return the commands that list, then send again, events that may be lost."""
        start = ("backfill", "--start", f"{self.hours}h")
        return [
            "# set --start to a time before the fault began",
            self.command(*start, "--dry-run"),
            self.command(*start, "--yes"),
        ]

    @property
    def drift(self) -> list[str]:
        """Commands that show changes made by hand: deploying again does not undo them."""
        name = ("--stack-name", self.stack.name)
        statuses = ("--stack-resource-drift-status-filters", "DELETED", "MODIFIED")
        return [
            self.aws("cloudformation", "detect-stack-drift", *name),
            "# when the detection is complete",
            self.aws("cloudformation", "describe-stack-resource-drifts", *name, *statuses),
        ]
