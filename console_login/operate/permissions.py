"""Checks of what the deployed roles and the key's policy allow, by the requests that must pass.

Not read: the organization's policies (service and resource control policies), grants of the key.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from console_login.operate import commands
from console_login.operate.access import AccessError
from console_login.operate.checks import Checked, Finding, Unchecked, code
from console_login.operate.subject import Reader, Subject
from console_login.stack import requests, template
from console_login.stack.policies import Answer, Document, Request, Verdict, evaluate
from console_login.stack.requests import Need

# The key's policy has one statement or a list of them; a Sid that it has already is left out.
_MERGE = (
    'import json; old = json.load(open("policy.json")); new = json.load(open("statements.json"));'
    ' has = old["Statement"]; has = has if isinstance(has, list) else [has];'
    ' ids = {each.get("Sid") for each in has};'
    ' [each.pop("Sid") for each in new["Statement"] if each["Sid"] in ids];'
    ' json.dump(old | {"Statement": has + new["Statement"]}, open("policy.json", "w"), indent=2)'
)


# By a key's state, what makes it enabled.
_ENABLE = {
    "Disabled": ("enable-key",),
    "PendingDeletion": ("cancel-key-deletion", "enable-key"),
}


def check_filter_role(subject: Subject) -> Checked:
    """Find whether CloudWatch Logs may assume the filter's role, and put with it."""
    used = {each["roleArn"].rsplit("/", 1)[-1] for each in subject.our_filters if "roleArn" in each}
    for name in sorted(used or {subject.resources["SubscriptionRole"]}):
        yield from _of_role(subject, "SubscriptionRole", name)


def check_stream_role(subject: Subject) -> Checked:
    """Find whether Firehose may invoke the function, write objects and log what it cannot write."""
    yield from _of_role(subject, "DeliveryRole", subject.resources["DeliveryRole"])


def check_function_role(subject: Subject) -> Checked:
    """Find whether the function may log and put back."""
    yield from _of_role(subject, "TransformRole", subject.resources["TransformRole"])


def check_key(subject: Subject) -> Checked:
    """Find which requests to the key its policy refuses."""
    words = ["--stack", subject.stack.name, "--region", subject.region]
    words += ["--account", subject.account_id]
    if subject.stream_name != subject.document["Parameters"]["Name"]["Default"]:
        words += ["--parameter", f"Name={subject.stream_name}"]
    yield from of_key(subject, _stack(subject), words)
    key = subject.call("kms", "describe_key", KeyId=subject.key_arn)["KeyMetadata"]
    yield from of_state(subject, key, subject.drift)


def of_state(reader: Reader, key: dict[str, Any], otherwise: list[str]) -> Checked:
    """Find whether a key is enabled; otherwise: what to type where no command can enable it."""
    arn, state = key["Arn"], key["KeyState"]
    if state != "Enabled":
        enable = [reader.aws("kms", each, "--key-id", arn) for each in _ENABLE.get(state, ())]
        yield Finding(f"key {arn} is {state}", enable or otherwise)
    yield f"key {arn} is {state}"


def of_key(reader: Reader, stack: template.Stack, words: list[str]) -> Checked:
    """Find which requests of a stack and its roles the policy of its key refuses.

    stack: with the names that its roles have or will have.
    words: the options of `console-login key-policy` for this stack.
    """
    arn = stack.outputs["KeyArn"]
    command = commands.joined(["console-login", "key-policy", *words])
    if (account := arn.split(":")[4]) != stack.account_id:
        yield Unchecked(
            f"the policy of key {arn}, which only account {account} can read: it must have what"
            f" this prints: {command}"
        )
        return
    policy = _key_policy(reader, arn)
    organization = _organization(reader, policy)
    answers = []
    for need in requests.of_pipeline(stack):
        if need.request.resource == arn:
            asked = _asked(need.request, organization)
            answers.append((need, evaluate(asked, _intended(stack, need.role), policy)))
    yield f"{len(answers)} requests to key {arn}"
    denied, unknown = _sorted(answers)
    if denied:
        yield Finding(
            f"the policy of key {arn} refuses what is needed: {_words(denied)}",
            [f"{command} > statements.json", *merge(reader.aws, arn)],
        )
    yield from _unchecked(f"the policy of key {arn}", unknown)


def merge(aws: Callable[..., str], key_arn: str) -> list[str]:
    """Return commands that append what is in statements.json to the policy of a key."""
    key = ("--key-id", key_arn, "--policy-name", "default")
    return [
        aws("kms", "get-key-policy", *key, "--query", "Policy", "--output", "text")
        + " > policy.json",
        commands.joined(["python3", "-c", _MERGE]),
        aws("kms", "put-key-policy", *key, "--policy", "file://policy.json"),
    ]


def _of_role(subject: Subject, logical_id: str, name: str) -> Checked:
    """Find what a role may not do, and who may not assume it."""
    stack = _stack(subject, {logical_id: name})
    role = subject.call("iam", "get_role", RoleName=name)["Role"]
    trust = role["AssumeRolePolicyDocument"]
    identity = dict(_identity(subject, name))
    boundary_arn = role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
    boundary = _managed(subject, boundary_arn) if boundary_arn else None
    key = _key(subject, stack)
    bucket: Document | None = _open_to(subject.account_id)
    if owner := stack.parameters["ExistingBucketOwner"]:
        if logical_id == "DeliveryRole":
            yield Unchecked(
                f"the policy of bucket {subject.bucket}, which only account {owner} can read"
            )
    else:
        bucket = _bucket_policy(subject)
    organization = _organization(subject, [identity, boundary, key, bucket])
    intended = _intended(stack, logical_id)
    assuming, doing = [], []
    for need in requests.of_pipeline(stack):
        if need.role != logical_id:
            continue
        request = _asked(need.request, organization)
        service = request.action.split(":")[0]
        if service == "sts":
            assuming.append((need, evaluate(request, {}, trust)))
            continue
        policy = {"kms": key, "s3": bucket}.get(service)
        # What the key refuses to the template's own policies is said of the key.
        if service == "kms" and evaluate(request, intended, key).verdict != Verdict.ALLOWED:
            continue
        doing.append((need, evaluate(request, identity, policy, boundary)))
    yield f"role {name}: {len(doing)} requests, and who may assume it"

    denied, unknown = _sorted(assuming)
    if denied:
        wanted = stack.resources[logical_id].properties["AssumeRolePolicyDocument"]
        words = ("iam", "update-assume-role-policy", "--role-name", name, "--policy-document")
        yield Finding(
            f"role {name} cannot be assumed: {_words(denied)}",
            [subject.aws(*words, json.dumps(wanted))],
        )
    yield from _unchecked(f"who may assume role {name}", unknown)
    denied, unknown = _sorted(doing)
    if denied:
        requested = [need.request for need, answer in doing if answer in denied.values()]
        yield Finding(
            f"role {name} may not do what is needed: {_words(denied)}",
            list(_repairs(subject, name, intended, requested, denied)),
        )
    yield from _unchecked(f"what role {name} may do", unknown)


def _repairs(
    subject: Subject,
    name: str,
    intended: Mapping[str, Document],
    refused: list[Request],
    denied: Mapping[str, Answer],
) -> Iterator[str]:
    """Yield what gives a role the policies of the template that it lacks."""
    role = ("--role-name", name)
    if explicit := {each.why for each in denied.values() if each.is_explicit}:
        yield f"# remove the Deny, or narrow it: {'; '.join(sorted(explicit))}"
        yield subject.aws("iam", "list-role-policies", *role)
        yield subject.aws("iam", "list-attached-role-policies", *role)
    for policy_name, policy in intended.items():
        if any(_allows(each, {policy_name: policy}) for each in refused):
            words = ("iam", "put-role-policy", *role, "--policy-name", policy_name)
            yield subject.aws(*words, "--policy-document", json.dumps(policy))


def _allows(request: Request, identity: Mapping[str, Document]) -> bool:
    policy = _open_to(request.principal_account)
    return evaluate(request, identity, policy).verdict == Verdict.ALLOWED


def _sorted(answers: list[tuple[Need, Answer]]) -> tuple[dict[str, Answer], dict[str, Answer]]:
    """Return by label what is denied, and what is not known."""
    by_label: dict[str, list[Answer]] = {}
    for need, answer in answers:
        by_label.setdefault(need.label, []).append(answer)
    denied, unknown = {}, {}
    for label, found in by_label.items():
        verdicts = {each.verdict for each in found}
        if verdicts == {Verdict.DENIED}:
            denied[label] = found[0]
        elif verdicts != {Verdict.ALLOWED}:
            # Forms of one request, and AWS does not document which it is.
            unknown[label] = next(each for each in found if each.verdict != Verdict.ALLOWED)
    return denied, unknown


def _words(answers: Mapping[str, Answer]) -> str:
    """Return requests in words, those with the same reason together."""
    by_reason: dict[str, list[str]] = {}
    for label, answer in answers.items():
        by_reason.setdefault(answer.why, []).append(label)
    return "; ".join(f"{', '.join(labels)} ({why})" for why, labels in by_reason.items())


def _unchecked(what: str, unknown: Mapping[str, Answer]) -> Iterator[Unchecked]:
    if unknown:
        yield Unchecked(f"{what}: {_words(unknown)}")


# What AWS has ------------------------------------------------------------------------------------


def _stack(subject: Subject, names: Mapping[str, str] | None = None) -> template.Stack:
    """Return the stack as the template means it, with the names that its resources have."""
    physical_ids = subject.resources | dict(names or {})
    return template.resolve(
        subject.document, subject.parameters, physical_ids=physical_ids, **subject.place
    )


def _intended(stack: template.Stack, role: str) -> dict[str, Document]:
    """Return the policies that the template gives a role, by logical id."""
    found = stack.resources[role].properties["Policies"] if role else ()
    return {each["PolicyName"]: each["PolicyDocument"] for each in found}


def _identity(subject: Subject, role_name: str) -> Iterator[tuple[str, Document]]:
    """Yield the names and documents of a role's policies, inline and attached."""
    role = {"RoleName": role_name}
    for name in subject.pages("iam", "list_role_policies", "PolicyNames")(**role):
        found = subject.call("iam", "get_role_policy", PolicyName=name, **role)
        yield name, found["PolicyDocument"]
    attached = subject.pages("iam", "list_attached_role_policies", "AttachedPolicies")
    for policy in attached(**role):
        yield policy["PolicyArn"], _managed(subject, policy["PolicyArn"])


def _managed(subject: Subject, arn: str) -> Document:
    version = subject.call("iam", "get_policy", PolicyArn=arn)["Policy"]["DefaultVersionId"]
    found = subject.call("iam", "get_policy_version", PolicyArn=arn, VersionId=version)
    document: Document = found["PolicyVersion"]["Document"]
    return document


def _key(subject: Subject, stack: template.Stack) -> Document:
    """Return the policy of the key, or what stands for one that cannot be read."""
    arn = stack.outputs["KeyArn"]
    if arn.split(":")[4] == stack.account_id:
        # That it cannot be read is said of the key.
        with contextlib.suppress(AccessError):
            return _key_policy(subject, arn)
    return _open_to(stack.account_id)


def _open_to(account_id: str) -> Document:
    """Return what stands for a policy that cannot be read: it leaves all to IAM."""
    statement = {"Effect": "Allow", "Principal": {"AWS": account_id}, "Action": "*"}
    return {"Statement": statement | {"Resource": "*"}}


def _key_policy(reader: Reader, arn: str) -> Document:
    found = reader.call("kms", "get_key_policy", KeyId=arn, PolicyName="default")
    policy: Document = json.loads(found["Policy"])
    return policy


def _bucket_policy(subject: Subject) -> Document | None:
    try:
        found = subject.call("s3", "get_bucket_policy", Bucket=subject.bucket)
    except AccessError as error:
        if code(error) != "NoSuchBucketPolicy":
            raise
        return None
    policy: Document = json.loads(found["Policy"])
    return policy


def _organization(reader: Reader, policies: Any) -> str | None:
    """Return the id of the account's organization; None if unreadable, or if no policy asks."""
    if "aws:principalorgid" not in json.dumps(policies).lower():
        return None
    # Who cannot read it is told that the condition could not be checked.
    with contextlib.suppress(AccessError):
        found = reader.call("organizations", "describe_organization")
        return str(found["Organization"]["Id"])
    return None


def _asked(request: Request, organization: str | None) -> Request:
    if organization is None or request.is_of_service:
        return request
    return replace(request, context={**request.context, "aws:PrincipalOrgID": organization})
