"""template.yaml as CloudFormation sees it: parameters checked, SAM expanded, functions resolved.

What AWS would choose or look up (random parts of names, key ids) is made up from the stack's name,
so that the same parameters give the same stack every time.
"""

import copy
import functools
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import UnknownRegionError
from botocore.loaders import create_loader
from botocore.regions import EndpointResolver
from samtranslator.parser.parser import Parser
from samtranslator.public.exceptions import InvalidDocumentException
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse
from yaml import YAMLError

from console_login.errors import UserError
from console_login.shipped import TEMPLATE
from console_login.stack.place import ACCOUNT_ID, REGION, STACK_NAME

# At exit the translator warns that it has not sent its usage metrics: nobody here wants them sent.
logging.getLogger("samtranslator.metrics").setLevel(logging.ERROR)

# What `Ref` answers, where the resource names itself by a property.
_NAME_PROPERTIES = {
    "AWS::Athena::WorkGroup": "Name",
    "AWS::CloudTrail::Trail": "TrailName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::KMS::Alias": "AliasName",
    "AWS::KinesisFirehose::DeliveryStream": "DeliveryStreamName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::Logs::LogStream": "LogStreamName",
    "AWS::Logs::SubscriptionFilter": "FilterName",
}

# What `GetAtt Arn` answers, after "arn:PARTITION:".
_ARNS = {
    "AWS::CloudTrail::Trail": "cloudtrail:{region}:{account}:trail/{name}",
    "AWS::CloudWatch::Alarm": "cloudwatch:{region}:{account}:alarm:{name}",
    "AWS::IAM::Role": "iam::{account}:role/{name}",
    "AWS::KMS::Key": "kms:{region}:{account}:key/{name}",
    "AWS::KinesisFirehose::DeliveryStream": "firehose:{region}:{account}:deliverystream/{name}",
    "AWS::Lambda::Function": "lambda:{region}:{account}:function:{name}",
    "AWS::Logs::LogGroup": "logs:{region}:{account}:log-group:{name}:*",
    "AWS::S3::Bucket": "s3:::{name}",
}

# What `Ref` answers, where that is no name, after "arn:PARTITION:".
_REFERENCES = {"AWS::SNS::Topic": "sns:{region}:{account}:{name}"}

# `${Name}` and `${Name.Attribute}`; `${!Literal}` stands for `${Literal}`.
_SUBSTITUTION = re.compile(r"\$\{(!?)([^}]*)\}")

_NO_VALUE = object()


class TemplateError(UserError):
    """A template or a parameter that CloudFormation would refuse; the message says why."""


@dataclass(frozen=True)
class Resource:
    """A resource that the parameters make, its properties resolved and free of `AWS::NoValue`.

    physical_id: what `Ref` answers.
    needs: the logical ids that CloudFormation creates before it, by reference or DependsOn.
    """

    type: str
    physical_id: str
    properties: dict[str, Any]
    attributes: dict[str, Any] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Stack:
    """A resolved template."""

    name: str
    region: str
    account_id: str
    parameters: dict[str, str | list[str]]
    conditions: dict[str, bool]
    resources: dict[str, Resource]
    outputs: dict[str, str]

    def of_type(self, type_: str) -> dict[str, Resource]:
        """Return the resources of a CloudFormation type, by logical id."""
        return {key: value for key, value in self.resources.items() if value.type == type_}

    def only(self, type_: str) -> Resource:
        """Return the one resource of a type."""
        (resource,) = self.of_type(type_).values()
        return resource


def load(path: Path = TEMPLATE) -> dict[str, Any]:
    """Return a template's document, short forms of functions written out."""
    try:
        document = yaml_parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TemplateError(f"{path}: {error.strerror}") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise TemplateError(f"{path}: {error}") from error
    if not isinstance(document, dict) or "Resources" not in document:
        raise TemplateError(f"{path}: not a CloudFormation template")
    return document


def resolve(
    document: Mapping[str, Any],
    parameters: Mapping[str, str] | None = None,
    *,
    stack_name: str = STACK_NAME,
    region: str = REGION,
    account_id: str = ACCOUNT_ID,
    physical_ids: Mapping[str, str] | None = None,
) -> Stack:
    """Return the stack that a SAM template makes with these parameters; TemplateError if none.

    physical_ids: what `Ref` answers for these logical ids, where it is known already.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,127}", stack_name):
        raise TemplateError(f"{stack_name!r} is no stack name: a letter, then letters, digits, -")
    if not re.fullmatch(r"[0-9]{12}", account_id):
        raise TemplateError(f"{account_id!r} is no account id: it has twelve digits")
    partition(region)
    values = _parameter_values(document.get("Parameters", {}), parameters or {})
    expanded = _expand(document, values, region)
    resolver = _Resolver(expanded, values, stack_name, region, account_id, physical_ids or {})
    return resolver.stack()


@functools.cache
def partition(region: str) -> tuple[str, str]:
    """Return the partition of a Region and the suffix of its host names."""
    regions = EndpointResolver(create_loader().load_data("endpoints"))
    try:
        partition = regions.get_partition_for_region(region)
    except UnknownRegionError as error:
        raise TemplateError(f"{region!r} is no Region: one is {REGION}") from error
    return partition, regions.get_partition_dns_suffix(partition)


def _parameter_values(
    declared: Mapping[str, Any], given: Mapping[str, str]
) -> dict[str, str | list[str]]:
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise TemplateError(
            f"no such parameter: {', '.join(unknown)} (there are {', '.join(declared)})"
        )
    return {
        name: _parameter_value(name, declaration, given.get(name))
        for name, declaration in declared.items()
    }


def _parameter_value(name: str, declaration: Mapping[str, Any], given: str | None) -> Any:
    text = given if given is not None else declaration.get("Default")
    if text is None:
        raise TemplateError(f"parameter {name} has no default and needs a value")
    text = str(text)
    is_list = declaration["Type"] == "CommaDelimitedList"
    items = [item.strip() for item in text.split(",")] if is_list else [text]
    if not all(_is_allowed(declaration, item) for item in items):
        why = declaration.get("ConstraintDescription")
        allowed = ", ".join(str(value) for value in declaration.get("AllowedValues", ()))
        raise TemplateError(f"parameter {name}: {text!r} {why or f'must be one of {allowed}'}")
    return items if is_list else text


def whole_number(text: Any) -> int:
    """Return a parameter's value where AWS takes no fraction, as CloudFormation's Number does."""
    try:
        return int(text)
    except ValueError as error:
        raise TemplateError(f"{text!r} is no whole number, and must be one") from error


def _is_allowed(declaration: Mapping[str, Any], value: str) -> bool:
    allowed = [str(each) for each in declaration.get("AllowedValues", [value])]
    if value not in allowed or not re.fullmatch(declaration.get("AllowedPattern", ".*"), value):
        return False
    if len(value) > declaration.get("MaxLength", len(value)):
        return False
    if declaration["Type"] != "Number":
        return True
    if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
        return False
    number = float(value)
    return bool(
        declaration.get("MinValue", number) <= number <= declaration.get("MaxValue", number)
    )


def _expand(document: Mapping[str, Any], values: Mapping[str, Any], region: str) -> dict[str, Any]:
    """Return the document with its AWS::Serverless resources as CloudFormation's own."""
    document = copy.deepcopy(dict(document))
    for resource in document["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            # The translator takes nothing but what `sam package` leaves.
            resource["Properties"]["CodeUri"] = {"Bucket": "packaged", "Key": "function"}
    # A real session would read the user's AWS configuration, which has no say here.
    session = SimpleNamespace(region_name=region)
    translator = Translator(None, Parser(), boto_session=session)
    try:
        expanded: dict[str, Any] = translator.translate(document, dict(values))
    except InvalidDocumentException as error:
        causes = "; ".join(str(cause.message) for cause in error.causes)
        raise TemplateError(f"not a SAM template: {causes}") from error
    return expanded


class _Resolver:
    """Resolves one expanded template."""

    def __init__(
        self,
        document: dict[str, Any],
        values: dict[str, str | list[str]],
        stack_name: str,
        region: str,
        account_id: str,
        physical_ids: Mapping[str, str],
    ) -> None:
        self._document = document
        self._physical_ids = physical_ids
        self._resources: dict[str, Any] = document["Resources"]
        self._values = values
        self._stack_name = stack_name
        self._region = region
        self._account_id = account_id
        self._partition, url_suffix = partition(region)
        self._pseudo_parameters = {
            "AWS::AccountId": account_id,
            "AWS::NoValue": _NO_VALUE,
            "AWS::Partition": self._partition,
            "AWS::Region": region,
            "AWS::StackName": stack_name,
            "AWS::URLSuffix": url_suffix,
        }
        self._references: set[str] = set()
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Condition": self._condition,
            "Fn::And": lambda operands: all(map(self._value, operands)),
            "Fn::Equals": lambda operands: self._text(operands[0]) == self._text(operands[1]),
            "Fn::FindInMap": self._find_in_map,
            "Fn::GetAtt": lambda operand: self._attribute(*self._path(operand)),
            "Fn::If": lambda operands: self._value(
                operands[1 if self._condition(operands[0]) else 2]
            ),
            "Fn::Join": lambda operands: operands[0].join(map(str, self._value(operands[1]))),
            "Fn::Not": lambda operands: not self._value(operands[0]),
            "Fn::Or": lambda operands: any(map(self._value, operands)),
            "Fn::Select": lambda operands: self._value(operands[1])[int(self._value(operands[0]))],
            "Fn::Split": lambda operands: self._text(operands[1]).split(operands[0]),
            "Fn::Sub": self._substitute,
            "Ref": self._reference,
        }

    def stack(self) -> Stack:
        self._check_rules()
        return Stack(
            name=self._stack_name,
            region=self._region,
            account_id=self._account_id,
            parameters=self._values,
            conditions={
                name: self._condition(name) for name in self._document.get("Conditions", {})
            },
            resources={
                logical_id: self._resource(logical_id, resource)
                for logical_id, resource in self._resources.items()
                if self._exists(resource)
            },
            outputs={
                name: self._value(output["Value"])
                for name, output in self._document.get("Outputs", {}).items()
                if self._exists(output)
            },
        )

    def _check_rules(self) -> None:
        for rule in self._document.get("Rules", {}).values():
            if "RuleCondition" in rule and not self._value(rule["RuleCondition"]):
                continue
            for assertion in rule["Assertions"]:
                if not self._value(assertion["Assert"]):
                    raise TemplateError(assertion["AssertDescription"])

    def _exists(self, part: Mapping[str, Any]) -> bool:
        return "Condition" not in part or self._condition(part["Condition"])

    def _resource(self, logical_id: str, resource: dict[str, Any]) -> Resource:
        physical_id = self._name(logical_id)
        self._references = set()
        properties = self._value(resource.get("Properties", {}))
        depends_on = resource.get("DependsOn", [])
        for each in [depends_on] if isinstance(depends_on, str) else depends_on:
            if each not in self._resources:
                raise TemplateError(f"DependsOn names {each}, which is no resource")
            # As CloudFormation does: what is not created is not waited for.
            if self._exists(self._resources[each]):
                self._references.add(each)
        attributes = {
            key: value for key, value in resource.items() if key not in {"Type", "Properties"}
        }
        needs = frozenset(self._references)
        return Resource(resource["Type"], physical_id, properties, attributes, needs)

    def _value(self, node: Any) -> Any:
        if isinstance(node, list):
            values = (self._value(item) for item in node)
            return [value for value in values if value is not _NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((key, operand),) = node.items()
            # `Condition` is also a policy's and a resource's own key.
            if key in self._functions and (key != "Condition" or isinstance(operand, str)):
                return self._functions[key](operand)
            if key.startswith("Fn::"):
                raise TemplateError(f"{key} is not resolved here")
        resolved = {key: self._value(value) for key, value in node.items()}
        return {key: value for key, value in resolved.items() if value is not _NO_VALUE}

    def _text(self, node: Any) -> str:
        return str(self._value(node))

    def _path(self, operand: Any) -> tuple[str, str]:
        logical_id, attribute = operand.split(".", 1) if isinstance(operand, str) else operand
        return logical_id, attribute

    def _condition(self, name: str) -> bool:
        try:
            condition = self._document["Conditions"][name]
        except KeyError:
            raise TemplateError(f"there is no condition {name}") from None
        return bool(self._value(condition))

    def _find_in_map(self, operands: list[Any]) -> Any:
        name, first, second = (self._text(operand) for operand in operands)
        return self._document["Mappings"][name][first][second]

    def _substitute(self, operand: Any) -> str:
        text, variables = operand if isinstance(operand, list) else (operand, {})

        def replace(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            if name in variables:
                return self._text(variables[name])
            if "." in name:
                return str(self._attribute(*self._path(name)))
            return str(self._reference(name))

        return _SUBSTITUTION.sub(replace, text)

    def _reference(self, name: str) -> Any:
        if name in self._pseudo_parameters:
            return self._pseudo_parameters[name]
        if name in self._values:
            return self._values[name]
        return self._name(name)

    def _used(self, logical_id: str) -> dict[str, Any]:
        """Return the resource that another one refers to."""
        resource: dict[str, Any] | None = self._resources.get(logical_id)
        if resource is None:
            raise TemplateError(f"{logical_id} is neither a parameter nor a resource")
        if not self._exists(resource):
            raise TemplateError(f"{logical_id} is used but not created with these parameters")
        self._references.add(logical_id)
        return resource

    def _name(self, logical_id: str) -> str:
        resource = self._used(logical_id)
        if logical_id in self._physical_ids:
            return self._physical_ids[logical_id]
        name_property = _NAME_PROPERTIES.get(resource["Type"])
        if name_property:
            return self._text(resource["Properties"][name_property])
        name = f"{self._stack_name}-{logical_id}"
        if resource["Type"] in _REFERENCES:
            return self._arn(_REFERENCES[resource["Type"]], name)
        if resource["Type"] == "AWS::S3::Bucket":
            return name.lower()[:63]
        if resource["Type"] == "AWS::Glue::Database":
            return name.lower()
        if resource["Type"] == "AWS::KMS::Key":
            return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self._account_id}/{self._region}/{name}"))
        return name[:64]

    def _attribute(self, logical_id: str, attribute: str) -> str:
        resource = self._used(logical_id)
        if attribute != "Arn" or resource["Type"] not in _ARNS:
            raise TemplateError(f"{logical_id}.{attribute} is not resolved here")
        return self._arn(_ARNS[resource["Type"]], self._name(logical_id))

    def _arn(self, form: str, name: str) -> str:
        arn = form.format(region=self._region, account=self._account_id, name=name)
        return f"arn:{self._partition}:{arn}"
