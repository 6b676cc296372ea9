"""Tests trail.yaml and athena.yaml on MiniStack, without the trail and the saved queries."""

from typing import Any

from deployed import ACCOUNT_ID, REGION, Cloud


def test_the_trails_stack_leaves_all_that_the_trail_needs(
    cloud: Cloud, possible: dict[str, Any]
) -> None:
    document = possible["trail.yaml"]
    assert cloud.deploy("trails", document, TrailName="of-its-own") == "CREATE_COMPLETE"
    made = cloud.resources("trails")
    stack_id = cloud.stack("trails")["StackId"]
    key = f"arn:aws:kms:{REGION}:{ACCOUNT_ID}:key/{made['EncryptionKey']}"
    group = "/aws/cloudtrail/of-its-own"
    outputs = cloud.outputs("trails")
    assert outputs["LogGroupLine"] == f'"LogGroupName={group}",'
    assert outputs["KeyLine"] == f'"ExistingKeyArn={key}",'

    # The pipeline accepts the output lines, so an empty account pays for only one key.
    lines = dict(outputs[name].strip('",').split("=", 1) for name in ("LogGroupLine", "KeyLine"))
    pipeline = possible["template.yaml"]
    assert cloud.deploy("tailing", pipeline, Name="tailing", **lines) == "CREATE_COMPLETE"
    assert "EncryptionKey" not in cloud.resources("tailing")
    assert set(cloud.filters(group)) == {"tailing"}
    assert cloud.delete("tailing") == "DELETE_COMPLETE"
    assert cloud.stack("trails")["StackStatus"] == "CREATE_COMPLETE"

    assert cloud.delete("trails") == "DELETE_COMPLETE"
    left = {id_ for id_, status, _ in cloud.events(stack_id) if status == "DELETE_SKIPPED"}
    assert left == set(made) - {"EncryptionKeyAlias"}
    assert group in cloud.log_groups()
    roles = cloud.client("iam").list_role_policies(RoleName=made["TrailRole"])["PolicyNames"]
    assert roles == ["WriteEventsToLogGroup"]
    assert cloud.client("s3").get_bucket_policy(Bucket=made["TrailBucket"])["Policy"]
    assert cloud.client("kms").describe_key(KeyId=key)["KeyMetadata"]["Enabled"]


def test_a_failed_first_trail_leaves_its_bucket_alone(
    cloud: Cloud, possible: dict[str, Any]
) -> None:
    document = dict(possible["trail.yaml"])
    # This resource replaces the trail. It is created last and fails.
    cloud.client("firehose").create_delivery_stream(DeliveryStreamName="in-the-way")
    document["Resources"] = document["Resources"] | {
        "Trail": {
            "Type": "AWS::KinesisFirehose::DeliveryStream",
            "DependsOn": ["TrailBucketPolicy", "TrailRole"],
            "Properties": {"DeliveryStreamName": "in-the-way"},
        }
    }
    assert cloud.deploy("broken", document, TrailName="broken") == "ROLLBACK_COMPLETE"
    assert set(cloud.failures("broken")) == {"Trail"}
    assert "/aws/cloudtrail/broken" not in cloud.log_groups()
    buckets = [each["Name"] for each in cloud.client("s3").list_buckets()["Buckets"]]
    assert len([each for each in buckets if each.startswith("broken-")]) == 1


def test_athena_leaves_the_work_group_and_touches_no_bucket(
    cloud: Cloud, possible: dict[str, Any], pipeline: str
) -> None:
    athena, glue = cloud.client("athena"), cloud.client("glue")
    outputs = cloud.outputs(pipeline)
    bucket = outputs["BucketName"]
    given = {"BucketName": bucket, "ResultKeyArn": outputs["KeyArn"]}
    before = cloud.objects(bucket)
    assert cloud.deploy("looking", possible["athena.yaml"], **given) == "CREATE_COMPLETE"
    database = cloud.outputs("looking")["DatabaseName"]
    table = glue.get_table(DatabaseName=database, Name="sign_ins")["Table"]
    assert table["StorageDescriptor"]["Location"] == f"s3://{bucket}/consolelogin/"
    location = table["Parameters"]["storage.location.template"]
    assert location == f"s3://{bucket}/consolelogin/${{day}}/"
    found = athena.get_work_group(WorkGroup="console-login")["WorkGroup"]["Configuration"]
    results = found["ResultConfiguration"]
    assert results["OutputLocation"] == f"s3://{bucket}/athena-results/console-login/"
    assert results["EncryptionConfiguration"]["KmsKey"] == outputs["KeyArn"]

    assert cloud.delete("looking") == "DELETE_COMPLETE"
    databases = [each["Name"] for each in glue.get_databases()["DatabaseList"]]
    assert database not in databases
    groups = [each["Name"] for each in athena.list_work_groups()["WorkGroups"]]
    assert "console-login" in groups
    assert cloud.objects(bucket) == before

    # The retained workgroup blocks a second deploy, unless the parameter has another name.
    document = possible["athena.yaml"]
    assert cloud.deploy("looking", document, **given) == "ROLLBACK_COMPLETE"
    assert "console-login already exists" in cloud.failures("looking")["QueryWorkGroup"]
    assert cloud.delete("looking") == "DELETE_COMPLETE"
    assert cloud.deploy("looking", document, **given, WorkGroupName="again") == "CREATE_COMPLETE"
