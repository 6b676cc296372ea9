"""What is wrong with a deployed stack, in plain words; AWS's APIs are read, nothing is changed."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from console_login.operate import checks, trail
from console_login.operate.access import Access
from console_login.operate.checks import Checked, Finding, Result
from console_login.operate.commands import joined
from console_login.operate.configuration import check_filter, check_stream
from console_login.operate.delivery import check_alarms, check_delivery, check_errors
from console_login.operate.subject import Subject
from console_login.stack import key_policy
from console_login.stack.permissions import as_list, is_covered, may_assume, why_denied


def examine(
    access: Access, stack_name: str, hours: int = 24, now: float | None = None
) -> list[Result]:
    """Return what each check finds; AccessError or TemplateError where there is no such stack.

    hours: how far back events and objects are compared.
    now: in seconds since the epoch.
    """
    subject = Subject(access, stack_name, hours, time.time() if now is None else now)
    return checks.run(CHECKS, subject, subject.drift)


def check_role(subject: Subject) -> Checked:
    """Find whether the filter's role may put, and CloudWatch Logs may take the role."""
    used = {each["roleArn"].rsplit("/", 1)[-1] for each in subject.our_filters if "roleArn" in each}
    for name in sorted(used or {subject.resources["SubscriptionRole"]}):
        trust = subject.call("iam", "get_role", RoleName=name)["Role"]["AssumeRolePolicyDocument"]
        if not may_assume(trust, "logs.amazonaws.com"):
            wanted = subject.expected.resources["SubscriptionRole"].properties
            document = json.dumps(wanted["AssumeRolePolicyDocument"])
            trusted = ("iam", "update-assume-role-policy", "--role-name", name)
            yield Finding(
                f"role {name} does not trust CloudWatch Logs",
                [subject.aws(*trusted, "--policy-document", document)],
            )
        (policy,) = subject.expected.resources["SubscriptionRole"].properties["Policies"]
        yield from _of_permissions(subject, name, policy)


def check_function_role(subject: Subject) -> Checked:
    """Find whether the function's role may put back."""
    policies = subject.expected.resources["TransformRole"].properties["Policies"]
    (policy,) = (each for each in policies if each["PolicyName"] == "PutBackIntoStream")
    yield from _of_permissions(subject, subject.resources["TransformRole"], policy)


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
            [
                subject.aws(
                    *("iam", "put-role-policy", "--role-name", role_name),
                    *("--policy-name", policy["PolicyName"], "--policy-document", document),
                )
            ],
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


def check_key(subject: Subject) -> Checked:
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
    if lacking:
        options = ["--stack", subject.stack.name, "--region", subject.region]
        options += ["--account", subject.account_id]
        if subject.stream_name != subject.document["Parameters"]["Name"]["Default"]:
            options += ["--parameter", f"Name={subject.stream_name}"]
        yield Finding(
            f"the policy of key {key_id} lacks {', '.join(lacking)}",
            ["# add what this prints to it", joined(["console-login", "key-policy", *options])],
        )


def check_trail(subject: Subject) -> Checked:
    """Find whether a trail of all Regions sends its sign-ins to the log group."""
    return trail.check(
        subject, subject.log_group_arn, subject.stack.parameters["EventNames"], subject.now
    )


CHECKS: dict[str, Callable[[Subject], Checked]] = {
    "subscription filter": check_filter,
    "role of the filter": check_role,
    "role of the function": check_function_role,
    "key policy": check_key,
    "stream": check_stream,
    "error objects": check_errors,
    "trail": check_trail,
    "delivery": check_delivery,
    "alarms": check_alarms,
}
