"""The names that the templates set: within AWS's limits, and different in each stack."""

from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from stacks import DOCUMENT, DOCUMENTS, EVERY, stack, trail

from console_login.stack import template

# The longest name that AWS allows; StackSets create names such as StackSet-NAME-UUID.
LONG_STACK_NAME = "StackSet-" + "s" * 119
ALL_OPTIONS = EVERY["everything optional"][1]

# Limits that the resources' schemas lack, from the API references of Lambda (FunctionName) and
# CloudWatch (DashboardName).
LIMITS = {
    ("AWS::Lambda::Function", "FunctionName"): 64,
    ("AWS::CloudWatch::Dashboard", "DashboardName"): 255,
    ("AWS::Athena::WorkGroup", "Name"): 128,
}


def names(resolved: template.Stack) -> dict[str, dict[str, str]]:
    """Return the properties that identify each resource, if the template sets all of them."""
    found: dict[str, dict[str, str]] = {}
    for logical_id, resource in resolved.resources.items():
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(resolved.region, resource.type).schema
        keys = [path.removeprefix("/properties/") for path in schema["primaryIdentifier"]]
        if all(key in resource.properties for key in keys):
            found[logical_id] = {key: resource.properties[key] for key in keys}
    return found


def limit(resolved: template.Stack, type_: str, key: str) -> int:
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(resolved.region, type_).schema
    longest: int = schema["properties"][key].get("maxLength") or LIMITS[type_, key]
    return longest


def namespaces(resolved: template.Stack) -> set[tuple[str, str]]:
    """Return the namespaces of the metric filters, and the stack's dimension in the shared one."""
    variables = resolved.resources["TransformFunction"].properties["Environment"]["Variables"]
    service = variables["POWERTOOLS_SERVICE_NAME"]
    return {("service", service)} | {
        ("namespace", transformation["MetricNamespace"])
        for each in resolved.of_type("AWS::Logs::MetricFilter").values()
        for transformation in each.properties["MetricTransformations"]
    }


def test_the_names_are_derived_from_the_parameter_name() -> None:
    expected = {
        "SubscriptionFilter": {
            "FilterName": "sign-ins",
            "LogGroupName": "/aws/cloudtrail/management-event",
        },
        "DeliveryStream": {"DeliveryStreamName": "sign-ins"},
        "DeliveryLogGroup": {"LogGroupName": "/aws/kinesisfirehose/sign-ins"},
        "DeliveryLogStream": {
            "LogGroupName": "/aws/kinesisfirehose/sign-ins",
            "LogStreamName": "DestinationDelivery",
        },
        "TransformFunction": {"FunctionName": "sign-ins-transform"},
        "TransformLogGroup": {"LogGroupName": "/aws/lambda/sign-ins-transform"},
        "EncryptionKeyAlias": {"AliasName": "alias/sign-ins"},
        "OperationsDashboard": {"DashboardName": "sign-ins-ap-northeast-1"},
        # The name of the bucket, which CloudFormation chooses.
        "DeliveryBucketPolicy": {"Bucket": "s-deliverybucket"},
    }
    resolved = template.resolve(DOCUMENT, ALL_OPTIONS | {"Name": "sign-ins"}, stack_name="s")
    assert names(resolved) == expected


def test_roles_buckets_topics_and_alarms_are_named_by_cloudformation() -> None:
    generated = {"BucketName", "RoleName", "TopicName", "AlarmName"}
    for name in EVERY:
        for resource in stack(name).resources.values():
            assert not generated & set(resource.properties), resource.type


def test_two_stacks_share_no_name() -> None:
    first, second = (
        template.resolve(DOCUMENT, ALL_OPTIONS | {"Name": name}, stack_name=f"stack-{name}")
        for name in ("one", "two")
    )
    ours, theirs = names(first), names(second)
    assert set(ours) == set(theirs)
    for logical_id, identifier in ours.items():
        assert identifier != theirs[logical_id], logical_id
    assert not namespaces(first) & namespaces(second)
    assert len(namespaces(first)) == 2


def test_two_trails_share_no_name() -> None:
    first, second = (
        template.resolve(DOCUMENTS["trail.yaml"], {"TrailName": name}, stack_name=f"stack-{name}")
        for name in ("one", "two")
    )
    ours, theirs = names(first), names(second)
    assert set(ours) == {"Trail", "TrailLogGroup", "TrailBucketPolicy", "EncryptionKeyAlias"}
    assert not [each for each, identifier in ours.items() if identifier == theirs[each]]


def test_two_regions_share_no_dashboard() -> None:
    # Names of dashboards are unique in an account, not only in a Region.
    dashboards = {
        names(stack("everything optional", region=region))["OperationsDashboard"]["DashboardName"]
        for region in ("ap-northeast-1", "us-east-1")
    }
    assert len(dashboards) == 2


@pytest.mark.parametrize("name", EVERY)
def test_a_long_stack_name_changes_no_name(name: str) -> None:
    assert len(LONG_STACK_NAME) == 128
    long = stack(name, stack_name=LONG_STACK_NAME)

    def given(resolved: template.Stack) -> Any:
        # The names of buckets and databases identify these, and CloudFormation chooses the names.
        policies = resolved.of_type("AWS::S3::BucketPolicy")
        databases = resolved.of_type("AWS::Glue::Table")
        found = names(resolved)
        return {each: found[each] for each in found if each not in policies | databases}

    assert given(long) == given(stack(name))


@pytest.mark.parametrize("file", DOCUMENTS)
def test_no_template_derives_a_name_from_the_stacks_name(file: str) -> None:
    assert "AWS::StackName" not in str(DOCUMENTS[file])


@pytest.mark.parametrize("name", ["the longest name", "the longest trail's name"])
def test_the_longest_name_exceeds_no_limit(name: str) -> None:
    document, parameters = EVERY[name]
    if document is DOCUMENT:
        parameters = parameters | ALL_OPTIONS
    # The Region's name is as long as Region names get, too.
    resolved = template.resolve(
        document, parameters, stack_name=LONG_STACK_NAME, region="ap-southeast-1"
    )
    found = names(resolved)
    assert len(found) >= 4
    for logical_id, identifier in found.items():
        type_ = resolved.resources[logical_id].type
        for key, value in identifier.items():
            if type_ != "AWS::S3::BucketPolicy":
                assert len(value) <= limit(resolved, type_, key), (logical_id, value)


def test_the_limit_of_the_parameter_name_follows_from_the_functions_name() -> None:
    # The longest Name reaches the tightest limit exactly, so a longer one would be too long.
    function = stack("the longest name").resources["TransformFunction"].properties
    assert len(function["FunctionName"]) == LIMITS["AWS::Lambda::Function", "FunctionName"]


def test_the_longest_namespace_and_dimension_are_within_the_limits() -> None:
    # CloudWatch API reference, MetricDatum and PutMetricData: 255 and 1,024 characters.
    resolved = template.resolve(DOCUMENT, ALL_OPTIONS | {"Name": "n" * 54})
    for kind, value in namespaces(resolved):
        assert len(value) <= {"namespace": 255, "service": 1024}[kind]


def test_the_trail_and_the_pipeline_share_no_name() -> None:
    # In the same account, with the defaults of both.
    def identifiers(resolved: template.Stack) -> set[tuple[str, Any]]:
        return {
            (resolved.resources[each].type, tuple(sorted(identifier.items())))
            for each, identifier in names(resolved).items()
        }

    pipeline = identifiers(stack("everything optional", stack_name="pipeline"))
    assert not pipeline & identifiers(trail(stack_name="trail"))
