"""Tests SAM's commands in the wrong order: an environment changes only its own stack."""

from pathlib import Path
from typing import Any

import pytest
from deployed import LACKS, STACK, Cloud

# The error messages for the other stacks, from MiniStack or from a pattern in the template.
REFUSED = {
    "trail": LACKS["trail.yaml"]["Trail"],
    # samconfig.toml's values are placeholders.
    "athena": "'BucketName' must be the name of a bucket",
}


def sam(cloud: Cloud, checkout: Path, *arguments: str) -> Any:
    return cloud.run("sam", *arguments, folder=checkout)


@pytest.mark.parametrize("environment", REFUSED)
def test_another_build_does_not_reach_the_pipelines_stack(
    environment: str, cloud: Cloud, checkout: Path, pipeline: str
) -> None:
    before = cloud.resources(pipeline), cloud.parameters(pipeline)
    template = cloud.client("cloudformation").get_template(StackName=pipeline)["TemplateBody"]

    built = sam(cloud, checkout, "build", "--config-env", environment)
    assert built.returncode == 0, built.stderr
    deployed = sam(cloud, checkout, "deploy", "--no-confirm-changeset")

    assert deployed.returncode == 0, deployed.stderr
    assert f"No changes to deploy. Stack {STACK} is up to date" in deployed.stdout
    assert (cloud.resources(pipeline), cloud.parameters(pipeline)) == before
    found = cloud.client("cloudformation").get_template(StackName=pipeline)["TemplateBody"]
    assert found == template


@pytest.mark.parametrize("environment", REFUSED)
def test_another_environment_deploys_its_own_template(
    environment: str, cloud: Cloud, checkout: Path, pipeline: str
) -> None:
    # Only the pipeline was built.
    before = cloud.resources(pipeline)
    arguments = ("deploy", "--no-confirm-changeset", "--config-env", environment)
    deployed = sam(cloud, checkout, *arguments)
    assert deployed.returncode == 1
    assert f"for the stack: console-login-{environment}" in deployed.stderr
    assert REFUSED[environment] in deployed.stderr
    assert cloud.resources(pipeline) == before
