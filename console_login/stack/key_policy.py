"""The permissions that an existing key's policy must grant before a stack uses the key."""

from collections.abc import Mapping
from typing import Any

from console_login.stack import template
from console_login.stack.template import TemplateError

# CloudFormation names a role STACK-LogicalId-RANDOM. If the name exceeds IAM's 64 characters,
# CloudFormation truncates the stack's name, but always keeps at least _STACK_NAME_KEPT characters.
_MAX_ROLE_NAME = 64
_RANDOM_CHARACTERS = 13
_STACK_NAME_KEPT = 20


def key_policy(
    document: Mapping[str, Any],
    parameters: Mapping[str, str],
    *,
    stack_name: str,
    region: str,
    account_id: str,
) -> dict[str, Any]:
    """Return a policy with the statements that the stack needs in the policy of its key.

    The first statements are for AWS services, as in the key that the template creates. The others,
    one for each service through which the stack's roles use the key, are needed if the key's policy
    does not delegate to IAM, or if the key is in another account. Raises TemplateError.
    """
    place: dict[str, Any] = {"stack_name": stack_name, "region": region, "account_id": account_id}
    given = template.resolve(document, parameters, **place)
    key_arn = str(given.parameters["ExistingKeyArn"])
    if key_arn and key_arn.split(":")[3] != region:
        raise TemplateError(
            f"{key_arn} is not in {region}: key and stack must be in the same Region"
        )
    # Resolve as if the stack created the key, because the statements exist only in that case.
    own = template.resolve(document, {**parameters, "ExistingKeyArn": ""}, **place)
    key = own.only("AWS::KMS::Key")
    statements = key.properties["KeyPolicy"]["Statement"]
    to_services = [each for each in statements if "Service" in each["Principal"]]
    return {"Version": "2012-10-17", "Statement": [*to_services, *_to_roles(own, statements)]}


def _to_roles(stack: template.Stack, key_statements: list[Any]) -> list[dict[str, Any]]:
    # The roles do not exist yet, so they cannot be principals. The account is the principal, and a
    # condition limits it to the names of the roles.
    (account,) = (each["Principal"] for each in key_statements if "AWS" in each["Principal"])
    arn = account["AWS"].removesuffix("root")
    actions: dict[str, set[str]] = {}
    roles: dict[str, set[str]] = {}
    for logical_id, role in stack.of_type("AWS::IAM::Role").items():
        for policy in role.properties["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                equals = statement.get("Condition", {}).get("StringEquals", {})
                if service := equals.get("kms:ViaService"):
                    actions.setdefault(service, set()).update(statement["Action"])
                    name = _role_name_pattern(stack.name, logical_id)
                    roles.setdefault(service, set()).add(f"{arn}role/{name}")
    return [
        {
            "Sid": f"RolesThrough{service.split('.')[0].capitalize()}",
            "Effect": "Allow",
            "Principal": account,
            "Action": sorted(allowed),
            "Resource": "*",
            "Condition": {
                "StringEquals": {"kms:ViaService": service},
                "ArnLike": {"aws:PrincipalArn": sorted(roles[service])},
            },
        }
        for service, allowed in sorted(actions.items())
    ]


def _role_name_pattern(stack_name: str, logical_id: str) -> str:
    name = f"{stack_name}-{logical_id}-"
    if len(name) + _RANDOM_CHARACTERS <= _MAX_ROLE_NAME:
        return f"{name}*"
    return f"{stack_name[:_STACK_NAME_KEPT]}*"


def future_names(document: Mapping[str, Any], stack_name: str) -> dict[str, str]:
    """Return examples of the names that CloudFormation will give a stack's roles, by logical id."""
    random = "X" * _RANDOM_CHARACTERS
    return {
        each: f"{stack_name[: _MAX_ROLE_NAME - len(f'-{each}-{random}')]}-{each}-{random}"
        for each, resource in document["Resources"].items()
        if resource["Type"] == "AWS::IAM::Role"
    }
