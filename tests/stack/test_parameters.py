"""Values that the parameters accept and refuse."""

import zoneinfo
from typing import Any

import pytest
from stacks import ATHENA, ATHENA_COMBINATIONS, DOCUMENT, DOCUMENTS, KEY_ARN, TRAIL, only, trail

from console_login.stack import template
from console_login.stack.template import TemplateError

PARAMETERS = DOCUMENT["Parameters"]
FILTER = "AWS::Logs::SubscriptionFilter"


def refuses(document: dict[str, Any], parameters: dict[str, str], words: str) -> None:
    with pytest.raises(TemplateError, match=words):
        template.resolve(document, parameters)


def pattern(names: str) -> str:
    found: str = only(template.resolve(DOCUMENT, {"EventNames": names}), FILTER)["FilterPattern"]
    return found


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"LogGroupName": "/aws/lambda/console-login-firehose-transform"}, "CloudTrail log group"),
        ({"LogGroupName": "/aws/kinesisfirehose/x"}, "CloudTrail log group"),
        ({"LogGroupName": "arn:aws:logs:us-east-1:111122223333:log-group:x"}, "not the ARN"),
        *(
            ({"OrganizationId": each}, "organization's id such as")
            for each in ("o-", "a1b2c3d4e5", "o-A1B2C3D4E5", "o-a1b2c3d4e", "o-" + "a" * 33, "*")
        ),
        ({"ExistingBucketName": "arn:aws:s3:::x"}, "not its ARN"),
        ({"ExistingKeyArn": "alias/x"}, "ARN of a key"),
        ({"ExistingKeyArn": "arn:aws:kms:ap-northeast-1:111122223333:alias/x"}, "not of an alias"),
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
        # As a number, this would be in the range.
        ({"BufferSeconds": "1e2"}, "'1e2' is not a supported number"),
        ({"LambdaBufferMiB": "0.1"}, "from 0.2 to 3 MiB"),
        ({"LambdaBufferSeconds": "-1"}, "from 0 to 900 seconds"),
        ({"ExpireAfterDays": "-1"}, "number of days"),
        ({"ObjectLockDays": "-1"}, "number of days, or 0 for no Object Lock"),
        ({"ObjectLockDays": "36501"}, "number of days, or 0 for no Object Lock"),
        ({"ObjectLockMode": "governance"}, "GOVERNANCE, COMPLIANCE"),
        ({"LogRetentionDays": "2"}, "must be one of"),
        ({"Architecture": "arm"}, "arm64, x86_64"),
        ({"ExistingBucketOwner": "1"}, "twelve digits"),
        ({"ExistingBucketOwner": "444455556666"}, "ExistingBucketName, which is empty"),
        ({"ExistingBucketName": "abc", "ExpireAfterDays": "1"}, "leave ExpireAfterDays at 0"),
        ({"ExistingBucketName": "abc", "ObjectLockDays": "1"}, "leave ObjectLockDays at 0"),
        ({"SignInAlarms": "true"}, "SignInAlarms needs AlarmEmail or AlarmTopicArn"),
    ],
)
def test_a_wrong_parameter_is_refused(parameters: dict[str, str], words: str) -> None:
    refuses(DOCUMENT, parameters, words)


# Name -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "Z", "console-login-firehose", "A1-b", "n" * 54])
def test_a_name_is_accepted(name: str) -> None:
    assert template.resolve(DOCUMENT, {"Name": name}).parameters["Name"] == name
    assert template.resolve(TRAIL, {"PipelineName": name}).parameters["PipelineName"] == name


@pytest.mark.parametrize("name", ["", "n" * 55, "1a", "-a", "a_b", "a.b", "a b", "a/b", "\u00e9"])
def test_a_name_that_some_service_would_refuse_is_refused(name: str) -> None:
    words = "must be a letter, then letters, digits and hyphens, at most 54"
    refuses(DOCUMENT, {"Name": name}, words)
    refuses(TRAIL, {"PipelineName": name}, words)


# EventNames -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        "ConsoleLogin",
        "ConsoleLogin,CheckMfa",
        "Login_GET,a.b:c-d",
        "*",
        "x" * 128,
        ",".join(f"Event{number}" for number in range(25)),
    ],
)
def test_event_names_are_accepted(names: str) -> None:
    assert template.resolve(DOCUMENT, {"EventNames": names}).parameters["EventNames"] == names


@pytest.mark.parametrize(
    "names",
    [
        "",
        " ",
        "ConsoleLogin, CheckMfa",
        " ConsoleLogin",
        "ConsoleLogin ",
        "Console Login",
        "ConsoleLogin,,CheckMfa",
        ",ConsoleLogin",
        "ConsoleLogin,",
        ",",
        "ConsoleLogin,*",
        "*,ConsoleLogin",
        "*,*",
        "**",
        "Console*",
        "Con*Login",
        "*Login",
        'a" || "',
        "ConsoleLogin\n",
        "x" * 129,
        ",".join("abcdefghijklmnopqrstuvwxyz"),
    ],
)
def test_event_names_are_refused(names: str) -> None:
    refuses(DOCUMENT, {"EventNames": names}, "must be 1 to 25 plain event names")


def longest(count: int) -> str:
    """Return `count` names, together as long as EventNames accepts."""
    free = min(PARAMETERS["EventNames"]["MaxLength"] - (count - 1), 128 * count)
    lengths = [free // count + (number < free % count) for number in range(count)]
    return ",".join("n" * length for length in lengths)


@pytest.mark.parametrize("count", range(1, 26))
def test_the_longest_list_gives_a_pattern_that_cloudwatch_logs_accepts(count: int) -> None:
    names = longest(count)
    assert len(pattern(names)) <= 1024
    if count > 4:
        assert len(names) == PARAMETERS["EventNames"]["MaxLength"]
        refuses(DOCUMENT, {"EventNames": f"{names}n"}, "498 characters at most")


def test_the_longest_list_uses_every_character_of_the_pattern() -> None:
    assert len(pattern(longest(25))) == 1024


# TimeZone and FileExtension -------------------------------------------------------------------


def test_utc_and_every_time_zone_with_a_slash_are_accepted() -> None:
    zones = {zone for zone in zoneinfo.available_timezones() if "/" in zone}
    assert len(zones) > 400
    for zone in zones | {"UTC"}:
        # Resolving the complete stack five hundred times would be slow.
        document = {
            "Parameters": {"TimeZone": PARAMETERS["TimeZone"]},
            "Resources": {"T": {"Type": "AWS::SNS::Topic"}},
        }
        assert template.resolve(document, {"TimeZone": zone}).parameters == {"TimeZone": zone}


@pytest.mark.parametrize(
    "zone",
    [
        "EST",
        "MST",
        "HST",
        "GMT",
        "PRC",
        "ROK",
        "Factory",
        "localtime",
        "posixrules",
        "posix/Asia/Tokyo",
        "right/Asia/Tokyo",
        "",
        "Asia/",
        "/Tokyo",
        "Asia/To kyo",
    ],
)
def test_a_time_zone_that_firehose_does_not_accept_is_refused(zone: str) -> None:
    refuses(DOCUMENT, {"TimeZone": zone}, "must be an IANA time zone name")


@pytest.mark.parametrize("compression", ["UNCOMPRESSED", "GZIP"])
@pytest.mark.parametrize("extension", [".gz", ".json.gz", ".gz.gz", ".x-gz.gz"])
def test_a_file_extension_does_not_end_in_gz(extension: str, compression: str) -> None:
    # Athena would read plain lines as compressed. With GZIP the name would end in .gz.gz.
    parameters = {"FileExtension": extension, "Compression": compression}
    refuses(DOCUMENT, parameters, "not end in .gz, which Compression=GZIP adds")


@pytest.mark.parametrize("extension", [".json", ".gz.json", ".jsongz", ".tgz", ".a'b(c)!*_-"])
def test_other_file_extensions_are_accepted(extension: str) -> None:
    for compression, expected in {"UNCOMPRESSED": extension, "GZIP": f"{extension}.gz"}.items():
        parameters = {"FileExtension": extension, "Compression": compression}
        stream = only(
            template.resolve(DOCUMENT, parameters), "AWS::KinesisFirehose::DeliveryStream"
        )
        assert stream["ExtendedS3DestinationConfiguration"]["FileExtension"] == expected


# The other templates --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", "ab", "a.b.c", "a--b", "a_-b", "-abc", "abc-", "a b", "t" * 129, "a/b"]
)
def test_a_trails_name_that_some_service_would_refuse_is_refused(name: str) -> None:
    refuses(TRAIL, {"TrailName": name}, "must be 3 to 128 letters, digits and single _ -")


@pytest.mark.parametrize("name", ["abc", "a-b", "every-region_2", "T" * 128])
def test_a_trails_name_is_accepted(name: str) -> None:
    # The pipeline accepts the log group's name too, for its filter.
    resolved = template.resolve(TRAIL, {"TrailName": name})
    group = only(resolved, "AWS::Logs::LogGroup")["LogGroupName"]
    found = template.resolve(DOCUMENT, {"LogGroupName": group})
    assert only(found, FILTER)["LogGroupName"] == f"/aws/cloudtrail/{name}"


def test_the_pipeline_accepts_the_lines_in_the_trails_outputs() -> None:
    outputs = trail().outputs
    lines = [outputs["LogGroupLine"], outputs["KeyLine"]]
    assert all(line.startswith('"') and line.endswith('",') for line in lines)
    parameters = dict(line[1:-2].split("=", 1) for line in lines)
    assert set(parameters) == {"LogGroupName", "ExistingKeyArn"}
    resolved = template.resolve(DOCUMENT, parameters)
    assert resolved.outputs["KeyArn"] == parameters["ExistingKeyArn"]
    # The defaults of the two templates match.
    assert parameters["LogGroupName"] == PARAMETERS["LogGroupName"]["Default"]
    assert TRAIL["Parameters"]["PipelineName"]["Default"] == PARAMETERS["Name"]["Default"]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"BucketName": "arn:aws:s3:::x"}, "not its ARN"),
        ({"BucketName": ""}, "must be the name of a bucket"),
        ({"ResultKeyArn": "alias/x"}, "ARN of a key"),
        ({"ResultKeyArn": ""}, "ARN of a key"),
        ({"Prefix": "x"}, "ends in a slash"),
        ({"WorkGroupName": ""}, "must be 1 to 128"),
        ({"WorkGroupName": "a b"}, "must be 1 to 128"),
        ({"WorkGroupName": "w" * 129}, "must be 1 to 128"),
    ],
)
def test_a_wrong_parameter_of_the_queries_is_refused(
    parameters: dict[str, str], words: str
) -> None:
    refuses(ATHENA, ATHENA_COMBINATIONS["queries"] | parameters, words)


@pytest.mark.parametrize(
    ("document", "name", "words"),
    [
        (ATHENA, "BucketName", "parameter BucketName has no default"),
        (ATHENA, "ResultKeyArn", "parameter ResultKeyArn has no default"),
    ],
)
def test_bucket_and_key_of_the_queries_are_required(
    document: dict[str, Any], name: str, words: str
) -> None:
    given = {"BucketName": "amzn-s3-demo-bucket", "ResultKeyArn": KEY_ARN}
    refuses(document, {key: value for key, value in given.items() if key != name}, words)


@pytest.mark.parametrize(
    ("file", "name", "of_the_pipeline"),
    [
        ("athena.yaml", "Prefix", "Prefix"),
        ("filter.yaml", "Name", "Name"),
        ("filter.yaml", "LogGroupName", "LogGroupName"),
        ("filter.yaml", "EventNames", "EventNames"),
        ("trail.yaml", "PipelineName", "Name"),
        ("trail.yaml", "LogRetentionDays", "LogRetentionDays"),
    ],
)
def test_shared_parameters_have_the_same_limits(file: str, name: str, of_the_pipeline: str) -> None:
    keys = {"Type", "Default", "AllowedPattern", "AllowedValues", "MaxLength"}
    shared, own = DOCUMENTS[file]["Parameters"][name], PARAMETERS[of_the_pipeline]
    assert {key: shared.get(key) for key in keys} == {key: own.get(key) for key in keys}
