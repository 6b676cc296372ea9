"""Check that a trail sends sign-ins to a log group: multi-Region, with management WRITE events.

A sign-in is a write event (`readOnly` false). A trail of another account can also write to the
log group (organization trail, centralized log group); this account can usually not read it.
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

# The fields of a sign-in that selectors can match. For other events, some values are unknown.
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

# The name of CloudTrail's log streams; for an organization trail, after the organization's id.
_LOG_STREAM = re.compile(r"([0-9]{12})_CloudTrail_")

# An account with little activity may send no event for a day.
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
    """Check that a multi-Region trail sends sign-ins to a log group.

    log_group_arn: without `:*`.
    event_names: as in EventNames.
    now: in seconds since the epoch.
    more: further checks of each trail that belongs to the log group's account.
    """
    trails = reader.call("cloudtrail", "describe_trails")["trailList"]
    sending = [
        each
        for each in trails
        if each.get("CloudWatchLogsLogGroupArn", "").removesuffix(":*") == log_group_arn
    ]
    if not sending:
        yield from _without_trail(reader, log_group_arn, trails, now)
        return
    account_id = log_group_arn.split(":")[4]
    found = [
        [
            *_check_trail(reader, each, log_group_arn, event_names),
            *(more(each) if each["TrailARN"].split(":")[4] == account_id else ()),
        ]
        for each in sending
    ]
    for each in found:
        # One trail without problems is enough, whatever the state of the others.
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
    last = _last_events_of_others(reader, log_group, account_id)
    accounts = ", ".join(sorted(last))
    if last and max(last.values()) > now - _SILENT_SECONDS:
        yield Unchecked(
            f"{nothing}; trails of other accounts do ({accounts}; last event at"
            f" {_time(max(last.values()))}): check in those accounts that they record the sign-ins"
            " of every Region"
        )
        return
    own = [each for each in trails if each["TrailARN"].split(":")[4] == account_id]
    roles = [each["CloudWatchLogsRoleArn"] for each in own if "CloudWatchLogsRoleArn" in each]
    role = ("--cloud-watch-logs-role-arn", (roles or ["ROLE_ARN"])[0])
    lines = ["# the account has no trail", "make deploy-trail"]
    if own:
        lines = ["# one trail is enough; its role must allow CloudTrail to write to the log group"]
        group = ("--cloud-watch-logs-log-group-arn", f"{log_group_arn}:*")
        lines += [
            _aws(reader, each, "update-trail", "--name", each["TrailARN"], *group, *role)
            for each in own
        ]
    if last:
        nothing += f"; those of {accounts} have sent no event since {_time(max(last.values()))}"
    yield Finding(nothing, lines)


def _last_events_of_others(reader: Reader, log_group: str, account_id: str) -> dict[str, float]:
    """Return the time of the last event from trails of other accounts, by account."""
    arguments: dict[str, Any] = {
        "logGroupName": log_group,
        "orderBy": "LastEventTime",
        "descending": True,
    }
    try:
        streams = reader.call("logs", "describe_log_streams", **arguments)["logStreams"]
    except AccessError as error:
        if not is_gone(error):
            raise
        return {}
    last: dict[str, float] = {}
    for each in streams:
        match = _LOG_STREAM.search(each["logStreamName"])
        time = each.get("lastIngestionTime", each.get("lastEventTimestamp"))
        if match and match[1] != account_id and time is not None:
            last[match[1]] = max(last.get(match[1], 0), time / 1000)
    return last


def _check_trail(
    reader: Reader, trail: dict[str, Any], log_group_arn: str, event_names: str
) -> Checked:
    arn = trail["TrailARN"]
    region = trail.get("HomeRegion")
    owner, here = arn.split(":")[4], log_group_arn.split(":")[4]
    there = [f"# in account {owner}, which owns the trail"] if owner != here else []

    def fix(*words: str) -> list[str]:
        return [*there, _aws(reader, trail, *words)]

    if not trail.get("IsMultiRegionTrail"):
        yield Finding(
            f"trail {arn} is not multi-Region: sign-ins recorded in other Regions are missing,"
            " including those of root",
            fix("update-trail", "--is-multi-region-trail", "--name", arn),
        )
    if not trail.get("IncludeGlobalServiceEvents"):
        yield Finding(
            f"trail {arn} excludes events of global services, including sign-ins",
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
        yield Finding(f"logging of trail {arn} is stopped", fix("start-logging", "--name", arn))
    if problem := status.get("LatestCloudWatchLogsDeliveryError"):
        role = trail.get("CloudWatchLogsRoleArn", "ROLE").rsplit("/", 1)[-1]
        log_group = log_group_arn.split(":", 6)[6]
        key = ("--query", "logGroups[].[logGroupName,kmsKeyId]")
        yield Finding(
            f"trail {arn} cannot write to the log group: {problem}",
            [
                *there,
                "# check the trail's role, and the log group's key",
                reader.aws("iam", "list-role-policies", "--role-name", role),
                reader.aws(
                    "logs", "describe-log-groups", "--log-group-name-prefix", log_group, *key
                ),
            ],
        )
    yield from _check_selectors(arn, selectors, event_names, fix)
    delivered = status.get("LatestCloudWatchLogsDeliveryTime")
    last = f", last delivered to the log group {_time(delivered.timestamp())}" if delivered else ""
    yield f"trail {arn}: multi-Region, management write events{last}"


def _check_selectors(
    arn: str, selectors: dict[str, Any], event_names: str, fix: Any
) -> Iterator[Finding | Unchecked]:
    names = ["ConsoleLogin"] if event_names == "*" else event_names.split(",")
    recorded = {name: records(selectors, name) for name in names}
    if missing := [name for name, answer in recorded.items() if answer is False]:
        yield Finding(
            f"trail {arn} does not record {', '.join(missing)}: its event selectors exclude"
            " management write events, or events of these names",
            fix("put-event-selectors", "--trail-name", arn, *_with_write_events(selectors)),
        )
    if unknown := [name for name, answer in recorded.items() if answer is None]:
        yield Unchecked(
            f"whether trail {arn} records every {', '.join(unknown)}: its event selectors use"
            " fields whose values are not known for these events"
        )


def records(selectors: dict[str, Any], event_name: str) -> bool | None:
    """Return whether a trail records the events of a name; None: only some, or unknown.

    selectors: the response of GetEventSelectors. Without selectors, a trail has the default, and
    records every management event.
    """
    event = dict(_SIGN_IN)
    if event_name != "ConsoleLogin":
        known = ("eventCategory", "eventSource") if event_name in _SIBLINGS else ("eventCategory",)
        event = {key: _SIGN_IN[key] for key in known} | {"eventName": event_name}
    if advanced := selectors.get("AdvancedEventSelectors"):
        answers = [
            _all(_selects(each, event) for each in one["FieldSelectors"]) for one in advanced
        ]
    else:
        basic = selectors.get("EventSelectors") or [{}]
        answers = [_all(_basic(each, event)) for each in basic]
    if True in answers:
        return True
    return None if None in answers else False


def _all(answers: Iterator[bool | None]) -> bool | None:
    found = list(answers)
    if False in found:
        return False
    return None if None in found else True


def _basic(selector: dict[str, Any], event: dict[str, str]) -> Iterator[bool | None]:
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
    """Return the options that add write events to a trail, and keep its other selectors."""
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
