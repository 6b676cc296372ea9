"""Check, before a deploy, that it will succeed and deploy what samconfig.toml says.

Calls to AWS only read; nothing is changed. Anything that cannot be read is reported, never as ok.
"""

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from console_login import shown
from console_login.operate import checks, commands, permissions, trail
from console_login.operate.access import Access, AccessError
from console_login.operate.checks import Checked, Finding, Result, Unchecked, is_gone
from console_login.operate.subject import Reader
from console_login.stack import samconfig, template
from console_login.stack.key_policy import future_names
from console_login.stack.template import Stack, TemplateError

# With up to this many other filters, a log group can have one more: in every account, and in some
# accounts. AWS documents a limit of two in PutSubscriptionFilter, and of five in the quotas since
# 2026-09. An account's limit cannot be read.
_SURE_FILTERS, _MAX_FILTERS = 1, 4

# The processor of an ELF file, in its header (ELF specification, e_machine).
_MACHINES = {0xB7: "arm64", 0x3E: "x86_64"}

# In these states, a stack can only be deleted.
_DEAD = ("CREATE_FAILED", "DELETE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED")


class Plan(Reader):
    """A deploy of an environment of samconfig.toml, as `sam deploy` would run it.

    Raises ConfigError.
    """

    def __init__(self, access: Access, config_file: Path, environment: str) -> None:
        self.settings = samconfig.read(config_file, environment)
        self.config_file = config_file
        self.environment = environment
        # Options override the file, as in SAM CLI.
        region = access.region or self.settings.region
        profile = access.profile or self.settings.profile
        super().__init__(replace(access, region=region, profile=profile))
        self.document = template.load()

    @functools.cached_property
    def refusal(self) -> str:
        """Why the template rejects the settings in any Region or account; empty if it does not."""
        name = self.settings.stack_name
        try:
            template.resolve(self.document, self.settings.parameters, stack_name=name)
        except TemplateError as error:
            return str(error)
        return ""

    @functools.cached_property
    def where(self) -> dict[str, Any]:
        """The stack's name, Region and account; may raise AccessError."""
        account_id = self.call("sts", "get_caller_identity")["Account"]
        region = self._client("sts").meta.region_name
        return {"stack_name": self.settings.stack_name, "region": region, "account_id": account_id}

    @functools.cached_property
    def stack(self) -> Stack:
        """The stack as it would be deployed, with the actual names of its roles and key.

        Roles that do not exist yet have possible names.
        """
        names = future_names(self.document, self.settings.stack_name)
        own = {each: self.own[each] for each in (*names, "EncryptionKey") if each in self.own}
        return template.resolve(
            self.document, self.settings.parameters, physical_ids=names | own, **self.where
        )

    @functools.cached_property
    def deployed(self) -> dict[str, Any] | None:
        """The stack as CloudFormation describes it, or None; may raise AccessError."""
        try:
            found = self.call(
                "cloudformation", "describe_stacks", StackName=self.settings.stack_name
            )
        except AccessError as error:
            if "does not exist" not in str(error):
                raise
            return None
        (stack,) = found["Stacks"]
        # REVIEW_IN_PROGRESS: a change set was created but never executed, so there is no stack.
        return None if stack["StackStatus"] == "REVIEW_IN_PROGRESS" else stack

    @functools.cached_property
    def own(self) -> dict[str, str]:
        """Physical ids of the deployed stack's resources, by logical id; may raise AccessError."""
        return self.stack_resources(self.settings.stack_name) if self.deployed else {}

    def edit(self, name: str, value: str) -> str:
        """Return a parameter's line of samconfig.toml, as a shell comment."""
        line = f'"{name}={value}",' if value else f"'{name}=\"\"',"
        return f"# in {self.config_file}, environment {self.environment}: {line}"


def examine(access: Access, config_file: Path, environment: str) -> tuple[str, list[Result]]:
    """Return the stack's name, and the result of each check.

    access: a Region or profile of None is taken from the file's environment, if set there.
    Raises ConfigError, and TemplateError if the Region is not valid.
    """
    plan = Plan(access, config_file, environment)
    name = plan.settings.stack_name
    results = checks.run(_FILE_CHECKS, plan, [])
    skipped = f"not checked: {', '.join(_AWS_CHECKS)}"
    why = "the template rejects the settings" if plan.refusal else ""
    try:
        _ = plan.where
    except AccessError as error:
        why = why or str(error)
    if why:
        unchecked = [f"{why} ({skipped})"]
        return name, [*results, Result("AWS", checks.UNCHECKED, unchecked=unchecked)]
    return name, results + checks.run(_AWS_CHECKS, plan, [])


def stops(results: list[Result]) -> bool:
    """Return whether a deploy must stop: only for findings, not for unchecked items."""
    return any(each.status == checks.FINDING for each in results)


# Checks of local files ---------------------------------------------------------------------------


def check_settings(plan: Plan) -> Checked:
    """Check that SAM CLI drops no text of the parameters, and that the template accepts them."""
    settings = plan.settings
    for text, part in settings.dropped:
        yield Finding(
            f"SAM CLI ends a value at a space, and drops {part!r} of parameter_overrides {text!r}",
            [
                f"# in {plan.config_file}: write a list with a string for each parameter, without"
                " spaces in values; an empty value is 'NAME=\"\"'"
            ],
        )
    if plan.refusal:
        yield Finding(plan.refusal, [f"# in {plan.config_file}: correct the value"])
    yield f"stack {settings.stack_name}, {len(settings.parameters)} parameters"


def check_build(plan: Plan) -> Checked:
    """Check that the function was built for its processor architecture."""
    wanted = plan.settings.parameters.get("Architecture")
    wanted = wanted or plan.document["Parameters"]["Architecture"]["Default"]
    environment = plan.environment
    options = ["--config-env", environment] if environment != "default" else []
    build = shown.command(["sam", "build", *options])
    folder = plan.settings.build / "TransformFunction"
    machines = {each for path in sorted(folder.rglob("*.so")) if (each := _machine(path))}
    if not machines:
        yield Unchecked(f"{folder} has no compiled library of the function; run {build}")
    elif machines != {wanted}:
        yield Finding(
            f"{folder} is built for {', '.join(sorted(machines))}, but Architecture is {wanted}",
            [build],
        )
    else:
        yield f"{folder}: {wanted}"


def _machine(path: Path) -> str | None:
    """Return the processor architecture of a shared library; None if it is unknown."""
    try:
        with path.open("rb") as file:
            header = file.read(20)
    except OSError:
        return None
    is_elf = header[:4] == b"\x7fELF" and len(header) == 20
    return _MACHINES.get(int.from_bytes(header[18:20], "little")) if is_elf else None


# Checks of AWS -----------------------------------------------------------------------------------


def check_stack(plan: Plan) -> Checked:
    """Check that CloudFormation can create or update the stack."""
    name, deployed = plan.settings.stack_name, plan.deployed
    region = plan.where["region"]
    if deployed is None:
        yield f"stack {name} does not exist in {region}: it would be created"
        return
    status = deployed["StackStatus"]
    options = ("cloudformation", "--stack-name", name)
    if status in _DEAD:
        yield Finding(
            f"stack {name} is {status}: it cannot be updated",
            [commands.sam(plan.access, "delete", "--stack-name", name)],
        )
    elif status == "UPDATE_ROLLBACK_FAILED":
        yield Finding(
            f"stack {name} is {status}: it cannot be updated",
            [plan.aws(options[0], "continue-update-rollback", *options[1:])],
        )
    elif status.endswith("_IN_PROGRESS"):
        yield Finding(
            f"stack {name} is {status}: it cannot be updated now",
            [
                "# wait until the status changes",
                plan.aws(options[0], "describe-stacks", *options[1:]),
            ],
        )
    elif "DeliveryStreamArn" not in {each["OutputKey"] for each in deployed.get("Outputs", ())}:
        yield Finding(
            f"stack {name} in {region} has another template, which a deploy would replace",
            [f"# in {plan.config_file}: set another stack_name"],
        )
    else:
        yield f"stack {name} is {status}: it would be updated"


def check_kept(plan: Plan) -> Checked:
    """Check for parameters that have no line, and would keep a deployed, non-default value."""
    deployed = plan.deployed or {}
    has = {each["ParameterKey"]: each["ParameterValue"] for each in deployed.get("Parameters", ())}
    declared = plan.document["Parameters"]
    absent = [name for name in declared if name not in plan.settings.parameters]
    for name in absent:
        default = str(declared[name]["Default"])
        if (value := has.get(name, default)) != default:
            yield Finding(
                f"{name} has no line in {plan.config_file}: `sam deploy` keeps the deployed value"
                f" {value!r} instead of the default {default!r}",
                [plan.edit(name, value), f"{plan.edit(name, default)} (the default)"],
            )
    yield f"{len(declared) - len(absent)} of {len(declared)} parameters have a line"


def check_names(plan: Plan) -> Checked:
    """Check that no resource outside the stack has one of the stack's names."""
    own = set(plan.own.values())
    free = []
    for resource in plan.stack.resources.values():
        if resource.type not in _NAMED or resource.physical_id in own:
            continue
        what, is_there, delete = _NAMED[resource.type]
        name = resource.physical_id
        try:
            found = is_there(plan, name)
        except AccessError as error:
            yield Unchecked(f"{what} {name}: {error}")
            continue
        if not found:
            free.append(f"{what} {name}")
            continue
        yield Finding(
            f"{what} {name} already exists, and does not belong to stack"
            f" {plan.settings.stack_name}",
            # The deletion is a comment, so that nobody pastes it without reading it.
            [plan.edit("Name", "NAME"), f"# or, if nobody needs it: {plan.aws(*delete, name)}"],
        )
    yield f"free: {', '.join(free)}" if free else "all names belong to the stack already"


def _is_log_group(plan: Reader, name: str) -> bool:
    return _log_group(plan, name) is not None


def _log_group(plan: Reader, name: str) -> Any:
    groups = plan.pages("logs", "describe_log_groups", "logGroups")(logGroupNamePrefix=name)
    return next((each for each in groups if each["logGroupName"] == name), None)


def _described(service: str, operation: str, key: str) -> Callable[[Reader, str], bool]:
    def is_there(plan: Reader, name: str) -> bool:
        try:
            plan.call(service, operation, **{key: name})
        except AccessError as error:
            if not is_gone(error):
                raise
            return False
        return True

    return is_there


# Resources named by the template: the term for messages, whether one exists, and how to delete it.
_NAMED: Mapping[str, tuple[str, Callable[[Reader, str], bool], tuple[str, ...]]] = {
    "AWS::KinesisFirehose::DeliveryStream": (
        "stream",
        _described("firehose", "describe_delivery_stream", "DeliveryStreamName"),
        ("firehose", "delete-delivery-stream", "--delivery-stream-name"),
    ),
    "AWS::Lambda::Function": (
        "function",
        _described("lambda", "get_function_configuration", "FunctionName"),
        ("lambda", "delete-function", "--function-name"),
    ),
    "AWS::Logs::LogGroup": (
        "log group",
        _is_log_group,
        ("logs", "delete-log-group", "--log-group-name"),
    ),
    # Names of dashboards are unique in an account, not in a Region.
    "AWS::CloudWatch::Dashboard": (
        "dashboard",
        _described("cloudwatch", "get_dashboard", "DashboardName"),
        ("cloudwatch", "delete-dashboards", "--dashboard-names"),
    ),
    "AWS::KMS::Alias": (
        "key alias",
        _described("kms", "describe_key", "KeyId"),
        ("kms", "delete-alias", "--alias-name"),
    ),
}


def check_log_group(plan: Plan) -> Checked:
    """Check that the log group exists, supports subscription filters, and can have another one."""
    name = plan.stack.outputs["LogGroupName"]
    region = plan.where["region"]
    found = _log_group(plan, name)
    if found is None:
        yield Finding(
            f"log group {name} does not exist in {region}",
            [
                "# list the trails' log groups, and their Regions",
                plan.aws(
                    *("cloudtrail", "describe-trails", "--query"),
                    "trailList[].[Name,HomeRegion,CloudWatchLogsLogGroupArn]",
                ),
                plan.edit("LogGroupName", "NAME"),
                "# if the account has no trail:",
                "make deploy-trail",
            ],
        )
        return
    if (class_ := found.get("logGroupClass")) is None:
        yield Unchecked(f"the class of log group {name}: DescribeLogGroups does not return it")
    elif class_ != "STANDARD":
        yield Finding(
            f"log group {name} has the class {class_}, which supports no subscription filters",
            [
                "# a class cannot be changed: have the trail write to a new log group",
                plan.aws("logs", "create-log-group", "--log-group-name", f"{name}-standard"),
                plan.edit("LogGroupName", f"{name}-standard"),
            ],
        )
    yield f"log group {name}, class {class_}"
    yield from _check_filter_limit(plan, name)


def _check_filter_limit(plan: Plan, log_group: str) -> Checked:
    own = plan.own.get("SubscriptionFilter")
    ours = plan.stack.only("AWS::Logs::SubscriptionFilter").physical_id
    pages = plan.pages("logs", "describe_subscription_filters", "subscriptionFilters")
    others = [
        each["filterName"] for each in pages(logGroupName=log_group) if each["filterName"] != own
    ]
    delete = ("logs", "delete-subscription-filter", "--log-group-name", log_group, "--filter-name")
    if ours in others:
        yield Finding(
            f"log group {log_group} already has a subscription filter {ours}, which does not"
            f" belong to stack {plan.settings.stack_name}",
            [plan.edit("Name", "NAME"), f"# or, if nobody needs it: {plan.aws(*delete, ours)}"],
        )
    elif len(others) > _MAX_FILTERS:
        yield Finding(
            f"log group {log_group} has {len(others)} other subscription filters, the maximum",
            [f"# if nobody needs it: {plan.aws(*delete, each)}" for each in sorted(others)],
        )
    elif len(others) > _SURE_FILTERS:
        yield Unchecked(
            f"whether log group {log_group} can have another subscription filter: it has"
            f" {len(others)} ({', '.join(sorted(others))}), and AWS documents both 2 and 5 as the"
            " limit"
        )
    else:
        yield f"{len(others)} other subscription filters"


def check_trail(plan: Plan) -> Checked:
    """Check that a multi-Region trail sends sign-ins to the log group."""
    partition = plan.stack.outputs["DeliveryStreamArn"].split(":")[1]
    place = f"{plan.where['region']}:{plan.where['account_id']}"
    arn = f"arn:{partition}:logs:{place}:log-group:{plan.stack.outputs['LogGroupName']}"
    yield from trail.check(plan, arn, str(plan.stack.parameters["EventNames"]), time.time())


def check_key(plan: Plan) -> Checked:
    """Check an existing key: its Region, type, state and policy."""
    arn = str(plan.stack.parameters["ExistingKeyArn"])
    if not arn:
        yield "the stack creates its own key"
        return
    region, account_id = arn.split(":")[3:5]
    if region != plan.where["region"]:
        yield Finding(
            f"key {arn} is in {region}, but the stack is in {plan.where['region']}",
            [
                plan.edit("ExistingKeyArn", "ARN"),
                "# or let the stack create its own key:",
                plan.edit("ExistingKeyArn", ""),
            ],
        )
        return
    try:
        key = plan.call("kms", "describe_key", KeyId=arn)["KeyMetadata"]
    except AccessError as error:
        if account_id == plan.where["account_id"]:
            raise
        # AWS does not tell another account whether the key exists.
        yield Unchecked(f"key {arn} of account {account_id}: {error}")
    else:
        yield from _check_metadata(plan, key)
    options = ["--stack", plan.settings.stack_name, "--region", region]
    options += ["--account", plan.where["account_id"]]
    if (name := plan.stack.parameters["Name"]) != plan.document["Parameters"]["Name"]["Default"]:
        options += ["--parameter", f"Name={name}"]
    yield from permissions.check_key_policy(plan, plan.stack, options)


def _check_metadata(plan: Plan, key: dict[str, Any]) -> Checked:
    arn = key["Arn"]
    another = [plan.aws("kms", "create-key"), plan.edit("ExistingKeyArn", "ARN")]
    kind = (key.get("KeySpec", "SYMMETRIC_DEFAULT"), key.get("KeyUsage", "ENCRYPT_DECRYPT"))
    if kind != ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"):
        yield Finding(
            f"key {arn} has the spec {kind[0]} and the usage {kind[1]}; it must be a symmetric"
            " encryption key",
            another,
        )
    if key.get("KeyManager", "CUSTOMER") != "CUSTOMER":
        yield Finding(f"key {arn} is an AWS managed key: its policy cannot be changed", another)
    yield from permissions.check_key_state(plan, key, another)


def check_bucket(plan: Plan) -> Checked:
    """Check an existing bucket: that it exists, and its owner, Region and policy."""
    name = str(plan.stack.parameters["ExistingBucketName"])
    if not name:
        yield "the stack creates its own bucket"
        return
    given = str(plan.stack.parameters["ExistingBucketOwner"])
    owner = given or plan.where["account_id"]
    region = plan.where["region"]
    own = ["# or let the stack create its own bucket:", plan.edit("ExistingBucketName", "")]
    try:
        head = plan.call("s3", "head_bucket", Bucket=name, ExpectedBucketOwner=owner)
    except AccessError as error:
        if is_gone(error):
            create = plan.aws("s3", "mb", f"s3://{name}", region=region)
            yield Finding(f"bucket {name} does not exist", [create, *own])
        else:
            yield Unchecked(
                f"bucket {name}, expected in account {owner} (it may be in another account, if"
                f" ExistingBucketOwner is {'wrong' if given else 'missing'}): {error}"
            )
        return
    found = head.get("BucketRegion")
    if found is None:
        yield Unchecked(f"the Region of bucket {name}")
    elif found != region:
        yield Finding(
            f"bucket {name} is in {found}, but the stack is in {region}",
            [plan.edit("ExistingBucketName", "NAME"), *own],
        )
    yield f"bucket {name} of account {owner}, in {found}"
    if owner == plan.where["account_id"]:
        yield from permissions.check_bucket_policy(plan, plan.stack)
    else:
        yield Unchecked(
            f"the policy of bucket {name}, which only account {owner} can read: it must allow"
            " DeliveryRole to write"
        )


_FILE_CHECKS: dict[str, Callable[[Plan], Checked]] = {
    "settings": check_settings,
    "build": check_build,
}
_AWS_CHECKS: dict[str, Callable[[Plan], Checked]] = {
    "stack": check_stack,
    "kept parameters": check_kept,
    "names": check_names,
    "log group": check_log_group,
    "trail": check_trail,
    "key": check_key,
    "bucket": check_bucket,
}
CHECKS = _FILE_CHECKS | _AWS_CHECKS
