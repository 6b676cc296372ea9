"""The templates, resolved for every meaningful combination, and the settings of template.yaml."""

import graphlib
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from cfnlint.api import lint
from stacks import (
    ATHENA_COMBINATIONS,
    COMBINATIONS,
    DOCUMENT,
    DOCUMENTS,
    EVERY,
    FILTER_COMBINATIONS,
    KEY_ARN,
    TRAIL_COMBINATIONS,
    needs,
    only,
    stack,
    trail,
)
from support import ROOT

from console_login.stack import template
from transformer.config import event_names

PARAMETERS = DOCUMENT["Parameters"]
# Parameters without a default, because the value is only known from another stack.
REQUIRED = {"BucketName", "ResultKeyArn", "DestinationArn"}
STREAM = "AWS::KinesisFirehose::DeliveryStream"
FILTER = "AWS::Logs::SubscriptionFilter"

every_combination = pytest.mark.parametrize("name", COMBINATIONS)
every_stack = pytest.mark.parametrize("name", EVERY)
every_template = pytest.mark.parametrize("file", DOCUMENTS)


def walk(node: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key and value of a document."""
    if isinstance(node, list):
        for item in node:
            yield from walk(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            yield key, value
            yield from walk(value)


def destination(resolved: template.Stack) -> dict[str, Any]:
    properties: dict[str, Any] = only(resolved, STREAM)["ExtendedS3DestinationConfiguration"]
    return properties


def processor(resolved: template.Stack) -> dict[str, str]:
    (found,) = destination(resolved)["ProcessingConfiguration"]["Processors"]
    assert found["Type"] == "Lambda"
    return {each["ParameterName"]: each["ParameterValue"] for each in found["Parameters"]}


# The whole template ---------------------------------------------------------------------------


def test_there_are_four_templates_and_each_combination_has_a_name() -> None:
    assert {path.name for path in ROOT.glob("[!.]*.yaml")} == set(DOCUMENTS)
    every = (COMBINATIONS, TRAIL_COMBINATIONS, ATHENA_COMBINATIONS, FILTER_COMBINATIONS)
    counts = map(len, every)
    assert len(EVERY) == sum(counts)


def test_the_template_can_be_read() -> None:
    assert len((ROOT / "template.yaml").read_text().splitlines()) <= 1200


@every_stack
def test_it_resolves_without_a_dangling_reference_or_a_cycle(name: str) -> None:
    resolved = stack(name)
    assert set(resolved.outputs) == {
        output
        for output, each in EVERY[name][0]["Outputs"].items()
        if resolved.conditions.get(each.get("Condition"), True)
    }
    graph = {key: resource.needs for key, resource in resolved.resources.items()}
    assert set(graphlib.TopologicalSorter(graph).static_order()) == set(graph)


@every_stack
def test_the_resolved_stack_passes_the_linter(name: str) -> None:
    # The lint of the template itself does not detect a name that a parameter makes too long.
    resolved = stack(name)
    resources = {
        logical_id: {"Type": resource.type, "Properties": resource.properties}
        | {
            key: value
            for key, value in resource.attributes.items()
            if key in ("DeletionPolicy", "UpdateReplacePolicy")
        }
        for logical_id, resource in resolved.resources.items()
    }
    document = {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}
    found = lint(json.dumps(document), regions=[resolved.region])
    assert not [f"{match.rule.id} {match.message}" for match in found]


@pytest.mark.parametrize(
    ("region", "partition", "suffix"),
    [
        ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
        ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
    ],
)
def test_no_partition_is_assumed(region: str, partition: str, suffix: str) -> None:
    services = {"nothing given": ("s3", "logs"), "existing bucket": ("s3", "logs")}
    for name, through in (services | {"the trail": ("logs",)}).items():
        resolved = stack(name, region=region)
        text = json.dumps([each.properties for each in resolved.resources.values()])
        assert "arn:aws:" not in text
        assert f"arn:{partition}:" in text
        via = {value for key, value in walk(json.loads(text)) if key == "kms:ViaService"}
        assert via == {f"{service}.{region}.{suffix}" for service in through}


@every_stack
def test_nothing_is_left_unresolved(name: str) -> None:
    text = json.dumps([each.properties for each in stack(name).resources.values()])
    assert "Fn::" not in text
    # Athena's own syntax, for partition projection.
    assert "${" not in text.replace("${day}", "")
    assert '"Ref"' not in text


@every_template
def test_no_parameter_is_unused(file: str) -> None:
    document = DOCUMENTS[file]
    used = set()
    sections = ("Conditions", "Globals", "Resources", "Outputs")
    for key, value in walk({key: document.get(key, {}) for key in sections}):
        if key == "Ref":
            used.add(value)
        elif key == "Fn::Sub":
            used |= set(re.findall(r"\$\{(\w+)\}", json.dumps(value)))
    assert set(document["Parameters"]) <= used


def test_every_condition_is_used_and_both_results_are_tested() -> None:
    used = {value for key, value in walk(DOCUMENT) if key == "Condition" and isinstance(value, str)}
    used |= {value[0] for key, value in walk(DOCUMENT) if key == "Fn::If"}
    assert used == set(DOCUMENT["Conditions"])
    for condition in used:
        answers = {stack(name).conditions[condition] for name in COMBINATIONS}
        assert answers == {True, False}, condition


def test_conditions_use_only_the_functions_that_are_documented_for_them() -> None:
    # AWS CloudFormation user guide, "Condition functions": Equals accepts values, Ref, FindInMap
    # and other condition functions.
    sections = {key: DOCUMENT[key] for key in ("Conditions", "Rules")}
    functions = {key for key, _ in walk(sections) if key == "Ref" or key.startswith("Fn::")}
    assert functions == {"Ref", "Fn::Equals", "Fn::Not", "Fn::Or"}


@every_combination
def test_no_resource_exists_without_what_it_needs(name: str) -> None:
    resolved = stack(name)
    buckets = {
        json.dumps(resource.properties["Bucket"])
        for resource in resolved.of_type("AWS::S3::BucketPolicy").values()
    }
    assert len(buckets) == len(resolved.of_type("AWS::S3::Bucket"))
    assert len(resolved.of_type("AWS::KMS::Key")) == len(resolved.of_type("AWS::KMS::Alias"))


def test_existing_resources_are_not_created() -> None:
    assert not stack("everything given").of_type("AWS::S3::Bucket")
    assert not stack("everything given").of_type("AWS::KMS::Key")
    assert stack("nothing given").of_type("AWS::S3::Bucket")
    assert stack("nothing given").of_type("AWS::KMS::Key")


@every_combination
def test_the_pipeline_has_neither_a_trail_nor_queries(name: str) -> None:
    services = {resource.type.split("::")[1] for resource in stack(name).resources.values()}
    assert not services & {"CloudTrail", "Athena", "Glue"}


@every_template
def test_no_resource_has_its_own_tags(file: str) -> None:
    # CloudFormation copies the stack's tags, which are in samconfig.toml, to each resource that
    # supports tags.
    assert "Tags" not in {key for key, _ in walk(DOCUMENTS[file])}


# The interface --------------------------------------------------------------------------------


@every_template
def test_sections_are_in_reading_order(file: str) -> None:
    order = [
        "AWSTemplateFormatVersion",
        "Transform",
        "Description",
        "Metadata",
        "Parameters",
        "Rules",
        "Conditions",
        "Globals",
        "Resources",
        "Outputs",
    ]
    document = DOCUMENTS[file]
    assert list(document) == [section for section in order if section in document]
    left_out = {
        "template.yaml": set(),
        # StackSets accept no transform.
        "filter.yaml": {"Transform", "Rules", "Globals"},
    }
    others = {"Transform", "Rules", "Conditions", "Globals"}
    assert set(order) - set(document) == left_out.get(file, others)


@pytest.mark.parametrize(
    ("file", "labels"),
    [
        (
            "template.yaml",
            ["Names", "Source", "Destination", "Encryption", "Delivery", "Function", "Operations"],
        ),
        ("trail.yaml", ["Names", "Operations"]),
        ("athena.yaml", ["Location of the lines", "Queries"]),
        ("filter.yaml", ["Names", "Source", "Destination"]),
    ],
)
def test_every_parameter_is_grouped_described_and_bounded(file: str, labels: list[str]) -> None:
    document = DOCUMENTS[file]
    groups = document["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert [group["Label"]["default"].split(":")[0] for group in groups] == labels
    parameters = document["Parameters"]
    assert [name for group in groups for name in group["Parameters"]] == list(parameters)
    for name, parameter in parameters.items():
        assert parameter["Description"], name
        # Only values of another stack have no default.
        assert "Default" in parameter or name in REQUIRED, name
        if "AllowedValues" not in parameter:
            assert {"AllowedPattern", "MinValue"} & set(parameter), name
            assert parameter["ConstraintDescription"].startswith("must "), name


def test_every_output_is_described() -> None:
    outputs = [each for document in DOCUMENTS.values() for each in document["Outputs"].values()]
    assert all(len(output["Description"]) >= 10 for output in outputs)
    assert all(len(output["Description"]) > 20 for output in DOCUMENT["Outputs"].values())


def test_outputs_have_complete_commands() -> None:
    outputs = stack("everything given").outputs
    assert outputs["ListObjectsCommand"] == (
        "aws s3 ls --recursive s3://amzn-s3-demo-bucket/a/b/ --region ap-northeast-1"
    )
    assert outputs["TailFunctionLogCommand"] == (
        "aws logs tail /aws/lambda/sign-ins-transform --since 1d --follow --region ap-northeast-1"
    )
    assert outputs["TailDeliveryLogCommand"] == (
        "aws logs tail /aws/kinesisfirehose/sign-ins --since 1d --follow --region ap-northeast-1"
    )
    # The folder of the stream's error output prefix.
    assert outputs["ListFailedRecordsCommand"] == (
        "aws s3 ls --recursive s3://amzn-s3-demo-bucket/a/b/processing-failed/"
        " --region ap-northeast-1"
    )
    assert outputs["KeyArn"] == KEY_ARN
    assert outputs["LogGroupName"] == "/aws/cloudtrail/other"


def test_no_lint_rule_is_ignored() -> None:
    assert not list(ROOT.glob(".cfnlintrc*"))
    assert "cfn-lint" not in json.dumps(DOCUMENTS)
    assert "cfn-lint" not in (ROOT / "samconfig.toml").read_text()


# The article's settings, one by one -----------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("DeliveryStreamType", "DirectPut"),
        ("DeliveryStreamEncryptionConfigurationInput.KeyType", "AWS_OWNED_CMK"),
        ("S3.Prefix", "consolelogin/!{timestamp:yyyy}/!{timestamp:MM}/!{timestamp:dd}/"),
        (
            "S3.ErrorOutputPrefix",
            "consolelogin/!{firehose:error-output-type}/"
            "!{timestamp:yyyy}/!{timestamp:MM}/!{timestamp:dd}/",
        ),
        ("S3.CustomTimeZone", "Asia/Tokyo"),
        ("S3.BufferingHints.SizeInMBs", "1"),
        ("S3.BufferingHints.IntervalInSeconds", "10"),
        ("S3.CompressionFormat", "UNCOMPRESSED"),
        ("S3.FileExtension", ".json"),
        ("S3.CloudWatchLoggingOptions.Enabled", True),
        ("S3.CloudWatchLoggingOptions.LogGroupName", "/aws/kinesisfirehose/console-login-firehose"),
        ("S3.CloudWatchLoggingOptions.LogStreamName", "DestinationDelivery"),
        ("S3.ProcessingConfiguration.Enabled", True),
    ],
)
def test_setting_of_the_stream(path: str, value: Any) -> None:
    stream = only(stack(), STREAM)
    properties: Any = stream | {"S3": stream["ExtendedS3DestinationConfiguration"]}
    for key in path.split("."):
        properties = properties[key]
    assert properties == value


@pytest.mark.parametrize(
    ("name", "value"),
    [("NumberOfRetries", "3"), ("BufferSizeInMBs", "0.25"), ("BufferIntervalInSeconds", "10")],
)
def test_setting_of_the_lambda_processor(name: str, value: str) -> None:
    assert processor(stack())[name] == value


def test_the_stream_has_one_processor_and_no_backup() -> None:
    # With native decompression, the stream could not accept records that are put back or redriven.
    parameters = processor(stack())
    assert parameters["LambdaArn"].endswith(":function:console-login-firehose-transform")
    assert parameters["RoleArn"] == destination(stack())["RoleARN"]
    assert "S3BackupMode" not in destination(stack())


@pytest.mark.parametrize(
    ("parameters", "key", "value"),
    [
        (
            {"Prefix": "a/b/"},
            "Prefix",
            "a/b/!{timestamp:yyyy}/!{timestamp:MM}/!{timestamp:dd}/",
        ),
        ({"Prefix": ""}, "Prefix", "!{timestamp:yyyy}/!{timestamp:MM}/!{timestamp:dd}/"),
        (
            {"Prefix": ""},
            "ErrorOutputPrefix",
            "!{firehose:error-output-type}/!{timestamp:yyyy}/!{timestamp:MM}/!{timestamp:dd}/",
        ),
        ({"TimeZone": "America/Port_of_Spain"}, "CustomTimeZone", "America/Port_of_Spain"),
        ({"FileExtension": ".ndjson"}, "FileExtension", ".ndjson"),
        ({"Compression": "GZIP"}, "FileExtension", ".json.gz"),
        ({"Compression": "GZIP", "FileExtension": ".log"}, "FileExtension", ".log.gz"),
        ({"Compression": "GZIP"}, "CompressionFormat", "GZIP"),
        (
            {"BufferSizeMiB": "5", "BufferSeconds": "300"},
            "BufferingHints",
            {"SizeInMBs": "5", "IntervalInSeconds": "300"},
        ),
    ],
)
def test_a_parameter_reaches_the_stream(parameters: dict[str, str], key: str, value: Any) -> None:
    assert destination(template.resolve(DOCUMENT, parameters))[key] == value


def test_the_lambda_buffers_parameters_reach_the_processor() -> None:
    parameters = {"LambdaBufferMiB": "3", "LambdaBufferSeconds": "0"}
    found = processor(template.resolve(DOCUMENT, parameters))
    assert (found["BufferSizeInMBs"], found["BufferIntervalInSeconds"]) == ("3", "0")


def test_prefixes_stay_under_firehoses_512_characters() -> None:
    longest = "x" * (PARAMETERS["Prefix"]["MaxLength"] - 1) + "/"
    found = destination(template.resolve(DOCUMENT, {"Prefix": longest}))
    assert len(found["Prefix"]) <= 512
    assert len(found["ErrorOutputPrefix"]) == 512


@every_combination
def test_objects_and_logs_are_encrypted_with_the_same_key(name: str) -> None:
    resolved = stack(name)
    key = resolved.outputs["KeyArn"]
    if "ExistingKeyArn" in COMBINATIONS[name]:
        assert key == COMBINATIONS[name]["ExistingKeyArn"]
    used = destination(resolved)["EncryptionConfiguration"]["KMSEncryptionConfig"]["AWSKMSKeyARN"]
    assert used == key
    for group in resolved.of_type("AWS::Logs::LogGroup").values():
        assert group.properties["KmsKeyId"] == key
    for bucket in resolved.of_type("AWS::S3::Bucket").values():
        (rule,) = bucket.properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        default = rule["ServerSideEncryptionByDefault"]
        assert default == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}


# The subscription filter ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "pattern", "variable"),
    [
        ("ConsoleLogin", '{ ($.eventName = "ConsoleLogin") }', "ConsoleLogin"),
        (
            "ConsoleLogin,CheckMfa",
            '{ ($.eventName = "ConsoleLogin") || ($.eventName = "CheckMfa") }',
            "ConsoleLogin,CheckMfa",
        ),
        ("*", "", "*"),
    ],
)
def test_filter_and_function_never_differ(names: str, pattern: str, variable: str) -> None:
    resolved = template.resolve(DOCUMENT, {"EventNames": names})
    assert only(resolved, FILTER)["FilterPattern"] == pattern
    variables = only(resolved, "AWS::Lambda::Function")["Environment"]["Variables"]
    assert variables["EVENT_NAMES"] == variable
    selected = event_names(variables)
    in_pattern = frozenset(re.findall(r'\$\.eventName = "([^"]+)"', pattern))
    assert selected == (in_pattern or None)


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("nothing given", "/aws/cloudtrail/management-event"),
        ("everything given", "/aws/cloudtrail/other"),
    ],
)
def test_the_filter_is_on_the_trails_log_group(name: str, group: str) -> None:
    assert only(stack(name), FILTER)["LogGroupName"] == group


@every_combination
def test_the_filter_feeds_this_stream_with_its_own_role(name: str) -> None:
    resolved = stack(name)
    found = only(resolved, FILTER)
    assert found["DestinationArn"] == resolved.outputs["DeliveryStreamArn"]
    assert found["RoleArn"].endswith(":role/console-login-firehose-SubscriptionRole")


# Order of creation ----------------------------------------------------------------------------


@every_combination
def test_a_role_is_created_well_before_the_resource_that_uses_it(name: str) -> None:
    # CloudFormation does not retry a stream or a filter whose role has not propagated yet.
    resolved = stack(name)
    assert needs(resolved, "TransformFunction") >= {"SubscriptionRole", "DeliveryRole"}
    assert "TransformFunction" in needs(resolved, "DeliveryStream")
    assert "DeliveryStream" in needs(resolved, "SubscriptionFilter")


@every_combination
def test_no_role_waits_for_stream_function_or_filter(name: str) -> None:
    resolved = stack(name)
    roles = resolved.of_type("AWS::IAM::Role")
    assert set(roles) == {"SubscriptionRole", "DeliveryRole", "TransformRole"}
    for role in roles:
        late = {"DeliveryStream", "TransformFunction", "SubscriptionFilter"}
        assert not needs(resolved, role) & late, role


@every_combination
def test_the_filter_is_created_last(name: str) -> None:
    resolved = stack(name)
    assert "TransformRole" in needs(resolved, "SubscriptionFilter")
    later = set(resolved.resources) - needs(resolved, "SubscriptionFilter")
    watching = ("AWS::CloudWatch", "AWS::Logs::Metric", "AWS::SNS")
    later = {each for each in later if not resolved.resources[each].type.startswith(watching)}
    # Resources on which no record in the pipeline depends.
    # Destination is for other accounts, which get its ARN after the stack is created.
    beside = {"EncryptionKeyAlias", "DeliveryBucketPolicy", "Destination"}
    assert later <= beside | {"SubscriptionFilter"}


# Function, bucket, retention ------------------------------------------------------------------


def test_the_functions_environment_has_the_variables_that_its_config_reads() -> None:
    variables = only(stack(), "AWS::Lambda::Function")["Environment"]["Variables"]
    powertools = {name for name in variables if name.startswith("POWERTOOLS_")}
    assert powertools == {
        "POWERTOOLS_METRICS_DISABLED",
        "POWERTOOLS_METRICS_NAMESPACE",
        "POWERTOOLS_SERVICE_NAME",
    }
    source = (ROOT / "functions" / "transform" / "transformer" / "config.py").read_text()
    read = set(re.findall(r'environment\.get\("(\w+)"', source))
    assert set(variables) - powertools == read
    assert event_names(variables) == event_names({})


def test_the_function_logs_json_into_its_own_group_and_answers_well_before_firehose_gives_up() -> (
    None
):
    function = only(stack(), "AWS::Lambda::Function")
    assert function["LoggingConfig"] == {
        "LogFormat": "JSON",
        "LogGroup": "/aws/lambda/console-login-firehose-transform",
    }
    assert function["Timeout"] <= 150
    assert function["Handler"] == "app.lambda_handler"
    assert function["Runtime"] == "python3.13"
    assert function["Architectures"] == ["arm64"]


def test_logs_are_kept_for_the_days_of_the_parameter() -> None:
    resolved = template.resolve(DOCUMENT, {"LogRetentionDays": "365"})
    groups = resolved.of_type("AWS::Logs::LogGroup")
    assert len(groups) == 2
    assert {group.properties["RetentionInDays"] for group in groups.values()} == {"365"}


def test_resources_with_sign_ins_are_kept_when_the_stack_is_deleted() -> None:
    kept = {
        logical_id
        for logical_id, resource in stack().resources.items()
        # Not plain Retain, because resources from a failed first deploy would block the next one.
        if resource.attributes.get("DeletionPolicy") == "RetainExceptOnCreate"
    }
    assert kept == {"EncryptionKey", "DeliveryBucket", "DeliveryBucketPolicy"}
    for logical_id in kept:
        assert stack().resources[logical_id].attributes["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize(
    ("resolved", "logical_id"), [(stack(), "DeliveryBucket"), (trail(), "TrailBucket")]
)
def test_a_bucket_is_private_versioned_and_cleaned_up(
    resolved: template.Stack, logical_id: str
) -> None:
    bucket = resolved.resources[logical_id].properties
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["BlockedEncryptionTypes"] == {"EncryptionType": ["SSE-C"]}
    rule, *others = bucket["LifecycleConfiguration"]["Rules"]
    # By default no data expires.
    assert {each["Prefix"] for each in others} <= {"athena-results/"}
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    # CloudTrail's files never expire, so they leave no markers.
    assert rule.get("ExpiredObjectDeleteMarker", False) is (logical_id == "DeliveryBucket")


def test_objects_expire_only_with_the_parameter() -> None:
    def expiry(name: str) -> list[str]:
        bucket = only(stack(name), "AWS::S3::Bucket")
        rules = bucket["LifecycleConfiguration"]["Rules"]
        rules = [rule for rule in rules if rule.get("Prefix") != "athena-results/"]
        return [rule["ExpirationInDays"] for rule in rules if "ExpirationInDays" in rule]

    assert expiry("nothing given") == []
    assert expiry("no folder, objects expire") == ["365"]


def test_objects_are_locked_only_with_the_parameter_and_writers_need_no_permission() -> None:
    locked = stack("objects are locked").resources["DeliveryBucket"].properties
    assert locked["ObjectLockEnabled"] is True
    assert locked["ObjectLockConfiguration"] == {
        "ObjectLockEnabled": "Enabled",
        "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": "365"}},
    }
    default = stack().resources
    assert not {"ObjectLockEnabled", "ObjectLockConfiguration"} & set(
        default["DeliveryBucket"].properties
    )
    # The retention is the bucket's default. A role that may set a retention could lock an object
    # for a hundred years.
    for role in stack("objects are locked").of_type("AWS::IAM::Role").items():
        assert role[1] == default[role[0]]


def test_the_delivery_bucket_has_a_bucket_key() -> None:
    bucket = only(stack(), "AWS::S3::Bucket")
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["BucketKeyEnabled"] is True


def test_resources_are_in_the_order_of_the_data_flow() -> None:
    order = ["SubscriptionFilter", "DeliveryStream", "TransformFunction"]
    order += ["EncryptionKey", "DeliveryBucket"]
    names = list(DOCUMENT["Resources"])
    assert all(names.index(first) < names.index(second) for first, second in pairwise(order))
