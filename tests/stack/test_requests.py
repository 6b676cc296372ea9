"""What services ask of the templates' policies: all that must pass, and what must not."""

import denied
import pytest
from asked import Asked, pipeline, trail
from stacks import COMBINATIONS, TRAIL_COMBINATIONS

from console_login.stack.policies import Verdict


@pytest.mark.parametrize("name", COMBINATIONS)
@pytest.mark.parametrize("key_trusts_iam", [True, False])
def test_the_pipelines_policies_allow_what_services_ask(name: str, key_trusts_iam: bool) -> None:
    asked = pipeline(name, key_trusts_iam=key_trusts_iam)
    refused = {
        need.label: found
        for need in asked.needs
        if (found := asked.answer(need.request)).verdict != Verdict.ALLOWED
    }
    assert refused == {}


@pytest.mark.parametrize("name", TRAIL_COMBINATIONS)
def test_the_trails_policies_allow_what_services_ask(name: str) -> None:
    asked = trail(name)
    refused = {
        need.label: found
        for need in asked.needs
        if (found := asked.answer(need.request)).verdict != Verdict.ALLOWED
    }
    assert refused == {}


@pytest.mark.parametrize("name", COMBINATIONS)
@pytest.mark.parametrize("key_trusts_iam", [True, False])
def test_the_pipelines_policies_deny_one_step_further(name: str, key_trusts_iam: bool) -> None:
    must_be_denied(pipeline(name, key_trusts_iam=key_trusts_iam))


@pytest.mark.parametrize("name", TRAIL_COMBINATIONS)
def test_the_trails_policies_deny_one_step_further(name: str) -> None:
    must_be_denied(trail(name))


def must_be_denied(asked: Asked) -> None:
    allowed = {}
    for label, request, extra in denied.requests(asked):
        found = asked.answer(request, extra)
        if found.verdict != Verdict.DENIED:
            allowed[label, request.who, request.action, request.resource] = found, request.context
    assert allowed == {}
