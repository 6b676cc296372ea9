"""Policies evaluated for requests: allowed, denied, or unknown."""

from typing import Any

import pytest

from console_login.stack.policies import Decision, Request, evaluate

ACCOUNT, OTHER = "111122223333", "444455556666"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/x"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/x/session"
STREAM = f"arn:aws:firehose:ap-northeast-1:{ACCOUNT}:deliverystream/s"
KEY = f"arn:aws:kms:ap-northeast-1:{ACCOUNT}:key/k"
LOGS = "logs.ap-northeast-1.amazonaws.com"
ALLOWED, DENIED, UNKNOWN = Decision.ALLOWED, Decision.DENIED, Decision.UNKNOWN
PUT = {"Effect": "Allow", "Action": "firehose:PutRecordBatch", "Resource": STREAM}


def decrypt(
    statements: Any, identity: Any = None, *, who: str = ROLE, account: str = ACCOUNT
) -> Decision:
    """Return the result for Decrypt with a key policy."""
    request = Request(who, "kms:Decrypt", KEY, account)
    policies = {"p": {"Statement": identity}} if identity else {}
    return evaluate(request, policies, {"Statement": statements}).decision


def of_role(*statements: Any, boundary: Any = None, **context: Any) -> Decision:
    """Return the result for PutRecordBatch with a role's policy."""
    request = Request(ROLE, PUT["Action"], STREAM, ACCOUNT, context)
    limit = {"Statement": boundary} if boundary else None
    return evaluate(request, {"p": {"Statement": list(statements)}}, boundary=limit).decision


def to(principal: Any, **keys: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "kms:*", "Resource": "*"}
    return statement | keys


def excepting(*principals: str, **services: str) -> list[dict[str, Any]]:
    """Return statements that allow everyone, and deny everyone except these principals."""
    deny = {"Effect": "Deny", "Action": "kms:*", "Resource": "*"}
    return [to("*"), deny | {"NotPrincipal": {"AWS": list(principals)} | services}]


EVERY_KEY = {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}


@pytest.mark.parametrize(
    ("decision", "statements", "identity", "keys"),
    [
        (ALLOWED, to({"AWS": ROLE}), None, {}),
        (ALLOWED, to("*"), None, {}),
        (ALLOWED, to({"AWS": ["*"]}), None, {}),
        (DENIED, to({"AWS": "AROAEXAMPLEID"}), None, {}),
        (DENIED, to({"AWS": f"{ROLE}y"}), EVERY_KEY, {}),
        (DENIED, to({"AWS": f"arn:aws:iam::{ACCOUNT}:role/*"}), EVERY_KEY, {}),
        # Only if the policy names the account do IAM policies count.
        (DENIED, to({"AWS": ACCOUNT}), None, {}),
        (ALLOWED, to({"AWS": ACCOUNT}), EVERY_KEY, {}),
        (ALLOWED, to({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}), EVERY_KEY, {}),
        (DENIED, to({"AWS": OTHER}), EVERY_KEY, {}),
        # The key of another account: both must allow.
        (DENIED, to({"AWS": ROLE}), None, {"account": OTHER}),
        (ALLOWED, to({"AWS": ROLE}), EVERY_KEY, {"account": OTHER}),
        (ALLOWED, to({"AWS": ACCOUNT}), EVERY_KEY, {"account": OTHER}),
        (DENIED, to({"AWS": OTHER}), EVERY_KEY, {"account": OTHER}),
        # Sessions, whose names are not known.
        (UNKNOWN, to({"AWS": SESSION}), None, {}),
        (DENIED, to({"AWS": SESSION.replace("/x/", "/y/")}), None, {}),
        (ALLOWED, [to({"AWS": SESSION}), to({"AWS": ROLE})], None, {}),
        (UNKNOWN, [to({"AWS": ROLE}), to({"AWS": SESSION}, Effect="Deny")], None, {}),
        # Services.
        (ALLOWED, to({"Service": LOGS}), None, {"who": LOGS}),
        (DENIED, to({"Service": LOGS.title()}), None, {"who": LOGS}),
        (DENIED, to({"AWS": ACCOUNT}), None, {"who": LOGS}),
        (DENIED, [to("*"), to({"AWS": "*"}, Effect="Deny")], None, {"who": LOGS}),
        (DENIED, to({"Federated": "*"}), None, {}),
        # A Deny with exceptions.
        (DENIED, excepting(f"{ROLE}y"), None, {}),
        (ALLOWED, excepting(ROLE, ACCOUNT), None, {}),
        (UNKNOWN, excepting(ROLE), None, {}),
        (ALLOWED, excepting(ACCOUNT), None, {}),
        (DENIED, excepting(ROLE, ACCOUNT), None, {"who": LOGS}),
        (ALLOWED, excepting(Service=LOGS), None, {"who": LOGS}),
    ],
)
def test_who_may_use_a_key(decision: Decision, statements: Any, identity: Any, keys: Any) -> None:
    assert decrypt(statements, identity, **keys) == decision


@pytest.mark.parametrize(
    ("decision", "resource"),
    [
        (ALLOWED, "*"),
        (ALLOWED, "arn:*"),
        (ALLOWED, "arn:aws:firehose:*"),
        (ALLOWED, "arn:aws:firehose:*:*:deliverystream/?"),
        (DENIED, f"{STREAM}?"),
        (DENIED, STREAM.upper()),
        (DENIED, "arn:aws:s3:*"),
        # A wildcard across parts; a policy variable, unless no value of it can match.
        (UNKNOWN, "arn:aws:firehose:*:deliverystream/s"),
        (UNKNOWN, "arn:aws:firehose:*:*:deliverystream/${aws:PrincipalTag/stream}"),
        (DENIED, "arn:aws:s3:::${aws:PrincipalTag/bucket}"),
    ],
)
def test_which_resources_match(decision: Decision, resource: str) -> None:
    assert of_role(PUT | {"Resource": resource}) == decision
    # The same for a Deny.
    deny = PUT | {"Resource": resource, "Effect": "Deny"}
    opposite = {ALLOWED: DENIED, DENIED: ALLOWED, UNKNOWN: UNKNOWN}[decision]
    assert of_role(PUT, deny) == opposite


@pytest.mark.parametrize(
    ("decision", "condition"),
    [
        (ALLOWED, {}),
        (ALLOWED, {"Bool": {}}),
        (ALLOWED, {"bool": {"AWS:securetransport": True}}),
        (ALLOWED, {"StringEquals": {"aws:PrincipalAccount": int(ACCOUNT)}}),
        (ALLOWED, {"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::*:role/*"}}),
        (DENIED, {"ArnLike": {"aws:PrincipalArn": "*"}}),
        (UNKNOWN, {"ArnNotLike": {"aws:PrincipalArn": "*"}}),
        # Known to be absent.
        (DENIED, {"StringEquals": {"aws:SourceArn": "x"}}),
        (ALLOWED, {"StringNotEquals": {"aws:SourceArn": "x"}}),
        (ALLOWED, {"NumericEqualsIfExists": {"aws:SourceAccount": "1"}}),
        (ALLOWED, {"Null": {"aws:SourceArn": "true"}}),
        (DENIED, {"Null": {"aws:SourceArn": False}}),
        (ALLOWED, {"ForAllValues:StringEquals": {"aws:TagKeys": "x"}}),
        (DENIED, {"ForAnyValue:StringEquals": {"aws:TagKeys": "x"}}),
        (DENIED, {"ForAnyValue:StringNotEquals": {"aws:TagKeys": "x"}}),
        # The value, the operator or the variable is not known.
        (UNKNOWN, {"StringEquals": {"aws:SourceIp": "x"}}),
        (UNKNOWN, {"StringEquals": {"aws:SourceIdentity": "x"}}),
        (UNKNOWN, {"StringNotEqualsIfExists": {"aws:SourceVpce": "x"}}),
        (UNKNOWN, {"Null": {"aws:MultiFactorAuthAge": "true"}}),
        (UNKNOWN, {"DateLessThan": {"aws:PrincipalAccount": "2030-01-01"}}),
        (UNKNOWN, {"StringEquals": {"aws:PrincipalAccount": "${aws:ResourceAccount}"}}),
        # A condition that fails decides.
        (
            DENIED,
            {
                "IpAddress": {"aws:SourceIp": "203.0.113.0/24"},
                "Bool": {"aws:SecureTransport": "false"},
            },
        ),
    ],
)
def test_when_a_condition_is_met(decision: Decision, condition: Any) -> None:
    assert of_role(PUT | {"Condition": condition}) == decision
    deny = PUT | {"Condition": condition, "Effect": "Deny"}
    opposite = {ALLOWED: DENIED, DENIED: ALLOWED, UNKNOWN: UNKNOWN}[decision]
    assert of_role(PUT, deny) == opposite


def test_an_unknown_condition_matters_only_if_it_decides() -> None:
    unknown = {"Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}
    assert of_role(PUT | unknown, PUT) == ALLOWED
    assert of_role(PUT, PUT | unknown | {"Effect": "Deny"}, PUT | {"Effect": "Deny"}) == DENIED
    assert of_role(PUT | unknown | {"Effect": "Deny"}) == DENIED


def test_several_values_of_a_key_need_a_set_operator() -> None:
    def put(operator: str, *values: str) -> Decision:
        condition = {operator: {"aws:CalledVia": list(values)}}
        return of_role(PUT | {"Condition": condition}, **{"aws:CalledVia": ["a", "b"]})

    assert put("ForAnyValue:StringEquals", "b", "c") == ALLOWED
    assert put("ForAllValues:StringEquals", "b", "c") == DENIED
    assert put("ForAllValues:StringLike", "?") == ALLOWED
    assert put("StringEquals", "a", "b") == UNKNOWN


def test_a_boundary_must_allow_too_and_may_deny() -> None:
    assert of_role(PUT, boundary=PUT) == ALLOWED
    assert of_role(PUT, boundary=PUT | {"Action": "s3:*"}) == DENIED
    assert of_role(PUT, boundary=[PUT, PUT | {"Effect": "Deny"}]) == DENIED


@pytest.mark.parametrize(
    ("decision", "who", "excepted"),
    [
        (DENIED, ROLE, [ROLE, ACCOUNT]),
        (DENIED, ROLE, [ROLE]),
        (DENIED, ROLE, [ACCOUNT]),
        (DENIED, ROLE, [OTHER]),
        # A service has no boundary.
        (ALLOWED, LOGS, []),
    ],
)
def test_a_deny_with_exceptions_applies_to_every_principal_with_a_boundary(
    decision: Decision, who: str, excepted: list[str]
) -> None:
    request = Request(who, "kms:Decrypt", KEY, ACCOUNT)
    key = {"Statement": excepting(*excepted, Service=LOGS)}
    every = {"Statement": EVERY_KEY}
    limit = every if who == ROLE else None
    assert evaluate(request, {"p": every}, key, limit).decision == decision


# docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
@pytest.mark.parametrize(
    ("decision", "statements", "action"),
    [
        (DENIED, to({"AWS": ROLE}), "s3:*"),
        (ALLOWED, to({"AWS": ROLE}), "kms:*"),
        # Not by the role's ARN.
        (ALLOWED, to({"AWS": [ROLE, "*"]}), "s3:*"),
        (ALLOWED, to("*"), "s3:*"),
        (UNKNOWN, to({"AWS": SESSION}), "s3:*"),
        # This denies every principal with a boundary.
        (DENIED, excepting(ROLE, ACCOUNT), "kms:*"),
        # An Allow that excepts the role grants it nothing.
        (DENIED, EVERY_KEY | {"NotPrincipal": {"AWS": [ROLE, ACCOUNT]}}, "kms:*"),
    ],
)
def test_a_boundary_limits_what_a_key_policy_grants(
    decision: Decision, statements: Any, action: str
) -> None:
    boundary = {"Statement": {"Effect": "Allow", "Action": action, "Resource": "*"}}
    request = Request(ROLE, "kms:Decrypt", KEY, ACCOUNT)
    found = evaluate(request, {}, {"Statement": statements}, boundary)
    assert found.decision == decision


def test_a_bucket_may_allow_what_iam_does_not_within_an_account() -> None:
    statement = {"Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": "s3:*", "Resource": "*"}
    for account, decision in ((ACCOUNT, ALLOWED), (OTHER, DENIED)):
        request = Request(ROLE, "s3:GetObject", "arn:aws:s3:::b/k", account)
        assert evaluate(request, {}, {"Statement": statement}).decision == decision


def test_the_reason_names_the_statement() -> None:
    request = Request(ROLE, PUT["Action"], STREAM, ACCOUNT)
    deny = PUT | {"Effect": "Deny", "Sid": "Never"}
    answer = evaluate(request, {"mine": {"Statement": [PUT, deny]}})
    assert (answer.why, answer.is_explicit) == ("denied by Never of mine", True)
    narrow = PUT | {"Condition": {"StringEquals": {"aws:RequestedRegion": "us-east-1"}}}
    answer = evaluate(request, {"mine": {"Statement": [narrow]}})
    assert answer.why == "statement 1 of mine does not match: StringEquals aws:RequestedRegion"
    assert evaluate(request, {}).why == "no statement allows it"
