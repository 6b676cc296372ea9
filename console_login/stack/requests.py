"""Requests to test policies with: those that the stacks need, and those of an attacker.

The former are from AWS's documentation:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CrossAccountSubscriptions-Firehose.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/Subscriptions-confused-deputy.html
https://docs.aws.amazon.com/firehose/latest/dev/controlling-access.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
https://docs.aws.amazon.com/awscloudtrail/latest/userguide/create-kms-key-policy-for-cloudtrail.html
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from console_login.stack import template
from console_login.stack.policies import Request

_SSE = "s3:x-amz-server-side-encryption"

_CLOUDWATCH = "cloudwatch.amazonaws.com"
# Another account of the organization, and the role that deploys filter.yaml there.
MEMBER = "123456789012"
MEMBERS_DEPLOYER = f"arn:aws:iam::{MEMBER}:role/deployer"

# Actions on the key of an encrypted log group by a role that writes to it, through CloudWatch Logs.
_LOG_WRITER = ("GenerateDataKey", "Decrypt")
# Actions on the key by CloudWatch Logs itself.
_LOGS = (
    "Encrypt",
    "Decrypt",
    "ReEncryptFrom",
    "ReEncryptTo",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
)


@dataclass(frozen=True)
class Need:
    """A request that must be allowed.

    label: its purpose. Requests with the same label are variants; AWS does not document which one
        is sent.
    role: the logical id of the role that sends the request or is assumed; otherwise empty.
    """

    label: str
    request: Request
    role: str = ""


class _Place:
    """Builds the ARNs of a stack's resources, and requests to the resources."""

    def __init__(self, stack: template.Stack, key_arn: str) -> None:
        self.stack = stack
        self.key_arn = key_arn
        self.partition, self.suffix = template.partition(stack.region)

    def arn(self, service: str, name: str) -> str:
        place = f"{self.stack.region}:{self.stack.account_id}"
        return f"arn:{self.partition}:{service}:{place}:{name}"

    def log_group(self, name: str) -> str:
        return self.arn("logs", f"log-group:{name}")

    def role(self, logical_id: str) -> str:
        name = self.stack.resources[logical_id].physical_id
        return f"arn:{self.partition}:iam::{self.stack.account_id}:role/{name}"

    def of_role(
        self,
        logical_id: str,
        action: str,
        resource: str,
        context: Mapping[str, str] | None = None,
        *,
        label: str = "",
        account: str = "",
    ) -> Need:
        """Return a request of a role."""
        who = self.role(logical_id)
        owner = account or self.stack.account_id
        request = Request(who, action, resource, owner, context or {})
        return Need(f"{logical_id}: {action} {label}".rstrip(), request, logical_id)

    def assumes(self, service: str, logical_id: str, context: Mapping[str, str]) -> Need:
        """Return a service's request to assume a role."""
        role = self.role(logical_id)
        request = Request(service, "sts:AssumeRole", role, self.stack.account_id, context)
        return Need(f"{service}: sts:AssumeRole of {logical_id}", request, logical_id)

    def key(
        self, who: str, action: str, context: Mapping[str, str], label: str, role: str = ""
    ) -> Need:
        """Return a request to the key, of a service or of a role (by its logical id)."""
        account = self.key_arn.split(":")[4]
        principal = self.role(role) if role else who
        request = Request(principal, f"kms:{action}", self.key_arn, account, context)
        return Need(f"{who}: kms:{action} {label}", request, role)

    def writer_of_encrypted_log(self, role: str, log_group: str) -> Iterator[Need]:
        through = {"kms:ViaService": f"logs.{self.stack.region}.{self.suffix}"}
        context = {"kms:EncryptionContext:aws:logs:arn": self.log_group(log_group)}
        for action in _LOG_WRITER:
            yield self.key(role, action, through | context, f"for {log_group}", role)
        yield self.key(role, "DescribeKey", through, "through CloudWatch Logs", role)

    def logs_encrypts(self, log_group: str) -> Iterator[Need]:
        service = f"logs.{self.stack.region}.{self.suffix}"
        context = {"kms:EncryptionContext:aws:logs:arn": self.log_group(log_group)}
        for action in _LOGS:
            yield self.key(service, action, context, f"for {log_group}")


def of_pipeline(stack: template.Stack) -> list[Need]:
    """Return the requests that a stack of template.yaml needs."""
    return list(_of_pipeline(_Place(stack, stack.outputs["KeyArn"])))


def of_attacker(stack: template.Stack) -> list[Need]:
    """Return requests that no policy may allow: those of an attacker with a role of template.yaml.

    An attacker who controls the function, CloudWatch Logs or Firehose acts as one of these roles.
    """
    return list(_of_attacker(_Place(stack, stack.outputs["KeyArn"])))


def of_topic(stack: template.Stack, topic_arn: str, key_arn: str) -> list[Need]:
    """Return the requests that a stack's alarms need for a topic of the same account.

    key_arn: the key that encrypts the topic; empty if the topic is not encrypted.
    """
    place = _Place(stack, key_arn)
    return [
        need
        for logical_id, alarm in stack.of_type("AWS::CloudWatch::Alarm").items()
        for need in _of_alarm(place, alarm.physical_id, topic_arn, f"by {logical_id}")
    ]


def of_trail(stack: template.Stack) -> list[Need]:
    """Return the requests that a stack of trail.yaml needs."""
    place = _Place(stack, "")
    place.key_arn = place.arn("kms", f"key/{stack.only('AWS::KMS::Key').physical_id}")
    return list(_of_trail(place))


def _of_pipeline(place: _Place) -> Iterator[Need]:
    stack = place.stack
    stream, function = stack.outputs["DeliveryStreamArn"], stack.outputs["TransformFunctionArn"]
    bucket = f"arn:{place.partition}:s3:::{stack.outputs['BucketName']}"
    owner = str(stack.parameters["ExistingBucketOwner"])
    prefix = str(stack.parameters["Prefix"])
    day = "2026/11/24/console-login-1-2026-11-24-16-07-06-6eb69e8a.json"
    objects = {
        "of lines": f"{bucket}/{prefix}{day}",
        "of failed records": f"{bucket}/{prefix}processing-failed/{day}",
    }
    logs = {key: each.physical_id for key, each in stack.of_type("AWS::Logs::LogGroup").items()}

    # CloudWatch Logs puts records into the stream. AWS documents aws:SourceArn only up to the
    # account.
    for end in (":*", "", ":log-stream:*"):
        group = place.log_group(f"{stack.outputs['LogGroupName']}{end}")
        context = {"aws:SourceArn": group, "aws:SourceAccount": stack.account_id}
        yield place.assumes("logs.amazonaws.com", "SubscriptionRole", context)
    for action in ("firehose:PutRecord", "firehose:PutRecordBatch"):
        yield place.of_role("SubscriptionRole", action, stream)
    if stack.parameters["OrganizationId"]:
        yield from _of_organization(place)

    # Lambda runs the function, which writes a log and puts records back.
    yield place.assumes("lambda.amazonaws.com", "TransformRole", {})
    yield place.of_role("TransformRole", "firehose:PutRecordBatch", stream)
    log = place.log_group(f"{logs['TransformLogGroup']}:log-stream:2026/11/24/[$LATEST]0123")
    for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
        yield place.of_role("TransformRole", action, log)

    # Firehose invokes the function, writes objects, and logs failed writes.
    external_id = {"sts:ExternalId": stack.account_id}
    yield place.assumes("firehose.amazonaws.com", "DeliveryRole", external_id)
    for action in ("lambda:InvokeFunction", "lambda:GetFunctionConfiguration"):
        for arn in (function, f"{function}:$LATEST"):
            yield place.of_role("DeliveryRole", action, arn, label=f"of {arn.split(':', 6)[6]}")
    here = {"aws:RequestedRegion": stack.region}
    for action in ("GetBucketLocation", "ListBucket", "ListBucketMultipartUploads"):
        yield place.of_role("DeliveryRole", f"s3:{action}", bucket, here, account=owner)
    encrypted = here | {_SSE: "aws:kms", f"{_SSE}-aws-kms-key-id": place.key_arn}
    acl = {"s3:x-amz-acl": "bucket-owner-full-control"} if owner else {}
    for label, arn in objects.items():
        for action, context in {
            "PutObject": encrypted | acl,
            "GetObject": here,
            "AbortMultipartUpload": here,
        }.items():
            yield place.of_role(
                "DeliveryRole", f"s3:{action}", arn, context, label=label, account=owner
            )
        # The parts of an upload have no header. AWS does not document whether a policy sees the
        # header of the upload instead.
        yield place.of_role("DeliveryRole", "s3:PutObject", arn, here, label=label, account=owner)
        if owner:
            yield place.of_role(
                "DeliveryRole", "s3:PutObjectAcl", arn, here | acl, label=label, account=owner
            )
    log = place.log_group(f"{logs['DeliveryLogGroup']}:log-stream:DestinationDelivery")
    yield place.of_role("DeliveryRole", "logs:PutLogEvents", log)

    # The key: objects through S3, log groups, an encrypted topic.
    through_s3 = {"kms:ViaService": f"s3.{stack.region}.{place.suffix}"}
    # With an S3 Bucket Key the context is the bucket, without one the object.
    for label, arn in {"of the bucket": bucket, **objects}.items():
        for action in ("GenerateDataKey", "Decrypt"):
            context = through_s3 | {"kms:EncryptionContext:aws:s3:arn": arn}
            yield place.key("DeliveryRole", action, context, f"{label} through S3", "DeliveryRole")
    for role, group in {
        "DeliveryRole": logs["DeliveryLogGroup"],
        "TransformRole": logs["TransformLogGroup"],
    }.items():
        yield from place.writer_of_encrypted_log(role, group)
        yield from place.logs_encrypts(group)
    alarm = f"{stack.name}-RecordsFailedAlarm"
    topics = {each.physical_id for each in stack.of_type("AWS::SNS::Topic").values()}
    # A topic may be added later, so the key must already allow its requests.
    for topic in topics or {place.arn("sns", f"{stack.name}-AlarmTopic")}:
        for need in _of_alarm(place, alarm, topic, ""):
            if topics or need.request.resource == place.key_arn:
                yield need


def _of_alarm(place: _Place, alarm: str, topic: str, label: str) -> Iterator[Need]:
    """Yield CloudWatch's requests to a topic for an alarm, and to the topic's key if it has one."""
    here = {"aws:SourceAccount": place.stack.account_id}
    source = here | {"aws:SourceArn": place.arn("cloudwatch", f"alarm:{alarm}")}
    # aws:SourceOwner is not documented. But the policy that SNS gives every new topic requires it,
    # and alarms can publish with this policy.
    publish = source | {"aws:SourceOwner": place.stack.account_id}
    request = Request(_CLOUDWATCH, "sns:Publish", topic, place.stack.account_id, publish)
    yield Need(f"{_CLOUDWATCH}: sns:Publish {label}".rstrip(), request)
    if place.key_arn:
        context = source | {"kms:EncryptionContext:aws:sns:topicArn": topic}
        for action in ("GenerateDataKey", "Decrypt"):
            yield place.key(_CLOUDWATCH, action, context, label or "for an encrypted topic")


def _of_organization(place: _Place) -> Iterator[Need]:
    """Yield the requests of another account of the organization to the destination."""
    stack = place.stack
    organization = str(stack.parameters["OrganizationId"])
    destination = place.arn("logs", f"destination:{stack.parameters['Name']}")
    action = "logs:PutSubscriptionFilter"
    request = Request(
        MEMBERS_DEPLOYER,
        action,
        destination,
        stack.account_id,
        {"aws:PrincipalOrgID": organization},
    )
    yield Need(f"an account of the organization: {action} of the destination", request)
    group = place.log_group("/aws/cloudtrail/theirs:*").replace(stack.account_id, MEMBER)
    source = {"aws:SourceArn": group, "aws:SourceAccount": MEMBER}
    # CloudWatch Logs delivers on behalf of the account that has the filter.
    need = place.assumes(
        "logs.amazonaws.com", "SubscriptionRole", source | {"aws:SourceOrgID": organization}
    )
    yield replace(need, label=f"{need.label} for the organization")


# Forge, hide or remove lines, stop the delivery, read names, gain permissions.
_ABUSES = {
    "object": (
        *("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"),
        *("s3:PutObjectRetention", "s3:PutObjectLegalHold", "s3:PutObjectTagging"),
        *("s3:GetObject", "s3:PutObject"),
    ),
    "bucket": (
        *("s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "s3:PutLifecycleConfiguration"),
        *("s3:PutBucketVersioning", "s3:PutBucketObjectLockConfiguration"),
        *("s3:PutEncryptionConfiguration", "s3:PutReplicationConfiguration"),
    ),
    "key": ("kms:ScheduleKeyDeletion", "kms:DisableKey", "kms:PutKeyPolicy", "kms:CreateGrant"),
    "group": (
        *("logs:PutLogEvents", "logs:DeleteSubscriptionFilter", "logs:PutSubscriptionFilter"),
        *("logs:DeleteLogGroup", "logs:PutRetentionPolicy", "logs:FilterLogEvents"),
    ),
    "destination": (
        "logs:PutDestination",
        "logs:PutDestinationPolicy",
        "logs:DeleteDestination",
    ),
    "stream": (
        *("firehose:PutRecord", "firehose:PutRecordBatch"),
        *("firehose:UpdateDestination", "firehose:DeleteDeliveryStream"),
    ),
    "function": (
        *("lambda:InvokeFunction", "lambda:UpdateFunctionCode"),
        *("lambda:UpdateFunctionConfiguration", "lambda:AddPermission"),
    ),
    "role": (
        *("iam:PassRole", "iam:PutRolePolicy", "iam:AttachRolePolicy"),
        *("iam:UpdateAssumeRolePolicy", "iam:DeleteRolePermissionsBoundary", "sts:AssumeRole"),
    ),
    "alarm": (
        *("cloudwatch:DeleteAlarms", "cloudwatch:DisableAlarmActions"),
        *("cloudwatch:PutMetricAlarm", "cloudwatch:SetAlarmState"),
    ),
    "trail": (
        *("cloudtrail:StopLogging", "cloudtrail:PutEventSelectors"),
        *("cloudtrail:UpdateTrail", "cloudtrail:DeleteTrail"),
    ),
}


def _of_attacker(place: _Place) -> Iterator[Need]:
    stack = place.stack
    bucket = f"arn:{place.partition}:s3:::{stack.outputs['BucketName']}"
    owner = str(stack.parameters["ExistingBucketOwner"])
    arns = {
        "object": f"{bucket}/{stack.parameters['Prefix']}2026/11/24/x.json",
        "bucket": bucket,
        "key": place.key_arn,
        "group": place.log_group(f"{stack.outputs['LogGroupName']}:log-stream:x"),
        "destination": place.arn("logs", f"destination:{stack.parameters['Name']}"),
        "stream": stack.outputs["DeliveryStreamArn"],
        "function": stack.outputs["TransformFunctionArn"],
        "alarm": place.arn("cloudwatch", f"alarm:{stack.name}-RecordsFailedAlarm"),
        "trail": place.arn("cloudtrail", "trail/management-event"),
    }
    # A role's own task, such as writing objects for Firehose, is not abuse.
    needed = {
        (need.request.who, need.request.action, need.request.resource.split(":::")[0])
        for need in _of_pipeline(place)
    }
    for role in stack.of_type("AWS::IAM::Role"):
        for target, actions in _ABUSES.items():
            arn = arns.get(target) or place.role(role)
            account = {"object": owner, "bucket": owner, "key": place.key_arn.split(":")[4]}
            for action in actions:
                # Compare S3 requests without bucket and key: all objects are equivalent.
                if (place.role(role), action, arn.split(":::")[0]) not in needed:
                    yield place.of_role(role, action, arn, account=account.get(target, ""))


def _of_trail(place: _Place) -> Iterator[Need]:
    stack = place.stack
    account, region = stack.account_id, stack.region
    name = str(stack.parameters["TrailName"])
    trail = place.arn("cloudtrail", f"trail/{name}")
    group = stack.only("AWS::Logs::LogGroup").physical_id
    bucket = f"arn:{place.partition}:s3:::{stack.only('AWS::S3::Bucket').physical_id}"
    cloudtrail = "cloudtrail.amazonaws.com"
    source = {"aws:SourceArn": trail, "aws:SourceAccount": account}

    yield place.assumes(cloudtrail, "TrailRole", {})
    for end in ("", "_2"):
        log = place.log_group(f"{group}:log-stream:{account}_CloudTrail_{region}{end}")
        for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
            yield place.of_role("TrailRole", action, log, label=f"of stream{end}")
    yield from place.writer_of_encrypted_log("TrailRole", group)
    pipeline = str(stack.parameters["PipelineName"])
    for each in (group, f"/aws/lambda/{pipeline}-transform", f"/aws/kinesisfirehose/{pipeline}"):
        yield from place.logs_encrypts(each)

    here = source | {"aws:RequestedRegion": region}
    request = Request(cloudtrail, "s3:GetBucketAcl", bucket, account, here)
    yield Need(f"{cloudtrail}: s3:GetBucketAcl", request)
    acl = {"s3:x-amz-acl": "bucket-owner-full-control"}
    for folder in ("CloudTrail", "CloudTrail-Digest"):
        file = f"{bucket}/AWSLogs/{account}/{folder}/us-east-1/2026/11/24/x.json.gz"
        request = Request(cloudtrail, "s3:PutObject", file, account, here | acl)
        yield Need(f"{cloudtrail}: s3:PutObject of {folder}", request)
    # The encryption context names the Region where the events were recorded.
    for where in (region, "us-east-1"):
        recorded = trail.replace(f":{region}:", f":{where}:")
        context = source | {
            "kms:EncryptionContext:aws:cloudtrail:arn": recorded,
            "kms:EncryptionContext:aws:s3:arn": file,
        }
        yield place.key(cloudtrail, "GenerateDataKey", context, f"for events of {where}")
    yield place.key(cloudtrail, "DescribeKey", source, "of the trail")
