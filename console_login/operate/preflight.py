"""What would make a deploy fail, or deploy something else than samconfig.toml says, before it runs.

AWS's APIs are read, nothing is changed. What cannot be read is said, and never called ok.
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

# Of other filters on a log group. AWS documents two filters in PutSubscriptionFilter, and five in
# the quotas since 2026-09: which of them an account has is not to be read.
_SURE_FILTERS, _MAX_FILTERS = 1, 4

# The processor of an ELF file, in its header (ELF specification, e_machine).
_MACHINES = {0xB7: "arm64", 0x3E: "x86_64"}

# States from which CloudFormation takes nothing but a deletion.
_DEAD = ("CREATE_FAILED", "DELETE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED")


class Plan(Reader):
    """What `sam deploy` would do with an environment of samconfig.toml.

    Raises ConfigError.
    """

    def __init__(self, access: Access, config_file: Path, environment: str) -> None:
        self.settings = samconfig.read(config_file, environment)
        self.config_file = config_file
        self.environment = environment
        # As SAM CLI does.
        region = access.region or self.settings.region
        profile = access.profile or self.settings.profile
        super().__init__(replace(access, region=region, profile=profile))
        self.document = template.load()

    @functools.cached_property
    def refusal(self) -> str:
        """Why the template refuses the settings, wherever deployed; empty if it does not."""
        name = self.settings.stack_name
        try:
            template.resolve(self.document, self.settings.parameters, stack_name=name)
        except TemplateError as error:
            return str(error)
        return ""

    @functools.cached_property
    def where(self) -> dict[str, Any]:
        """The stack's name, Region and account; AccessError."""
        account_id = self.call("sts", "get_caller_identity")["Account"]
        region = self._client("sts").meta.region_name
        return {"stack_name": self.settings.stack_name, "region": region, "account_id": account_id}

    @functools.cached_property
    def stack(self) -> Stack:
        """The stack as it would be deployed, with the names of its roles and key, as far as known.

        Its roles have names such as they could have where they do not exist yet.
        """
        names = future_names(self.document, self.settings.stack_name)
        own = {each: self.own[each] for each in (*names, "EncryptionKey") if each in self.own}
        return template.resolve(
            self.document, self.settings.parameters, physical_ids=names | own, **self.where
        )

    @functools.cached_property
    def deployed(self) -> dict[str, Any] | None:
        """The stack as CloudFormation describes it; None if there is none. AccessError."""
        try:
            found = self.call(
                "cloudformation", "describe_stacks", StackName=self.settings.stack_name
            )
        except AccessError as error:
            if "does not exist" not in str(error):
                raise
            return None
        (stack,) = found["Stacks"]
        # A change set that was made and never executed.
        return None if stack["StackStatus"] == "REVIEW_IN_PROGRESS" else stack

    @functools.cached_property
    def own(self) -> dict[str, str]:
        """The physical ids of what the stack has already, by logical id; AccessError."""
        return self.stack_resources(self.settings.stack_name) if self.deployed else {}

    def edit(self, name: str, value: str) -> str:
        """Return a parameter's line of samconfig.toml, as a comment for a shell."""
        line = f'"{name}={value}",' if value else f"'{name}=\"\"',"
        return f"# in {self.config_file}, environment {self.environment}: {line}"


def examine(access: Access, config_file: Path, environment: str) -> tuple[str, list[Result]]:
    """Return the stack's name, and what each check finds.

    access: what is None is taken from the environment of the file, where it has it.
    Raises ConfigError, and TemplateError for a Region that is none.
    """
    plan = Plan(access, config_file, environment)
    name = plan.settings.stack_name
    results = checks.run(_OF_FILES, plan, [])
    not_looked_at = f"not checked: {', '.join(_OF_AWS)}"
    why = "the settings are refused" if plan.refusal else ""
    try:
        _ = plan.where
    except AccessError as error:
        why = why or str(error)
    if why:
        unchecked = [f"{why} ({not_looked_at})"]
        return name, [*results, Result("AWS", checks.UNCHECKED, unchecked=unchecked)]
    return name, results + checks.run(_OF_AWS, plan, [])


def stops(results: list[Result]) -> bool:
    """Whether something was found; what could not be checked stops no deploy."""
    return any(each.status == checks.FINDING for each in results)


# Of files ----------------------------------------------------------------------------------------


def check_settings(plan: Plan) -> Checked:
    """Find what SAM CLI drops of the parameters, and values that the template refuses."""
    settings = plan.settings
    for text, part in settings.dropped:
        yield Finding(
            f"SAM CLI ends a value at a blank, and drops {part!r} of parameter_overrides {text!r}",
            [
                f"# in {plan.config_file}: a list, a string for each parameter, no blanks in"
                " values, an empty one as 'NAME=\"\"'"
            ],
        )
    if plan.refusal:
        yield Finding(plan.refusal, [f"# in {plan.config_file}: correct the value"])
    yield f"stack {settings.stack_name}, {len(settings.parameters)} parameters"


def check_build(plan: Plan) -> Checked:
    """Find whether what was built is for the function's processor."""
    wanted = plan.settings.parameters.get("Architecture")
    wanted = wanted or plan.document["Parameters"]["Architecture"]["Default"]
    environment = plan.environment
    options = ["--config-env", environment] if environment != "default" else []
    build = shown.command(["sam", "build", *options])
    folder = plan.settings.build / "TransformFunction"
    machines = {each for path in sorted(folder.rglob("*.so")) if (each := _machine(path))}
    if not machines:
        yield Unchecked(f"{folder} has no library of the function's: {build}")
    elif machines != {wanted}:
        yield Finding(
            f"{folder} is built for {', '.join(sorted(machines))}, and Architecture is {wanted}",
            [build],
        )
    else:
        yield f"{folder}: {wanted}"


def _machine(path: Path) -> str | None:
    """Return the processor that a shared library is for; None if it is none that is known."""
    try:
        with path.open("rb") as file:
            header = file.read(20)
    except OSError:
        return None
    is_elf = header[:4] == b"\x7fELF" and len(header) == 20
    return _MACHINES.get(int.from_bytes(header[18:20], "little")) if is_elf else None


# Of AWS ------------------------------------------------------------------------------------------


def check_stack(plan: Plan) -> Checked:
    """Find whether CloudFormation would take the stack."""
    name, deployed = plan.settings.stack_name, plan.deployed
    region = plan.where["region"]
    if deployed is None:
        yield f"there is no stack {name} in {region}: it would be created"
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
            f"stack {name} is {status}: it cannot be updated meanwhile",
            [
                "# wait until the stack has another status",
                plan.aws(options[0], "describe-stacks", *options[1:]),
            ],
        )
    elif "DeliveryStreamArn" not in {each["OutputKey"] for each in deployed.get("Outputs", ())}:
        yield Finding(
            f"stack {name} in {region} has another template, which a deploy would replace",
            [f"# in {plan.config_file}: another stack_name"],
        )
    else:
        yield f"stack {name} is {status}: it would be updated"


def check_kept(plan: Plan) -> Checked:
    """Find parameters that have no line, and keep a deployed value that is not the default."""
    deployed = plan.deployed or {}
    has = {each["ParameterKey"]: each["ParameterValue"] for each in deployed.get("Parameters", ())}
    declared = plan.document["Parameters"]
    absent = [name for name in declared if name not in plan.settings.parameters]
    for name in absent:
        default = str(declared[name]["Default"])
        if (value := has.get(name, default)) != default:
            yield Finding(
                f"{name} has no line in {plan.config_file}: `sam deploy` keeps what is"
                f" deployed, {value!r}, and not the default, {default!r}",
                [plan.edit(name, value), f"{plan.edit(name, default)} (the default)"],
            )
    yield f"{len(declared) - len(absent)} of {len(declared)} parameters have a line"


def check_names(plan: Plan) -> Checked:
    """Find what has one of the stack's names already, and is not the stack's."""
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
            # Never to be pasted unread.
            [plan.edit("Name", "NAME"), f"# or, if nobody needs it: {plan.aws(*delete, name)}"],
        )
    yield f"free: {', '.join(free)}" if free else "the stack has its names already"


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


# What has a name of its own: what it is, whether it is there, and what deletes it.
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
    # Their names are an account's, whatever the Region.
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
    """Find whether the log group is there, takes a subscription filter, and has room for it."""
    name = plan.stack.outputs["LogGroupName"]
    region = plan.where["region"]
    found = _log_group(plan, name)
    if found is None:
        yield Finding(
            f"there is no log group {name} in {region}",
            [
                "# which log groups trails write into, and their Regions",
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
        yield Unchecked(f"the class of log group {name}: DescribeLogGroups does not name it")
    elif class_ != "STANDARD":
        yield Finding(
            f"log group {name} has the class {class_}, which has no subscription filters",
            [
                "# a class cannot be changed: let the trail write into a new log group",
                plan.aws("logs", "create-log-group", "--log-group-name", f"{name}-standard"),
                plan.edit("LogGroupName", f"{name}-standard"),
            ],
        )
    yield f"log group {name}, class {class_}"
    yield from _room(plan, name)


def _room(plan: Plan, log_group: str) -> Checked:
    own = plan.own.get("SubscriptionFilter")
    ours = plan.stack.only("AWS::Logs::SubscriptionFilter").physical_id
    pages = plan.pages("logs", "describe_subscription_filters", "subscriptionFilters")
    others = [
        each["filterName"] for each in pages(logGroupName=log_group) if each["filterName"] != own
    ]
    delete = ("logs", "delete-subscription-filter", "--log-group-name", log_group, "--filter-name")
    if ours in others:
        yield Finding(
            f"log group {log_group} has a subscription filter {ours} already, which does"
            f" not belong to stack {plan.settings.stack_name}",
            [plan.edit("Name", "NAME"), f"# or, if nobody needs it: {plan.aws(*delete, ours)}"],
        )
    elif len(others) > _MAX_FILTERS:
        yield Finding(
            f"log group {log_group} has {len(others)} other subscription filters, and cannot have"
            " more",
            [f"# if nobody needs it: {plan.aws(*delete, each)}" for each in sorted(others)],
        )
    elif len(others) > _SURE_FILTERS:
        yield Unchecked(
            f"whether log group {log_group} takes another subscription filter: it has"
            f" {len(others)} ({', '.join(sorted(others))}), and AWS documents a limit of 2 as well"
            " as of 5"
        )
    else:
        yield f"{len(others)} other subscription filters"


def check_trail(plan: Plan) -> Checked:
    """Find whether a trail of all Regions sends its sign-ins to the log group."""
    partition = plan.stack.outputs["DeliveryStreamArn"].split(":")[1]
    place = f"{plan.where['region']}:{plan.where['account_id']}"
    arn = f"arn:{partition}:logs:{place}:log-group:{plan.stack.outputs['LogGroupName']}"
    yield from trail.check(plan, arn, str(plan.stack.parameters["EventNames"]), time.time())


def check_key(plan: Plan) -> Checked:
    """Find whether an existing key can be used: here, enabled, symmetric, and by whom."""
    arn = str(plan.stack.parameters["ExistingKeyArn"])
    if not arn:
        yield "the stack has a key of its own"
        return
    region, account_id = arn.split(":")[3:5]
    if region != plan.where["region"]:
        yield Finding(
            f"key {arn} is in {region}, and the stack in {plan.where['region']}",
            [
                plan.edit("ExistingKeyArn", "ARN"),
                "# or a key of the stack's own:",
                plan.edit("ExistingKeyArn", ""),
            ],
        )
        return
    try:
        key = plan.call("kms", "describe_key", KeyId=arn)["KeyMetadata"]
    except AccessError as error:
        if account_id == plan.where["account_id"]:
            raise
        # Whether it is there is not said to other accounts.
        yield Unchecked(f"key {arn} of account {account_id}: {error}")
    else:
        yield from _of_metadata(plan, key)
    options = ["--stack", plan.settings.stack_name, "--region", region]
    options += ["--account", plan.where["account_id"]]
    if (name := plan.stack.parameters["Name"]) != plan.document["Parameters"]["Name"]["Default"]:
        options += ["--parameter", f"Name={name}"]
    yield from permissions.of_key(plan, plan.stack, options)


def _of_metadata(plan: Plan, key: dict[str, Any]) -> Checked:
    arn = key["Arn"]
    another = [plan.aws("kms", "create-key"), plan.edit("ExistingKeyArn", "ARN")]
    kind = (key.get("KeySpec", "SYMMETRIC_DEFAULT"), key.get("KeyUsage", "ENCRYPT_DECRYPT"))
    if kind != ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"):
        yield Finding(f"key {arn} is of {' and '.join(kind)}: it must be symmetric", another)
    if key.get("KeyManager", "CUSTOMER") != "CUSTOMER":
        yield Finding(f"key {arn} is AWS's own: its policy cannot be changed", another)
    yield from permissions.of_key_state(plan, key, another)


def check_bucket(plan: Plan) -> Checked:
    """Find whether an existing bucket is there, in the stack's Region, and whose it is."""
    name = str(plan.stack.parameters["ExistingBucketName"])
    if not name:
        yield "the stack has a bucket of its own"
        return
    given = str(plan.stack.parameters["ExistingBucketOwner"])
    owner = given or plan.where["account_id"]
    region = plan.where["region"]
    own = ["# or a bucket of the stack's own:", plan.edit("ExistingBucketName", "")]
    try:
        head = plan.call("s3", "head_bucket", Bucket=name, ExpectedBucketOwner=owner)
    except AccessError as error:
        if is_gone(error):
            create = plan.aws("s3", "mb", f"s3://{name}", region=region)
            yield Finding(f"there is no bucket {name}", [create, *own])
        else:
            yield Unchecked(
                f"bucket {name}, expected to be of account {owner} (of another account, if"
                f" ExistingBucketOwner is {'wrong' if given else 'missing'}): {error}"
            )
        return
    found = head.get("BucketRegion")
    if found is None:
        yield Unchecked(f"the Region of bucket {name}")
    elif found != region:
        yield Finding(
            f"bucket {name} is in {found}, and the stack in {region}",
            [plan.edit("ExistingBucketName", "NAME"), *own],
        )
    yield f"bucket {name} of account {owner}, in {found}"
    if owner == plan.where["account_id"]:
        yield from permissions.of_bucket(plan, plan.stack)
    else:
        yield Unchecked(f"the policy of bucket {name}, which account {owner} must have changed")


_OF_FILES: dict[str, Callable[[Plan], Checked]] = {
    "settings": check_settings,
    "build": check_build,
}
_OF_AWS: dict[str, Callable[[Plan], Checked]] = {
    "stack": check_stack,
    "kept parameters": check_kept,
    "names": check_names,
    "log group": check_log_group,
    "trail": check_trail,
    "key": check_key,
    "bucket": check_bucket,
}
CHECKS = _OF_FILES | _OF_AWS
