"""Evaluate policy documents for requests, as IAM, KMS and S3 do.

If something cannot be evaluated (an operator, a policy variable, a condition key without a known
value), the result is UNKNOWN, never ALLOWED. Service control policies, resource control policies,
session policies and grants are not evaluated.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

Document = Mapping[str, Any]

# Whether something matches; None if unknown.
Maybe = bool | None


class Decision(StrEnum):
    """The result of an evaluation."""

    ALLOWED = "allowed"
    DENIED = "denied"
    UNKNOWN = "could not be checked"


@dataclass(frozen=True)
class Answer:
    """The result of an evaluation, and the reason if it is not ALLOWED.

    denials: the names of the policy and the statement, for each Deny that applied.
    """

    decision: Decision
    why: str = ""
    denials: tuple[tuple[str, str], ...] = ()

    @property
    def is_explicit(self) -> bool:
        """Whether a Deny applied."""
        return bool(self.denials)


@dataclass(frozen=True)
class Request:
    """One request to AWS.

    who: a service (`logs.amazonaws.com`) or the ARN of a role or user.
    account: the account of the resource.
    context: known values of condition keys, in addition to those that the other fields determine.
        An empty list means that the key is known to be absent.
    """

    who: str
    action: str
    resource: str
    account: str
    context: Mapping[str, str | list[str]] = field(default_factory=dict)

    @property
    def is_of_service(self) -> bool:
        return not self.who.startswith("arn:")

    @property
    def principal_account(self) -> str:
        """The account of a role or user; empty for a service."""
        return "" if self.is_of_service else self.who.split(":")[4]

    @functools.cached_property
    def known(self) -> dict[str, list[str]]:
        """The values of all known condition keys, by name in lower case."""
        values: dict[str, Any] = {
            "aws:SecureTransport": "true",
            "aws:PrincipalIsAWSService": str(self.is_of_service).lower(),
            "aws:ResourceAccount": self.account,
        }
        if region := self.resource.split(":")[3]:
            values["aws:RequestedRegion"] = region
        if self.is_of_service:
            values["aws:PrincipalServiceName"] = self.who
        else:
            values["aws:PrincipalArn"] = self.who
            values["aws:PrincipalAccount"] = values["kms:CallerAccount"] = self.principal_account
        prefix = "kms:EncryptionContext:"
        values["kms:EncryptionContextKeys"] = [
            key.removeprefix(prefix) for key in self.context if key.startswith(prefix)
        ]
        values |= self.context
        return {key.lower(): as_list(value) for key, value in values.items()}

    def values_of(self, key: str) -> list[str] | None:
        """Return a condition key's values: an empty list if absent, None if unknown."""
        absent = _ABSENT_FOR_SERVICES if self.is_of_service else _ABSENT_FOR_ROLES
        if (name := key.lower()) in self.known:
            return self.known[name]
        return [] if name.startswith((*_ABSENT, *absent)) else None


# Condition keys (or prefixes of them) that are absent from a request unless it names them.
_ABSENT = (
    "aws:requesttag/",
    "aws:tagkeys",
    "kms:encryptioncontext:",
    "kms:grant",
    "kms:viaservice",
    "s3:x-amz-",
    "sts:externalid",
    "sts:sourceidentity",
)
_ABSENT_FOR_SERVICES = (
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorg",
    "aws:principaltag/",
    "aws:username",
    "kms:calleraccount",
)
_ABSENT_FOR_ROLES = (
    "aws:principalservicename",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceorg",
    "aws:username",
)


# Names, in an Answer, of the policies that are not identity-based.
BOUNDARY = "the permissions boundary"
RESOURCE = "the resource-based policy"


def evaluate(
    request: Request,
    identity: Mapping[str, Document],
    resource_policy: Document | None = None,
    boundary: Document | None = None,
) -> Answer:
    """Return whether a request is allowed.

    identity: the policies of the role or user, by name; boundary: its permissions boundary.
    resource_policy: the policy of the key, bucket or topic, or of the role to assume.
    """
    by_identity = [
        each for name, policy in identity.items() for each in _read(request, name, policy)
    ]
    by_boundary = _read(request, BOUNDARY, boundary) if boundary else []
    by_resource = _read(
        request, RESOURCE, resource_policy or {"Statement": []}, has_boundary=boundary is not None
    )
    every = [*by_identity, *by_boundary, *by_resource]

    denials = [each for each in every if each.effect == "Deny"]
    certain = tuple((each.policy, each.name) for each in denials if each.matches)
    if certain:
        why = f"denied by {', '.join(name for _, name in certain)}"
        return Answer(Decision.DENIED, why, certain)

    to_principal = _any(each.to_principal for each in by_resource if each.effect == "Allow")
    if request.is_of_service:
        is_allowed = to_principal
    else:
        to_account = _any(each.to_account for each in by_resource if each.effect == "Allow")
        by_iam = _any(each.matches for each in by_identity if each.effect == "Allow")
        if boundary:
            within = _any(each.matches for each in by_boundary if each.effect == "Allow")
            by_iam = _all([by_iam, within])
            # The boundary also limits what the resource's policy allows to a role's ARN.
            to_principal = _any(
                _all([each.to_principal, within]) if each.is_to_arn else each.to_principal
                for each in by_resource
                if each.effect == "Allow"
            )
        if request.principal_account != request.account:
            is_allowed = _all([by_iam, _any([to_principal, to_account])])
        # IAM policies count only if the policy of the key or role names the account.
        elif request.action.lower().startswith(("kms:", "sts:assumerole")):
            is_allowed = _any([to_principal, _all([to_account, by_iam])])
        else:
            is_allowed = _any([to_principal, by_iam])

    if is_allowed is False:
        failed = [each.note for each in every if each.matches is False and each.note]
        return Answer(Decision.DENIED, "; ".join(failed) or "no statement allows it")
    if is_allowed and all(each.matches is False for each in denials):
        return Answer(Decision.ALLOWED)
    return Answer(Decision.UNKNOWN, "; ".join(each.note for each in every if each.matches is None))


@dataclass(frozen=True)
class _Match:
    """How a statement matches a request: by the principal itself, or only by its account.

    is_to_arn: whether it names the principal by its ARN, and not as everyone or as a session.
    note: the condition that fails, or the elements that could not be evaluated.
    """

    name: str
    effect: str
    to_principal: Maybe = False
    to_account: Maybe = False
    note: str = ""
    policy: str = ""
    is_to_arn: bool = False

    @property
    def matches(self) -> Maybe:
        return _any([self.to_principal, self.to_account])


def _read(
    request: Request, policy_name: str, policy: Document, *, has_boundary: bool = False
) -> list[_Match]:
    return [
        replace(
            _match(
                request,
                f"{statement.get('Sid', f'statement {number}')} of {policy_name}",
                statement,
                has_boundary=has_boundary,
            ),
            policy=policy_name,
        )
        for number, statement in enumerate(as_list(policy["Statement"]), 1)
    ]


def _match(request: Request, name: str, statement: Document, *, has_boundary: bool) -> _Match:
    effect = statement["Effect"]
    notes: list[str] = []
    is_about = _all(
        [
            _element(statement, "Action", lambda each: _like(each, request.action, re.IGNORECASE)),
            _element(statement, "Resource", lambda each: _resource(each, request.resource)),
        ]
    )
    if is_about is None:
        notes.append("Resource")
    to_principal, to_account = _principals(request, statement, has_boundary=has_boundary)
    if None in (to_principal, to_account):
        notes.append("principal")
    if is_about is False or _any([to_principal, to_account]) is False:
        return _Match(name, effect)
    holds, note = _conditions(request, statement.get("Condition", {}))
    if holds is False:
        return _Match(
            name, effect, note=f"{name} does not match: {note}" if effect == "Allow" else ""
        )
    why = f"{name}: {', '.join(notes + [note] * bool(note))}"
    principal, account = (_all([each, is_about, holds]) for each in (to_principal, to_account))
    principals = statement.get("Principal", "*")
    aws = () if principals == "*" else as_list(principals.get("AWS", ()))
    is_to_arn = request.who in aws and "*" not in aws
    return _Match(name, effect, principal, account, why, is_to_arn=is_to_arn)


def _element(statement: Document, name: str, matches: Callable[[str], Maybe]) -> Maybe:
    """Whether an element matches, or its Not... form does not. An absent element matches all."""
    if f"Not{name}" in statement:
        return _not(_any(map(matches, as_list(statement[f"Not{name}"]))))
    return name not in statement or _any(map(matches, as_list(statement[name])))


def _resource(pattern: str, arn: str) -> Maybe:
    if "${" in pattern:
        return None if _like(re.sub(r"\$\{[^}]*\}", "*", pattern), arn) else False
    parts = pattern.split(":", 5)
    if parts[-1] == "*":
        parts += ["*"] * (6 - len(parts))
    if len(parts) == len(arn.split(":", 5)):
        return _arn_like(":".join(parts), arn)
    # AWS documents wildcards only within the parts of an ARN.
    return None if _like(pattern, arn) else False


def _principals(
    request: Request, statement: Document, *, has_boundary: bool
) -> tuple[Maybe, Maybe]:
    """Whether a statement names a request's principal, and whether it names its account."""
    if "NotPrincipal" in statement:
        # AWS documents that such a Deny applies to every principal with a permissions boundary,
        # whether or not it is named:
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html
        if has_boundary and statement["Effect"] == "Deny":
            return True, False
        to_principal, to_account = _named(request, statement["NotPrincipal"])
        # AWS checks the account first: a role that is excepted without its account may be denied.
        is_alone = to_principal and not to_account and not request.is_of_service
        return None if is_alone else _not(_any([to_principal, to_account])), False
    return _named(request, statement["Principal"]) if "Principal" in statement else (True, False)


def _named(request: Request, principals: Any) -> tuple[Maybe, Maybe]:
    if principals == "*":
        return True, False
    named = {kind: as_list(values) for kind, values in principals.items()}
    if "*" in named.get("AWS", ()):
        return True, False
    if request.is_of_service:
        return request.who in named.get("Service", ()), False
    principals = named.get("AWS", ())
    account = request.principal_account
    is_account = account in principals or f"{request.who.rsplit(':', 1)[0]}:root" in principals
    # The session name that a service chooses is not known.
    session = f":{account}:assumed-role/{request.who.rsplit('/', 1)[-1]}/"
    is_session = any(session in each for each in principals)
    return request.who in principals or (None if is_session else False), is_account


def _conditions(request: Request, condition: Document) -> tuple[Maybe, str]:
    """Return whether a condition block is met, and otherwise the conditions that decide this."""
    found = {
        f"{operator} {key}": _condition(request, operator, key, as_list(values))
        for operator, keys in condition.items()
        for key, values in keys.items()
    }
    holds = _all(found.values())
    return holds, "" if holds else ", ".join(name for name, each in found.items() if each is holds)


# Tests of a value against a pattern, by the operator's name in lower case, without "not".
_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "stringequals": lambda pattern, value: pattern == value,
    "stringequalsignorecase": lambda pattern, value: pattern.lower() == value.lower(),
    "stringlike": lambda pattern, value: _like(pattern, value),
    "arnequals": lambda pattern, value: _arn_like(pattern, value),
    "arnlike": lambda pattern, value: _arn_like(pattern, value),
    "bool": lambda pattern, value: pattern.lower() == value.lower(),
}


def _condition(request: Request, operator: str, key: str, patterns: list[Any]) -> Maybe:
    """Whether a condition is met: an operator, a key, and the values in the policy."""
    quantifier, _, name = operator.lower().rpartition(":")
    name, *if_exists = name.split("ifexists")
    is_negative = "not" in name
    matches = _OPERATORS.get(name.replace("not", "", 1))
    texts = [str(each).lower() if isinstance(each, bool) else str(each) for each in patterns]
    values = request.values_of(key)
    if values is None:
        return None
    if name == "null":
        return any(each.lower() == str(not values).lower() for each in texts)
    if not values and (if_exists or quantifier == "forallvalues"):
        return True
    if matches is None or any("${" in each for each in texts):
        return None
    if not values:
        return is_negative and not quantifier
    if name.startswith("arnnot") and any(each.count(":") < 5 for each in texts):
        # AWS does not document this case.
        return None
    if len(values) > 1 and not quantifier:
        return None
    each = (any(matches(text, value) for text in texts) is not is_negative for value in values)
    return any(each) if quantifier == "foranyvalue" else all(each)


def _arn_like(pattern: str, arn: str) -> bool:
    """Whether an ARN matches in each of its six parts."""
    patterns, parts = pattern.split(":", 5), arn.split(":", 5)
    return len(patterns) == len(parts) and all(map(_like, patterns, parts))


def _like(pattern: str, text: str, flags: int = 0) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return bool(re.fullmatch(expression, text, flags | re.DOTALL))


def as_list(value: Any) -> list[Any]:
    """Return a list for an element that may be a single value or a list."""
    return list(value) if isinstance(value, list | tuple) else [value]


def _all(found: Iterable[Maybe]) -> Maybe:
    each = set(found)
    return False if False in each else None if None in each else True


def _any(found: Iterable[Maybe]) -> Maybe:
    each = set(found)
    return True if True in each else None if None in each else False


def _not(found: Maybe) -> Maybe:
    return None if found is None else not found
