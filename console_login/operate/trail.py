"""Whether a trail sends sign-ins to a log group: of all Regions, and management WRITE events.

A sign-in is such an event (`readOnly` false). A trail of another account can write into the group
as well, through an organization or a centralized log group, and mostly cannot be read from here.
https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_AdvancedFieldSelector.html
"""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from console_login.operate.access import AccessError
from console_login.operate.checks import Checked, Finding, Unchecked, is_gone
from console_login.operate.subject import Reader

# What CloudTrail says of a sign-in, as far as selectors can ask. Of other events some is unknown.
_SIGN_IN = {
    "eventCategory": "Management",
    "eventName": "ConsoleLogin",
    "eventSource": "signin.amazonaws.com",
    "eventType": "AwsConsoleSignIn",
    "readOnly": "false",
}
_SIBLINGS = frozenset(
    {"CheckMfa", "CredentialChallenge", "ExitRole", "GetSigninToken", "RenewRole", "SwitchRole"}
    | {"UserAuthentication"}
)

# CloudTrail names its log streams so, also those of an organization (after its id).
_LOG_STREAM = re.compile(r"([0-9]{12})_CloudTrail_")

# A quiet account may send nothing for a day.
_SILENT_SECONDS = 24 * 3600

_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "Equals": str.__eq__,
    "StartsWith": str.startswith,
    "EndsWith": str.endswith,
}


def check(
    reader: Reader,
    log_group_arn: str,
    event_names: str,
    now: float,
    more: Callable[[dict[str, Any]], Checked] = lambda _: (),
) -> Checked:
    """Find whether a trail of all Regions sends its sign-ins to a log group.

    log_group_arn: without `:*`.
    event_names: as in EventNames.
    now: in seconds since the epoch.
    more: what else is found of a trail of the log group's account.
    """
    trails = reader.call("cloudtrail", "describe_trails")["trailList"]
    behind = [
        each
        for each in trails
        if each.get("CloudWatchLogsLogGroupArn", "").removesuffix(":*") == log_group_arn
    ]
    if not behind:
        yield from _without_trail(reader, log_group_arn, trails, now)
        return
    account_id = log_group_arn.split(":")[4]
    found = [
        [
            *_of_trail(reader, each, log_group_arn, event_names),
            *(more(each) if each["TrailARN"].split(":")[4] == account_id else ()),
        ]
        for each in behind
    ]
    for each in found:
        # One that is in order sends everything, whatever others do.
        if all(isinstance(one, str) for one in each):
            yield from each
            return
    unknown = [each for each in found if not any(isinstance(one, Finding) for one in each)]
    for each in unknown or found:
        yield from each


def _without_trail(
    reader: Reader, log_group_arn: str, trails: list[dict[str, Any]], now: float
) -> Checked:
    account_id, _, log_group = log_group_arn.split(":", 6)[4:]
    nothing = f"no trail of account {account_id} sends its events to log group {log_group}"
    last = _others(reader, log_group, account_id)
    accounts = ", ".join(sorted(last))
    if last and max(last.values()) > now - _SILENT_SECONDS:
        yield Unchecked(
            f"{nothing}; trails of other accounts do ({accounts}; the last event came at"
            f" {_time(max(last.values()))}): whether they record sign-ins of every Region is to be"
            " seen there"
        )
        return
    own = [each for each in trails if each["TrailARN"].split(":")[4] == account_id]
    roles = [each["CloudWatchLogsRoleArn"] for each in own if "CloudWatchLogsRoleArn" in each]
    role = ("--cloud-watch-logs-role-arn", (roles or ["ROLE_ARN"])[0])
    lines = ["# there is no trail in the account", "make deploy-trail"]
    if own:
        lines = ["# one trail is enough; its role must let CloudTrail write into the log group"]
        group = ("--cloud-watch-logs-log-group-arn", f"{log_group_arn}:*")
        lines += [
            _aws(reader, each, "update-trail", "--name", each["TrailARN"], *group, *role)
            for each in own
        ]
    if last:
        nothing += f"; those of {accounts} have sent nothing since {_time(max(last.values()))}"
    yield Finding(nothing, lines)


def _others(reader: Reader, log_group: str, account_id: str) -> dict[str, float]:
    """Return when trails of other accounts last sent an event, by account."""
    asked: dict[str, Any] = {
        "logGroupName": log_group,
        "orderBy": "LastEventTime",
        "descending": True,
    }
    try:
        streams = reader.call("logs", "describe_log_streams", **asked)["logStreams"]
    except AccessError as error:
        if not is_gone(error):
            raise
        return {}
    last: dict[str, float] = {}
    for each in streams:
        match = _LOG_STREAM.search(each["logStreamName"])
        came = each.get("lastIngestionTime", each.get("lastEventTimestamp"))
        if match and match[1] != account_id and came is not None:
            last[match[1]] = max(last.get(match[1], 0), came / 1000)
    return last


def _of_trail(
    reader: Reader, trail: dict[str, Any], log_group_arn: str, event_names: str
) -> Checked:
    arn = trail["TrailARN"]
    region = trail.get("HomeRegion")
    owner, here = arn.split(":")[4], log_group_arn.split(":")[4]
    there = [f"# in account {owner}, whose trail it is"] if owner != here else []

    def fix(*words: str) -> list[str]:
        return [*there, _aws(reader, trail, *words)]

    if not trail.get("IsMultiRegionTrail"):
        yield Finding(
            f"trail {arn} is not multi-Region: sign-ins recorded elsewhere are missing, root's"
            " among them",
            fix("update-trail", "--is-multi-region-trail", "--name", arn),
        )
    if not trail.get("IncludeGlobalServiceEvents"):
        yield Finding(
            f"trail {arn} leaves out global services' events, sign-ins included",
            fix("update-trail", "--include-global-service-events", "--name", arn),
        )
    try:
        status = reader.call("cloudtrail", "get_trail_status", region=region, Name=arn)
        selectors = reader.call("cloudtrail", "get_event_selectors", region=region, TrailName=arn)
    except AccessError as error:
        whose = f"trail {arn} of account {owner}" if there else f"trail {arn}"
        yield Unchecked(f"{whose}: {error}")
        return
    if not status["IsLogging"]:
        yield Finding(f"trail {arn} is stopped", fix("start-logging", "--name", arn))
    if problem := status.get("LatestCloudWatchLogsDeliveryError"):
        role = trail.get("CloudWatchLogsRoleArn", "ROLE").rsplit("/", 1)[-1]
        log_group = log_group_arn.split(":", 6)[6]
        key = ("--query", "logGroups[].[logGroupName,kmsKeyId]")
        yield Finding(
            f"trail {arn} cannot write to the log group: {problem}",
            [
                *there,
                "# the trail's role, and the log group's key",
                reader.aws("iam", "list-role-policies", "--role-name", role),
                reader.aws(
                    "logs", "describe-log-groups", "--log-group-name-prefix", log_group, *key
                ),
            ],
        )
    yield from _of_selectors(arn, selectors, event_names, fix)
    delivered = status.get("LatestCloudWatchLogsDeliveryTime")
    last = f", last delivered to the log group {_time(delivered.timestamp())}" if delivered else ""
    yield f"trail {arn}: every Region, management write events{last}"


def _of_selectors(
    arn: str, selectors: dict[str, Any], event_names: str, fix: Any
) -> Iterator[Finding | Unchecked]:
    names = ["ConsoleLogin"] if event_names == "*" else event_names.split(",")
    verdicts = {name: records(selectors, name) for name in names}
    if missing := [name for name, verdict in verdicts.items() if verdict is False]:
        yield Finding(
            f"trail {arn} does not record {', '.join(missing)}: its event selectors leave"
            " management write events out, or events of these names",
            fix("put-event-selectors", "--trail-name", arn, *_with_write_events(selectors)),
        )
    if unknown := [name for name, verdict in verdicts.items() if verdict is None]:
        yield Unchecked(
            f"whether trail {arn} records each {', '.join(unknown)}: its event selectors ask for"
            " what is not known of these events"
        )


def records(selectors: dict[str, Any], event_name: str) -> bool | None:
    """Return whether a trail records events of a name; None: some, or it cannot be known.

    selectors: the answer to GetEventSelectors. An answer without any is a trail as it was made,
    which records every management event.
    """
    event = dict(_SIGN_IN)
    if event_name != "ConsoleLogin":
        known = ("eventCategory", "eventSource") if event_name in _SIBLINGS else ("eventCategory",)
        event = {key: _SIGN_IN[key] for key in known} | {"eventName": event_name}
    if advanced := selectors.get("AdvancedEventSelectors"):
        verdicts = [
            _all(_selects(each, event) for each in one["FieldSelectors"]) for one in advanced
        ]
    else:
        classic = selectors.get("EventSelectors") or [{}]
        verdicts = [_all(_classic(each, event)) for each in classic]
    if True in verdicts:
        return True
    return None if None in verdicts else False


def _all(verdicts: Iterator[bool | None]) -> bool | None:
    found = list(verdicts)
    if False in found:
        return False
    return None if None in found else True


def _classic(selector: dict[str, Any], event: dict[str, str]) -> Iterator[bool | None]:
    yield selector.get("IncludeManagementEvents", True)
    types = {"All": ["true", "false"], "ReadOnly": ["true"], "WriteOnly": ["false"]}
    wanted = types[selector.get("ReadWriteType", "All")]
    yield len(wanted) == 2 or _selects({"Field": "readOnly", "Equals": wanted}, event)
    if excluded := selector.get("ExcludeManagementEventSources"):
        yield _selects({"Field": "eventSource", "NotEquals": excluded}, event)


def _selects(selector: dict[str, Any], event: dict[str, str]) -> bool | None:
    value = event.get(selector["Field"])
    if value is None:
        return None
    for operator, matches in _OPERATORS.items():
        if operator in selector and not any(matches(value, each) for each in selector[operator]):
            return False
        if any(matches(value, each) for each in selector.get(f"Not{operator}", ())):
            return False
    return True


def _with_write_events(selectors: dict[str, Any]) -> list[str]:
    """Return the options that add write events to what a trail records, and change nothing else."""
    if advanced := selectors.get("AdvancedEventSelectors"):
        fields = [
            {"Field": "eventCategory", "Equals": ["Management"]},
            {"Field": "readOnly", "Equals": ["false"]},
        ]
        added = {"Name": "Management write events", "FieldSelectors": fields}
        return ["--advanced-event-selectors", json.dumps([*advanced, added])]
    write = {"ReadWriteType": "WriteOnly", "IncludeManagementEvents": True, "DataResources": []}
    return ["--event-selectors", json.dumps([*selectors["EventSelectors"], write])]


def _aws(reader: Reader, trail: dict[str, Any], *words: str) -> str:
    return reader.aws("cloudtrail", *words, region=trail.get("HomeRegion"))


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
