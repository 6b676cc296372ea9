"""Check the deployed roles' permissions and trust policies, by the requests that must succeed.

The organization's policies (service and resource control policies) are not read.
"""

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping

from console_login import shown
from console_login.operate.access import AccessError
from console_login.operate.checks import Checked, Finding, Unchecked
from console_login.operate.permissions import (
    Place,
    as_member,
    bucket_policy,
    changes,
    denials,
    denied_and_unknown,
    deployed_stack,
    find_organization,
    in_words,
    intended,
    key_policy,
    open_to,
    place_of_bucket,
    place_of_key,
    unchecked,
)
from console_login.operate.subject import Reader, Subject
from console_login.stack import requests, template
from console_login.stack.policies import (
    BOUNDARY,
    RESOURCE,
    Answer,
    Decision,
    Document,
    Request,
    evaluate,
)
from console_login.stack.requests import Need


def check_filter_role(subject: Subject) -> Checked:
    """Check that CloudWatch Logs may assume the filter's role, and send records with it."""
    used = {each["roleArn"].rsplit("/", 1)[-1] for each in subject.our_filters if "roleArn" in each}
    for name in sorted(used or {subject.resources["SubscriptionRole"]}):
        yield from _check_stack_role(subject, "SubscriptionRole", name)


def check_stream_role(subject: Subject) -> Checked:
    """Check that Firehose may invoke the function, write objects and log delivery errors."""
    yield from _check_stack_role(subject, "DeliveryRole", subject.resources["DeliveryRole"])


def check_function_role(subject: Subject) -> Checked:
    """Check that the function may write its log and put records back into the stream."""
    yield from _check_stack_role(subject, "TransformRole", subject.resources["TransformRole"])


def _check_stack_role(subject: Subject, logical_id: str, name: str) -> Checked:
    stack = deployed_stack(subject, {logical_id: name})
    bucket: tuple[Place, Document | None]
    bucket = place_of_bucket(subject.aws, subject.bucket), open_to(subject.account_id)
    if owner := stack.parameters["ExistingBucketOwner"]:
        if logical_id == "DeliveryRole":
            yield Unchecked(
                f"the policy of bucket {subject.bucket}, which only account {owner} can read"
            )
    else:
        bucket = bucket_policy(subject, subject.bucket)
    policies = {"kms": _key_policy(subject, stack), "s3": bucket}
    forbidden = requests.of_attacker(stack)
    yield from check_role(
        subject, stack, requests.of_pipeline(stack), logical_id, policies, forbidden
    )


def _key_policy(subject: Subject, stack: template.Stack) -> tuple[Place, Document]:
    """Return the policy of the key, or a substitute if it cannot be read."""
    arn = stack.outputs["KeyArn"]
    if arn.split(":")[4] == stack.account_id:
        # The check of the key reports that its policy cannot be read.
        with contextlib.suppress(AccessError):
            return key_policy(subject, arn)
    return place_of_key(subject.aws, arn), open_to(stack.account_id)


def check_role(
    reader: Reader,
    stack: template.Stack,
    needs: list[Need],
    logical_id: str,
    policies: Mapping[str, tuple[Place, Document | None]],
    forbidden: Collection[Need] = (),
) -> Checked:
    """Check that a role can be assumed, may send the requests it needs, and no forbidden ones.

    policies: the resource-based policies, by service.
    forbidden: requests that are of use only to an attacker.
    """
    name = stack.resources[logical_id].physical_id
    role = reader.call("iam", "get_role", RoleName=name)["Role"]
    trust = role["AssumeRolePolicyDocument"]
    identity = dict(_identity(reader, name))
    boundary_arn = role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
    boundary = _managed(reader, boundary_arn) if boundary_arn else None
    documents = {service: document for service, (_, document) in policies.items()}
    organization = find_organization(reader, [identity, boundary, documents])
    wanted = intended(stack, logical_id)
    assuming, doing = [], []
    for need in needs:
        if need.role != logical_id:
            continue
        request = as_member(need.request, organization)
        service = _service(need)
        if service == "sts":
            assuming.append((need, evaluate(request, {}, trust)))
            continue
        policy = documents.get(service)
        # If the key denies a role with the template's policies, the check of the key reports it.
        if service == "kms" and evaluate(request, wanted, policy).decision != Decision.ALLOWED:
            continue
        doing.append((need, evaluate(request, identity, policy, boundary)))
    yield f"role {name}: {len(doing)} requests, and its trust policy"

    denied, unknown = denied_and_unknown(assuming)
    if denied:
        document = stack.resources[logical_id].properties["AssumeRolePolicyDocument"]
        words = ("iam", "update-assume-role-policy", "--role-name", name, "--policy-document")
        yield Finding(
            f"role {name} cannot be assumed: {in_words(denied)}",
            [reader.aws(*words, json.dumps(document))],
        )
    yield from unchecked(f"the trust policy of role {name}", unknown)
    denied, unknown = denied_and_unknown(doing)
    if denied:
        rejected = [(need, answer) for need, answer in doing if need.label in denied]
        places = {service: place for service, (place, _) in policies.items()}
        yield Finding(
            f"role {name} is denied required requests: {in_words(denied)}",
            list(_repairs(reader, name, wanted, boundary, rejected, places)),
        )
    yield from unchecked(f"the permissions of role {name}", unknown)

    answers = [
        (need, evaluate(need.request, identity, documents.get(_service(need)), boundary))
        for need in forbidden
        if need.role == logical_id
    ]
    allowed = [need.request for need, answer in answers if answer.decision == Decision.ALLOWED]
    if allowed:
        actions = ", ".join(sorted({request.action for request in allowed}))
        yield Finding(
            f"role {name} has permissions that it does not need: {actions}",
            list(_restrictions(reader, name, wanted, identity, allowed))
            or ["# the policy of the key or the bucket allows it: narrow that policy"],
        )
    _, unknown = denied_and_unknown(answers)
    yield from unchecked(f"whether role {name} has permissions that it does not need", unknown)


def _restrictions(
    reader: Reader,
    name: str,
    wanted: Mapping[str, Document],
    identity: Mapping[str, Document],
    allowed: list[Request],
) -> Iterator[str]:
    """Yield commands that remove permissions the template does not give the role."""
    role = ("--role-name", name)
    for policy, document in identity.items():
        if not any(_allows(request, {policy: document}) for request in allowed):
            continue
        if policy in wanted:
            words = ["put-role-policy", *role, "--policy-name", policy]
            words += ["--policy-document", json.dumps(wanted[policy])]
        elif policy.startswith("arn:"):
            words = ["detach-role-policy", *role, "--policy-arn", policy]
        else:
            words = ["delete-role-policy", *role, "--policy-name", policy]
        yield reader.aws("iam", *words)


def _repairs(
    reader: Reader,
    name: str,
    wanted: Mapping[str, Document],
    boundary: Document | None,
    rejected: list[tuple[Need, Answer]],
    places: Mapping[str, Place],
) -> Iterator[str]:
    """Yield commands that restore the role's missing policies, and steps for each Deny.

    wanted: the policies of the template.
    places: the commands for the resource-based policies, by service.
    """
    role = ("--role-name", name)
    lacking = [need.request for need, answer in rejected if not answer.is_explicit]
    for policy_name, document in wanted.items():
        if any(_allows(each, {policy_name: document}) for each in lacking):
            words = ("iam", "put-role-policy", *role, "--policy-name", policy_name)
            yield reader.aws(*words, "--policy-document", json.dumps(document))
    # Restoring the template's policies has no effect on a permissions boundary or a Deny.
    if boundary and (
        actions := {each.action for each in lacking if not _allows(each, {name: boundary})}
    ):
        yield f"# {BOUNDARY} of the role must allow {', '.join(sorted(actions))}, too"
    for service, place in places.items():
        found = denials([answer for need, answer in rejected if _service(need) == service])
        if RESOURCE in found:
            yield from changes(place, found[RESOURCE])
    for policy_name, names in denials([answer for _, answer in rejected]).items():
        if policy_name == RESOURCE:
            continue
        denying = ", ".join(map(shown.comment, names))
        if policy_name == BOUNDARY:
            yield f"# {denying}: remove or narrow it"
        elif policy_name.startswith("arn:"):
            yield f"# {denying}: narrow it, or detach the policy from this role"
            yield reader.aws("iam", "detach-role-policy", *role, "--policy-arn", policy_name)
        else:
            policy = (*role, "--policy-name", policy_name)
            query = ("--query", "PolicyDocument", "--output", "json")
            file = ("--policy-document", "file://policy.json")
            place = Place(
                reader.aws("iam", "get-role-policy", *policy, *query),
                reader.aws("iam", "put-role-policy", *policy, *file),
            )
            yield from changes(place, names)
            delete = reader.aws("iam", "delete-role-policy", *policy)
            yield f"# or, if the policy contains nothing else: {delete}"


def _service(need: Need) -> str:
    return need.request.action.split(":")[0]


def _allows(request: Request, identity: Mapping[str, Document]) -> bool:
    policy = open_to(request.principal_account)
    return evaluate(request, identity, policy).decision == Decision.ALLOWED


def _identity(reader: Reader, role_name: str) -> Iterator[tuple[str, Document]]:
    """Yield the names and documents of a role's policies, inline and attached."""
    role = {"RoleName": role_name}
    for name in reader.pages("iam", "list_role_policies", "PolicyNames")(**role):
        found = reader.call("iam", "get_role_policy", PolicyName=name, **role)
        yield name, found["PolicyDocument"]
    attached = reader.pages("iam", "list_attached_role_policies", "AttachedPolicies")
    for policy in attached(**role):
        yield policy["PolicyArn"], _managed(reader, policy["PolicyArn"])


def _managed(reader: Reader, arn: str) -> Document:
    version = reader.call("iam", "get_policy", PolicyArn=arn)["Policy"]["DefaultVersionId"]
    found = reader.call("iam", "get_policy_version", PolicyArn=arn, VersionId=version)
    document: Document = found["PolicyVersion"]["Document"]
    return document
