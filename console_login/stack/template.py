"""template.yaml as CloudFormation sees it: parameters checked, SAM expanded, functions resolved.

Values that AWS would choose or look up (random parts of names, key ids) are derived from the
stack's name, so the same parameters always give the same stack.
"""

import contextlib
import copy
import functools
import graphlib
import logging
import re
import reprlib
import uuid
from collections.abc import Iterator, Mapping
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

# Hides the translator's warning at exit that it could not send usage metrics, which are unwanted.
logging.getLogger("samtranslator.metrics").setLevel(logging.ERROR)

# The property that `Ref` returns, for resources with a name property.
_NAME_PROPERTIES = {
    "AWS::Athena::WorkGroup": "Name",
    "AWS::CloudTrail::Trail": "TrailName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::KMS::Alias": "AliasName",
    "AWS::KinesisFirehose::DeliveryStream": "DeliveryStreamName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::Destination": "DestinationName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::Logs::LogStream": "LogStreamName",
    "AWS::Logs::SubscriptionFilter": "FilterName",
}

# The result of `GetAtt Arn`, after "arn:PARTITION:".
_ARNS = {
    "AWS::CloudTrail::Trail": "cloudtrail:{region}:{account}:trail/{name}",
    "AWS::CloudWatch::Alarm": "cloudwatch:{region}:{account}:alarm:{name}",
    "AWS::IAM::Role": "iam::{account}:role/{name}",
    "AWS::KMS::Key": "kms:{region}:{account}:key/{name}",
    "AWS::KinesisFirehose::DeliveryStream": "firehose:{region}:{account}:deliverystream/{name}",
    "AWS::Lambda::Function": "lambda:{region}:{account}:function:{name}",
    "AWS::Logs::Destination": "logs:{region}:{account}:destination:{name}",
    "AWS::Logs::LogGroup": "logs:{region}:{account}:log-group:{name}:*",
    "AWS::S3::Bucket": "s3:::{name}",
}

# The result of `Ref`, if it is an ARN, after "arn:PARTITION:".
_REFERENCES = {"AWS::SNS::Topic": "sns:{region}:{account}:{name}"}

_NUMBERS = ("Number", "List<Number>")
# CloudFormation documents no other notation, such as an exponent.
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")

# `${Name}` and `${Name.Attribute}`; `${!Literal}` becomes `${Literal}`.
_SUBSTITUTION = re.compile(r"\$\{(!?)([^}]*)\}")


class _NoValue:
    """The value of `AWS::NoValue`: the property or item is removed."""

    def __repr__(self) -> str:
        return "AWS::NoValue"


_NO_VALUE = _NoValue()

# A placeholder for the location of the functions' code.
_CODE = {"Bucket": "packaged", "Key": "function"}


class TemplateError(UserError):
    """A template or parameter that CloudFormation would reject; the message gives the reason."""


@dataclass(frozen=True)
class Resource:
    """A resource created with these parameters; properties are resolved, without `AWS::NoValue`.

    physical_id: the value of `Ref`.
    needs: the logical ids of the resources to create first, by reference or DependsOn.
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
        """Return the only resource of a type."""
        (resource,) = self.of_type(type_).values()
        return resource


def load(path: Path = TEMPLATE) -> dict[str, Any]:
    """Return a template's document, with the short forms of functions expanded."""
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
    """Return the stack that a SAM template creates with these parameters. Raises TemplateError.

    physical_ids: known values of `Ref`, by logical id.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,127}", stack_name):
        raise TemplateError(
            f"{stack_name!r} is not a stack name: use a letter, then letters, digits or -"
        )
    if not re.fullmatch(r"[0-9]{12}", account_id):
        raise TemplateError(f"{account_id!r} is not an account id: it must have twelve digits")
    partition(region)
    values = _parameter_values(document.get("Parameters", {}), parameters or {})
    expanded = expand(document, values, region=region)
    resolver = _Resolver(expanded, values, stack_name, region, account_id, physical_ids or {})
    return resolver.stack()


@functools.cache
def partition(region: str) -> tuple[str, str]:
    """Return the partition of a Region and the suffix of its host names."""
    regions = EndpointResolver(create_loader().load_data("endpoints"))
    try:
        partition = regions.get_partition_for_region(region)
    except UnknownRegionError as error:
        raise TemplateError(f"{region!r} is not a Region such as {REGION}") from error
    return partition, regions.get_partition_dns_suffix(partition)


def _parameter_values(
    declared: Mapping[str, Any], given: Mapping[str, str]
) -> dict[str, str | list[str]]:
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise TemplateError(
            f"no such parameter: {', '.join(unknown)} (available: {', '.join(declared)})"
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
    type_ = declaration["Type"]
    if type_.startswith("AWS::SSM::"):
        raise TemplateError(f"parameter {name}: type {type_} is not supported here")
    is_list = type_ == "CommaDelimitedList" or type_.startswith("List<")
    items = [item.strip() for item in text.split(",")] if is_list else [text]
    why = declaration.get("ConstraintDescription")
    if type_ in _NUMBERS and not all(map(_NUMBER.fullmatch, items)):
        raise TemplateError(
            f"parameter {name}: {text!r} is not a supported number: write digits, and a"
            f" dot before a fraction{f'; {why}' if why else ''}"
        )
    if not all(_is_allowed(declaration, item) for item in items):
        allowed = ", ".join(str(value) for value in declaration.get("AllowedValues", ()))
        raise TemplateError(f"parameter {name}: {text!r} {why or f'must be one of {allowed}'}")
    return items if is_list else text


def whole_number(text: Any) -> int:
    """Return the integer value of a parameter. Raises TemplateError if it is not an integer."""
    try:
        return int(text)
    except ValueError as error:
        raise TemplateError(f"{text!r} is not a whole number") from error


def _is_allowed(declaration: Mapping[str, Any], value: str) -> bool:
    allowed = [str(each) for each in declaration.get("AllowedValues", [value])]
    if value not in allowed or not re.fullmatch(declaration.get("AllowedPattern", ".*"), value):
        return False
    length = len(value)
    longest, shortest = declaration.get("MaxLength", length), declaration.get("MinLength", length)
    if not int(shortest) <= length <= int(longest):
        return False
    if declaration["Type"] not in _NUMBERS:
        return True
    number = float(value)
    lowest, highest = declaration.get("MinValue", number), declaration.get("MaxValue", number)
    return float(lowest) <= number <= float(highest)


def expand(
    document: Mapping[str, Any],
    values: Mapping[str, Any],
    *,
    region: str = REGION,
    code: Mapping[str, Any] = _CODE,
) -> dict[str, Any]:
    """Return the document with its AWS::Serverless resources expanded to plain CloudFormation.

    values: the parameters' values, as strings. The result still refers to the parameters.
    code: Bucket and Key of the functions' code, each a string or an intrinsic function.
    Raises TemplateError if the document is not a SAM template.
    """
    # CloudFormation does not expand a template without a transform either.
    if "Transform" not in document:
        return copy.deepcopy(dict(document))
    document = copy.deepcopy(dict(document))
    for resource in document["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            # The translator accepts only the output of `sam package`.
            resource["Properties"]["CodeUri"] = dict(code)
    # A real session would read the user's AWS configuration, which must have no influence here.
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
        self._entered: set[str] = set()

    def stack(self) -> Stack:
        self._check_rules()
        stack = Stack(
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
                name: self._text(output["Value"])
                for name, output in self._document.get("Outputs", {}).items()
                if self._exists(output)
            },
        )
        needs = {logical_id: resource.needs for logical_id, resource in stack.resources.items()}
        try:
            graphlib.TopologicalSorter(needs).prepare()
        except graphlib.CycleError as error:
            raise TemplateError(f"circular dependency: {', '.join(error.args[1])}") from error
        return stack

    def _check_rules(self) -> None:
        for rule in self._document.get("Rules", {}).values():
            if "RuleCondition" in rule and not self._truth(rule["RuleCondition"]):
                continue
            for assertion in rule["Assertions"]:
                if not self._truth(assertion["Assert"]):
                    raise TemplateError(assertion["AssertDescription"])

    def _exists(self, part: Mapping[str, Any]) -> bool:
        return "Condition" not in part or self._truth({"Condition": part["Condition"]})

    def _resource(self, logical_id: str, resource: dict[str, Any]) -> Resource:
        physical_id = self._name(logical_id)
        self._references = set()
        properties = self._value(resource.get("Properties", {}))
        depends_on = resource.get("DependsOn", [])
        for each in [depends_on] if isinstance(depends_on, str) else depends_on:
            if each not in self._resources:
                raise TemplateError(f"DependsOn names {each}, which is not a resource")
            # CloudFormation does not wait for a resource that is not created.
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
        for key in node:
            if key == "Ref" or str(key).startswith("Fn::"):
                if len(node) > 1:
                    raise TemplateError(f"{key} must be the only key: {reprlib.repr(node)}")
                return self._function(key, node[key])
        resolved = {key: self._value(value) for key, value in node.items()}
        return {key: value for key, value in resolved.items() if value is not _NO_VALUE}

    def _function(self, name: str, operand: Any) -> Any:
        """Return a function's result. Raises TemplateError if it does not accept the operand."""
        match name, operand:
            case "Ref", str():
                return self._reference(operand)
            case "Fn::GetAtt", [str(logical_id), str(attribute)]:
                return self._attribute(logical_id, attribute)
            case "Fn::GetAtt", str() if "." in operand:
                return self._attribute(*operand.split(".", 1))
            case "Fn::FindInMap", [mapping, first, second]:
                return self._find_in_map(*map(self._text, (mapping, first, second)))
            case "Fn::If", [str(condition), then, otherwise]:
                return self._value(then if self._condition(condition) else otherwise)
            case "Fn::Join", [str(delimiter), items]:
                return delimiter.join(map(_as_text, self._items(items)))
            case "Fn::Select", [index, items]:
                return self._select(self._text(index), items)
            case "Fn::Split", [str(delimiter), text] if delimiter:
                return self._text(text).split(delimiter)
            case "Fn::Sub", str():
                return self._substitute(operand, {})
            case "Fn::Sub", [str(text), dict(variables)]:
                return self._substitute(text, variables)
        raise TemplateError(f"{name} is not supported here with {reprlib.repr(operand)}")

    def _truth(self, node: Any) -> bool:
        """Return a condition's result. Raises TemplateError if the node is not a condition."""
        if isinstance(node, dict) and len(node) == 1:
            match node:
                case {"Condition": str(name)}:
                    return self._condition(name)
                case {"Fn::Equals": [left, right]}:
                    return self._text(left) == self._text(right)
                case {"Fn::Not": [operand]}:
                    return not self._truth(operand)
                # Lists, so that every operand is checked, even if the first ones decide the result.
                case {"Fn::And": [*operands]} if 2 <= len(operands) <= 10:
                    return False not in [self._truth(operand) for operand in operands]
                case {"Fn::Or": [*operands]} if 2 <= len(operands) <= 10:
                    return True in [self._truth(operand) for operand in operands]
        raise TemplateError(f"not a condition that is supported here: {reprlib.repr(node)}")

    def _text(self, node: Any) -> str:
        return _as_text(self._value(node))

    def _items(self, node: Any) -> list[Any]:
        items = self._value(node)
        if not isinstance(items, list):
            raise TemplateError(f"expected a list, not {reprlib.repr(items)}")
        return items

    @contextlib.contextmanager
    def _entering(self, part: str) -> Iterator[None]:
        """Mark a part as being resolved. Raises TemplateError if it depends on itself."""
        if part in self._entered:
            raise TemplateError(f"circular dependency: {part} depends on itself")
        self._entered.add(part)
        yield
        self._entered.remove(part)

    def _condition(self, name: str) -> bool:
        conditions = self._document.get("Conditions", {})
        if name not in conditions:
            raise TemplateError(f"condition {name} does not exist")
        with self._entering(f"condition {name}"):
            return self._truth(conditions[name])

    def _find_in_map(self, mapping: str, first: str, second: str) -> Any:
        try:
            found = self._document["Mappings"][mapping][first][second]
        except (KeyError, TypeError) as error:
            path = f"{mapping}, {first}, {second}"
            raise TemplateError(f"mapping value {path} does not exist") from error
        if not isinstance(found, str | int | float | list):
            raise TemplateError(
                f"mapping {mapping}: expected a string or list, not {reprlib.repr(found)}"
            )
        return found

    def _select(self, index: str, node: Any) -> Any:
        items = self._items(node)
        # AWS does not allow null entries in the list. Removing an entry would shift the others.
        if None in items or (isinstance(node, list) and len(items) < len(node)):
            raise TemplateError(
                f"Fn::Select accepts no list with null or AWS::NoValue: {reprlib.repr(node)}"
            )
        if not re.fullmatch("[0-9]+", index) or int(index) >= len(items):
            raise TemplateError(f"Fn::Select: item {index} does not exist in {reprlib.repr(items)}")
        return items[int(index)]

    def _substitute(self, text: str, variables: dict[str, Any]) -> str:
        def replace(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            name = name.strip()
            if name in variables:
                return self._text(variables[name])
            if "." in name:
                return _as_text(self._attribute(*name.split(".", 1)))
            return _as_text(self._reference(name))

        return _SUBSTITUTION.sub(replace, text)

    def _reference(self, name: str) -> Any:
        if name in self._pseudo_parameters:
            return self._pseudo_parameters[name]
        if name in self._values:
            return self._values[name]
        if name.startswith("AWS::"):
            raise TemplateError(f"{name} is not supported here")
        return self._name(name)

    def _used(self, logical_id: str) -> dict[str, Any]:
        """Return the resource that another one refers to."""
        resource: dict[str, Any] | None = self._resources.get(logical_id)
        if resource is None:
            raise TemplateError(
                f"{logical_id or '(nothing)'} is neither a parameter nor a resource"
            )
        if not self._exists(resource):
            raise TemplateError(f"{logical_id} is used but not created with these parameters")
        self._references.add(logical_id)
        return resource

    def _name(self, logical_id: str) -> str:
        resource = self._used(logical_id)
        if logical_id in self._physical_ids:
            return self._physical_ids[logical_id]
        name_property = _NAME_PROPERTIES.get(resource["Type"])
        if name_property in resource.get("Properties", {}):
            with self._entering(logical_id):
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
            raise TemplateError(f"{logical_id}.{attribute} is not supported here")
        return self._arn(_ARNS[resource["Type"]], self._name(logical_id))

    def _arn(self, form: str, name: str) -> str:
        arn = form.format(region=self._region, account=self._account_id, name=name)
        return f"arn:{self._partition}:{arn}"


def _as_text(value: Any) -> str:
    """Return a resolved value as a string, as CloudFormation writes it. Raises TemplateError."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise TemplateError(f"expected a string, not {reprlib.repr(value)}")
