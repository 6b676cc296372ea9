"""Check that the stack's alarms notify somebody: policies of topics and keys, subscriptions."""

import json
from typing import Any

from console_login.operate import permissions
from console_login.operate.access import AccessError
from console_login.operate.checks import Checked, Finding, Unchecked, is_gone
from console_login.operate.subject import Subject
from console_login.stack import requests, template
from console_login.stack.policies import Document


def check_topics(subject: Subject) -> Checked:
    """Check that CloudWatch may publish to each alarm topic, and that the topic has subscribers.

    If either is missing, an alarm is lost without an error.
    """
    topics = {}
    if subject.expected.of_type("AWS::SNS::Topic"):
        topics[subject.resources["AlarmTopic"]] = str(subject.parameters["AlarmEmail"])
    if given := str(subject.parameters["AlarmTopicArn"]):
        topics[given] = ""
    if not topics:
        yield "the stack has no alarms (AlarmEmail and AlarmTopicArn are empty)"
        return
    stack = permissions.deployed_stack(subject)
    for arn, address in topics.items():
        account_id = arn.split(":")[4]
        if account_id != stack.account_id:
            yield Unchecked(
                f"topic {arn}, which only account {account_id} can read: whether its policy and"
                " its key allow CloudWatch to publish, and whether it has a subscription"
            )
            continue
        try:
            attributes = subject.call("sns", "get_topic_attributes", TopicArn=arn)["Attributes"]
        except AccessError as error:
            # An error of one topic must not hide findings of the other.
            yield _gone(subject, arn) if is_gone(error) else Unchecked(f"topic {arn}: {error}")
            continue
        yield from _check_policy(subject, stack, arn, json.loads(attributes["Policy"]))
        if key_id := attributes.get("KmsMasterKeyId"):
            yield from _check_key(subject, stack, arn, key_id)
        yield from _check_subscriptions(subject, arn, address)


def _gone(subject: Subject, arn: str) -> Finding:
    name = arn.rsplit(":", 1)[-1]
    return Finding(
        f"topic {arn} does not exist: the alarms notify nobody",
        [
            subject.aws("sns", "create-topic", "--name", name),
            "# then check the new topic",
            subject.command("doctor"),
        ],
    )


def _check_policy(subject: Subject, stack: template.Stack, arn: str, policy: Document) -> Checked:
    topic = ("--topic-arn", arn)
    text = ("--query", "Attributes.Policy", "--output", "text")
    place = permissions.Place(
        subject.aws("sns", "get-topic-attributes", *topic, *text),
        _set(subject, arn, "Policy", "file://policy.json"),
    )
    yield from permissions.check_resource_policy(
        subject,
        stack,
        f"topic {arn}",
        requests.of_topic(stack, arn, ""),
        (place, policy),
        _printed(stack, "sns:Publish", arn),
        needed="alarms",
    )


def _check_key(subject: Subject, stack: template.Stack, topic: str, key_id: str) -> Checked:
    """Check that CloudWatch may use the key of a topic; key_id: in any form that SNS accepts."""
    ours = _set(subject, topic, "KmsMasterKeyId", stack.outputs["KeyArn"])
    # The policy of an AWS managed key cannot be changed.
    managed = (
        f"topic {topic} is encrypted with the AWS managed key {key_id}, which alarms cannot use"
    )
    if "alias/aws/" in key_id:
        yield Finding(managed, [ours])
        return
    try:
        key = subject.call("kms", "describe_key", KeyId=key_id)["KeyMetadata"]
    except AccessError as error:
        yield Unchecked(f"key {key_id} of topic {topic}: {error}")
        return
    arn = key["Arn"]
    if key.get("KeyManager") == "AWS":
        yield Finding(managed, [ours])
        return
    yield from permissions.check_key_state(subject, key, [ours])
    if (account_id := arn.split(":")[4]) != stack.account_id:
        yield Unchecked(f"the policy of key {arn}, which only account {account_id} can read")
        return
    try:
        policy = permissions.key_policy(subject, arn)
    except AccessError as error:
        yield Unchecked(f"the policy of key {arn}: {error}")
        return
    yield from permissions.check_resource_policy(
        subject,
        stack,
        f"key {arn}",
        [need for need in requests.of_topic(stack, topic, arn) if need.request.resource == arn],
        policy,
        _printed(stack, ["kms:Decrypt", "kms:GenerateDataKey*"], "*"),
        needed=f"alarms to topic {topic}",
    )


def _check_subscriptions(subject: Subject, topic: str, address: str) -> Checked:
    """Check that a topic has a confirmed subscription; address: its endpoint, "" for any."""
    pages = subject.pages("sns", "list_subscriptions_by_topic", "Subscriptions")
    try:
        found = [each for each in pages(TopicArn=topic) if address in ("", each["Endpoint"])]
    except AccessError as error:
        yield Unchecked(f"the subscriptions of topic {topic}: {error}")
        return
    # Before that, the ARN is "PendingConfirmation".
    confirmed = [each for each in found if each["SubscriptionArn"].startswith("arn:")]
    if confirmed:
        yield f"confirmed subscriptions: {len(confirmed)}"
        return
    who = " of AlarmEmail" if address else ""
    waiting = "; one is pending confirmation" if found else ""
    subscribe = ("sns", "subscribe", "--topic-arn", topic, "--protocol", "email")
    yield Finding(
        f"topic {topic} has no confirmed subscription{who}, so nobody is notified{waiting}",
        [
            "# confirm the subscription in the email from AWS Notifications; to send it again:",
            subject.aws(*subscribe, "--notification-endpoint", address or "ADDRESS"),
        ],
    )


def _printed(stack: template.Stack, action: Any, resource: str) -> str:
    """Return the command that prints the statement needed in the policy of a topic or a key."""
    partition, _ = template.partition(stack.region)
    alarms = f"arn:{partition}:cloudwatch:{stack.region}:{stack.account_id}:alarm:*"
    statement = {
        "Sid": "CloudWatchAlarmsPublish",
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": action,
        "Resource": resource,
        "Condition": {
            "StringEquals": {"aws:SourceAccount": stack.account_id},
            "ArnLike": {"aws:SourceArn": alarms},
        },
    }
    return permissions.printed(json.dumps({"Statement": [statement]}))


def _set(subject: Subject, topic: str, name: str, value: str) -> str:
    words = ("sns", "set-topic-attributes", "--topic-arn", topic)
    return subject.aws(*words, "--attribute-name", name, "--attribute-value", value)
