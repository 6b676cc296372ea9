"""Stacks on MiniStack, an independent emulator of AWS, and the features that it lacks."""

import copy
import functools
import json
import os
import subprocess
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from serving import REGION, client
from support import ROOT

ACCOUNT_ID = "111122223333"
GROUP = "/aws/cloudtrail/management-event"
# The stack's name in samconfig.toml.
STACK = "console-login-firehose"
BIN = ROOT / ".venv" / "bin"
TEMPLATES = ("template.yaml", "trail.yaml", "athena.yaml")

_NO_METRIC_MATH = "Properties.Metrics (metric math) is not supported"
_UNKNOWN_TYPE = "Unrecognized resource types: [{}]"

# The resources that MiniStack refuses, with its error messages. The tests remove nothing else from
# the templates, and fail when a new version accepts one of these.
LACKS = {
    "template.yaml": {
        "SubscriptionErrorsAlarm": _NO_METRIC_MATH,
        "ReconciliationAlarm": _NO_METRIC_MATH,
        "Destination": _UNKNOWN_TYPE.format("AWS::Logs::Destination"),
    },
    "trail.yaml": {"Trail": _UNKNOWN_TYPE.format("AWS::CloudTrail::Trail")},
    "athena.yaml": dict.fromkeys(
        (
            "LastSignInsQuery",
            "FailuresByAddressQuery",
            "RootSignInsQuery",
            "SignInsWithoutMfaQuery",
            "NewUserAgentsQuery",
            "UserHistoryQuery",
            "DifferingLinesQuery",
            "DistinctEventsQuery",
        ),
        _UNKNOWN_TYPE.format("AWS::Athena::NamedQuery"),
    ),
}


def without(document: Mapping[str, Any], lacking: Collection[str]) -> dict[str, Any]:
    """Return a template without these resources. Alarms stay, with another metric."""
    document = copy.deepcopy(dict(document))
    resources, outputs = document["Resources"], document["Outputs"]
    for logical_id in lacking:
        if resources[logical_id]["Type"] == "AWS::CloudWatch::Alarm":
            # The dashboard refers to the alarm, so keep it with any metric.
            del resources[logical_id]["Properties"]["Metrics"]
            resources[logical_id]["Properties"] |= {"Namespace": "Any", "MetricName": "Any"}
        else:
            del resources[logical_id]
            for name, output in list(outputs.items()):
                if output["Value"] == {"Fn::GetAtt": [logical_id, "Arn"]}:
                    del outputs[name]
    return document


class Cloud:
    """A running MiniStack: clients, stacks, and processes that use it."""

    def __init__(self, url: str, home: Path) -> None:
        self.url = url
        self._home = home

    @functools.cache  # noqa: B019
    def client(self, service: Any) -> Any:
        return client(self.url, service)

    def run(self, program: str, *arguments: str, folder: Path = ROOT) -> Any:
        """Run a program of the environment with MiniStack as its AWS."""
        # Do not use the user's AWS configuration.
        environment = {name: os.environ[name] for name in ("LANG", "LC_ALL") if name in os.environ}
        environment |= {
            "HOME": str(self._home),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": REGION,
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": "0.2",
            "__SAM_CLI_APP_DIR": str(ROOT / ".cache" / "sam"),
            "PIP_CACHE_DIR": str(ROOT / ".cache" / "pip"),
        }
        return subprocess.run(
            [str(BIN / program), *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )

    def command(self, *arguments: str) -> Any:
        """Run `console-login` on MiniStack."""
        return self.run("console-login", *arguments, "--endpoint-url", self.url)

    def deploy(self, name: str, document: Mapping[str, Any], **parameters: str) -> str:
        """Create or update a stack; return its final status. Raises ClientError if refused."""
        cloudformation = self.client("cloudformation")
        exists = self.stack(name) is not None
        (cloudformation.update_stack if exists else cloudformation.create_stack)(
            StackName=name,
            TemplateBody=json.dumps(document),
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
        )
        return self._settled(name)

    def delete(self, name: str) -> str:
        stack_id = self.stack(name)["StackId"]
        self.client("cloudformation").delete_stack(StackName=name)
        return self._settled(stack_id)

    def stack(self, name: str) -> Any:
        try:
            stacks = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        except ClientError:
            return None
        return stacks[0]

    def _settled(self, name: str) -> str:
        for _ in range(1000):
            status: str = self.stack(name)["StackStatus"]
            if not status.endswith("_IN_PROGRESS"):
                return status
            time.sleep(0.02)
        raise AssertionError(f"{name} is {status} after 20 seconds")

    def parameters(self, name: str) -> dict[str, str]:
        given = self.stack(name)["Parameters"]
        return {each["ParameterKey"]: each["ParameterValue"] for each in given}

    def outputs(self, name: str) -> dict[str, str]:
        return {each["OutputKey"]: each["OutputValue"] for each in self.stack(name)["Outputs"]}

    def resources(self, name: str) -> dict[str, str]:
        """Return the physical id of each resource, by logical id."""
        found = self.client("cloudformation").describe_stack_resources(StackName=name)
        return {
            each["LogicalResourceId"]: each["PhysicalResourceId"]
            for each in found["StackResources"]
        }

    def events(self, name: str) -> list[tuple[str, str, str]]:
        """Return the logical id, status and reason of each event, oldest first."""
        pages = self.client("cloudformation").get_paginator("describe_stack_events")
        events = pages.paginate(StackName=name).build_full_result()["StackEvents"]
        return [
            (
                each["LogicalResourceId"],
                each["ResourceStatus"],
                each.get("ResourceStatusReason", ""),
            )
            for each in reversed(events)
        ]

    def failures(self, name: str) -> dict[str, str]:
        return {id_: why for id_, status, why in self.events(name) if status.endswith("_FAILED")}

    def put(self, stream: str, record: bytes) -> None:
        """Put a record. MiniStack runs the function and writes its lines before this returns."""
        self.client("firehose").put_record(DeliveryStreamName=stream, Record={"Data": record})

    def objects(self, bucket: str) -> dict[str, str]:
        s3 = self.client("s3")
        keys = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]
        return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in keys}

    def streams(self) -> list[str]:
        names: list[str] = self.client("firehose").list_delivery_streams()["DeliveryStreamNames"]
        return names

    def destination(self, stream: str) -> Any:
        found = self.client("firehose").describe_delivery_stream(DeliveryStreamName=stream)
        (destination,) = found["DeliveryStreamDescription"]["Destinations"]
        return destination["ExtendedS3DestinationDescription"]

    def variables(self, function: str) -> dict[str, str]:
        found = self.client("lambda").get_function_configuration(FunctionName=function)
        variables: dict[str, str] = found["Environment"]["Variables"]
        return variables

    def filters(self, group: str = GROUP) -> dict[str, str]:
        """Return the pattern of each subscription filter of a log group, by name."""
        found = self.client("logs").describe_subscription_filters(logGroupName=group)
        return {each["filterName"]: each["filterPattern"] for each in found["subscriptionFilters"]}

    def log_groups(self, prefix: str = "/") -> list[str]:
        found = self.client("logs").describe_log_groups(logGroupNamePrefix=prefix)
        return [each["logGroupName"] for each in found["logGroups"]]
