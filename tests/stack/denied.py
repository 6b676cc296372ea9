"""Requests that a stack's policies must deny: each differs in one respect from a needed one."""

from collections.abc import Iterator
from dataclasses import replace

from scenario import EVERYTHING, Scenario
from stacks import ORGANIZATION

from console_login.stack.place import REGION
from console_login.stack.policies import Document, Request

STRANGER = "999988887777"
ANOTHER_ORGANIZATION = "o-z9y8x7w6v5"
ELSEWHERE = "us-east-1"
SERVICES = (
    "cloudtrail.amazonaws.com",
    "cloudwatch.amazonaws.com",
    "ec2.amazonaws.com",
    "firehose.amazonaws.com",
    "lambda.amazonaws.com",
    "logs.amazonaws.com",
    f"logs.{ELSEWHERE}.amazonaws.com",
    "s3.amazonaws.com",
    "sns.amazonaws.com",
)
_SSE = "s3:x-amz-server-side-encryption"

# By service: a suffix that turns the name of the needed resource into another one's.
_LONGER = {"firehose": "x", "lambda": "-2", "kms": "0", "s3": "2", "logs": "er"}

# Actions that nobody here needs, by the service of a needed action.
_NEVER = {
    "firehose": ("DeleteDeliveryStream", "UpdateDestination", "CreateDeliveryStream"),
    "lambda": ("UpdateFunctionCode", "DeleteFunction", "AddPermission"),
    "kms": ("CreateGrant", "ScheduleKeyDeletion", "DisableKey", "PutKeyPolicy", "Sign"),
    "s3": ("PutBucketPolicy", "ListBucketVersions", "DeleteBucket"),
    "s3 object": ("DeleteObject", "PutObjectTagging", "GetObjectAcl"),
    "logs": (
        *("CreateLogGroup", "DeleteLogGroup", "GetLogEvents", "PutSubscriptionFilter"),
        *("PutAccountPolicy", "PutDestination", "PutDestinationPolicy", "DeleteDestination"),
    ),
    "sns": ("Subscribe", "SetTopicAttributes"),
    "sts": ("TagSession", "AssumeRoleWithSAML"),
}

# Known to be absent.
_NO_SOURCE: dict[str, list[str]] = {
    each: []
    for each in ("aws:SourceArn", "aws:SourceAccount", "aws:SourceOrgID", "aws:PrincipalOrgID")
}

# Changes of a request's context that must be denied: old and new text, by a key of the context.
_WRONG = {
    "aws:SourceArn": (
        ("111122223333", STRANGER),
        (REGION, ELSEWHERE),
        (":alarm:", ":insight-rule/"),
        (":trail/", ":trail/another-"),
    ),
    "aws:SourceOrgID": ((ORGANIZATION, ANOTHER_ORGANIZATION),),
    "aws:PrincipalOrgID": ((ORGANIZATION, ANOTHER_ORGANIZATION),),
    "sts:ExternalId": (("111122223333", STRANGER), ("111122223333", "")),
    "kms:ViaService": (
        (REGION, ELSEWHERE),
        ("s3.", "dynamodb."),
        ("logs.", "dynamodb."),
    ),
    "kms:EncryptionContext:aws:logs:arn": (
        (":/aws/", ":/other/"),
        ("111122223333", STRANGER),
    ),
    "kms:EncryptionContext:aws:s3:arn": (("arn:aws:s3:::", "arn:aws:s3:::x"),),
    "kms:EncryptionContext:aws:cloudtrail:arn": (("111122223333", STRANGER),),
}


def requests(scenario: Scenario) -> Iterator[tuple[str, Request, dict[str, Document]]]:
    """Yield a label, a request, and additional policies of its principal."""
    needed = {_key(need.request) for need in scenario.needs}
    # AWS documents a log writer's permissions for CloudWatch Logs in general, not for a log group.
    writers = {
        (need.request.who, need.request.action)
        for need in scenario.needs
        if _is_of_writer(need.request)
    }
    for need in scenario.needs:
        request = need.request
        for label, other in _steps(scenario, request):
            is_writer = _is_of_writer(other) and (other.who, other.action) in writers
            if _key(other) not in needed and not is_writer:
                yield f"{need.label}: {label}", other, {}
    yield from _with_every_right(scenario)


def _key(request: Request) -> tuple[object, ...]:
    given = sorted(item for item in request.context.items() if item[1])
    return request.who, request.action, request.resource, *given


def _steps(scenario: Scenario, request: Request) -> Iterator[tuple[str, Request]]:
    service = request.action.split(":")[0]
    if request.is_of_service:
        # Without an organization in the context, the request comes from none.
        request = replace(request, context={"aws:SourceOrgID": [], **request.context})
    # Other principals send no source that a policy names.
    context = _NO_SOURCE | {k: v for k, v in request.context.items() if k not in _NO_SOURCE}
    for who in (*SERVICES, *scenario.identities):
        yield f"by {who}", replace(request, who=who, context=context)
    is_object = service == "s3" and "/" in request.resource
    for action in _NEVER["s3 object" if is_object else service]:
        yield action, replace(request, action=f"{service}:{action}")
    if request.who in scenario.identities and service in _LONGER:
        yield "of another name", replace(request, resource=longer(request.resource))
    yield from _other_streams(request)
    if request.who == "cloudwatch.amazonaws.com":
        yield "of another account", _with(request, "aws:SourceAccount", STRANGER)
    if request.who == "cloudtrail.amazonaws.com" and "s3:x-amz-acl" in request.context:
        yield "without the ACL", _with(request, "s3:x-amz-acl", [])
    if request.context.get("aws:SourceArn") and not _is_alone(request):
        yield "without a source", replace(request, context=context)
    for key, changes in _WRONG.items():
        value = str(request.context.get(key, ""))
        # For CloudTrail's files, the context aws:cloudtrail:arn decides.
        if key.endswith(":s3:arn") and request.who == "cloudtrail.amazonaws.com":
            continue
        if key in request.context and not (_is_of_writer(request) and "logs:arn" in key):
            yield f"without {key}", _with(request, key, [])
        for old, new in changes:
            if old in value:
                yield f"{key} {new}", _with(request, key, value.replace(old, new))
    if service in ("s3", "sns") and scenario.policies_for(request)[1]:
        yield from _in_plain_text(scenario, request)


def _other_streams(request: Request) -> Iterator[tuple[str, Request]]:
    """Yield requests to log streams that do not match the names of the writer's own streams."""
    for old, new in (
        ("DestinationDelivery", "BackupDelivery"),
        (":111122223333_CloudTrail_", ":x"),
        (":111122223333_CloudTrail_", f":{STRANGER}_CloudTrail_"),
    ):
        if old in request.resource:
            yield f"stream {new}", replace(request, resource=request.resource.replace(old, new))


def longer(arn: str) -> str:
    """Return the ARN of a resource whose name begins with that of another one."""
    service, end = arn.split(":")[2], _LONGER[arn.split(":")[2]]
    if service == "s3":
        bucket, *key = arn.split("/", 1)
        return "/".join([f"{bucket}{end}", *key])
    if service == "logs":
        head, *stream = arn.split(":log-stream:")
        return ":log-stream:".join([f"{head}{end}", *stream])
    return f"{arn.removesuffix(':$LATEST')}{end}"


def _is_alone(request: Request) -> bool:
    # The trust policies for these services do not check the source.
    return request.action == "sts:AssumeRole" and request.who != "logs.amazonaws.com"


def _is_of_writer(request: Request) -> bool:
    return str(request.context.get("kms:ViaService", "")).startswith(f"logs.{REGION}")


def _with(request: Request, key: str, value: str | list[str]) -> Request:
    return replace(request, context={**request.context, key: value})


def _in_plain_text(scenario: Scenario, request: Request) -> Iterator[tuple[str, Request]]:
    if request.account != scenario.stack.account_id:
        # The owner of a central bucket decides what its policy denies.
        return
    plain = {**request.context, "aws:SecureTransport": "false"}
    yield "over plain HTTP", replace(request, context=plain)
    if request.context.get(_SSE):
        other = scenario.key_arn.rsplit("/", 1)[0] + "/00000000-0000-0000-0000-000000000000"
        yield "with another key", _with(request, f"{_SSE}-aws-kms-key-id", other)
        yield "with the key of S3", _with(request, f"{_SSE}-aws-kms-key-id", [])
        yield "with SSE-S3", replace(request, context={_SSE: "AES256"})
        own = {f"{_SSE}-customer-algorithm": "AES256"}
        yield "with the writer's key", replace(request, context=own)


def _with_every_right(scenario: Scenario) -> Iterator[tuple[str, Request, dict[str, Document]]]:
    """Yield requests that keys and buckets deny to principals whom IAM allows everything."""
    key = scenario.resources[scenario.key_arn]
    me, owner = scenario.stack.account_id, scenario.key_arn.split(":")[4]
    trusts_iam = any(
        each.get("Principal") == {"AWS": f"arn:aws:iam::{me}:root"} and "Condition" not in each
        for each in key["Statement"]
    )
    strangers = f"arn:aws:iam::{STRANGER}:user/admin"
    for need in scenario.needs:
        context = need.request.context | {"aws:PrincipalOrgID": ANOTHER_ORGANIZATION}
        request = replace(need.request, who=strangers, context=context)
        yield f"{need.label}: by a stranger's administrator", request, EVERYTHING
        if request.action.startswith("kms:") and not trusts_iam:
            for who in (f"arn:aws:iam::{me}:user/admin", f"arn:aws:iam::{me}:role/another"):
                other = replace(need.request, who=who)
                yield f"{need.label}: by {who} with every right", other, EVERYTHING
        if request.action.startswith("kms:") and not trusts_iam and need.role:
            for label, context in {
                "directly": {},
                "elsewhere": {"kms:ViaService": f"s3.{ELSEWHERE}.amazonaws.com"},
            }.items():
                other = replace(need.request, context=context)
                yield f"{need.label}: {label}, with every right", other, EVERYTHING
            other = replace(need.request, action="kms:CreateGrant")
            yield f"{need.label}: CreateGrant, with every right", other, EVERYTHING
        if request.action.startswith("s3:") and request.account not in (me, ""):
            assert owner
            for who in (f"arn:aws:iam::{me}:user/admin", f"arn:aws:iam::{me}:role/another"):
                other = replace(need.request, who=who)
                yield f"{need.label}: by {who} with every right", other, EVERYTHING
            if "/" in request.resource:
                other = replace(need.request, action="s3:DeleteObject")
                yield f"{need.label}: DeleteObject, with every right", other, EVERYTHING
