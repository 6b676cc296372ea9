"""template.yaml resolved for every meaningful combination of parameters."""

import graphlib
import json
import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from stacks import COMBINATIONS, DOCUMENT, KEY_ARN, needs, only, stack
from support import ROOT

from console_login.stack import template
from console_login.stack.template import TemplateError
from transformer.config import Config

PARAMETERS = DOCUMENT["Parameters"]
INTERFACE = DOCUMENT["Metadata"]["AWS::CloudFormation::Interface"]
STREAM = "AWS::KinesisFirehose::DeliveryStream"
FILTER = "AWS::Logs::SubscriptionFilter"

every_combination = pytest.mark.parametrize("name", COMBINATIONS)


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


# The whole ------------------------------------------------------------------------------------


@every_combination
def test_it_resolves_without_a_dangling_reference_or_a_cycle(name: str) -> None:
    resolved = stack(name)
    assert set(resolved.outputs) == set(DOCUMENT["Outputs"])
    graph = {key: resource.needs for key, resource in resolved.resources.items()}
    assert set(graphlib.TopologicalSorter(graph).static_order()) == set(graph)


@pytest.mark.parametrize(
    ("region", "partition", "suffix"),
    [
        ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
        ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
    ],
)
def test_no_partition_is_assumed(region: str, partition: str, suffix: str) -> None:
    for name in ("trail", "existing bucket"):
        resolved = stack(name, region=region)
        text = json.dumps([each.properties for each in resolved.resources.values()])
        assert "arn:aws:" not in text
        assert f"arn:{partition}:" in text
        via = {value for key, value in walk(json.loads(text)) if key == "kms:ViaService"}
        assert via == {f"s3.{region}.{suffix}", f"logs.{region}.{suffix}"}


@every_combination
def test_nothing_is_left_unresolved(name: str) -> None:
    text = json.dumps([each.properties for each in stack(name).resources.values()])
    assert "Fn::" not in text
    # Athena's, of partition projection.
    assert "${" not in text.replace("${day}", "")
    assert '"Ref"' not in text


def test_no_parameter_is_unused() -> None:
    used = set()
    sections = {key: DOCUMENT[key] for key in ("Conditions", "Globals", "Resources", "Outputs")}
    for key, value in walk(sections):
        if key == "Ref":
            used.add(value)
        elif key == "Fn::Sub":
            used |= set(re.findall(r"\$\{(\w+)\}", json.dumps(value)))
    assert set(PARAMETERS) <= used


def test_every_condition_is_used_and_both_answers_are_tried() -> None:
    used = {value for key, value in walk(DOCUMENT) if key == "Condition" and isinstance(value, str)}
    used |= {value[0] for key, value in walk(DOCUMENT) if key == "Fn::If"}
    assert used == set(DOCUMENT["Conditions"])
    for condition in used:
        answers = {stack(name).conditions[condition] for name in COMBINATIONS}
        assert answers == {True, False}, condition


@every_combination
def test_no_resource_exists_without_what_it_needs(name: str) -> None:
    resolved = stack(name)
    buckets = {
        json.dumps(resource.properties["Bucket"])
        for resource in resolved.of_type("AWS::S3::BucketPolicy").values()
    }
    assert len(buckets) == len(resolved.of_type("AWS::S3::Bucket"))
    assert len(resolved.of_type("AWS::KMS::Key")) == len(resolved.of_type("AWS::KMS::Alias"))
    trail = {key for key in resolved.resources if key.startswith("Trail")}
    whole = {"Trail", "TrailLogGroup", "TrailRole", "TrailBucket", "TrailBucketPolicy"}
    assert trail == (whole if resolved.conditions["TrailIsCreated"] else set())


def test_what_is_given_is_not_created() -> None:
    assert not stack("everything given").of_type("AWS::S3::Bucket")
    assert not stack("everything given").of_type("AWS::KMS::Key")
    assert not stack("everything given").of_type("AWS::CloudTrail::Trail")
    assert stack("nothing given").of_type("AWS::S3::Bucket")
    assert stack("nothing given").of_type("AWS::KMS::Key")


def test_two_stacks_share_no_name() -> None:
    # S3, IAM, Lambda and Firehose names are CloudFormation's to make: none is set. (The name of an
    # inline policy is its role's own.)
    generated = {"BucketName", "RoleName", "FunctionName", "DeliveryStreamName"}
    for resource in stack("trail").resources.values():
        assert not generated & set(resource.properties), resource.type
    named = {"LogGroupName", "AliasName", "TrailName"}
    first, second = (
        {
            (resource.type, key, value)
            for resource in stack("trail", stack_name=name).resources.values()
            for key, value in resource.properties.items()
            if key in named and resource.type not in (FILTER, "AWS::Logs::LogStream")
        }
        for name in ("one", "two")
    )
    assert len(first) == 5
    assert not first & second


@every_combination
def test_every_resource_that_can_carries_tags(name: str) -> None:
    for logical_id, resource in stack(name).resources.items():
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", resource.type).schema
        if "Tags" in schema["properties"]:
            tags = {tag["Key"]: tag["Value"] for tag in resource.properties["Tags"]}
            assert tags["Application"] == "console-login-firehose", logical_id


# As an interface ------------------------------------------------------------------------------


def test_sections_stand_in_the_order_of_a_reader() -> None:
    assert list(DOCUMENT) == [
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


def test_every_parameter_is_grouped_labelled_described_and_bounded() -> None:
    groups = INTERFACE["ParameterGroups"]
    labels = [group["Label"]["default"].split(":")[0] for group in groups]
    assert labels == ["Source", "Destination", "Encryption", "Delivery", "Function", "Operations"]
    assert [name for group in groups for name in group["Parameters"]] == list(PARAMETERS)
    assert list(INTERFACE["ParameterLabels"]) == list(PARAMETERS)
    for name, parameter in PARAMETERS.items():
        assert parameter["Description"], name
        assert "Default" in parameter, name
        if "AllowedValues" not in parameter:
            assert {"AllowedPattern", "MinValue"} & set(parameter), name
            assert parameter["ConstraintDescription"].startswith("must "), name


def test_every_output_says_what_it_is_for() -> None:
    assert all(len(output["Description"]) > 20 for output in DOCUMENT["Outputs"].values())


def test_outputs_hold_ready_commands() -> None:
    outputs = stack("everything given").outputs
    assert outputs["ListObjectsCommand"] == (
        "aws s3 ls --recursive s3://amzn-s3-demo-bucket/a/b/ --region ap-northeast-1"
    )
    assert outputs["TailFunctionLogCommand"] == (
        "aws logs tail /aws/lambda/console-login-firehose-transform --since 1d --follow"
        " --region ap-northeast-1"
    )
    assert outputs["TailDeliveryLogCommand"] == (
        "aws logs tail /aws/kinesisfirehose/console-login-firehose --since 1d --follow"
        " --region ap-northeast-1"
    )
    # Where the stream's error prefix puts them.
    assert outputs["ListFailedRecordsCommand"] == (
        "aws s3 ls --recursive s3://amzn-s3-demo-bucket/a/b/processing-failed/"
        " --region ap-northeast-1"
    )
    assert outputs["KeyArn"] == KEY_ARN
    assert stack("trail").outputs["LogGroupName"] == "/aws/cloudtrail/console-login-firehose"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"EventNames": "Console*"}, "must be plain event names"),
        ({"EventNames": "ConsoleLogin,"}, "must be plain event names"),
        ({"EventNames": 'a" || "'}, "must be plain event names"),
        ({"LogGroupName": "/aws/lambda/console-login-firehose-transform"}, "CloudTrail log group"),
        ({"LogGroupName": "/aws/kinesisfirehose/x"}, "CloudTrail log group"),
        ({"LogGroupName": "arn:aws:logs:us-east-1:111122223333:log-group:x"}, "not the ARN"),
        ({"ExistingBucketName": "arn:aws:s3:::x"}, "not its ARN"),
        ({"ExistingKeyArn": "alias/x"}, "ARN of a key"),
        ({"ExistingKeyArn": "arn:aws:kms:ap-northeast-1:111122223333:alias/x"}, "no alias"),
        ({"Prefix": "consolelogin"}, "ends in a slash"),
        ({"Prefix": "!{timestamp:yyyy}/"}, "plain folder"),
        ({"Prefix": "a/../"}, "plain folder"),
        ({"Prefix": "athena-results/"}, "athena-results"),
        ({"Prefix": "x/" * 217}, "at most"),
        ({"TimeZone": "UTC+9"}, "IANA"),
        ({"FileExtension": "json"}, "begin with a dot"),
        ({"FileExtension": ".JSON"}, "lower-case"),
        ({"Compression": "ZIP"}, "UNCOMPRESSED, GZIP"),
        ({"BufferSizeMiB": "0"}, "from 1 to 128 MiB"),
        ({"BufferSeconds": "901"}, "from 0 to 900 seconds"),
        ({"LambdaBufferMiB": "0.1"}, "from 0.2 to 3 MiB"),
        ({"LambdaBufferSeconds": "-1"}, "from 0 to 900 seconds"),
        ({"ExpireAfterDays": "-1"}, "number of days"),
        ({"LogRetentionDays": "2"}, "must be one of"),
        ({"Architecture": "arm"}, "arm64, x86_64"),
        ({"ExistingBucketOwner": "1"}, "twelve digits"),
        ({"CreateTrail": "true", "LogGroupName": "/x"}, "leave LogGroupName"),
        ({"ExistingBucketOwner": "444455556666"}, "ExistingBucketName, which is empty"),
        ({"ExistingBucketName": "abc", "ExpireAfterDays": "1"}, "leave ExpireAfterDays at 0"),
    ],
)
def test_a_wrong_parameter_is_refused(parameters: dict[str, str], words: str) -> None:
    with pytest.raises(TemplateError, match=words):
        template.resolve(DOCUMENT, parameters)


def test_no_lint_rule_is_ignored() -> None:
    assert not list(ROOT.glob(".cfnlintrc*"))
    assert "cfn-lint" not in json.dumps(DOCUMENT)
    assert "cfn-lint" not in (ROOT / "samconfig.toml").read_text()


def test_samconfig_deploys_into_both_kinds_of_account() -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    environments = {key: value for key, value in config.items() if isinstance(value, dict)}
    assert set(environments) == {"default", "empty-account"}
    overrides = {
        name: dict(
            pair.split("=", 1)
            for pair in environment["global"]["parameters"].get("parameter_overrides", "").split()
        )
        for name, environment in environments.items()
    }
    assert overrides == {"default": {}, "empty-account": {"CreateTrail": "true"}}
    assert template.resolve(DOCUMENT, overrides["empty-account"]) == stack("trail")
    for environment in environments.values():
        assert environment["deploy"]["parameters"]["capabilities"] == "CAPABILITY_IAM"


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
    # Native decompression would close the stream to what is put back or sent again.
    parameters = processor(stack())
    assert parameters["LambdaArn"].endswith(":function:console-login-firehose-TransformFunction")
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
def test_objects_and_logs_are_encrypted_with_the_one_key(name: str) -> None:
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
    for trail in resolved.of_type("AWS::CloudTrail::Trail").values():
        assert trail.properties["KMSKeyId"] == key


# The subscription filter ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "pattern", "variable"),
    [
        ("ConsoleLogin", '{ ($.eventName = "ConsoleLogin") }', "ConsoleLogin"),
        (
            "ConsoleLogin, CheckMfa",
            '{ ($.eventName = "ConsoleLogin") || ($.eventName = "CheckMfa") }',
            "ConsoleLogin,CheckMfa",
        ),
        ("*", "", "*"),
        # Not lone, and yet filter and function agree.
        ("ConsoleLogin,*", "", "*"),
        ("*,ConsoleLogin", "", "*"),
    ],
)
def test_filter_and_function_never_differ(names: str, pattern: str, variable: str) -> None:
    resolved = template.resolve(DOCUMENT, {"EventNames": names})
    assert only(resolved, FILTER)["FilterPattern"] == pattern
    variables = only(resolved, "AWS::Lambda::Function")["Environment"]["Variables"]
    assert variables["EVENT_NAMES"] == variable
    selected = Config.from_environment(variables).event_names
    in_pattern = frozenset(re.findall(r'\$\.eventName = "([^"]+)"', pattern))
    assert selected == (in_pattern or None)


def test_twenty_five_names_fit_the_filter_pattern() -> None:
    names = ",".join(f"{number:018d}" for number in range(25))
    pattern = only(template.resolve(DOCUMENT, {"EventNames": names}), FILTER)["FilterPattern"]
    assert len(pattern) <= 1024


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("nothing given", "/aws/cloudtrail/management-event"),
        ("everything given", "/aws/cloudtrail/other"),
        ("trail", "/aws/cloudtrail/console-login-firehose"),
    ],
)
def test_the_filter_sits_on_the_trails_log_group(name: str, group: str) -> None:
    assert only(stack(name), FILTER)["LogGroupName"] == group


@every_combination
def test_the_filter_feeds_this_stream_with_its_own_role(name: str) -> None:
    resolved = stack(name)
    found = only(resolved, FILTER)
    assert found["DestinationArn"] == resolved.outputs["DeliveryStreamArn"]
    assert found["RoleArn"].endswith(":role/console-login-firehose-SubscriptionRole")


@every_combination
def test_the_filter_is_created_last(name: str) -> None:
    resolved = stack(name)
    assert "PutBackPolicy" in needs(resolved, "SubscriptionFilter")
    later = set(resolved.resources) - needs(resolved, "SubscriptionFilter")
    watching = ("AWS::Athena", "AWS::CloudWatch", "AWS::Glue", "AWS::Logs::Metric", "AWS::SNS")
    later = {each for each in later if not resolved.resources[each].type.startswith(watching)}
    # What nothing on the way of a record depends on.
    assert later <= {
        "SubscriptionFilter",
        "EncryptionKeyAlias",
        "DeliveryBucketPolicy",
        "Trail",
        "TrailRole",
        "TrailBucket",
        "TrailBucketPolicy",
    }


# Function, trail, retention -------------------------------------------------------------------


def test_the_functions_environment_is_what_its_config_reads() -> None:
    variables = only(stack(), "AWS::Lambda::Function")["Environment"]["Variables"]
    powertools = {name for name in variables if name.startswith("POWERTOOLS_")}
    assert powertools == {"POWERTOOLS_METRICS_NAMESPACE", "POWERTOOLS_SERVICE_NAME"}
    source = (ROOT / "functions" / "transform" / "transformer" / "config.py").read_text()
    read = set(re.findall(r'environment\.get\("(\w+)"\)', source))
    assert set(variables) - powertools == read
    assert Config.from_environment(variables) == Config()


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


def test_logs_are_kept_as_long_as_asked() -> None:
    resolved = template.resolve(DOCUMENT, {"CreateTrail": "true", "LogRetentionDays": "365"})
    groups = resolved.of_type("AWS::Logs::LogGroup")
    assert len(groups) == 3
    assert {group.properties["RetentionInDays"] for group in groups.values()} == {"365"}


def test_the_trail_sees_every_region_and_proves_its_files() -> None:
    trail = only(stack("trail"), "AWS::CloudTrail::Trail")
    assert trail["IsLogging"] is True
    assert trail["IsMultiRegionTrail"] is True
    assert trail["IncludeGlobalServiceEvents"] is True
    assert trail["EnableLogFileValidation"] is True


def test_the_trail_is_created_after_what_it_writes_to() -> None:
    assert needs(stack("trail"), "Trail") >= {
        "TrailBucket",
        "TrailBucketPolicy",
        "TrailLogGroup",
        "TrailRole",
        "EncryptionKey",
    }


def test_what_would_lose_sign_ins_is_kept_when_the_stack_goes() -> None:
    kept = {
        logical_id
        for logical_id, resource in stack("trail").resources.items()
        # Not plain Retain: what is left of a first deploy that failed would block the next.
        if resource.attributes.get("DeletionPolicy") == "RetainExceptOnCreate"
    }
    assert kept == {
        "EncryptionKey",
        "DeliveryBucket",
        "DeliveryBucketPolicy",
        "TrailBucket",
        "TrailBucketPolicy",
        "TrailLogGroup",
    }
    for logical_id in kept:
        attributes = stack("trail").resources[logical_id].attributes
        assert attributes["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize("logical_id", ["DeliveryBucket", "TrailBucket"])
def test_a_bucket_is_private_versioned_and_cleaned_up(logical_id: str) -> None:
    bucket = stack("trail").resources[logical_id].properties
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    rule, *others = bucket["LifecycleConfiguration"]["Rules"]
    # Nothing of the data expires unasked.
    assert {each["Prefix"] for each in others} <= {"athena-results/"}
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    # CloudTrail's files never expire, so they leave no markers.
    assert rule.get("ExpiredObjectDeleteMarker", False) is (logical_id == "DeliveryBucket")


def test_objects_expire_only_when_asked() -> None:
    def expiry(name: str) -> list[str]:
        bucket = only(stack(name), "AWS::S3::Bucket")
        rules = bucket["LifecycleConfiguration"]["Rules"]
        rules = [rule for rule in rules if rule.get("Prefix") != "athena-results/"]
        return [rule["ExpirationInDays"] for rule in rules if "ExpirationInDays" in rule]

    assert expiry("nothing given") == []
    assert expiry("no folder, objects expire") == ["365"]


def test_the_delivery_bucket_has_a_bucket_key() -> None:
    bucket = only(stack(), "AWS::S3::Bucket")
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["BucketKeyEnabled"] is True


def test_resources_stand_in_the_order_of_the_datas_way() -> None:
    order = ["Trail", "SubscriptionFilter", "DeliveryStream", "TransformFunction"]
    order += ["EncryptionKey", "DeliveryBucket"]
    names = list(DOCUMENT["Resources"])
    assert all(names.index(first) < names.index(second) for first, second in pairwise(order))
