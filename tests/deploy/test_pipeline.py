"""Tests template.yaml on MiniStack: create, change, roll back, delete."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from deployed import GROUP, REGION, Cloud
from support import TOKYO, envelope, gz

SIGN_IN = gz(envelope([TOKYO, '{"eventName":"AssumeRole"}']))
KEPT = {"DeliveryBucket", "DeliveryBucketPolicy", "EncryptionKey"}

Deploy = Callable[..., str]


@pytest.fixture
def deploy(cloud: Cloud, possible: dict[str, Any]) -> Deploy:
    """Return a function that deploys template.yaml with the stack's name as parameter Name."""

    def run(name: str, document: Any = None, **parameters: str) -> str:
        document = document or possible["template.yaml"]
        return cloud.deploy(name, document, Name=name, **parameters)

    return run


def name_is_free(cloud: Cloud, name: str) -> bool:
    """Return whether no resource with a pipeline's name is left."""
    functions = cloud.client("lambda").list_functions()["Functions"]
    aliases = cloud.client("kms").list_aliases()["Aliases"]
    roles = cloud.client("iam").list_roles()["Roles"]
    return (
        name not in cloud.streams()
        and f"{name}-transform" not in {each["FunctionName"] for each in functions}
        and f"alias/{name}" not in {each["AliasName"] for each in aliases}
        and not [each for each in roles if each["RoleName"].startswith(f"{name}-")]
        and not cloud.log_groups(f"/aws/kinesisfirehose/{name}")
        and not cloud.log_groups(f"/aws/lambda/{name}-transform")
        and name not in cloud.filters()
    )


def test_sam_deploy_creates_the_defaults(
    cloud: Cloud, pipeline: str, documents: dict[str, Any]
) -> None:
    document = documents["template.yaml"]
    defaults = {name: str(each["Default"]) for name, each in document["Parameters"].items()}
    given = cloud.parameters(pipeline)
    # The fixture sets this machine's architecture in samconfig.toml.
    assert given | {"Architecture": ""} == defaults | {"Architecture": ""}
    assert cloud.stack(pipeline)["Tags"] == [{"Key": "Application", "Value": pipeline}]
    conditional = {"KeyIsCreated", "BucketIsCreated", None}

    def made(kind: str) -> set[str]:
        each = document[kind].items()
        return {name for name, found in each if found.get("Condition") in conditional}

    assert set(cloud.resources(pipeline)) == made("Resources")
    assert cloud.filters()[pipeline] == '{ ($.eventName = "ConsoleLogin") }'
    variables = cloud.variables(f"{pipeline}-transform")
    assert variables["EVENT_NAMES"] == "ConsoleLogin"
    assert variables["POWERTOOLS_METRICS_DISABLED"] == "true"
    outputs = cloud.outputs(pipeline)
    assert outputs["BucketName"] == cloud.resources(pipeline)["DeliveryBucket"]
    assert set(outputs) == made("Outputs")


def test_the_filter_is_made_last(cloud: Cloud, pipeline: str) -> None:
    # MiniStack creates resources one by one, sorted by name if the template sets no order, and so
    # always roles before the function. tests/stack therefore checks the dependencies on the roles.
    order = [id_ for id_, status, _ in cloud.events(pipeline) if status == "CREATE_COMPLETE"]
    assert order.index("TransformFunction") < order.index("DeliveryStream")
    assert order.index("DeliveryStream") < order.index("SubscriptionFilter")


def test_a_record_goes_through_the_stream_into_the_bucket(
    cloud: Cloud, pipeline: str, runs_the_function: None
) -> None:
    cloud.put(pipeline, SIGN_IN)
    objects = cloud.objects(cloud.outputs(pipeline)["BucketName"])
    ((key, lines),) = objects.items()
    assert lines == TOKYO + "\n"
    folder = r"consolelogin/\d{4}/\d\d/\d\d/"
    assert re.fullmatch(rf"{folder}{pipeline}-1-[0-9a-f-]+\.json", key)
    # The function's log group contains no metrics.
    logged = cloud.client("logs").filter_log_events(
        logGroupName=f"/aws/lambda/{pipeline}-transform"
    )
    messages = [each["message"] for each in logged["events"]]
    assert any('"events_delivered":1' in each for each in messages)
    assert not any('"_aws"' in each for each in messages)


def test_a_given_bucket_and_key_are_used_and_left_alone(
    cloud: Cloud, deploy: Deploy, runs_the_function: None
) -> None:
    kms, s3 = cloud.client("kms"), cloud.client("s3")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    s3.create_bucket(Bucket="given", CreateBucketConfiguration={"LocationConstraint": REGION})
    given = {"ExistingKeyArn": key, "ExistingBucketName": "given"}
    assert deploy("adopting", **given) == "CREATE_COMPLETE"
    assert not KEPT & set(cloud.resources("adopting"))
    destination = cloud.destination("adopting")
    assert destination["BucketARN"] == "arn:aws:s3:::given"
    assert destination["EncryptionConfiguration"]["KMSEncryptionConfig"]["AWSKMSKeyARN"] == key
    groups = cloud.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/adopting")
    assert [each["kmsKeyId"] for each in groups["logGroups"]] == [key]
    cloud.put("adopting", SIGN_IN)

    assert cloud.delete("adopting") == "DELETE_COMPLETE"
    assert list(cloud.objects("given").values()) == [TOKYO + "\n"]
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"


def test_alarms_and_dashboard_come_and_go(cloud: Cloud, deploy: Deploy) -> None:
    cloudwatch = cloud.client("cloudwatch")

    def watching() -> tuple[int, int, int]:
        alarms = cloudwatch.describe_alarms(AlarmNamePrefix="watched-")["MetricAlarms"]
        boards = cloudwatch.list_dashboards(DashboardNamePrefix="watched-")["DashboardEntries"]
        filters = cloud.client("logs").describe_metric_filters(logGroupName=GROUP)["metricFilters"]
        return len(alarms), len(boards), len(filters)

    assert deploy("watched") == "CREATE_COMPLETE"
    assert watching() == (0, 0, 0)
    wanted = {"AlarmEmail": "a@example.com", "SignInAlarms": "true", "Dashboard": "true"}
    assert deploy("watched", **wanted) == "UPDATE_COMPLETE"
    assert watching() == (12, 1, 4)
    topic = cloud.resources("watched")["AlarmTopic"]
    alarms = cloudwatch.describe_alarms(AlarmNamePrefix="watched-")["MetricAlarms"]
    assert [each["AlarmActions"] for each in alarms] == [[topic]] * 12
    board = cloudwatch.get_dashboard(DashboardName=f"watched-{REGION}")["DashboardBody"]
    # The dashboard is valid JSON and shows every alarm.
    (states,) = [each for each in json.loads(board)["widgets"] if each["type"] == "alarm"]
    assert set(states["properties"]["alarms"]) == {each["AlarmArn"] for each in alarms}
    (subscription,) = cloud.client("sns").list_subscriptions_by_topic(TopicArn=topic)[
        "Subscriptions"
    ]
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "a@example.com")
    assert cloud.variables("watched-transform")["POWERTOOLS_METRICS_DISABLED"] == "false"

    # A dashboard without alarms needs the metrics too.
    assert deploy("watched", Dashboard="true") == "UPDATE_COMPLETE"
    assert watching() == (0, 1, 1)
    assert cloud.variables("watched-transform")["POWERTOOLS_METRICS_DISABLED"] == "false"

    assert deploy("watched") == "UPDATE_COMPLETE"
    assert watching() == (0, 0, 0)
    assert cloud.variables("watched-transform")["POWERTOOLS_METRICS_DISABLED"] == "true"


def test_event_names_and_prefix_change_in_place(
    cloud: Cloud, deploy: Deploy, runs_the_function: None
) -> None:
    assert deploy("changing") == "CREATE_COMPLETE"
    cloud.put("changing", SIGN_IN)
    before = cloud.resources("changing")

    changes = {"EventNames": "ConsoleLogin,CheckMfa", "Prefix": "elsewhere/"}
    assert deploy("changing", **changes) == "UPDATE_COMPLETE"

    assert cloud.resources("changing") == before
    pattern = '{ ($.eventName = "ConsoleLogin") || ($.eventName = "CheckMfa") }'
    assert cloud.filters()["changing"] == pattern
    cloud.put("changing", gz(envelope(['{"eventName":"CheckMfa"}'])))
    objects = cloud.objects(cloud.outputs("changing")["BucketName"])
    assert {key.split("/")[0]: lines for key, lines in objects.items()} == {
        "consolelogin": TOKYO + "\n",
        "elsewhere": '{"eventName":"CheckMfa"}\n',
    }
    # The role may still write buffered records to the old folder.
    role = before["DeliveryRole"]
    policy = cloud.client("iam").get_role_policy(RoleName=role, PolicyName="WriteObjects")
    writes = policy["PolicyDocument"]["Statement"][1]
    assert "s3:PutObject" in writes["Action"]
    assert writes["Resource"] == f"arn:aws:s3:::{before['DeliveryBucket']}/*"

    assert deploy("changing", EventNames="*") == "UPDATE_COMPLETE"
    assert cloud.filters()["changing"] == ""
    assert cloud.variables("changing-transform")["EVENT_NAMES"] == "*"


def test_a_name_changes_by_replacement(cloud: Cloud, deploy: Deploy, possible: Any) -> None:
    assert deploy("renamed") == "CREATE_COMPLETE"
    before = cloud.resources("renamed")
    document = possible["template.yaml"]
    assert cloud.deploy("renamed", document, Name="newname") == "UPDATE_COMPLETE"
    after = cloud.resources("renamed")
    assert {name for name in before if before[name] != after[name]} == {
        "DeliveryLogGroup",
        "DeliveryStream",
        "EncryptionKeyAlias",
        "SubscriptionFilter",
        "TransformFunction",
        "TransformLogGroup",
    }
    assert "renamed" not in cloud.streams()
    assert set(cloud.filters()) >= {"newname"}
    assert "renamed" not in cloud.filters()


def test_a_failing_update_rolls_back(
    cloud: Cloud, deploy: Deploy, possible: dict[str, Any], runs_the_function: None
) -> None:
    assert deploy("failing") == "CREATE_COMPLETE"
    before = {
        "parameters": cloud.parameters("failing"),
        "resources": cloud.resources("failing"),
        "outputs": cloud.outputs("failing"),
        "destination": cloud.destination("failing"),
        "variables": cloud.variables("failing-transform"),
        "filter": cloud.filters()["failing"],
    }
    # Created last, this resource fails because the stream's name exists already.
    document = json.loads(json.dumps(possible["template.yaml"]))
    document["Resources"]["Second"] = {
        "Type": "AWS::KinesisFirehose::DeliveryStream",
        "DependsOn": "SubscriptionFilter",
        "Properties": {"DeliveryStreamName": {"Ref": "Name"}},
    }
    changes = {
        "EventNames": "CheckMfa",
        "Prefix": "elsewhere/",
        "AlarmEmail": "a@example.com",
        "Compression": "GZIP",
    }
    assert deploy("failing", document, **changes) == "UPDATE_ROLLBACK_COMPLETE"
    updated = [id_ for id_, status, _ in cloud.events("failing") if status == "UPDATE_COMPLETE"]
    assert {"DeliveryStream", "SubscriptionFilter", "TransformFunction"} <= set(updated)
    assert set(cloud.failures("failing")) == {"Second"}

    assert {
        "parameters": cloud.parameters("failing"),
        "resources": cloud.resources("failing"),
        "outputs": cloud.outputs("failing"),
        "destination": cloud.destination("failing"),
        "variables": cloud.variables("failing-transform"),
        "filter": cloud.filters()["failing"],
    } == before
    cloud.put("failing", SIGN_IN)
    assert list(cloud.objects(before["outputs"]["BucketName"]).values()) == [TOKYO + "\n"]
    assert deploy("failing", EventNames="CheckMfa") == "UPDATE_COMPLETE"


def test_a_failed_first_deploy_leaves_nothing_but_itself(cloud: Cloud, deploy: Deploy) -> None:
    firehose, s3 = cloud.client("firehose"), cloud.client("s3")
    buckets = [each["Name"] for each in s3.list_buckets()["Buckets"]]
    keys = {each["KeyId"] for each in cloud.client("kms").list_keys()["Keys"]}
    firehose.create_delivery_stream(DeliveryStreamName="taken")
    assert deploy("taken") == "ROLLBACK_COMPLETE"
    assert set(cloud.failures("taken")) == {"DeliveryStream"}
    firehose.delete_delivery_stream(DeliveryStreamName="taken")
    assert name_is_free(cloud, "taken")
    assert [each["Name"] for each in s3.list_buckets()["Buckets"]] == buckets
    kms = cloud.client("kms")
    made = {each["KeyId"] for each in kms.list_keys()["Keys"]} - keys
    states = [kms.describe_key(KeyId=each)["KeyMetadata"]["KeyState"] for each in made]
    assert states in ([], ["PendingDeletion"])

    # Such a stack cannot be updated. After it is deleted, a deploy succeeds.
    with pytest.raises(ClientError, match="ROLLBACK_COMPLETE"):
        deploy("taken")
    assert cloud.delete("taken") == "DELETE_COMPLETE"
    assert deploy("taken") == "CREATE_COMPLETE"


def test_two_pipelines_need_two_names(cloud: Cloud, deploy: Deploy, possible: Any) -> None:
    assert deploy("first") == "CREATE_COMPLETE"
    assert deploy("second") == "CREATE_COMPLETE"
    assert {"first", "second"} <= set(cloud.filters())
    document = possible["template.yaml"]
    assert cloud.deploy("third", document, Name="first") == "ROLLBACK_COMPLETE"
    assert "first" in cloud.streams()


def test_deleting_keeps_the_bucket_and_the_key(
    cloud: Cloud, deploy: Deploy, runs_the_function: None
) -> None:
    wanted = {"AlarmEmail": "a@example.com", "SignInAlarms": "true", "Dashboard": "true"}
    assert deploy("leaving", **wanted) == "CREATE_COMPLETE"
    cloud.put("leaving", SIGN_IN)
    stack_id = cloud.stack("leaving")["StackId"]
    made = cloud.resources("leaving")

    assert cloud.delete("leaving") == "DELETE_COMPLETE"

    events = cloud.events(stack_id)
    assert {id_ for id_, status, _ in events if status == "DELETE_SKIPPED"} == KEPT
    order = [id_ for id_, status, _ in events if status == "DELETE_COMPLETE"]
    # The filter is deleted before its stream, and the stream before its function.
    assert order.index("SubscriptionFilter") < order.index("DeliveryStream")
    assert order.index("DeliveryStream") < order.index("TransformFunction")
    assert name_is_free(cloud, "leaving")
    cloudwatch = cloud.client("cloudwatch")
    assert not cloudwatch.describe_alarms(AlarmNamePrefix="leaving-")["MetricAlarms"]
    assert not cloudwatch.list_dashboards(DashboardNamePrefix="leaving-")["DashboardEntries"]

    assert list(cloud.objects(made["DeliveryBucket"]).values()) == [TOKYO + "\n"]
    policy = cloud.client("s3").get_bucket_policy(Bucket=made["DeliveryBucket"])["Policy"]
    assert "DenyPlainHttp" in policy
    key = cloud.client("kms").describe_key(KeyId=made["EncryptionKey"])["KeyMetadata"]
    assert key["KeyState"] == "Enabled"
    # The name is free again for a second deploy.
    assert deploy("leaving") == "CREATE_COMPLETE"
