"""Check the templates' policies with an independent policy simulator (make judge).

The simulator (@cloud-copilot/iam-simulate, AGPL-3.0-or-later) runs as a tool in .cache/judge. No
part of it is shipped. Exit status: 0 if all is as expected, 1 for differences, 2 if not checked.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FOLDER = ROOT / ".cache" / "judge"
sys.path[:0] = [str(ROOT / each) for each in ("tests", "tests/stack", "functions/transform")]

import denied
import test_decisions
from scenario import Scenario, pipeline, trail
from stacks import COMBINATIONS, TRAIL_COMBINATIONS

from console_login.stack.policies import Request

ORGANIZATION = "o-abcdefghij"

# AWS documents this statement. kms:DescribeKey has no encryption context, so it never matches.
DOCUMENTED = "kms:Describe* has no condition key kms:EncryptionContext:aws:logs:arn"


class Exported:
    """Requests, and the policies that apply to them, each policy once."""

    def __init__(self) -> None:
        self.policies: list[Any] = []
        self.requests: list[dict[str, Any]] = []
        self.expected: list[tuple[str, bool]] = []
        self._places: dict[str, int] = {}

    def add(
        self,
        label: str,
        request: Request,
        identity: Iterable[Any],
        policy: Any,
        *,
        is_allowed: bool,
        strict: bool = False,
    ) -> None:
        """Add a request and its expected decision."""
        self.expected.append((label, is_allowed))
        self.requests.append(
            {
                "principal": _session(request.who),
                "action": request.action,
                "resource": request.resource,
                "account": request.account,
                "context": _context(request),
                "identity": [self._place(each) for each in identity],
                "policy": None if policy is None else self._place(policy),
                "strict": strict,
            }
        )

    def _place(self, policy: Any) -> int:
        text = json.dumps(policy, sort_keys=True)
        if text not in self._places:
            self._places[text] = len(self.policies)
            self.policies.append(policy)
        return self._places[text]

    def differences(self) -> Iterator[str]:
        request = {"policies": self.policies, "requests": self.requests}
        answers = _node("simulate.mjs", request)
        for (label, is_allowed), answer in zip(self.expected, answers, strict=True):
            # The simulator evaluates these actions without a resource, so it cannot check ours.
            if not is_allowed and any(each in answer for each in _WITHOUT_RESOURCE):
                continue
            if answer.startswith("error") or (answer == "Allowed") is not is_allowed:
                expected = "Allowed" if is_allowed else "denied"
                yield f"{label}: expected {expected}, the simulator returned {answer}"


_WITHOUT_RESOURCE = ("no.resource.types", "must.use.wildcard")


def _session(who: str) -> str:
    if ":role/" not in who:
        return who
    return f"{who.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/session"


def _context(request: Request) -> dict[str, Any]:
    """Return the request's context with the keys that the evaluator adds."""
    context = {key: value for key, value in request.context.items() if value}
    context.setdefault("aws:SecureTransport", "true")
    context["aws:PrincipalIsAWSService"] = str(request.is_of_service).lower()
    if ":role/" in request.who:
        context["aws:PrincipalArn"] = request.who
        context.setdefault("aws:PrincipalOrgID", ORGANIZATION)
        context["aws:PrincipalAccount"] = request.principal_account
        if request.action.startswith("kms:"):
            context["kms:CallerAccount"] = request.principal_account
    keys = [key.split(":", 2)[2] for key in context if key.startswith("kms:EncryptionContext:")]
    return context | ({"kms:EncryptionContextKeys": keys} if keys else {})


def _node(script: str, document: Any) -> Any:
    node = shutil.which("node")
    assert node is not None
    done = subprocess.run(
        [node, script],
        cwd=FOLDER,
        input=json.dumps(document),
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    )
    return json.loads(done.stdout)


def stacks() -> Iterator[tuple[str, Scenario]]:
    for name in COMBINATIONS:
        yield name, pipeline(name)
        yield f"{name}, key leaves nothing to IAM", pipeline(name, key_trusts_iam=False)
    for name in TRAIL_COMBINATIONS:
        yield name, trail(name)


def of_templates() -> Exported:
    """Return requests of services that the templates must allow, and others that they must deny."""
    found = Exported()
    for name, scenario in stacks():
        for need in scenario.needs:
            identity, policy = scenario.policies_for(need.request)
            found.add(
                f"{name}: {need.label}",
                need.request,
                identity.values(),
                policy,
                is_allowed=True,
                strict=True,
            )
        for label, request, extra in denied.requests(scenario):
            identity, policy = scenario.policies_for(request, extra)
            found.add(f"{name}: {label}", request, identity.values(), policy, is_allowed=False)
    return found


def of_owners() -> Exported:
    """Return the requests of decisions.json with the decisions stored there."""
    found = Exported()
    for label, request, identity, policy, is_allowed in test_decisions.every_request():
        found.add(label, request, identity.values(), policy, is_allowed=is_allowed)
    return found


def documents() -> Iterator[dict[str, Any]]:
    for name, scenario in stacks():
        for arn, policies in scenario.identities.items():
            for policy_name, policy in policies.items():
                where = f"{name}: {arn.rsplit('/', 1)[-1]} {policy_name}"
                yield {"where": where, "policy": policy, "kind": "identity"}
        for arn, policy in scenario.resources.items():
            kind = "trust" if ":role/" in arn else "resource"
            yield {"where": f"{name}: {arn}", "policy": policy, "kind": kind}


def main() -> int:
    if not (shutil.which("node") and shutil.which("npm")):
        print(
            "judge: the policies were not checked: Node (node and npm) is missing", file=sys.stderr
        )
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    for each in ("package.json", "package-lock.json", "simulate.mjs", "reference.mjs"):
        shutil.copy(HERE / each, FOLDER)
    installed = subprocess.run(
        ["npm", "ci", "--silent", "--ignore-scripts"], cwd=FOLDER, check=False
    )
    if installed.returncode:
        print(
            "judge: the policies were not checked: npm cannot install the simulator",
            file=sys.stderr,
        )
        return 2
    count = 0
    for what, exported in {"the templates": of_templates(), "decisions.json": of_owners()}.items():
        differences = list(exported.differences())
        count += len(differences)
        print(f"{len(exported.requests)} requests of {what}: {len(differences)} differences")
        print("".join(f"  {each}\n" for each in differences[:20]), end="")
    policies = list(documents())
    found = _node("reference.mjs", policies)
    problems = [each for each in found if not each.endswith(DOCUMENTED)]
    print(f"{len(policies)} policies checked with AWS's reference: {len(problems)} problems")
    print("".join(f"  {each}\n" for each in problems), end="")
    return 1 if count or problems else 0


if __name__ == "__main__":
    sys.exit(main())
