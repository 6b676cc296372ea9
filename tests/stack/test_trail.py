"""trail.yaml: the events it records, the order of creation, and what outlives the stack."""

import pytest
from stacks import TRAIL_COMBINATIONS, needs, only, trail

every_trail = pytest.mark.parametrize("name", TRAIL_COMBINATIONS)


@every_trail
def test_the_trail_records_every_region_and_validates_its_files(name: str) -> None:
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
def test_the_role_is_created_before_the_bucket_that_the_trail_waits_for(name: str) -> None:
    # CloudTrail rejects a trail until its role has propagated.
    assert "TrailRole" in needs(trail(name), "TrailBucket")


@every_trail
def test_all_of_the_trail_is_encrypted_with_the_same_key(name: str) -> None:
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
def test_the_trail_refers_to_its_log_group_role_and_bucket(name: str) -> None:
    resolved = trail(name)
    found = only(resolved, "AWS::CloudTrail::Trail")
    group = only(resolved, "AWS::Logs::LogGroup")["LogGroupName"]
    assert found["CloudWatchLogsLogGroupArn"].endswith(f":log-group:{group}:*")
    assert found["CloudWatchLogsRoleArn"].endswith(
        f":role/{resolved.resources['TrailRole'].physical_id}"
    )
    assert group == f"/aws/cloudtrail/{found['TrailName']}"
    assert found["S3BucketName"] == resolved.resources["TrailBucket"].physical_id


def test_events_are_kept_for_the_days_of_the_parameter() -> None:
    assert only(trail(), "AWS::Logs::LogGroup")["RetentionInDays"] == "30"
    assert only(trail("another trail"), "AWS::Logs::LogGroup")["RetentionInDays"] == "365"


def test_no_file_of_the_trail_expires() -> None:
    rules = only(trail(), "AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"]
    assert not [rule for rule in rules if "ExpirationInDays" in rule]


@every_trail
def test_removing_the_stack_neither_stops_the_trail_nor_loses_events(name: str) -> None:
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
        # CloudTrail writes to the bucket at once, so a rollback could not delete it.
        "TrailBucket": "Retain",
        "TrailBucketPolicy": "Retain",
        # The alias of the key, which nothing here uses.
        "EncryptionKeyAlias": None,
    }
    for logical_id, policy in policies.items():
        if policy:
            attributes = resolved.resources[logical_id].attributes
            assert attributes["UpdateReplacePolicy"] == "Retain", logical_id
            # The resources that a retained resource needs are retained too, so it keeps working.
            assert all(policies[each] for each in needs(resolved, logical_id)), logical_id


@every_trail
def test_the_roles_permissions_are_kept_with_the_role(name: str) -> None:
    # A separate policy would be deleted with the stack, and the trail's events would stop.
    assert not trail(name).of_type("AWS::IAM::Policy")
    assert only(trail(name), "AWS::IAM::Role")["Policies"]
