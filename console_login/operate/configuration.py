"""Checks of the stack's configuration: subscription filter, delivery stream and function."""

import json
from collections.abc import Iterator
from typing import Any

from console_login.operate.checks import Checked, Finding, Unchecked
from console_login.operate.subject import Subject

_DECOMPRESSION = ("Decompression", "CloudWatchLogProcessing")

# Settings that make a filter select fewer events. The template's filter has none of them.
_NARROWER = ("fieldSelectionCriteria", "applyOnTransformedLogs")


def check_filter(subject: Subject) -> Checked:
    """Check that exactly one filter sends to the stream, with the stack's role and pattern."""
    ours = subject.our_filters
    if not ours:
        others = ", ".join(each["filterName"] for each in subject.filters)
        also = f"; its filters send to other destinations: {others}" if others else ""
        yield Finding(
            f"log group {subject.log_group} has no subscription filter to the stream{also}",
            [_put_filter(subject, subject.resources["SubscriptionFilter"])],
            subject.backfill(),
        )
        return
    if len(ours) > 1:
        name = subject.resources["SubscriptionFilter"]
        delete = ("logs", "delete-subscription-filter", "--log-group-name", subject.log_group)
        yield Finding(
            f"{len(ours)} filters send to the stream, so every event arrives {len(ours)} times:"
            f" {', '.join(each['filterName'] for each in ours)}",
            [
                subject.aws(*delete, "--filter-name", each["filterName"])
                for each in ours
                if each["filterName"] != name
            ],
        )
    for found in ours:
        yield f"filter {found['filterName']} of log group {subject.log_group}"
        yield from _filter_findings(subject, found)


def _filter_findings(subject: Subject, found: dict[str, Any]) -> Iterator[Finding]:
    name, role_arn, pattern = (
        found.get(key, "") for key in ("filterName", "roleArn", "filterPattern")
    )
    remedy = [_put_filter(subject, name)], subject.backfill()
    if pattern != subject.pattern:
        names = subject.stack.parameters["EventNames"]
        yield Finding(
            f"filter {name} has the pattern {_quoted(pattern)}, but EventNames {names} requires"
            f" {_quoted(subject.pattern)}",
            *remedy,
        )
    if role_arn != (ours := subject.role_arn("SubscriptionRole")):
        yield Finding(f"filter {name} has the role {role_arn}, not the stack's, {ours}", *remedy)
    for key in _NARROWER:
        if value := found.get(key):
            yield Finding(f"filter {name} has {key} {value}, which excludes events", *remedy)


def _quoted(pattern: str) -> str:
    return pattern or '"" (every event)'


def _put_filter(subject: Subject, name: str) -> str:
    return subject.aws(
        *("logs", "put-subscription-filter", "--log-group-name", subject.log_group),
        *("--filter-name", name, "--filter-pattern", subject.pattern),
        *("--destination-arn", subject.stream_arn),
        *("--role-arn", subject.role_arn("SubscriptionRole")),
    )


def check_stream(subject: Subject) -> Checked:
    """Check that the stream is active, and has the destination and the processors of the stack."""
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
    problems = list(_processor_problems(subject, processors))
    update = {"ProcessingConfiguration": _processing(subject)} if problems else {}
    changed = _changed_settings(subject, s3)
    problems += [
        f"the stream has {key} {json.dumps(s3.get(key, ''))}, not the stack's, {json.dumps(value)}"
        for key, value in changed.items()
    ]
    if not problems:
        return
    stays = ["# objects already written elsewhere stay there"] if changed else []
    # One command, because it names the stream's version and changes it. A deploy sees no change.
    yield Finding(
        "; ".join(problems),
        [_update_destination(subject, described, update | changed), *stays],
        subject.backfill() if changed else [],
    )


def _changed_settings(subject: Subject, s3: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the destination that differ, with the values of the template.

    The other checks assume the template's bucket, prefix, role and key.
    """
    keys = ("Prefix", "ErrorOutputPrefix", "CustomTimeZone", "CompressionFormat", "FileExtension")
    wanted = {
        **{key: subject.destination[key] for key in keys},
        "BucketARN": f"arn:{subject.partition}:s3:::{subject.bucket}",
        "RoleARN": subject.role_arn("DeliveryRole"),
        "EncryptionConfiguration": {"KMSEncryptionConfig": {"AWSKMSKeyARN": subject.key_arn}},
    }
    # MiniStack does not describe these two. Without them, sign-ins arrive at the same place.
    optional = {key: wanted[key] for key in ("CustomTimeZone", "FileExtension")}
    described = optional | s3
    return {key: value for key, value in wanted.items() if described.get(key) != value}


def _processor_problems(subject: Subject, processors: Any) -> Iterator[str]:
    native = [each["Type"] for each in processors if each["Type"] in _DECOMPRESSION]
    if native:
        yield (
            f"Firehose's paid processing is still on: {', '.join(native)}; it rejects the records"
            " that the function puts back, and those that backfill and redrive send"
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
        yield "the stream has no Lambda processor, so records are not transformed"
    for function in functions:
        if function.removesuffix(":$LATEST") != ours:
            yield f"the stream's function is {function}, not the stack's, {ours}"


def _processing(subject: Subject) -> dict[str, Any]:
    """Return the template's processing configuration, with the ARNs of the deployed resources."""
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


def _update_destination(subject: Subject, described: dict[str, Any], update: dict[str, Any]) -> str:
    """Return the command that changes settings of the stream's destination."""
    return subject.aws(
        *("firehose", "update-destination", "--delivery-stream-name", subject.stream_name),
        *("--current-delivery-stream-version-id", described["VersionId"]),
        *("--destination-id", described["Destinations"][0]["DestinationId"]),
        *("--extended-s3-destination-update", json.dumps(update)),
    )


def check_function(subject: Subject) -> Checked:
    """Check that the function can run, and selects the events of the stack's EventNames."""
    arn = subject.stack.outputs["TransformFunctionArn"]
    found = subject.call("lambda", "get_function_configuration", FunctionName=arn)
    name = ("--function-name", arn)
    environment = found.get("Environment", {})
    variables = environment.get("Variables", {})
    selected = variables.get("EVENT_NAMES", "")
    wanted = str(subject.stack.parameters["EventNames"])
    state = found.get("State", "Active")
    yield f"function {arn} is {state}, EVENT_NAMES {selected or 'is empty'}"
    # A function that was idle for long is Inactive until the next invocation.
    if state not in ("Active", "Inactive"):
        reason = found.get("StateReason", "")
        yield Finding(f"function {arn} is {state} {reason}".rstrip(), subject.drift)
    if "Error" in environment:
        why = environment["Error"].get("Message", "")
        yield Unchecked(f"EVENT_NAMES of function {arn}: {why}")
    elif selected != wanted:
        update = json.dumps({"Variables": variables | {"EVENT_NAMES": wanted}})
        words = ("lambda", "update-function-configuration", *name, "--environment", update)
        yield Finding(
            f"function {arn} has EVENT_NAMES {selected or '(none)'}, but the stack's EventNames is"
            f" {wanted}: events named in only one of them are dropped",
            [subject.aws(*words)],
            subject.backfill(),
        )
    reserved = subject.call("lambda", "get_function_concurrency", FunctionName=arn)
    if reserved.get("ReservedConcurrentExecutions") == 0:
        yield Finding(
            f"function {arn} cannot be invoked: its reserved concurrency is 0",
            [subject.aws("lambda", "delete-function-concurrency", *name)],
        )
