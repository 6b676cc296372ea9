"""The resolver: functions, conditions, parameters and rules as CloudFormation takes them."""

from pathlib import Path
from typing import Any

import pytest

from console_login.stack import template
from console_login.stack.template import TemplateError, resolve


def resolved(value: Any, document: dict[str, Any] | None = None, **parameters: str) -> Any:
    """Return what a property's value becomes in a small template."""
    base: dict[str, Any] = {
        "Parameters": {
            "Names": {"Type": "CommaDelimitedList", "Default": "a, b"},
            "Flag": {"Type": "String", "Default": "no", "AllowedValues": ["no", "yes"]},
        },
        "Conditions": {"IsFlag": {"Fn::Equals": [{"Ref": "Flag"}, "yes"]}},
        "Resources": {
            "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": value}},
            "Role": {"Type": "AWS::IAM::Role", "Properties": {}},
            "Maybe": {"Type": "AWS::IAM::Role", "Condition": "IsFlag", "Properties": {}},
        },
    }
    stack = resolve(base | (document or {}), parameters, stack_name="s")
    return stack.resources["Topic"].properties.get("DisplayName")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ({"Ref": "Flag"}, "no"),
        ({"Ref": "Names"}, ["a", "b"]),
        ({"Ref": "AWS::Region"}, "ap-northeast-1"),
        ({"Ref": "Role"}, "s-Role"),
        ({"Fn::GetAtt": ["Role", "Arn"]}, "arn:aws:iam::111122223333:role/s-Role"),
        ({"Fn::GetAtt": "Role.Arn"}, "arn:aws:iam::111122223333:role/s-Role"),
        ({"Fn::Sub": "${Flag}-${AWS::StackName}-${Role}"}, "no-s-s-Role"),
        ({"Fn::Sub": "${Role.Arn}"}, "arn:aws:iam::111122223333:role/s-Role"),
        ({"Fn::Sub": "${!Flag}!{timestamp:yyyy}$.x"}, "${Flag}!{timestamp:yyyy}$.x"),
        ({"Fn::Sub": ["${X}/${Flag}", {"X": {"Ref": "AWS::AccountId"}}]}, "111122223333/no"),
        ({"Fn::Join": ["-", {"Ref": "Names"}]}, "a-b"),
        ({"Fn::Select": ["1", {"Ref": "Names"}]}, "b"),
        ({"Fn::Split": ["|", "a|b"]}, ["a", "b"]),
        ({"Fn::FindInMap": ["M", {"Ref": "Flag"}, "k"]}, "v"),
        ({"Fn::If": ["IsFlag", 1, 2]}, 2),
        ({"Fn::If": ["IsFlag", 1, {"Ref": "AWS::NoValue"}]}, None),
        ([1, {"Fn::If": ["IsFlag", 2, {"Ref": "AWS::NoValue"}]}, 3], [1, 3]),
        ({"a": {"Fn::If": ["IsFlag", 2, {"Ref": "AWS::NoValue"}]}, "b": 3}, {"b": 3}),
        ({"Condition": {"StringEquals": {"x": "y"}}}, {"Condition": {"StringEquals": {"x": "y"}}}),
    ],
)
def test_function(value: Any, expected: Any) -> None:
    assert resolved(value, {"Mappings": {"M": {"no": {"k": "v"}}}}) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"Fn::Not": [{"Condition": "IsFlag"}]}, True),
        ({"Fn::And": [{"Condition": "IsFlag"}, {"Fn::Equals": ["a", "a"]}]}, False),
        ({"Fn::Or": [{"Condition": "IsFlag"}, {"Fn::Equals": ["a", "a"]}]}, True),
    ],
)
def test_conditions(condition: Any, expected: bool) -> None:
    conditions = {"IsFlag": {"Fn::Equals": [{"Ref": "Flag"}, "yes"]}, "Tried": condition}
    assert resolved({"Fn::If": ["Tried", True, False]}, {"Conditions": conditions}) is expected


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"Ref": "Nothing"}, "Nothing is neither a parameter nor a resource"),
        ({"Fn::GetAtt": ["Nothing", "Arn"]}, "Nothing is neither"),
        ({"Ref": "Maybe"}, "Maybe is used but not created"),
        ({"Fn::Sub": "${Maybe.Arn}"}, "Maybe is used but not created"),
        ({"Fn::GetAtt": ["Role", "RoleId"]}, "Role.RoleId is not resolved here"),
        ({"Fn::Base64": "x"}, "Fn::Base64 is not resolved here"),
        ({"Fn::If": ["Nothing", 1, 2]}, "there is no condition Nothing"),
    ],
)
def test_what_cloudformation_would_refuse_is_refused(value: Any, words: str) -> None:
    with pytest.raises(TemplateError, match=words):
        resolved(value)


@pytest.mark.parametrize(
    ("type_", "key", "arn"),
    [
        ("AWS::KinesisFirehose::DeliveryStream", "DeliveryStreamName", "deliverystream/given"),
        ("AWS::Lambda::Function", "FunctionName", "function:given"),
        ("AWS::Logs::LogGroup", "LogGroupName", "log-group:given:*"),
        ("AWS::CloudTrail::Trail", "TrailName", "trail/given"),
    ],
)
def test_a_resource_that_names_itself_is_known_by_that_name(type_: str, key: str, arn: str) -> None:
    resources = {
        "Named": {"Type": type_, "Properties": {key: {"Ref": "Given"}}},
        "Topic": {
            "Type": "AWS::SNS::Topic",
            "Properties": {"A": {"Ref": "Named"}, "B": {"Fn::GetAtt": ["Named", "Arn"]}},
        },
    }
    document = {
        "Parameters": {"Given": {"Type": "String", "Default": "given"}},
        "Resources": resources,
    }
    topic = resolve(document, stack_name="s").resources["Topic"].properties
    assert topic["A"] == "given"
    assert topic["B"].endswith(f":{arn}")


def test_a_conditional_resource_exists_as_its_condition_says() -> None:
    assert resolved({"Ref": "Maybe"}, Flag="yes") == "s-Maybe"


def test_depends_on_counts_as_a_need_where_the_resource_exists() -> None:
    document = {
        "Conditions": {"Never": {"Fn::Equals": ["a", "b"]}},
        "Resources": {
            "A": {"Type": "AWS::IAM::Role", "DependsOn": ["B", "C"]},
            "B": {"Type": "AWS::IAM::Role", "DependsOn": "D"},
            "C": {"Type": "AWS::IAM::Role", "Condition": "Never"},
            "D": {"Type": "AWS::IAM::Role"},
        },
    }
    resources = resolve(document).resources
    assert {name: set(each.needs) for name, each in resources.items()} == {
        "A": {"B"},
        "B": {"D"},
        "D": set(),
    }
    document["Resources"]["D"]["DependsOn"] = "Nothing"
    with pytest.raises(TemplateError, match="DependsOn names Nothing"):
        resolve(document)


@pytest.mark.parametrize(
    ("declaration", "value", "words"),
    [
        ({"Type": "String", "AllowedValues": ["a", "b"]}, "c", "'c' must be one of a, b"),
        ({"Type": "String", "AllowedPattern": "a+"}, "aab", "must be so"),
        ({"Type": "String", "MaxLength": 2}, "abc", "must be so"),
        ({"Type": "Number", "MinValue": 0.2}, "0.1", "must be so"),
        ({"Type": "Number", "MaxValue": 3}, "4", "must be so"),
        ({"Type": "Number"}, "four", "must be so"),
        ({"Type": "Number"}, "1_0", "must be so"),
        ({"Type": "CommaDelimitedList", "AllowedPattern": "a+"}, "a,b", "must be so"),
        ({"Type": "String"}, None, "needs a value"),
    ],
)
def test_a_wrong_parameter_is_named(declaration: Any, value: str | None, words: str) -> None:
    if "AllowedValues" not in declaration:
        declaration = declaration | {"ConstraintDescription": "must be so"}
    document = {"Parameters": {"P": declaration}, "Resources": {}}
    with pytest.raises(TemplateError, match=f"parameter P.*{words}"):
        resolve(document, {} if value is None else {"P": value})


def test_an_unknown_parameter_is_named() -> None:
    with pytest.raises(TemplateError, match="no such parameter: Nothing"):
        resolve({"Parameters": {}, "Resources": {}}, {"Nothing": "x"})


def test_rules_are_asserted_where_their_condition_holds() -> None:
    rule = {
        "RuleCondition": {"Fn::Equals": [{"Ref": "P"}, "x"]},
        "Assertions": [{"Assert": {"Fn::Equals": ["a", "b"]}, "AssertDescription": "never x"}],
    }
    document = {
        "Parameters": {"P": {"Type": "String", "Default": "y"}},
        "Rules": {"R": rule},
        "Resources": {"T": {"Type": "AWS::SNS::Topic"}},
    }
    resolve(document)
    with pytest.raises(TemplateError, match="never x"):
        resolve(document, {"P": "x"})


@pytest.mark.parametrize(
    "keys", [{"stack_name": "9s"}, {"region": "tokyo"}, {"account_id": "1"}, {"stack_name": "a_b"}]
)
def test_a_wrong_place_is_refused(keys: dict[str, str]) -> None:
    with pytest.raises(TemplateError):
        resolve({"Resources": {}}, **keys)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("region", "arn"),
    [
        ("cn-north-1", "arn:aws-cn:s3:::s-b amazonaws.com.cn"),
        ("us-gov-west-1", "arn:aws-us-gov:s3:::s-b amazonaws.com"),
    ],
)
def test_partitions(region: str, arn: str) -> None:
    value = {"Fn::Sub": "${B.Arn} ${AWS::URLSuffix}"}
    document = {
        "Resources": {
            "B": {"Type": "AWS::S3::Bucket"},
            "T": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": value}},
        }
    }
    stack = resolve(document, stack_name="s", region=region)
    assert stack.resources["T"].properties["DisplayName"] == arn


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), ("a: [", "while parsing"), ("[]", "not a CloudFormation template")],
)
def test_a_wrong_file_is_named(content: str | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(TemplateError, match=words) as raised:
        template.load(path)
    assert str(path) in str(raised.value)


def test_what_sam_refuses_is_refused() -> None:
    function = {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": "x", "Runtime": []}}
    with pytest.raises(TemplateError, match="not a SAM template"):
        resolve({"Transform": "AWS::Serverless-2016-10-31", "Resources": {"F": function}})


def test_the_same_parameters_give_the_same_stack() -> None:
    document = template.load()
    assert resolve(document) == resolve(document)
