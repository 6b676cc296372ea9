"""Policies as owners write them, with the results of a simulator that this project did not write.

decisions.json: from @cloud-copilot/iam-simulate, which `make judge` runs. In a list `statements`, a
name stands for the statement of that name; in `refused`, a number for the request at that index.
"""

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scenario import PHYSICAL_IDS
from stacks import DOCUMENT, KEY_ARN, TRAIL

from console_login.stack import template
from console_login.stack.policies import Decision, Request, evaluate

DATA = json.loads(Path(__file__).with_name("decisions.json").read_text(encoding="utf-8"))
ACCOUNT = "111122223333"
STREAM = (
    f"arn:aws:firehose:ap-northeast-1:{ACCOUNT}:deliverystream/"
    "console-login-firehose-DeliveryStream"
)
ROLE = f"arn:aws:iam::{ACCOUNT}:role/x"


@functools.cache
def role_policies() -> dict[str, dict[str, Any]]:
    """Return the roles' own policies, by logical id, for an existing key."""
    ids = PHYSICAL_IDS | {"EncryptionKey": KEY_ARN.rsplit("/", 1)[-1]}
    stacks = (
        template.resolve(DOCUMENT, {"ExistingKeyArn": KEY_ARN}, physical_ids=ids),
        template.resolve(TRAIL, {"TrailName": "console-login-firehose"}, physical_ids=ids),
    )
    return {
        logical_id: {p["PolicyName"]: p["PolicyDocument"] for p in role.properties["Policies"]}
        for stack in stacks
        for logical_id, role in stack.of_type("AWS::IAM::Role").items()
    }


def document(statements: list[Any]) -> dict[str, Any]:
    named = DATA["statements"]
    return {
        "Version": "2012-10-17",
        "Statement": [named[each] if isinstance(each, str) else each for each in statements],
    }


# A label, a request, the policies of its principal, the policy of the resource, and whether the
# simulator allows the request.
Case = tuple[str, Request, dict[str, Any], dict[str, Any] | None, bool]


def of_key(case: dict[str, Any]) -> Iterator[Case]:
    policy = document(case["statements"])
    for number, found in enumerate(DATA["keyRequests"]):
        who, context = found["who"], found["context"]
        identity = role_policies().get(who, {})
        if identity:
            who = f"arn:aws:iam::{ACCOUNT}:role/{PHYSICAL_IDS[who]}"
            context = context | {"aws:PrincipalOrgID": "o-abcdefghij"}
        request = Request(who, found["action"], KEY_ARN, ACCOUNT, context)
        yield found["label"], request, identity, policy, number not in case["refused"]


def of_role(case: dict[str, Any]) -> Case:
    request = Request(ROLE, "firehose:PutRecordBatch", STREAM, ACCOUNT, DATA["roleContext"])
    return case["name"], request, {"p": document(case["statements"])}, None, case["allowed"]


def of_trust(case: dict[str, Any]) -> Case:
    request = Request("logs.amazonaws.com", "sts:AssumeRole", ROLE, ACCOUNT, DATA["trustContext"])
    return case["name"], request, {}, document(case["statements"]), case["allowed"]


def every_request() -> Iterator[Case]:
    """Yield the requests of all cases."""
    for case in DATA["keys"]:
        for label, *rest in of_key(case):
            yield f"{case['name']}: {label}", *rest
    yield from map(of_role, DATA["roles"])
    yield from map(of_trust, DATA["trusts"])


def agrees(case: Case) -> bool:
    """Whether the evaluator does not contradict the simulator; UNKNOWN contradicts nothing."""
    _, request, identity, policy, is_allowed = case
    decision = evaluate(request, identity, policy).decision
    return decision != (Decision.DENIED if is_allowed else Decision.ALLOWED)


def cases(part: str) -> Any:
    return pytest.mark.parametrize("case", DATA[part], ids=lambda case: case["name"])


@cases("keys")
def test_a_keys_policy_refuses_what_the_simulator_refuses(case: dict[str, Any]) -> None:
    assert [each[0] for each in of_key(case) if not agrees(each)] == []


@cases("roles")
def test_a_roles_policy_allows_what_the_simulator_allows(case: dict[str, Any]) -> None:
    assert agrees(of_role(case))


@cases("trusts")
def test_a_trust_policy_allows_what_the_simulator_allows(case: dict[str, Any]) -> None:
    assert agrees(of_trust(case))


def test_only_cases_that_depend_on_the_service_are_unknown() -> None:
    unknown = {
        label.split(":")[0]
        for label, request, identity, policy, _ in every_request()
        if evaluate(request, identity, policy).decision == Decision.UNKNOWN
    }
    # Whether CloudWatch Logs passes aws:SourceAccount to KMS is not documented; addresses are not
    # evaluated.
    assert unknown == {"logs, and SourceAccount", "Deny by address"}
