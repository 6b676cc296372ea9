"""Requests evaluated with the templates' policies: those that must be allowed, and others."""

from dataclasses import replace

import denied
import pytest
from scenario import Scenario, pipeline, trail
from stacks import COMBINATIONS, TRAIL_COMBINATIONS

from console_login.stack import requests
from console_login.stack.policies import Decision, Request


@pytest.mark.parametrize("name", COMBINATIONS)
@pytest.mark.parametrize("key_trusts_iam", [True, False])
def test_the_pipelines_policies_allow_the_requests_of_services(
    name: str, key_trusts_iam: bool
) -> None:
    scenario = pipeline(name, key_trusts_iam=key_trusts_iam)
    refused = {
        need.label: found
        for need in scenario.needs
        if (found := scenario.answer(need.request)).decision != Decision.ALLOWED
    }
    assert refused == {}


@pytest.mark.parametrize("name", TRAIL_COMBINATIONS)
def test_the_trails_policies_allow_the_requests_of_services(name: str) -> None:
    scenario = trail(name)
    refused = {
        need.label: found
        for need in scenario.needs
        if (found := scenario.answer(need.request)).decision != Decision.ALLOWED
    }
    assert refused == {}


@pytest.mark.parametrize("name", COMBINATIONS)
@pytest.mark.parametrize("key_trusts_iam", [True, False])
def test_the_pipelines_policies_deny_requests_that_differ_in_one_respect(
    name: str, key_trusts_iam: bool
) -> None:
    must_be_denied(pipeline(name, key_trusts_iam=key_trusts_iam))


@pytest.mark.parametrize("name", TRAIL_COMBINATIONS)
def test_the_trails_policies_deny_requests_that_differ_in_one_respect(name: str) -> None:
    must_be_denied(trail(name))


@pytest.mark.parametrize("name", COMBINATIONS)
@pytest.mark.parametrize("key_trusts_iam", [True, False])
def test_no_role_allows_the_requests_of_an_attacker(name: str, key_trusts_iam: bool) -> None:
    scenario = pipeline(name, key_trusts_iam=key_trusts_iam)
    found = requests.of_attacker(scenario.stack)
    allowed = [need.label for need in found if scenario.answer(need.request).decision != "denied"]
    assert allowed == []
    # Each role is tested with every action except those of its own task.
    actions = {action for actions in requests._ABUSES.values() for action in actions}
    lacking = {
        role: actions - {need.request.action for need in found if need.role == role}
        for role in scenario.stack.of_type("AWS::IAM::Role")
    }
    assert lacking == {
        "SubscriptionRole": {"firehose:PutRecord", "firehose:PutRecordBatch"},
        "DeliveryRole": {"lambda:InvokeFunction", "s3:GetObject", "s3:PutObject"},
        "TransformRole": {"firehose:PutRecordBatch"},
    }


def must_be_denied(scenario: Scenario) -> None:
    allowed = {}
    for label, request, extra in denied.requests(scenario):
        found = scenario.answer(request, extra)
        if found.decision != Decision.DENIED:
            allowed[label, request.who, request.action, request.resource] = found, request.context
    assert allowed == {}


# The permissions on bucket and key that the operator's commands need, from docs/operations.md.
OPERATOR = {
    "Effect": "Allow",
    "Action": [
        *("s3:ListBucket", "s3:GetObject", "s3:GetObjectTagging", "s3:PutObjectTagging"),
        *("s3:GetBucketPolicy", "kms:Decrypt"),
    ],
    "Resource": "*",
}


@pytest.mark.parametrize("name", ["nothing given", "gzip", "no folder, objects expire"])
def test_an_operator_with_the_documented_rights_is_not_refused(name: str) -> None:
    scenario = pipeline(name)
    bucket = f"arn:aws:s3:::{scenario.stack.outputs['BucketName']}"
    who = f"arn:aws:iam::{scenario.stack.account_id}:user/operator"
    for action in OPERATOR["Action"]:
        is_of_bucket = action in ("s3:ListBucket", "s3:GetBucketPolicy")
        arn = bucket if is_of_bucket else f"{bucket}/consolelogin/x"
        resource = scenario.key_arn if action == "kms:Decrypt" else arn
        request = Request(who, action, resource, scenario.stack.account_id)
        assert scenario.answer(request, {"operator": {"Statement": OPERATOR}}).decision == "allowed"
        assert scenario.answer(request).decision == "denied"
        if action.startswith("s3:"):
            plain = replace(request, context={"aws:SecureTransport": "false"})
            answer = scenario.answer(plain, {"operator": {"Statement": OPERATOR}})
            assert answer.why.startswith("denied by DenyPlainHttp")
