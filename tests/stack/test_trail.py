"""trail.yaml: what it records, in which order it is created, and what outlives its stack."""

import pytest
from stacks import TRAIL_COMBINATIONS, needs, only, trail

every_trail = pytest.mark.parametrize("name", TRAIL_COMBINATIONS)


@every_trail
def test_the_trail_sees_every_region_and_proves_its_files(name: str) -> None:
    found = only(trail(name), "AWS::CloudTrail::Trail")
    assert found["IsLogging"] is True
    assert found["IsMultiRegionTrail"] is True
    assert found["IncludeGlobalServiceEvents"] is True
    assert found["EnableLogFileValidation"] is True
    # The default selector: every management event. Sign-ins are write events.
    assert not {"EventSelectors", "AdvancedEventSelectors"} & set(found)


@every_trail
def test_the_trail_is_created_after_what_it_writes_to(name: str) -> None:
    assert needs(trail(name), "Trail") == {
        "TrailBucket",
        "TrailBucketPolicy",
        "TrailLogGroup",
        "TrailRole",
        "EncryptionKey",
    }


@every_trail
def test_the_role_is_older_than_the_bucket_that_the_trail_waits_for(name: str) -> None:
    # A trail whose role is not known everywhere yet is refused.
    assert "TrailRole" in needs(trail(name), "TrailBucket")


@every_trail
def test_the_whole_trail_is_encrypted_with_the_one_key(name: str) -> None:
    resolved = trail(name)
    key_arn = only(resolved, "AWS::CloudTrail::Trail")["KMSKeyId"]
    assert key_arn.endswith(f":key/{resolved.only('AWS::KMS::Key').physical_id}")
    assert only(resolved, "AWS::Logs::LogGroup")["KmsKeyId"] == key_arn
    bucket = only(resolved, "AWS::S3::Bucket")
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    default = rule["ServerSideEncryptionByDefault"]
    assert default == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key_arn}
    # CloudTrail's requests to the key cost nothing.
    assert "BucketKeyEnabled" not in rule


@every_trail
def test_trail_group_and_role_belong_together(name: str) -> None:
    resolved = trail(name)
    found = only(resolved, "AWS::CloudTrail::Trail")
    group = only(resolved, "AWS::Logs::LogGroup")["LogGroupName"]
    assert found["CloudWatchLogsLogGroupArn"].endswith(f":log-group:{group}:*")
    assert found["CloudWatchLogsRoleArn"].endswith(
        f":role/{resolved.resources['TrailRole'].physical_id}"
    )
    assert group == f"/aws/cloudtrail/{found['TrailName']}"
    assert found["S3BucketName"] == resolved.resources["TrailBucket"].physical_id


def test_events_are_kept_as_long_as_asked() -> None:
    assert only(trail(), "AWS::Logs::LogGroup")["RetentionInDays"] == "30"
    assert only(trail("another trail"), "AWS::Logs::LogGroup")["RetentionInDays"] == "365"


def test_no_file_of_the_trail_expires() -> None:
    rules = only(trail(), "AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"]
    assert not [rule for rule in rules if "ExpirationInDays" in rule]


@every_trail
def test_removing_the_stack_stops_nothing_and_loses_nothing(name: str) -> None:
    resolved = trail(name)
    policies = {
        logical_id: resource.attributes.get("DeletionPolicy")
        for logical_id, resource in resolved.resources.items()
    }
    assert policies == {
        "Trail": "RetainExceptOnCreate",
        "TrailLogGroup": "RetainExceptOnCreate",
        "TrailRole": "RetainExceptOnCreate",
        "EncryptionKey": "RetainExceptOnCreate",
        # CloudTrail writes into it before a rollback could empty it.
        "TrailBucket": "Retain",
        "TrailBucketPolicy": "Retain",
        # A second name of the key, which nothing here uses.
        "EncryptionKeyAlias": None,
    }
    for logical_id, policy in policies.items():
        if policy:
            attributes = resolved.resources[logical_id].attributes
            assert attributes["UpdateReplacePolicy"] == "Retain", logical_id
            # What is kept works on: what it needs is kept too.
            assert all(policies[each] for each in needs(resolved, logical_id)), logical_id


@every_trail
def test_the_roles_permissions_are_kept_with_the_role(name: str) -> None:
    # A policy of its own would be deleted with the stack, and the trail's events with it.
    assert not trail(name).of_type("AWS::IAM::Policy")
    assert only(trail(name), "AWS::IAM::Role")["Policies"]
