"""What services ask of the templates' policies: all that must pass, and what must not."""

import pytest
from asked import pipeline, trail
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
