"""`console-login doctor` on the alarm topics: who may publish, and who is notified."""

import contextlib
import json
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from doctored import STACK, CachingAccess, Refusing, result_of
from serving import REGION, serving
from shell import run
from stacks import OTHER_ACCOUNT, TOPIC_ARN

from console_login.operate.access import Access
from console_login.operate.checks import FINDING, OK, UNCHECKED, Finding, Result
from console_login.operate.subject import Subject

ACCOUNT, ADDRESS = "111122223333", "security@example.com"
OWN = f"arn:aws:sns:{REGION}:{ACCOUNT}:{STACK}-AlarmTopic"
DEFAULT = "__default_statement_ID"

pytestmark = pytest.mark.usefixtures("credentials")


@pytest.fixture(scope="module")
def access() -> Iterator[Access]:
    given = {"AlarmEmail": ADDRESS, "AlarmTopicArn": TOPIC_ARN}
    options = [word for item in given.items() for word in ("--parameter", "=".join(item))]
    with serving(*options) as running, pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "any")
        found = CachingAccess(running.url, REGION)
        object.__setattr__(found, "clients", {})
        sns = found.client("sns")
        sns.subscribe(TopicArn=TOPIC_ARN, Protocol="email", Endpoint="oncall@example.com")
        yield found


def topics(access: Access) -> Result:
    return result_of("alarm topics", Subject(access, STACK, 24, time.time()))


def only_finding(access: Access) -> Finding:
    result = topics(access)
    (finding,) = result.findings
    assert result.unchecked == []
    return finding


@contextlib.contextmanager
def attribute(access: Access, name: str, value: Any, topic: str = TOPIC_ARN) -> Iterator[None]:
    """Set an attribute of a topic for a while."""
    sns = access.client("sns")
    before = sns.get_topic_attributes(TopicArn=topic)["Attributes"].get(name, "")
    text = value if isinstance(value, str) else json.dumps(value)
    sns.set_topic_attributes(TopicArn=topic, AttributeName=name, AttributeValue=text)
    try:
        yield
    finally:
        sns.set_topic_attributes(TopicArn=topic, AttributeName=name, AttributeValue=before)


def publish(**keys: Any) -> dict[str, Any]:
    statement = {
        "Sid": "CloudWatchAlarmsPublish",
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": TOPIC_ARN,
    }
    return {"Version": "2012-10-17", "Statement": [statement | keys]}


def when(operator: str, key: str, value: Any) -> dict[str, Any]:
    return {"Condition": {operator: {key: value}}}


def paste(finding: Finding, folder: Path) -> None:
    """Run the lines of a remedy."""
    for line in finding.remedy:
        done = run(line, folder, {})
        assert done.returncode == 0, (line, done.stderr)


def test_the_templates_topic_and_one_with_the_default_policy_are_ok(access: Access) -> None:
    result = topics(access)
    assert (result.status, result.findings) == (OK, [])
    said = "; ".join(result.looked_at)
    assert f"9 requests to topic {OWN}" in said
    assert f"9 requests to topic {TOPIC_ARN}" in said
    assert said.count("confirmed subscriptions: 1") == 2


ALARMS = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm"


@pytest.mark.parametrize(
    ("policy", "status"),
    [
        (publish(), OK),
        (publish(**when("ArnLike", "aws:SourceArn", f"{ALARMS}:{STACK}-*")), OK),
        (publish(Action="SNS:Publish", **when("StringEquals", "aws:SourceAccount", ACCOUNT)), OK),
        (publish(Principal={"Service": "events.amazonaws.com"}), FINDING),
        (publish(Resource=OWN), FINDING),
        (publish(**when("ArnLike", "aws:SourceArn", f"{ALARMS}:other-*")), FINDING),
        (publish(**when("StringEquals", "aws:SourceAccount", OTHER_ACCOUNT)), FINDING),
        # Only some of the alarms.
        (publish(**when("ArnLike", "aws:SourceArn", f"{ALARMS}:*-TrailSilentAlarm")), FINDING),
        (publish(**when("StringEquals", "aws:SourceOrgID", "o-abcdefghij")), UNCHECKED),
    ],
)
def test_a_topics_policy_must_allow_cloudwatch_to_publish(
    policy: Any, status: str, access: Access, tmp_path: Path
) -> None:
    with attribute(access, "Policy", policy):
        result = topics(access)
        assert result.status == status
        if status == FINDING:
            (finding,) = result.findings
            assert finding.problem.startswith(f"the policy of topic {TOPIC_ARN} denies alarms: ")
            assert "sns:Publish by DataFreshnessAlarm" in finding.problem
            is_partial = "TrailSilentAlarm" in json.dumps(policy)
            assert ("by TrailSilentAlarm" in finding.problem) is not is_partial
            # The policy keeps its statements.
            paste(finding, tmp_path)
            after = access.client("sns").get_topic_attributes(TopicArn=TOPIC_ARN)
            statements = json.loads(after["Attributes"]["Policy"])["Statement"]
            assert statements[0] == policy["Statement"][0]
            assert topics(access).status == OK


def test_a_deny_is_named(access: Access) -> None:
    policy = publish()
    policy["Statement"].append(publish(Sid="Never", Effect="Deny", Principal="*")["Statement"][0])
    with attribute(access, "Policy", policy):
        finding = only_finding(access)
    get, remove, put = finding.remedy
    assert " get-topic-attributes " in get
    assert remove.startswith("# in policy.json, remove or narrow the Deny: Never of ")
    assert put.endswith(" --attribute-value file://policy.json")


# Keys --------------------------------------------------------------------------------------------


def key(access: Access, *statements: Any) -> str:
    """Create a key with these statements beside its administrator's, and return its ARN."""
    kms = access.client("kms")
    arn: str = kms.create_key()["KeyMetadata"]["Arn"]
    owner = {"Sid": "Owner", "Effect": "Allow", "Principal": {"AWS": ACCOUNT}}
    first = owner | {"Action": "kms:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [first, *statements]})
    kms.put_key_policy(KeyId=arn, PolicyName="default", Policy=policy)
    return arn


def key_statement(*actions: str, **keys: Any) -> dict[str, Any]:
    (found,) = publish(Action=list(actions), Resource="*", **keys)["Statement"]
    return found


def test_a_topics_key_must_allow_cloudwatch_to_encrypt(access: Access) -> None:
    both = key_statement("kms:Decrypt", "kms:GenerateDataKey*")
    for allowed in (both, both | when("StringEquals", "aws:SourceAccount", ACCOUNT)):
        with attribute(access, "KmsMasterKeyId", key(access, allowed)):
            assert topics(access).status == OK
    for refused in (
        key_statement("kms:Decrypt"),
        both | when("StringEquals", "aws:SourceAccount", OTHER_ACCOUNT),
    ):
        arn = key(access, refused)
        with attribute(access, "KmsMasterKeyId", arn):
            finding = only_finding(access)
        assert finding.problem.startswith(f"the policy of key {arn} denies alarms to topic ")
        assert "kms:GenerateDataKey by TrailSilentAlarm" in finding.problem
        text, get, merge, put = finding.remedy
        printed = json.loads(shlex.split(text)[2])
        assert printed["Statement"][0]["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
        assert f" get-key-policy --key-id {arn} " in get
        assert f" put-key-policy --key-id {arn} " in put
        assert "statements.json" in merge


@pytest.mark.parametrize("form", ["alias/alarms", "{id}", "{arn}", "{prefix}alias/alarms"])
def test_a_key_is_found_in_every_form(form: str, access: Access) -> None:
    arn = key(access)
    prefix, id_ = arn.split("key/")
    kms = access.client("kms")
    kms.create_alias(AliasName="alias/alarms", TargetKeyId=arn)
    try:
        with attribute(access, "KmsMasterKeyId", form.format(id=id_, arn=arn, prefix=prefix)):
            assert f"key {arn} denies" in only_finding(access).problem
    finally:
        kms.delete_alias(AliasName="alias/alarms")


def test_the_aws_managed_key_of_sns_is_a_finding(access: Access, tmp_path: Path) -> None:
    with attribute(access, "KmsMasterKeyId", "alias/aws/sns"):
        finding = only_finding(access)
        assert "is encrypted with the AWS managed key alias/aws/sns" in finding.problem
        paste(finding, tmp_path)
        assert topics(access).status == OK


def test_an_aws_managed_key_by_another_name_is_a_finding(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = key(access)
    described = access.client("kms").describe_key(KeyId=arn)["KeyMetadata"]

    def describe(**arguments: Any) -> Any:
        manager = "AWS" if arguments["KeyId"] == arn else "CUSTOMER"
        return {"KeyMetadata": described | {"Arn": arguments["KeyId"], "KeyManager": manager}}

    monkeypatch.setattr(access.client("kms"), "describe_key", describe)
    with attribute(access, "KmsMasterKeyId", arn):
        finding = only_finding(access)
    assert f"is encrypted with the AWS managed key {arn}" in finding.problem


def test_another_accounts_key_could_not_be_checked(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = key(access)
    described = access.client("kms").describe_key(KeyId=arn)["KeyMetadata"]
    theirs = described | {"Arn": arn.replace(ACCOUNT, OTHER_ACCOUNT)}
    monkeypatch.setattr(access.client("kms"), "describe_key", lambda **_: {"KeyMetadata": theirs})
    with attribute(access, "KmsMasterKeyId", arn):
        result = topics(access)
    assert (result.status, result.findings) == (UNCHECKED, [])
    assert f"which only account {OTHER_ACCOUNT} can read" in result.unchecked[-1]


def test_a_key_that_is_not_enabled_is_a_finding(access: Access) -> None:
    arn = key(access, key_statement("kms:*"))
    access.client("kms").disable_key(KeyId=arn.rsplit("/")[-1])
    with attribute(access, "KmsMasterKeyId", arn):
        finding = only_finding(access)
    assert finding.problem == f"key {arn} is Disabled"
    assert finding.remedy[0].endswith(f" kms enable-key --key-id {arn.rsplit('/')[-1]}")


# Subscriptions -----------------------------------------------------------------------------------


class ChangedSubscriptions(Access):
    """Clients of SNS that return a changed list of subscriptions."""

    def __init__(self, access: Access, change: Callable[[Any], Any]) -> None:
        self.__dict__.update(access=access, change=change)

    def client(self, service: Any, **config: Any) -> Any:
        client = self.__dict__["access"].client(service, **config)
        return _Sns(client, self.__dict__["change"]) if service == "sns" else client


class _Sns:
    def __init__(self, client: Any, change: Callable[[Any], Any]) -> None:
        self._client, self._change = client, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_paginator(self, name: str) -> Any:
        pages = self._client.get_paginator(name)
        found = lambda **arguments: [  # noqa: E731
            {"Subscriptions": [c for s in page["Subscriptions"] if (c := self._change(s))]}
            for page in pages.paginate(**arguments)
        ]
        return type("Pages", (), {"paginate": staticmethod(found)})()


def pending(subscription: Any) -> Any:
    # moto confirms subscriptions at once.
    return subscription | {"SubscriptionArn": "PendingConfirmation"}


@pytest.mark.parametrize(
    ("change", "waiting"),
    [(pending, "; one is pending confirmation"), (lambda _: None, "")],
    ids=["pending", "none"],
)
def test_a_topic_without_a_confirmed_subscription_is_a_finding(
    change: Any, waiting: str, access: Access
) -> None:
    result = topics(ChangedSubscriptions(access, change))
    own, given = result.findings
    assert own.problem == (
        f"topic {OWN} has no confirmed subscription of AlarmEmail, so nobody is notified{waiting}"
    )
    assert own.remedy[1].endswith(f" --notification-endpoint {ADDRESS}")
    assert given.problem.startswith(f"topic {TOPIC_ARN} has no confirmed subscription, ")
    assert given.remedy[1].endswith(" --notification-endpoint ADDRESS")


def test_a_subscription_of_another_address_is_not_enough(access: Access) -> None:
    def others(subscription: Any) -> Any:
        return subscription | {"Endpoint": "other@example.com"}

    (finding,) = topics(ChangedSubscriptions(access, others)).findings
    assert finding.problem.startswith(f"topic {OWN} has no confirmed subscription of AlarmEmail")


# What cannot be checked --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ("get_topic_attributes", f"topic {OWN}: GetTopicAttributes: AccessDenied"),
        ("describe_key", f"of topic {OWN}: DescribeKey: AccessDenied"),
        ("get_key_policy", "GetKeyPolicy: AccessDenied"),
        ("list_subscriptions_by_topic", f"the subscriptions of topic {OWN}: ListSubscriptions"),
    ],
)
def test_a_denied_call_is_not_reported_as_ok(operation: str, words: str, access: Access) -> None:
    result = topics(Refusing(access, operation))
    assert (result.status, result.findings) == (UNCHECKED, [])
    assert words in result.unchecked[0]


def test_another_accounts_topic_could_not_be_checked(access: Access) -> None:
    subject = Subject(access, STACK, 24, time.time())
    subject.parameters["AlarmTopicArn"] = TOPIC_ARN.replace(ACCOUNT, OTHER_ACCOUNT)
    result = result_of("alarm topics", subject)
    assert (result.status, result.findings) == (UNCHECKED, [])
    assert f"which only account {OTHER_ACCOUNT} can read" in result.unchecked[0]


def test_a_missing_topic_is_a_finding(access: Access) -> None:
    subject = Subject(access, STACK, 24, time.time())
    subject.parameters["AlarmTopicArn"] = f"{TOPIC_ARN}-2"
    (finding,) = result_of("alarm topics", subject).findings
    assert finding.problem == f"topic {TOPIC_ARN}-2 does not exist: the alarms notify nobody"
    assert finding.remedy[0].endswith(" sns create-topic --name alarms-2")
