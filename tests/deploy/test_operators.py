"""Tests the operators' commands, as processes, on a stack that SAM deployed on MiniStack."""

import json
import re

from deployed import ACCOUNT_ID, GROUP, REGION, STACK, Cloud
from support import TOKYO, envelope, gz


def checks(output: str) -> dict[str, str]:
    """Return doctor's result for each check."""
    found = re.findall(r"^(\S.*?) +(ok|finding|could not be checked)(?::|$)", output, re.MULTILINE)
    return dict(found)


def test_doctor_finds_nothing_but_the_trail_that_ministack_cannot_have(
    cloud: Cloud, pipeline: str
) -> None:
    done = cloud.command("doctor", "--stack", STACK)
    found = checks(done.stdout)
    assert (done.returncode, found.pop("trail")) == (1, "finding"), done
    assert f"sends its events to log group {GROUP}" in done.stdout
    assert found
    assert set(found.values()) == {"ok"}


def test_doctor_sees_a_filter_that_somebody_has_changed(cloud: Cloud, pipeline: str) -> None:
    logs = cloud.client("logs")
    (before,) = logs.describe_subscription_filters(logGroupName=GROUP, filterNamePrefix=STACK)[
        "subscriptionFilters"
    ]
    keys = ("logGroupName", "filterName", "filterPattern", "destinationArn", "roleArn")
    given = {key: before[key] for key in keys}
    logs.put_subscription_filter(**given | {"filterPattern": '{ $.eventName = "Other" }'})
    done = cloud.command("doctor", "--stack", STACK)
    logs.put_subscription_filter(**given)
    found = checks(done.stdout)
    assert found["subscription filter"] == "finding"
    assert found["stream"] == "ok"


def test_key_policy_is_what_a_given_key_needs(cloud: Cloud, possible: dict[str, object]) -> None:
    kms = cloud.client("kms")
    arguments = ("--stack", "keyed", "--region", REGION, "--account", ACCOUNT_ID)
    done = cloud.run("console-login", "key-policy", *arguments, "--parameter", "Name=keyed")
    policy = json.loads(done.stdout)
    administrators = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT_ID}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    policies = {
        "good": json.dumps({**policy, "Statement": [administrators, *policy["Statement"]]}),
        # Without the statements that allow the services to use the key.
        "bare": json.dumps({**policy, "Statement": [administrators]}),
    }
    key = kms.create_key(Policy=policies["good"])["KeyMetadata"]["Arn"]
    document = possible["template.yaml"]
    assert cloud.deploy("keyed", document, Name="keyed", ExistingKeyArn=key) == "CREATE_COMPLETE"  # type: ignore[arg-type]
    assert checks(cloud.command("doctor", "--stack", "keyed").stdout)["key policy"] == "ok"
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policies["bare"])
    assert checks(cloud.command("doctor", "--stack", "keyed").stdout)["key policy"] == "finding"


def test_drain_empties_the_stream_for_sam_delete(
    cloud: Cloud, possible: dict[str, object], runs_the_function: None
) -> None:
    document = possible["template.yaml"]
    assert (
        cloud.deploy(
            "draining", document, Name="draining", BufferSeconds="0", LambdaBufferSeconds="0"
        )
        == "CREATE_COMPLETE"
    )  # type: ignore[arg-type]
    cloud.put("draining", gz(envelope([TOKYO])))
    done = cloud.command("drain", "--stack", "draining", "--yes")
    assert done.returncode == 0, done
    assert "sam delete" in done.stdout
    assert "draining" not in cloud.filters()
    assert cloud.delete("draining") == "DELETE_COMPLETE"
