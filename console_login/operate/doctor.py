"""What is wrong with a deployed stack, in plain words; AWS's APIs are read, nothing is changed."""

import functools
import json
import random
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from console_login.counts import counted
from console_login.operate.access import Access, AccessError, Deployed, deployed, one_line
from console_login.operate.sent_lines import is_whole
from console_login.stack import key_policy, template
from console_login.stack.limits import PROCESSING_FAILED
from console_login.stack.permissions import as_list, is_covered, may_assume, why_denied
from console_login.stack.prefix import Prefix, time_zone

OK, FINDING, UNCHECKED = "ok", "finding", "could not be checked"

# CloudTrail, buffers and retries take minutes: what is younger may well be on its way.
SETTLE_SECONDS = 15 * 60

# An object's time is that of the bucket, an event's that of CloudTrail: clocks, and whole seconds.
_CLOCKS_SECONDS = 60

# Whose tags are read: one request each.
_MAX_TAGS_READ = 1000

# Asked for what the stack says it has made.
_GONE = frozenset(
    {"NoSuchBucket", "NoSuchEntity", "NotFoundException", "ResourceNotFoundException"}
)

_DECOMPRESSION = ("Decompression", "CloudWatchLogProcessing")


@dataclass(frozen=True)
class Finding:
    """Something wrong, and what to do about it: a command, or a setting."""

    problem: str
    remedy: str


@dataclass(frozen=True)
class Result:
    """What a check has found; `why` it could not be made, where that is its status."""

    check: str
    status: str
    findings: list[Finding] = field(default_factory=list)
    why: str | None = None


class Subject:
    """A deployed stack: what it is, and what template.yaml says it should be.

    hours: how far back events and objects are compared.
    now: in seconds since the epoch.
    Raises AccessError where there is no such stack, TemplateError where it is not this template's.
    """

    def __init__(self, access: Access, stack_name: str, hours: int, now: float) -> None:
        self.access = access
        self.hours = hours
        self.now = now
        self._clients: dict[str, Any] = {}
        self.stack: Deployed = deployed(access, stack_name)
        self.stream_arn = self.stack.outputs["DeliveryStreamArn"]
        _, self.partition, _, self.region, self.account_id, stream = self.stream_arn.split(":")
        self.stream_name = stream.removeprefix("deliverystream/")
        self.log_group = self.stack.outputs["LogGroupName"]
        self.bucket = self.stack.outputs["BucketName"]
        self.key_arn = self.stack.outputs["KeyArn"]
        self.document = template.load()
        # A stack of an older or a newer template has other parameters.
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
        """What the template says about the stream's destination."""
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
        found = self.call("cloudformation", "describe_stack_resources", StackName=self.stack.name)
        return {
            # Of a resource with a composed id, what `Ref` answers comes first.
            each["LogicalResourceId"]: each.get("PhysicalResourceId", "").split("|")[0]
            for each in found["StackResources"]
        }

    def role_arn(self, logical_id: str) -> str:
        name = self.resources[logical_id]
        return f"arn:{self.partition}:iam::{self.account_id}:role/{name}"

    @property
    def our_filters(self) -> list[dict[str, Any]]:
        return [each for each in self.filters if each["destinationArn"] == self.stream_arn]

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self.access.client(service)
        return self._clients[service]

    def call(self, service: str, operation: str, **arguments: Any) -> Any:
        """Return the answer to one call; AccessError."""
        with one_line():
            return getattr(self._client(service), operation)(**arguments)

    def pages(self, service: str, operation: str, key: str) -> Callable[..., Iterator[Any]]:
        """Return what yields what a paginated call lists; AccessError while it is read."""
        paginator = self._client(service).get_paginator(operation)

        def read(**arguments: Any) -> Iterator[Any]:
            with one_line():
                for page in paginator.paginate(**arguments):
                    yield from page.get(key, ())

        return read


def examine(
    access: Access, stack_name: str, hours: int = 24, now: float | None = None
) -> list[Result]:
    """Return what each check finds; AccessError or TemplateError where there is no such stack."""
    subject = Subject(access, stack_name, hours, time.time() if now is None else now)
    return [_result(name, check, subject) for name, check in CHECKS.items()]


def is_well(results: list[Result]) -> bool:
    """Whether every check was made, and found nothing."""
    return all(result.status == OK for result in results)


def _result(name: str, check: Callable[[Subject], list[Finding]], subject: Subject) -> Result:
    try:
        findings = check(subject)
    except AccessError as error:
        # One refused call must not hide what the others find.
        if _code(error) not in _GONE:
            return Result(name, UNCHECKED, why=str(error))
        remedy = "it was deleted, not by this stack: see what the stack's drift detection says"
        findings = [Finding(str(error), remedy)]
    return Result(name, FINDING if findings else OK, findings)


def _code(error: AccessError) -> str:
    """Return the service's code of an error, empty where it is none of a service."""
    cause = error.__cause__
    return str(cause.response["Error"]["Code"]) if isinstance(cause, ClientError) else ""


# The checks --------------------------------------------------------------------------------------


def check_filter(subject: Subject) -> list[Finding]:
    """Find whether the filter exists, once, with our stream, role and pattern."""
    ours = subject.our_filters
    if not ours:
        others = ", ".join(each["filterName"] for each in subject.filters)
        also = f"; what it has goes elsewhere: {others}" if others else ""
        return [
            Finding(
                f"log group {subject.log_group} has no subscription filter to the stream{also}",
                "console-login backfill for the time in between, after "
                + _put_filter(subject, subject.resources["SubscriptionFilter"]),
            )
        ]
    findings = []
    if len(ours) > 1:
        names = ", ".join(each["filterName"] for each in ours)
        problem = f"{len(ours)} filters go to the stream, and everything comes as often: {names}"
        remedy = "aws logs delete-subscription-filter, for those that are not the stack's"
        findings.append(Finding(problem, remedy))
    return findings + [each for found in ours for each in _of_filter(subject, found)]


def _of_filter(subject: Subject, found: dict[str, Any]) -> Iterator[Finding]:
    name, role_arn, pattern = (
        found.get(key, "") for key in ("filterName", "roleArn", "filterPattern")
    )
    if pattern != subject.pattern:
        names = subject.stack.parameters["EventNames"]
        yield Finding(
            f"filter {name} has the pattern {_shown(pattern)}; EventNames {names} means"
            f" {_shown(subject.pattern)}",
            _put_filter(subject, name),
        )
    if role_arn != (ours := subject.role_arn("SubscriptionRole")):
        problem = f"filter {name} has the role {role_arn}, and the stack's is {ours}"
        yield Finding(problem, _put_filter(subject, name))


def _shown(pattern: str) -> str:
    return pattern or '"" (every event)'


def _put_filter(subject: Subject, name: str) -> str:
    return (
        f"aws logs put-subscription-filter --log-group-name {subject.log_group}"
        f" --filter-name {name} --filter-pattern {shlex.quote(subject.pattern)}"
        f" --destination-arn {subject.stream_arn}"
        f" --role-arn {subject.role_arn('SubscriptionRole')}"
    )


def check_role(subject: Subject) -> list[Finding]:
    """Find whether the filter's role may put, and CloudWatch Logs may take the role."""
    used = {each["roleArn"].rsplit("/", 1)[-1] for each in subject.our_filters if "roleArn" in each}
    findings = []
    for name in sorted(used or {subject.resources["SubscriptionRole"]}):
        trust = subject.call("iam", "get_role", RoleName=name)["Role"]["AssumeRolePolicyDocument"]
        if not may_assume(trust, "logs.amazonaws.com"):
            findings.append(
                Finding(
                    f"role {name} does not trust CloudWatch Logs",
                    f"aws iam update-assume-role-policy --role-name {name}, with"
                    " logs.amazonaws.com as the principal of sts:AssumeRole, as in template.yaml",
                )
            )
        (policy,) = subject.expected.resources["SubscriptionRole"].properties["Policies"]
        findings += _of_permissions(subject, name, policy)
    return findings


def check_function_role(subject: Subject) -> list[Finding]:
    """Find whether the function's role may put back."""
    policies = subject.expected.resources["TransformRole"].properties["Policies"]
    (policy,) = (each for each in policies if each["PolicyName"] == "PutBackIntoStream")
    return list(_of_permissions(subject, subject.resources["TransformRole"], policy))


def _of_permissions(subject: Subject, role_name: str, policy: dict[str, Any]) -> Iterator[Finding]:
    """Find what a role may not do that a policy of the template lets it do to the stream."""
    (statement,) = policy["PolicyDocument"]["Statement"]
    has = list(_statements(subject, role_name))
    reasons = {
        action: why_denied(has, action, subject.stream_arn)
        for action in as_list(statement["Action"])
    }
    denied = [f"{action} ({reason})" for action, reason in reasons.items() if reason]
    if denied:
        document = json.dumps(policy["PolicyDocument"])
        yield Finding(
            f"role {role_name} cannot put into the stream: {', '.join(denied)}",
            "take away what denies it, if anything;"
            f" aws iam put-role-policy --role-name {role_name} --policy-name {policy['PolicyName']}"
            f" --policy-document {shlex.quote(document)}",
        )


def _statements(subject: Subject, role_name: str) -> Iterator[dict[str, Any]]:
    """Yield the statements of a role's policies, inline and attached."""
    role = {"RoleName": role_name}
    for name in subject.pages("iam", "list_role_policies", "PolicyNames")(**role):
        found = subject.call("iam", "get_role_policy", PolicyName=name, **role)
        yield from as_list(found["PolicyDocument"]["Statement"])
    attached = subject.pages("iam", "list_attached_role_policies", "AttachedPolicies")
    for policy in attached(**role):
        arn = policy["PolicyArn"]
        version = subject.call("iam", "get_policy", PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found = subject.call("iam", "get_policy_version", PolicyArn=arn, VersionId=version)
        yield from as_list(found["PolicyVersion"]["Document"]["Statement"])


def check_key(subject: Subject) -> list[Finding]:
    """Find what the key's policy lacks of what `key-policy` prints."""
    key_id = subject.key_arn
    found = subject.call("kms", "get_key_policy", KeyId=key_id, PolicyName="default")
    policy = json.loads(found["Policy"])
    wanted = key_policy.key_policy(subject.document, subject.parameters, **subject.place)
    lacking = [
        statement["Sid"]
        for statement in wanted["Statement"]
        if not is_covered(statement, policy, key_id)
    ]
    if not lacking:
        return []
    options = [f"--stack {subject.stack.name}", f"--region {subject.region}"]
    options += [f"--account {subject.account_id}"]
    if subject.stream_name != subject.document["Parameters"]["Name"]["Default"]:
        options += [f"--parameter Name={subject.stream_name}"]
    return [
        Finding(
            f"the policy of key {key_id} lacks {', '.join(lacking)}",
            f"add what this prints to it: console-login key-policy {' '.join(options)}",
        )
    ]


def check_stream(subject: Subject) -> list[Finding]:
    """Find whether the stream is active, with the stack's function as its only processor."""
    described = subject.call(
        "firehose", "describe_delivery_stream", DeliveryStreamName=subject.stream_name
    )["DeliveryStreamDescription"]
    findings = []
    status = described["DeliveryStreamStatus"]
    if status != "ACTIVE":
        failure = described.get("FailureDescription", {}).get("Details", "")
        problem = f"stream {subject.stream_name} is {status} {failure}".rstrip()
        findings.append(Finding(problem, "wait while it is changing; else deploy the stack again"))
    (destination, *_) = described["Destinations"]
    s3 = destination.get("ExtendedS3DestinationDescription", {})
    return findings + list(_of_processors(subject, s3.get("ProcessingConfiguration", {})))


def _of_processors(subject: Subject, configuration: dict[str, Any]) -> Iterator[Finding]:
    is_on = configuration.get("Enabled", False)
    processors = configuration.get("Processors", ()) if is_on else ()
    types = [each["Type"] for each in processors]
    native = [each for each in types if each in _DECOMPRESSION]
    deploy = "deploy the stack again, or firehose update-destination"
    if native:
        yield Finding(
            f"the stream still has Firehose's paid processing on: {', '.join(native)}; it refuses"
            " what the function puts back, and what backfill and redrive send",
            f"switch it off ({deploy}): the Lambda processor alone",
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
        yield Finding("the stream has no Lambda processor: nothing is transformed", deploy)
    for function in functions:
        if function.removesuffix(":$LATEST") != ours:
            yield Finding(f"the stream's function is {function}, and the stack's is {ours}", deploy)


def check_errors(subject: Subject) -> list[Finding]:
    """Find error objects but those that redrive has sent again whole."""
    expression = subject.destination["ErrorOutputPrefix"]
    prefix = expression.replace("!{firehose:error-output-type}", PROCESSING_FAILED).split("!{")[0]
    objects = list(
        subject.pages("s3", "list_objects_v2", "Contents")(Bucket=subject.bucket, Prefix=prefix)
    )
    not_read = ""
    waiting = objects[_MAX_TAGS_READ:]
    for index, each in enumerate(objects[:_MAX_TAGS_READ]):
        try:
            is_handled = _is_redriven(subject, each["Key"])
        except AccessError as error:
            # They lie there all the same.
            waiting += objects[index:_MAX_TAGS_READ]
            not_read = f" (which of them redrive has sent again is not known: {error})"
            break
        if not is_handled:
            waiting.append(each)
    if not waiting:
        return []
    times = [each["LastModified"] for each in waiting]
    count = counted(len(waiting), "error object waits", "error objects wait")
    return [
        Finding(
            f"{count} under s3://{subject.bucket}/{prefix}, from {_time(min(times))} to"
            f" {_time(max(times))}{not_read}",
            "see errorCode in them, and the function's log"
            f" ({subject.stack.outputs['TailFunctionLogCommand']}); console-login redrive sends"
            " them again; what it does not send, read, and then delete",
        )
    ]


def _is_redriven(subject: Subject, key: str) -> bool:
    tags = subject.call("s3", "get_object_tagging", Bucket=subject.bucket, Key=key)["TagSet"]
    return is_whole({each["Key"]: each["Value"] for each in tags}, subject.stream_name)


def check_trail(subject: Subject) -> list[Finding]:
    """Find whether a trail of all Regions sends its events to the log group."""
    trails = [
        each
        for each in subject.call("cloudtrail", "describe_trails")["trailList"]
        if each.get("CloudWatchLogsLogGroupArn", "").removesuffix(":*") == subject.log_group_arn
    ]
    if not trails:
        return [
            Finding(
                f"no trail sends its events to log group {subject.log_group}",
                "aws cloudtrail update-trail --name TRAIL --cloud-watch-logs-log-group-arn"
                f" '{subject.log_group_arn}:*' --cloud-watch-logs-role-arn ROLE_ARN",
            )
        ]
    findings = [list(_of_trail(subject, each)) for each in trails]
    # One that is in order sends everything, whatever others do.
    return [] if [] in findings else [each for found in findings for each in found]


def _of_trail(subject: Subject, trail: dict[str, Any]) -> Iterator[Finding]:
    arn = trail["TrailARN"]
    name = f"--name {arn} --region {trail.get('HomeRegion', subject.region)}"
    if not trail.get("IsMultiRegionTrail"):
        yield Finding(
            f"trail {arn} is not multi-Region: sign-ins recorded elsewhere are missing, root's"
            " among them",
            f"aws cloudtrail update-trail --is-multi-region-trail {name}",
        )
    if not trail.get("IncludeGlobalServiceEvents"):
        yield Finding(
            f"trail {arn} leaves global services' events out, and with them sign-ins",
            f"aws cloudtrail update-trail --include-global-service-events {name}",
        )
    status = subject.call("cloudtrail", "get_trail_status", Name=arn)
    if not status["IsLogging"]:
        yield Finding(f"trail {arn} is stopped", f"aws cloudtrail start-logging {name}")
    if error := status.get("LatestCloudWatchLogsDeliveryError"):
        yield Finding(
            f"trail {arn} cannot write to the log group: {error}",
            f"see to the trail's role {trail.get('CloudWatchLogsRoleArn', '')} and the group's key",
        )


def check_delivery(subject: Subject) -> list[Finding]:
    """Find whether an object followed what came into the log group."""
    since = subject.now - subject.hours * 3600
    # What came before the filter is backfill's business.
    created = [
        each["creationTime"] / 1000 for each in subject.our_filters if "creationTime" in each
    ]
    since = max(since, min(created, default=since))
    newest = _newest_object(subject, since)
    if newest is not None:
        since = max(since, newest.timestamp() + _CLOCKS_SECONDS)
    event = _first_event(subject, since, subject.now - SETTLE_SECONDS)
    if event is None:
        return []
    last = (
        f"the last is of {_time(newest)}"
        if newest
        else f"there is none of {counted(subject.hours, 'hour')}"
    )
    seen = _time(datetime.fromtimestamp(event["timestamp"] / 1000, UTC))
    return [
        Finding(
            f"the log group has an event of {seen} that matches, and no object has come since:"
            f" {last}",
            "see why the stream cannot write"
            f" ({subject.stack.outputs['TailDeliveryLogCommand']}) or the filter cannot put"
            " (metrics DeliveryErrors and DeliveryThrottling of AWS/Logs); console-login backfill"
            " then sends what is missing",
        )
    ]


def _newest_object(subject: Subject, since: float) -> datetime | None:
    """Return when the newest object came, looking as far back as the folder of `since`."""
    zone = time_zone(subject.parameters["TimeZone"])
    prefix = Prefix(subject.destination["Prefix"], zone)
    first = datetime.fromtimestamp(since, zone).date()
    day = datetime.fromtimestamp(subject.now, zone).date()
    while day >= first:
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=zone).timestamp()
        # No expression but the date's: nothing random.
        folder = prefix.evaluate(noon, random.Random(0))  # noqa: S311
        objects = subject.pages("s3", "list_objects_v2", "Contents")
        times: list[datetime] = [
            each["LastModified"] for each in objects(Bucket=subject.bucket, Prefix=folder)
        ]
        if times:
            return max(times)
        day -= timedelta(days=1)
    return None


def _first_event(subject: Subject, since: float, until: float) -> dict[str, Any] | None:
    if since >= until:
        return None
    asked: dict[str, Any] = {
        "logGroupName": subject.log_group,
        "startTime": int(since * 1000),
        "endTime": int(until * 1000),
    }
    if subject.pattern:
        asked["filterPattern"] = subject.pattern
    return next(subject.pages("logs", "filter_log_events", "events")(**asked), None)


def _time(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


CHECKS: dict[str, Callable[[Subject], list[Finding]]] = {
    "subscription filter": check_filter,
    "role of the filter": check_role,
    "role of the function": check_function_role,
    "key policy": check_key,
    "stream": check_stream,
    "error objects": check_errors,
    "trail": check_trail,
    "delivery": check_delivery,
}


# What the user sees ------------------------------------------------------------------------------


def words(results: list[Result]) -> list[str]:
    """Return results in lines: a check each, and under it what is wrong and what to do."""
    lines = []
    for result in results:
        lines.append(f"{result.check:<20} {result.status}{f': {result.why}' if result.why else ''}")
        for finding in result.findings:
            lines += [f"  {finding.problem}", f"    {finding.remedy}"]
    return lines


def report(stack_name: str, results: list[Result]) -> dict[str, Any]:
    """Return results for machines."""
    checks = [asdict(result) for result in results]
    return {"stack": stack_name, "is_well": is_well(results), "checks": checks}
