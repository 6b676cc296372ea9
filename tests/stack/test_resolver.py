"""The resolver: functions, conditions, parameters and rules as CloudFormation evaluates them.

The examples are from the pages of the functions, with cases that the pages exclude:
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
"""

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console_login.stack import template
from console_login.stack.template import TemplateError, resolve

NO_VALUE = {"Ref": "AWS::NoValue"}
MAPPINGS = {
    "M": {"no": {"k": "v"}},
    "SecurityGroups": {"Prod": {"SecurityGroupIds": "sg-abcdef01,sg-ghijkl23"}},
    "Archs": {"t3.micro": {"Arch": "HVM64"}},
    "Amis": {"ap-northeast-1": {"HVM64": "ami-9"}},
    "L": {"a": {"k": ["x", "y"], "deep": {"a": "b"}}},
}


def resolved(value: Any, document: dict[str, Any] | None = None, **parameters: str) -> Any:
    """Return the resolved value of a property in a small template."""
    base: dict[str, Any] = {
        "Parameters": {
            "Names": {"Type": "CommaDelimitedList", "Default": "a, b"},
            "One": {"Type": "CommaDelimitedList", "Default": "x"},
            "Empty": {"Type": "CommaDelimitedList", "Default": ""},
            "Index": {"Type": "Number", "Default": 1},
            "Flag": {"Type": "String", "Default": "no", "AllowedValues": ["no", "yes"]},
        },
        "Mappings": MAPPINGS,
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
        ({"Fn::Join": [":", ["a", "b", "c"]]}, "a:b:c"),
        (
            {"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":s3:::elasticbeanstalk-*-"]]},
            "arn:aws:s3:::elasticbeanstalk-*-",
        ),
        ({"Fn::Join": [",", ["a", {"Fn::If": ["IsFlag", "b", NO_VALUE]}, "c"]]}, "a,c"),
        ({"Fn::Join": [",", [1, True, {"Ref": "Index"}]]}, "1,true,1"),
        ({"Fn::Join": ["-", {"Fn::If": ["IsFlag", ["p"], ["z", "y"]]}]}, "z-y"),
        ({"Fn::Join": ["-", {"Fn::Split": ["|", "a|b|c"]}]}, "a-b-c"),
        ({"Fn::Select": ["1", {"Ref": "Names"}]}, "b"),
        ({"Fn::Select": ["1", ["apples", "grapes", "oranges", "mangoes"]]}, "grapes"),
        ({"Fn::Select": [0, {"Ref": "Names"}]}, "a"),
        ({"Fn::Select": [{"Ref": "Index"}, {"Ref": "Names"}]}, "b"),
        ({"Fn::Select": ["2", {"Fn::Split": [",", "a,b,c"]}]}, "c"),
        ({"Fn::Select": ["0", [{"a": "b"}]]}, {"a": "b"}),
        ({"Fn::Split": ["|", "a|b"]}, ["a", "b"]),
        ({"Fn::Split": ["|", "a||c|"]}, ["a", "", "c", ""]),
        (
            {
                "Fn::Split": [
                    ",",
                    {"Fn::FindInMap": ["SecurityGroups", "Prod", "SecurityGroupIds"]},
                ]
            },
            ["sg-abcdef01", "sg-ghijkl23"],
        ),
        ({"Fn::Sub": "SSH security group for ${AWS::StackName}"}, "SSH security group for s"),
        ({"Fn::Sub": ["www.${Domain}", {"Domain": "mydomain.com"}]}, "www.mydomain.com"),
        ({"Fn::Sub": ["${X}", {"X": {"Fn::Join": [",", {"Ref": "Names"}]}}]}, "a,b"),
        ({"Fn::Sub": ["${X}${Y}", {"X": 5, "Y": True}]}, "5true"),
        ({"Fn::Sub": ["${Flag}", {"Flag": "z"}]}, "z"),
        ({"Fn::Sub": ["${a.b}", {"a.b": "z"}]}, "z"),
        ({"Fn::Sub": ["${X}", {"X": "${Flag}"}]}, "${Flag}"),
        ({"Fn::Sub": ["x", {"X": "1"}]}, "x"),
        (
            {"Fn::Sub": "${ Flag } ${!!x} $ $$ $Flag {Flag} ${Flag"},
            "no ${!x} $ $$ $Flag {Flag} ${Flag",
        ),
        ({"Fn::FindInMap": ["L", "a", "k"]}, ["x", "y"]),
        (
            {
                "Fn::FindInMap": [
                    "Amis",
                    {"Ref": "AWS::Region"},
                    {"Fn::FindInMap": ["Archs", "t3.micro", "Arch"]},
                ]
            },
            "ami-9",
        ),
        ({"Ref": "Empty"}, [""]),
        ({"Fn::If": ["IsFlag", 1, {"Fn::If": ["IsFlag", 2, 3]}]}, 3),
        ([{"Fn::If": ["IsFlag", {"a": 1}, NO_VALUE]}], []),
        # Outside of a condition, a map with the key Condition is a plain map.
        ({"Condition": "IsFlag"}, {"Condition": "IsFlag"}),
        ({"Fn::FindInMap": ["M", {"Ref": "Flag"}, "k"]}, "v"),
        ({"Fn::If": ["IsFlag", 1, 2]}, 2),
        ({"Fn::If": ["IsFlag", 1, {"Ref": "AWS::NoValue"}]}, None),
        ([1, {"Fn::If": ["IsFlag", 2, {"Ref": "AWS::NoValue"}]}, 3], [1, 3]),
        ({"a": {"Fn::If": ["IsFlag", 2, {"Ref": "AWS::NoValue"}]}, "b": 3}, {"b": 3}),
        ({"Condition": {"StringEquals": {"x": "y"}}}, {"Condition": {"StringEquals": {"x": "y"}}}),
    ],
)
def test_function(value: Any, expected: Any) -> None:
    assert resolved(value) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"Fn::Not": [{"Condition": "IsFlag"}]}, True),
        ({"Fn::And": [{"Condition": "IsFlag"}, {"Fn::Equals": ["a", "a"]}]}, False),
        ({"Fn::Or": [{"Condition": "IsFlag"}, {"Fn::Equals": ["a", "a"]}]}, True),
        ({"Fn::Or": [{"Condition": "IsFlag"}] * 10}, False),
        ({"Fn::And": [{"Fn::Equals": ["a", "a"]}] * 10}, True),
        ({"Fn::Equals": [{"Ref": "Index"}, 1]}, True),
        ({"Fn::Equals": [True, "true"]}, True),
        ({"Fn::Equals": ["True", "true"]}, False),
        ({"Fn::Equals": [{"Fn::Join": ["", {"Ref": "Names"}]}, "ab"]}, True),
        ({"Fn::Equals": [{"Fn::Select": [0, {"Ref": "Names"}]}, "a"]}, True),
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
        ({"Fn::GetAtt": ["Role", "RoleId"]}, "Role.RoleId is not supported here"),
        ({"Fn::Base64": "x"}, "Fn::Base64 is not supported here"),
        ({"Fn::ImportValue": "x"}, "Fn::ImportValue is not supported here"),
        ({"Fn::GetAZs": ""}, "Fn::GetAZs is not supported here"),
        ({"Ref": "AWS::StackId"}, "AWS::StackId is not supported here"),
        ({"Ref": "AWS::NotificationARNs"}, "AWS::NotificationARNs is not supported here"),
        ({"Ref": ["Flag"]}, "Ref is not supported here with"),
        ({"Ref": "Flag", "x": 1}, "Ref must be the only key"),
        ({"x": 1, "Fn::Sub": "y"}, "Fn::Sub must be the only key"),
        ({"Fn::GetAtt": "Role"}, "Fn::GetAtt is not supported here with 'Role'"),
        ({"Fn::GetAtt": ["Role"]}, "Fn::GetAtt is not supported here with"),
        ({"Fn::GetAtt": ["Role", {"Ref": "Flag"}]}, "Fn::GetAtt is not supported here with"),
        ({"Fn::If": ["IsFlag", 1]}, "Fn::If is not supported here with"),
        ({"Fn::If": [{"Condition": "IsFlag"}, 1, 2]}, "Fn::If is not supported here with"),
        ({"Fn::Join": ["-", "abc"]}, "expected a list, not 'abc'"),
        ({"Fn::Join": ["-", {"Ref": "Flag"}]}, "expected a list, not 'no'"),
        ({"Fn::Join": [{"Ref": "Flag"}, ["a", "b"]]}, "Fn::Join is not supported here with"),
        ({"Fn::Join": ["-", ["a", ["b", "c"]]]}, r"expected a string, not \['b', 'c'\]"),
        ({"Fn::Join": ["-", ["a", None]]}, "expected a string, not None"),
        ({"Fn::Split": ["", "abc"]}, "Fn::Split is not supported here with"),
        ({"Fn::Split": [",", {"Ref": "Names"}]}, r"expected a string, not \['a', 'b'\]"),
        ({"Fn::Select": ["2", {"Ref": "Names"}]}, "item 2 does not exist"),
        ({"Fn::Select": ["-1", {"Ref": "Names"}]}, "item -1 does not exist"),
        ({"Fn::Select": ["first", {"Ref": "Names"}]}, "item first does not exist"),
        ({"Fn::Select": ["1", [None, "b"]]}, "no list with null or AWS::NoValue"),
        ({"Fn::Select": ["0", [NO_VALUE, "b"]]}, "no list with null or AWS::NoValue"),
        ({"Fn::Select": ["0", "abc"]}, "expected a list, not 'abc'"),
        ({"Fn::Sub": "${}"}, "is neither a parameter nor a resource"),
        ({"Fn::Sub": "${Nothing}"}, "Nothing is neither a parameter nor a resource"),
        ({"Fn::Sub": "${Names}"}, r"expected a string, not \['a', 'b'\]"),
        ({"Fn::Sub": "${One}"}, r"expected a string, not \['x'\]"),
        ({"Fn::Sub": ["${X}", {"X": {"Ref": "Names"}}]}, "expected a string"),
        ({"Fn::Sub": "a${AWS::NoValue}b"}, "expected a string, not AWS::NoValue"),
        ({"Fn::Sub": {"Ref": "Flag"}}, "Fn::Sub is not supported here with"),
        ({"Fn::Sub": ["${X}"]}, "Fn::Sub is not supported here with"),
        ({"Fn::FindInMap": ["L", "zz", "k"]}, "mapping value L, zz, k does not exist"),
        ({"Fn::FindInMap": ["N", "a", "k"]}, "mapping value N, a, k does not exist"),
        ({"Fn::FindInMap": ["L", "a"]}, "Fn::FindInMap is not supported here with"),
        ({"Fn::FindInMap": ["L", "a", "deep"]}, "expected a string or list"),
        ({"Fn::If": ["Nothing", 1, 2]}, "condition Nothing does not exist"),
    ],
)
def test_values_that_cloudformation_would_refuse_are_refused(value: Any, words: str) -> None:
    with pytest.raises(TemplateError, match=words):
        resolved(value)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({"Fn::And": [{"Condition": "IsFlag"}]}, "not a condition"),
        ({"Fn::And": [{"Condition": "IsFlag"}] * 11}, "not a condition"),
        ({"Fn::Or": [{"Condition": "IsFlag"}]}, "not a condition"),
        ({"Fn::Or": [{"Condition": "IsFlag"}] * 11}, "not a condition"),
        ({"Fn::Not": [{"Condition": "IsFlag"}] * 2}, "not a condition"),
        ({"Fn::Not": ["true"]}, "not a condition that is supported here: 'true'"),
        (
            {"Fn::And": [{"Condition": "IsFlag"}, {"Condition": "Nothing"}]},
            "condition Nothing does not exist",
        ),
        (
            {"Fn::Or": [{"Fn::Equals": ["a", "a"]}, {"Condition": "Nothing"}]},
            "condition Nothing does not exist",
        ),
        ({"Fn::Equals": ["a"]}, "not a condition"),
        ({"Fn::Equals": [{"Ref": "Names"}, "a"]}, "expected a string"),
        ({"Fn::Equals": ["a", "a"], "Fn::Not": []}, "not a condition"),
        ({"Fn::If": ["IsFlag", True, False]}, "not a condition"),
        ({"Fn::Contains": [["a"], "a"]}, "not a condition that is supported here"),
        (True, "not a condition"),
        ({"Condition": ["IsFlag"]}, "not a condition"),
        ({"Condition": "Tried"}, "condition Tried depends on itself"),
        ({"Fn::Not": [{"Condition": "Tried"}]}, "condition Tried depends on itself"),
    ],
)
def test_an_invalid_condition_is_refused(condition: Any, words: str) -> None:
    conditions = {"IsFlag": {"Fn::Equals": [{"Ref": "Flag"}, "yes"]}, "Tried": condition}
    with pytest.raises(TemplateError, match=words):
        resolved("x", {"Conditions": conditions})


@pytest.mark.parametrize(
    "resources",
    [
        {"A": {"Properties": {"LogGroupName": {"Ref": "A"}}}},
        {
            "A": {"Properties": {"LogGroupName": {"Ref": "B"}}},
            "B": {"Properties": {"LogGroupName": {"Ref": "A"}}},
        },
        {
            "A": {"Properties": {"Tags": [{"Ref": "B"}]}},
            "B": {"Properties": {"Tags": [{"Fn::GetAtt": ["A", "Arn"]}]}},
        },
        {"A": {"DependsOn": "B"}, "B": {"DependsOn": "A"}},
    ],
)
def test_circular_dependencies_of_resources_are_refused(resources: Any) -> None:
    for resource in resources.values():
        resource["Type"] = "AWS::Logs::LogGroup"
    with pytest.raises(TemplateError, match="circular dependency"):
        resolve({"Resources": resources})


def test_an_output_must_be_a_string() -> None:
    with pytest.raises(TemplateError, match="expected a string"):
        resolved("x", {"Outputs": {"O": {"Value": {"Ref": "Names"}}}})


def test_a_resource_without_a_name_gets_one() -> None:
    document = {"Resources": {"A": {"Type": "AWS::Logs::LogGroup", "Properties": {}}}}
    assert resolve(document, stack_name="s").resources["A"].physical_id == "s-A"


TEXTS = st.sampled_from(["", "0", "x", "Flag", "Names", "Role.Arn", "${Flag}", "${Names}", "M"])
KEYS = st.sampled_from(
    ["Ref", "Condition", "x"]
    + [f"Fn::{name}" for name in ("And", "Equals", "Not", "Or", "FindInMap", "GetAtt", "If")]
    + [f"Fn::{name}" for name in ("Join", "Select", "Split", "Sub")]
)
NODES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2) | TEXTS | st.just(NO_VALUE),
    lambda nodes: (
        st.lists(nodes, max_size=3)
        | st.dictionaries(KEYS, nodes, max_size=2)
        | st.builds(lambda key, *operands: {key: [*operands]}, KEYS, nodes, nodes)
        | st.builds(lambda key, *operands: {key: [*operands]}, KEYS, TEXTS, nodes, nodes)
    ),
    max_leaves=8,
)


@given(NODES)
def test_any_operand_of_a_function_gives_a_value_or_a_template_error(node: Any) -> None:
    with contextlib.suppress(TemplateError):
        value = repr(resolved(node))
        assert "'Fn::" not in value
        assert "'Ref'" not in value
        assert "NoValue" not in value
    with contextlib.suppress(TemplateError):
        resolved("x", {"Conditions": {"C": node}})


@pytest.mark.parametrize(
    ("type_", "key", "arn"),
    [
        ("AWS::KinesisFirehose::DeliveryStream", "DeliveryStreamName", "deliverystream/given"),
        ("AWS::Lambda::Function", "FunctionName", "function:given"),
        ("AWS::Logs::LogGroup", "LogGroupName", "log-group:given:*"),
        ("AWS::CloudTrail::Trail", "TrailName", "trail/given"),
    ],
)
def test_ref_and_arn_use_the_name_property_of_a_resource(type_: str, key: str, arn: str) -> None:
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


def test_a_conditional_resource_exists_if_its_condition_is_true() -> None:
    assert resolved({"Ref": "Maybe"}, Flag="yes") == "s-Maybe"


def test_depends_on_is_a_need_if_the_resource_exists() -> None:
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
        ({"Type": "String", "MaxLength": "2"}, "abc", "must be so"),
        ({"Type": "String", "MinLength": 3}, "ab", "must be so"),
        ({"Type": "Number", "MaxValue": "3"}, "4", "must be so"),
        ({"Type": "List<Number>"}, "1,a", "is not a supported number"),
        ({"Type": "AWS::SSM::Parameter::Value<String>"}, "/x", "is not supported here"),
        ({"Type": "Number", "MinValue": 0.2}, "0.1", "must be so"),
        ({"Type": "Number", "MaxValue": 3}, "4", "must be so"),
        ({"Type": "Number"}, "four", "is not a supported number"),
        ({"Type": "Number"}, "1_0", "is not a supported number"),
        ({"Type": "CommaDelimitedList", "AllowedPattern": "a+"}, "a,b", "must be so"),
        ({"Type": "String"}, None, "needs a value"),
    ],
)
def test_the_error_names_an_invalid_parameter(
    declaration: Any, value: str | None, words: str
) -> None:
    if "AllowedValues" not in declaration:
        declaration = declaration | {"ConstraintDescription": "must be so"}
    document = {"Parameters": {"P": declaration}, "Resources": {}}
    with pytest.raises(TemplateError, match=f"parameter P.*{words}"):
        resolve(document, {} if value is None else {"P": value})


def test_a_list_of_numbers_is_a_list() -> None:
    topic = {"Type": "AWS::SNS::Topic"}
    document = {"Parameters": {"P": {"Type": "List<Number>"}}, "Resources": {"T": topic}}
    assert resolve(document, {"P": "1, 2"}).parameters == {"P": ["1", "2"]}


def test_the_error_names_an_unknown_parameter() -> None:
    with pytest.raises(TemplateError, match="no such parameter: Nothing"):
        resolve({"Parameters": {}, "Resources": {}}, {"Nothing": "x"})


def test_rules_are_asserted_if_their_condition_is_true() -> None:
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
def test_an_invalid_stack_name_region_or_account_is_refused(keys: dict[str, str]) -> None:
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
def test_the_error_names_an_invalid_file(content: str | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(TemplateError, match=words) as raised:
        template.load(path)
    assert str(path) in str(raised.value)


def test_a_template_that_sam_refuses_is_refused() -> None:
    function = {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": "x", "Runtime": []}}
    with pytest.raises(TemplateError, match="not a SAM template"):
        resolve({"Transform": "AWS::Serverless-2016-10-31", "Resources": {"F": function}})


def test_the_same_parameters_give_the_same_stack() -> None:
    document = template.load()
    assert resolve(document) == resolve(document)
