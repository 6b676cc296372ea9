"""Tests that wrong parameters are refused at the start, with the template's messages."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from deployed import ACCOUNT_ID, REGION, Cloud

# Wrong values of each parameter that has a ConstraintDescription.
WRONG = {
    "template.yaml": {
        "Name": ["", "1st", "a_b", "a" * 55],
        "LogGroupName": ["", "/aws/lambda/any", f"arn:aws:logs:{REGION}:{ACCOUNT_ID}:log-group:a"],
        "EventNames": ["", "A, B", "A,", ",A", "A,,B", "Console*", "*,A", ",".join("A" * 26)],
        "OrganizationId": ["any", "o-A1B2C3D4E5"],
        "ExistingBucketName": ["arn:aws:s3:::any", "Any"],
        "ExistingBucketOwner": ["any"],
        "Prefix": ["a", "/", "a//", "../", "athena-results/", "!{timestamp:yyyy}/"],
        "TimeZone": ["", "JST", "Japan", "posix/Asia/Tokyo"],
        "FileExtension": ["", "json", ".gz", ".json.gz", ".JSON"],
        "ExpireAfterDays": ["-1", "36501"],
        "ObjectLockDays": ["-1", "36501"],
        "ExistingKeyArn": [f"arn:aws:kms:{REGION}:{ACCOUNT_ID}:alias/any"],
        "BufferSizeMiB": ["0", "129"],
        "BufferSeconds": ["-1", "901"],
        "LambdaBufferMiB": ["0.1", "3.1"],
        "LambdaBufferSeconds": ["-1", "901"],
        "AlarmEmail": ["any"],
        "AlarmTopicArn": ["any", f"arn:aws:sns:{REGION}:{ACCOUNT_ID}:any.fifo"],
    },
    "trail.yaml": {"TrailName": ["", "ab", "a..b", "a-", "a b"], "PipelineName": ["", "1st"]},
    "athena.yaml": {
        "BucketName": ["", "OUTPUT-BucketName-OF-THE-PIPELINE", "arn:aws:s3:::any"],
        "Prefix": ["a", "athena-results/"],
        "WorkGroupName": ["", "a b"],
        "ResultKeyArn": ["", "OUTPUT-KeyArn-OF-THE-PIPELINE"],
    },
}
RIGHT = {
    "template.yaml": {},
    "trail.yaml": {},
    "athena.yaml": {
        "BucketName": "any",
        "ResultKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT_ID}:key/any",
    },
}
# Parameters that are valid alone, but not together.
TOGETHER = {
    "OwnerOfAnExistingBucket": {"ExistingBucketOwner": "444455556666"},
    "LifecycleOfAnExistingBucket": {"ExistingBucketName": "any", "ExpireAfterDays": "30"},
    "LockOfAnExistingBucket": {"ExistingBucketName": "any", "ObjectLockDays": "30"},
    "SignInAlarmsGoSomewhere": {"SignInAlarms": "true"},
}


def refusal(cloud: Cloud, template: str, document: Any, **parameters: str) -> str:
    stack = f"wrong-{template.removesuffix('.yaml')}"
    with pytest.raises(ClientError) as raised:
        cloud.deploy(stack, document, **parameters)
    assert cloud.stack(stack) is None
    return str(raised.value)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_refused_with_our_words(
    name: str, cloud: Cloud, possible: dict[str, Any]
) -> None:
    document = possible[name]
    words = {
        parameter: each["ConstraintDescription"]
        for parameter, each in document["Parameters"].items()
        if "ConstraintDescription" in each
    }
    assert set(WRONG[name]) == set(words)
    for parameter, values in WRONG[name].items():
        for value in values:
            found = refusal(cloud, name, document, **RIGHT[name] | {parameter: value})
            assert f"'{parameter}' {words[parameter]}" in found


def test_a_value_that_is_not_listed_is_refused(cloud: Cloud, possible: dict[str, Any]) -> None:
    for name, document in possible.items():
        for parameter, each in document["Parameters"].items():
            if "AllowedValues" in each:
                found = refusal(cloud, name, document, **RIGHT[name] | {parameter: "7000"})
                assert f"'{parameter}'" in found


def test_a_wrong_set_is_refused_with_our_words(cloud: Cloud, possible: dict[str, Any]) -> None:
    document = possible["template.yaml"]
    assert set(TOGETHER) == set(document["Rules"])
    for rule, parameters in TOGETHER.items():
        (assertion,) = document["Rules"][rule]["Assertions"]
        assert assertion["AssertDescription"] in refusal(
            cloud, "template.yaml", document, **parameters
        )
