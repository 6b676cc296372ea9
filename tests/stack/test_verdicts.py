"""Policies as owners write them, with the verdicts of a simulator that this project did not write.

verdicts.json: from @cloud-copilot/iam-simulate (`make judge` runs it); a name among `statements`
stands for the statement of that name, a number in `refused` for the request at that place.
"""

import functools
import json
from pathlib import Path
from typing import Any

import pytest
from asked import PHYSICAL_IDS
from stacks import DOCUMENT, KEY_ARN, TRAIL

from console_login.stack import template
from console_login.stack.policies import Request, Verdict, evaluate

DATA = json.loads(Path(__file__).with_name("verdicts.json").read_text(encoding="utf-8"))
ACCOUNT = "111122223333"
STREAM = (
    f"arn:aws:firehose:ap-northeast-1:{ACCOUNT}:deliverystream/"
    "console-login-firehose-DeliveryStream"
)
SAME = {Verdict.ALLOWED: True, Verdict.DENIED: False}


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


def verdicts_of_key(case: dict[str, Any]) -> list[tuple[str, bool, Verdict]]:
    identities = role_policies()
    found = []
    for number, asked in enumerate(DATA["keyRequests"]):
        who, context = asked["who"], asked["context"]
        identity = identities.get(who, {})
        if identity:
            who = f"arn:aws:iam::{ACCOUNT}:role/{PHYSICAL_IDS[who]}"
            context = context | {"aws:PrincipalOrgID": "o-abcdefghij"}
        request = Request(who, asked["action"], KEY_ARN, ACCOUNT, context)
        answer = evaluate(request, identity, document(case["statements"]))
        found.append((asked["label"], number not in case["refused"], answer.verdict))
    return found


def cases(part: str) -> Any:
    return pytest.mark.parametrize("case", DATA[part], ids=lambda case: case["name"])


@cases("keys")
def test_a_keys_policy_refuses_what_the_simulator_refuses(case: dict[str, Any]) -> None:
    for label, expected, verdict in verdicts_of_key(case):
        assert SAME.get(verdict, expected) is expected, label


def verdict_of_role(case: dict[str, Any]) -> Verdict:
    who = f"arn:aws:iam::{ACCOUNT}:role/x"
    request = Request(who, "firehose:PutRecordBatch", STREAM, ACCOUNT, DATA["roleContext"])
    return evaluate(request, {"p": document(case["statements"])}).verdict


@cases("roles")
def test_a_roles_policy_allows_what_the_simulator_allows(case: dict[str, Any]) -> None:
    assert SAME.get(verdict_of_role(case), case["allowed"]) is case["allowed"]


def verdict_of_trust(case: dict[str, Any]) -> Verdict:
    role = f"arn:aws:iam::{ACCOUNT}:role/x"
    request = Request("logs.amazonaws.com", "sts:AssumeRole", role, ACCOUNT, DATA["trustContext"])
    return evaluate(request, {}, document(case["statements"])).verdict


@cases("trusts")
def test_a_trust_policy_allows_what_the_simulator_allows(case: dict[str, Any]) -> None:
    assert SAME.get(verdict_of_trust(case), case["allowed"]) is case["allowed"]


def test_few_are_called_unchecked() -> None:
    """Those that no evaluation without the service itself can answer."""
    of_keys = [
        case["name"]
        for case in DATA["keys"]
        if Verdict.UNKNOWN in [verdict for *_, verdict in verdicts_of_key(case)]
    ]
    # Whether CloudWatch Logs passes aws:SourceAccount to KMS is not documented.
    assert of_keys == ["logs, and SourceAccount"]
    of_roles = [case["name"] for case in DATA["roles"] if verdict_of_role(case) == Verdict.UNKNOWN]
    # Operators of addresses.
    assert of_roles == ["Deny by address"]
    assert Verdict.UNKNOWN not in [verdict_of_trust(case) for case in DATA["trusts"]]
