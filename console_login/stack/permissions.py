"""Policy documents read as IAM and KMS do, as far as the policies of this stack go.

Not evaluated: conditions of a role's policies, permissions boundaries, the organization's policies.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

Statement = Mapping[str, Any]


def why_denied(statements: Iterable[Statement], action: str, resource: str) -> str | None:
    """Return why a role with these statements may not do something, None if it may."""
    reason = "no statement allows it"
    is_allowed = False
    for statement in statements:
        if not _applies(statement, action, resource):
            continue
        if statement["Effect"] == "Deny":
            # One with a condition may be about others: regions, plain HTTP.
            if "Condition" not in statement:
                return "a Deny"
        elif "Condition" in statement:
            reason = "allowed only under a condition, which is not evaluated here"
        else:
            is_allowed = True
    return None if is_allowed else reason


def _applies(statement: Statement, action: str, resource: str) -> bool:
    if "NotAction" in statement:
        is_action = not _matches_any(statement["NotAction"], action, ignore_case=True)
    else:
        is_action = _matches_any(statement.get("Action", ()), action, ignore_case=True)
    if "NotResource" in statement:
        return is_action and not _matches_any(statement["NotResource"], resource)
    return is_action and _matches_any(statement.get("Resource", ()), resource)


def may_assume(trust: Mapping[str, Any], service: str) -> bool:
    """Whether a role's trust policy names a service; its conditions are not evaluated."""
    return any(
        statement["Effect"] == "Allow"
        and _matches_any(statement.get("Action", ()), "sts:AssumeRole", ignore_case=True)
        and service in as_list(_principals(statement).get("Service", ()))
        for statement in as_list(trust["Statement"])
    )


def is_covered(wanted: Statement, key_policy: Mapping[str, Any], key_arn: str) -> bool:
    """Whether a key's policy allows everything that a statement allows, in whatever words.

    One statement must do for each action. A Deny is not looked at.
    """
    allowing = [
        each
        for each in as_list(key_policy["Statement"])
        if each["Effect"] == "Allow"
        and any(resource in ("*", key_arn) for resource in as_list(each.get("Resource", ())))
        and _has_principals(each, wanted)
        and _is_no_narrower(each.get("Condition", {}), wanted.get("Condition", {}))
    ]
    return all(
        any(_matches_any(each.get("Action", ()), action, ignore_case=True) for each in allowing)
        for action in as_list(wanted["Action"])
    )


def _has_principals(statement: Statement, wanted: Statement) -> bool:
    if statement.get("Principal") == "*":
        return True
    has = _principals(statement)
    return all(
        {_account(each) for each in as_list(principals)}
        <= {_account(each) for each in as_list(has.get(kind, ()))}
        for kind, principals in _principals(wanted).items()
    )


def _principals(statement: Statement) -> dict[str, Any]:
    principal = statement.get("Principal")
    return principal if isinstance(principal, dict) else {}


def _account(principal: str) -> str:
    """Return the account's id for an account's root, which means the same as a principal."""
    root = re.fullmatch(r"arn:[^:]+:iam::([0-9]{12}):root", principal)
    return root[1] if root else principal


def _is_no_narrower(has: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether one condition is fulfilled wherever another is."""
    for operator, keys in has.items():
        for key, values in keys.items():
            asked = as_list(wanted.get(operator, {}).get(key, ()))
            if not asked or not operator.startswith(("String", "Arn")) or "Not" in operator:
                return False
            if "Like" in operator:
                if not all(_matches_any(values, each) for each in asked):
                    return False
            elif not set(asked) <= set(as_list(values)):
                return False
    return True


def as_list(value: Any) -> list[Any]:
    """Return what policies write as one thing or as a list of them, as a list."""
    return [value] if isinstance(value, str | dict) else list(value)


def _matches_any(patterns: Any, text: str, *, ignore_case: bool = False) -> bool:
    flags = re.IGNORECASE if ignore_case else 0
    return any(re.fullmatch(_expression(each), text, flags) for each in as_list(patterns))


def _expression(pattern: str) -> str:
    return re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
