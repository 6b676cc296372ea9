"""What the owner of an existing key must allow before a stack with that key is deployed."""

from collections.abc import Mapping
from typing import Any

from console_login import template


def key_policy(
    document: Mapping[str, Any],
    parameters: Mapping[str, str],
    *,
    stack_name: str,
    region: str,
    account_id: str,
) -> dict[str, Any]:
    """Return a policy with the statements that the stack needs in the policy of its key.

    First those for AWS services, as the template gives them to the key that it makes itself; then
    one for each service through which the stack's roles use the key, which a key needs that leaves
    nothing to IAM, or lies in another account. Raises TemplateError for a wrong parameter.
    """
    stack = template.resolve(
        document,
        # As if the stack made the key: that is where the template has the statements.
        {**parameters, "ExistingKeyArn": ""},
        stack_name=stack_name,
        region=region,
        account_id=account_id,
    )
    (key,) = stack.of_type("AWS::KMS::Key").values()
    statements = key.properties["KeyPolicy"]["Statement"]
    to_services = [each for each in statements if "Service" in each["Principal"]]
    return {"Version": "2012-10-17", "Statement": [*to_services, *_to_roles(stack, statements)]}


def _to_roles(stack: template.Stack, key_statements: list[Any]) -> list[dict[str, Any]]:
    # The roles do not exist yet, so the account stands for them, bound to the service.
    (account,) = (each["Principal"] for each in key_statements if "AWS" in each["Principal"])
    actions: dict[str, set[str]] = {}
    for role in stack.of_type("AWS::IAM::Role").values():
        for policy in role.properties["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                service = (
                    statement.get("Condition", {}).get("StringEquals", {}).get("kms:ViaService")
                )
                if service:
                    actions.setdefault(service, set()).update(statement["Action"])
    return [
        {
            "Sid": f"RolesThrough{service.split('.')[0].capitalize()}",
            "Effect": "Allow",
            "Principal": account,
            "Action": sorted(allowed),
            "Resource": "*",
            "Condition": {"StringEquals": {"kms:ViaService": service}},
        }
        for service, allowed in sorted(actions.items())
    ]
