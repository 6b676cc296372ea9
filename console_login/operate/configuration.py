"""Checks of what the stack has configured: the subscription filter and the delivery stream."""

import json
from collections.abc import Iterator
from typing import Any

from console_login.operate.checks import Checked, Finding
from console_login.operate.subject import Subject

_DECOMPRESSION = ("Decompression", "CloudWatchLogProcessing")

# What a filter may have beside its pattern, and this template's never has.
_NARROWER = ("fieldSelectionCriteria", "applyOnTransformedLogs")


def check_filter(subject: Subject) -> Checked:
    """Find whether the filter exists, once, with our stream, role and pattern."""
    ours = subject.our_filters
    if not ours:
        others = ", ".join(each["filterName"] for each in subject.filters)
        also = f"; what it has goes elsewhere: {others}" if others else ""
        hours = f"{subject.hours}h"
        yield Finding(
            f"log group {subject.log_group} has no subscription filter to the stream{also}",
            [
                _put_filter(subject, subject.resources["SubscriptionFilter"]),
                "# --start: a time before the filter was gone",
                subject.command("backfill", "--start", hours, "--dry-run"),
                subject.command("backfill", "--start", hours, "--yes"),
            ],
        )
        return
    if len(ours) > 1:
        name = subject.resources["SubscriptionFilter"]
        delete = ("logs", "delete-subscription-filter", "--log-group-name", subject.log_group)
        yield Finding(
            f"{len(ours)} filters go to the stream, and everything comes as often:"
            f" {', '.join(each['filterName'] for each in ours)}",
            [
                subject.aws(*delete, "--filter-name", each["filterName"])
                for each in ours
                if each["filterName"] != name
            ],
        )
    for found in ours:
        yield f"filter {found['filterName']} of log group {subject.log_group}"
        yield from _of_filter(subject, found)


def _of_filter(subject: Subject, found: dict[str, Any]) -> Iterator[Finding]:
    name, role_arn, pattern = (
        found.get(key, "") for key in ("filterName", "roleArn", "filterPattern")
    )
    remedy = [_put_filter(subject, name)]
    if pattern != subject.pattern:
        names = subject.stack.parameters["EventNames"]
        yield Finding(
            f"filter {name} has the pattern {_shown(pattern)}; EventNames {names} means"
            f" {_shown(subject.pattern)}",
            remedy,
        )
    if role_arn != (ours := subject.role_arn("SubscriptionRole")):
        yield Finding(f"filter {name} has the role {role_arn}, and the stack's is {ours}", remedy)
    for key in _NARROWER:
        if value := found.get(key):
            yield Finding(f"filter {name} has {key} {value}, which leaves events out", remedy)


def _shown(pattern: str) -> str:
    return pattern or '"" (every event)'


def _put_filter(subject: Subject, name: str) -> str:
    return subject.aws(
        *("logs", "put-subscription-filter", "--log-group-name", subject.log_group),
        *("--filter-name", name, "--filter-pattern", subject.pattern),
        *("--destination-arn", subject.stream_arn),
        *("--role-arn", subject.role_arn("SubscriptionRole")),
    )


def check_stream(subject: Subject) -> Checked:
    """Find whether the stream is active, writes where and how it should, and with what it runs."""
    name = subject.stream_name
    described = subject.call("firehose", "describe_delivery_stream", DeliveryStreamName=name)[
        "DeliveryStreamDescription"
    ]
    status = described["DeliveryStreamStatus"]
    if status != "ACTIVE":
        failure = described.get("FailureDescription", {}).get("Details", "")
        again = "# CloudFormation does not repair a stream: change Name in samconfig.toml, then"
        yield Finding(
            f"stream {name} is {status} {failure}".rstrip(),
            [again, "make deploy"]
            if status.endswith("_FAILED")
            else ["# wait until it is ACTIVE", subject.command("doctor")],
        )
    (destination, *_) = described["Destinations"]
    s3 = destination.get("ExtendedS3DestinationDescription", {})
    configuration = s3.get("ProcessingConfiguration", {})
    is_on = configuration.get("Enabled", False)
    processors = configuration.get("Processors", ()) if is_on else ()
    types = ", ".join(each["Type"] for each in processors)
    yield f"stream {name} is {status}; processors: {types or 'none'}"
    expected = _expected(subject)
    others = {
        key: value
        for key, value in expected.items()
        # Without them, sign-ins come to the same place: MiniStack's description has neither.
        if s3.get(key, value if key in ("CustomTimeZone", "FileExtension") else "") != value
    }
    problems = [
        f"the stream has {key} {json.dumps(s3.get(key, ''))}, and the stack's is"
        f" {json.dumps(value)}"
        for key, value in others.items()
    ]
    if of_processors := list(_of_processors(subject, processors)):
        problems += of_processors
        others["ProcessingConfiguration"] = _processing(subject)
    for problem in problems:
        # A deploy would find nothing to change.
        yield Finding(problem, [_update_destination(subject, described, others)])


def _expected(subject: Subject) -> dict[str, Any]:
    """Return where the stream writes, and how, as DescribeDeliveryStream says it."""
    keys = ("Prefix", "ErrorOutputPrefix", "CustomTimeZone", "CompressionFormat", "FileExtension")
    return {
        "BucketARN": f"arn:{subject.partition}:s3:::{subject.bucket}",
        "RoleARN": subject.role_arn("DeliveryRole"),
        **{key: subject.destination[key] for key in keys},
        "EncryptionConfiguration": {"KMSEncryptionConfig": {"AWSKMSKeyARN": subject.key_arn}},
    }


def _of_processors(subject: Subject, processors: Any) -> Iterator[str]:
    native = [each["Type"] for each in processors if each["Type"] in _DECOMPRESSION]
    if native:
        yield (
            f"the stream still has Firehose's paid processing on: {', '.join(native)}; it refuses"
            " what the function puts back, and what backfill and redrive send"
        )
    functions = [
        parameter["ParameterValue"]
        for each in processors
        if each["Type"] == "Lambda"
        for parameter in each.get("Parameters", ())
        if parameter["ParameterName"] == "LambdaArn"
    ]
    ours = subject.stack.outputs["TransformFunctionArn"]
    if not functions:
        yield "the stream has no Lambda processor: nothing is transformed"
    for function in functions:
        if function.removesuffix(":$LATEST") != ours:
            yield f"the stream's function is {function}, and the stack's is {ours}"


def _processing(subject: Subject) -> dict[str, Any]:
    arns = {
        "LambdaArn": subject.stack.outputs["TransformFunctionArn"],
        "RoleArn": subject.role_arn("DeliveryRole"),
    }
    (processor,) = subject.destination["ProcessingConfiguration"]["Processors"]
    parameters = [
        each | {"ParameterValue": arns.get(each["ParameterName"], each["ParameterValue"])}
        for each in processor["Parameters"]
    ]
    return {"Enabled": True, "Processors": [processor | {"Parameters": parameters}]}


def _update_destination(
    subject: Subject, described: dict[str, Any], changes: dict[str, Any]
) -> str:
    """Return the command that gives the stream what the template says."""
    return subject.aws(
        *("firehose", "update-destination", "--delivery-stream-name", subject.stream_name),
        *("--current-delivery-stream-version-id", described["VersionId"]),
        *("--destination-id", described["Destinations"][0]["DestinationId"]),
        *("--extended-s3-destination-update", json.dumps(changes)),
    )
