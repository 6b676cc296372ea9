"""Alarms, reconciliation, sign-in alarms and dashboard of the template."""

import itertools
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import prices
import pytest
from stacks import ATHENA, COMBINATIONS, DOCUMENT, KEY_ARN, TOPIC_ARN, athena, needs, only, stack
from support import DATA, ROOT, envelope, event, gz

from console_login.local.filter_pattern import FilterPattern
from console_login.stack.template import TemplateError, resolve

ALL = "everything optional"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
# Metric names, with the dimensions that AWS documents.
DOCUMENTED = {
    # https://docs.aws.amazon.com/firehose/latest/dev/monitoring-with-cloudwatch-metrics.html
    "AWS/Firehose": {
        "DeliveryToS3.DataFreshness": {"DeliveryStreamName"},
        "DeliveryToS3.Success": {"DeliveryStreamName"},
        "ThrottledRecords": {"DeliveryStreamName"},
    },
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    "AWS/Lambda": {each: {"FunctionName"} for each in ("Duration", "Errors", "Throttles")},
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html
    "AWS/Logs": {
        "IncomingLogEvents": {"LogGroupName"},
        # The query reads it without a SCHEMA, and so with any other dimensions (DestinationType).
        "DeliveryErrors": {"FilterName", "LogGroupName"},
    },
}
QUERY = re.compile(
    r"""SELECT SUM\((\w+)\) FROM "([\w/]+)" WHERE (\w+ = '[^']+'(?: AND \w+ = '[^']+')*)"""
)

Metric = tuple[str, str, frozenset[tuple[str, str]]]


def alarms(name: str = ALL) -> dict[str, dict[str, Any]]:
    found = stack(name).of_type("AWS::CloudWatch::Alarm")
    return {logical_id: alarm.properties for logical_id, alarm in found.items()}


def metric_filters(name: str = ALL) -> dict[str, dict[str, Any]]:
    found = stack(name).of_type("AWS::Logs::MetricFilter")
    return {logical_id: each.properties for logical_id, each in found.items()}


def metrics_of(alarm: dict[str, Any]) -> set[Metric]:
    """Return namespace, name and dimensions of each metric that an alarm reads."""
    found: set[Metric] = set()
    for each in alarm.get("Metrics", [{"MetricStat": {"Metric": alarm}}]):
        if "MetricStat" in each:
            metric = each["MetricStat"]["Metric"]
            pairs = {(pair["Name"], pair["Value"]) for pair in metric.get("Dimensions", ())}
            found.add((metric["Namespace"], metric["MetricName"], frozenset(pairs)))
        elif query := QUERY.fullmatch(each["Expression"]):
            pairs = set(re.findall(r"(\w+) = '([^']+)'", query[3]))
            found.add((query[2], query[1], frozenset(pairs)))
    return found


def widgets() -> list[dict[str, Any]]:
    body = json.loads(only(stack(ALL), "AWS::CloudWatch::Dashboard")["DashboardBody"])
    found: list[dict[str, Any]] = body["widgets"]
    return found


def metrics_shown() -> set[Metric]:
    found: set[Metric] = set()
    for widget in widgets():
        last: list[str] = []
        for row in widget["properties"].get("metrics", ()):
            texts = [each for each in row if isinstance(each, str)]
            last = [last[at] if text == "." else text for at, text in enumerate(texts)]
            pairs = frozenset(zip(last[2::2], last[3::2], strict=True))
            found.add((last[0], last[1], pairs))
    return found


def emitted(logged: Any, name: str) -> set[Metric]:
    """Return the metrics that the function emits: delivered, failed and put back."""
    sign_in = json.dumps({"eventName": "ConsoleLogin"})
    half = gz(envelope([sign_in, '{"eventName":"ConsoleLogin"']))
    found: set[Metric] = set()
    _, lines = logged(event(gz(envelope([sign_in])), b"\x1f\x8b", half))
    for line in lines:
        for group in line.get("_aws", {}).get("CloudWatchMetrics", ()):
            (dimensions,) = group["Dimensions"]
            # The value is from the environment, where the template sets it to the stack's name.
            pairs = frozenset((each, name) for each in dimensions)
            found |= {(group["Namespace"], each["Name"], pairs) for each in group["Metrics"]}
    return found


def log_fields(logged: Any) -> set[str]:
    _, lines = logged(event(b"\x1f\x8b"))
    return {key for line in lines for key in line} | {"@timestamp"}


# Resources and their cost -----------------------------------------------------------------------


def test_an_idle_stack_costs_only_the_key() -> None:
    with_a_fee = ("AWS::CloudWatch::", "AWS::Logs::MetricFilter", "AWS::SNS::")
    types = {each.type for each in stack().resources.values()}
    assert not {each for each in types if each.startswith(with_a_fee)}
    # The table costs nothing either, until someone runs a query.
    types = {each.type.rsplit("::", 1)[0] for each in athena().resources.values()}
    assert types == {"AWS::Athena", "AWS::Glue"}


def least_and_most() -> dict[str, tuple[float, ...]]:
    """Return the monthly cost of each optional part, from the prices of docs/cost.md."""
    alarms, signs = (
        sum(each.count * each.metrics_each for each in group) * prices.ALARM_METRIC.us_east_1
        for group in (prices.ALARMS, prices.SIGN_IN_ALARMS)
    )
    # Metrics of the function and the metric filter, only sent with alarms or a dashboard.
    metrics = (len(prices.METRICS) + prices.ALARM_METRICS) * prices.METRIC.us_east_1
    return {
        "AlarmEmail": (alarms, alarms + metrics),
        "AlarmTopicArn": (alarms, alarms + metrics),
        "SignInAlarms": (signs, signs + prices.SIGN_IN_METRICS * prices.METRIC.us_east_1),
        "Dashboard": (prices.DASHBOARD.us_east_1, metrics),
    }


@pytest.mark.parametrize("parameter", least_and_most())
def test_the_description_of_an_optional_part_has_its_cost(parameter: str) -> None:
    description = DOCUMENT["Parameters"][parameter]["Description"]
    assert re.search(r"[0-9.]+ USD", description)
    amounts = re.findall(r"\b\d+\.\d\d\b|\b\d+(?= USD)", description)
    assert tuple(map(float, amounts)) == pytest.approx(least_and_most()[parameter])


def test_the_description_of_the_queries_has_their_cost() -> None:
    description = " ".join(ATHENA["Description"].split())
    assert f"costs nothing until a query runs ({prices.ATHENA.us_east_1:g} USD a TB" in description


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("nothing given", set()),
        ("alarms by mail", {"EventsSeenFilter"}),
        ("a dashboard alone", {"EventsSeenFilter"}),
        (
            ALL,
            {
                "EventsSeenFilter",
                "SignInWithoutMfaFilter",
                "FailedSignInsFilter",
                "RootActivityFilter",
            },
        ),
    ],
)
def test_metric_filters_belong_to_the_chosen_parts(name: str, found: set[str]) -> None:
    assert set(metric_filters(name)) == found


def test_rules_use_the_functions_that_aws_allows_in_them() -> None:
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference-rules.html
    allowed = {"Ref", "Fn::And", "Fn::Contains", "Fn::Equals", "Fn::Not", "Fn::Or"}
    text = json.dumps(DOCUMENT["Rules"])
    assert set(re.findall(r'"(Fn::\w+|Ref|Condition)":', text)) <= allowed


def test_sign_in_alarms_alone_would_reach_no_one() -> None:
    with pytest.raises(TemplateError, match="SignInAlarms needs"):
        resolve(DOCUMENT, {"SignInAlarms": "true"})


# Recipients of alarms ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "topics"),
    [
        ("alarms by mail", ["arn:aws:sns:{r}:{a}:console-login-firehose-AlarmTopic"]),
        ("alarms to a topic, existing key", [TOPIC_ARN]),
        (ALL, ["arn:aws:sns:{r}:{a}:console-login-firehose-AlarmTopic", TOPIC_ARN]),
    ],
)
def test_every_alarm_goes_to_every_topic(name: str, topics: list[str]) -> None:
    wanted = [each.format(r="ap-northeast-1", a="111122223333") for each in topics]
    found = alarms(name)
    assert len(found) == (9 if name == "alarms by mail" else 12)
    assert {tuple(alarm["AlarmActions"]) for alarm in found.values()} == {tuple(wanted)}


def test_the_topic_is_encrypted_so_that_cloudwatch_can_publish() -> None:
    resolved = stack("alarms by mail")
    topic = only(resolved, "AWS::SNS::Topic")
    assert topic["KmsMasterKeyId"] == resolved.outputs["KeyArn"]
    sources = []
    for statements in (
        only(resolved, "AWS::KMS::Key")["KeyPolicy"]["Statement"],
        only(resolved, "AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"],
    ):
        (publishes,) = [each for each in statements if each["Sid"] == "CloudWatchAlarmsPublish"]
        assert publishes["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        sources.append(publishes["Condition"])
    assert sources[0] == sources[1]
    assert sources[0]["ArnLike"]["aws:SourceArn"].endswith(":111122223333:alarm:*")
    subscription = only(resolved, "AWS::SNS::Subscription")
    assert subscription["Endpoint"] == "security@example.com"
    assert subscription["TopicArn"] == only(resolved, "AWS::SNS::TopicPolicy")["Topics"][0]


def test_the_stacks_own_topic_uses_an_existing_key_too() -> None:
    resolved = resolve(DOCUMENT, {"AlarmEmail": "a@example.com", "ExistingKeyArn": KEY_ARN})
    assert only(resolved, "AWS::SNS::Topic")["KmsMasterKeyId"] == KEY_ARN


# Descriptions of alarms -------------------------------------------------------------------------


@pytest.mark.parametrize("logical_id", sorted(alarms()))
def test_a_description_names_the_first_look_and_the_runbook(logical_id: str) -> None:
    description = alarms()[logical_id]["AlarmDescription"]
    assert re.search(r"First look: \S", description)
    assert description.endswith(f"Runbook: docs/operations.md#{logical_id.lower()}")
    assert re.search(rf"^### {logical_id}$", OPERATIONS, re.MULTILINE)
    for output in re.findall(r"\b\w+Command\b", description):
        assert output in stack(ALL).outputs
    for query in re.findall(r"saved query ([a-z-]*[a-z])", description):
        queries = athena().of_type("AWS::Athena::NamedQuery").values()
        assert query in {each.properties["Name"] for each in queries}


def test_the_runbook_has_a_section_for_each_alarm_and_for_no_other() -> None:
    # Nine at most, one for each different response; the sign-in alarms are separate.
    assert len(alarms("alarms by mail")) <= 9
    assert re.findall(r"^### (\w+Alarm)$", OPERATIONS, re.MULTILINE) == list(alarms())
    # The runbook names no alarm that does not exist.
    assert set(re.findall(r"\b[A-Z]\w+Alarm\b", OPERATIONS)) <= set(alarms())


# Metrics of alarms and dashboard ----------------------------------------------------------------


def test_every_metric_that_is_named_is_emitted_or_documented(logged: Any) -> None:
    resolved = stack(ALL)
    known = emitted(logged, resolved.name)
    for each in metric_filters().values():
        (transformation,) = each["MetricTransformations"]
        known.add((transformation["MetricNamespace"], transformation["MetricName"], frozenset()))
    read = metrics_shown().union(*map(metrics_of, alarms().values()))
    assert len(read) == 15
    assert {(namespace, name) for namespace, name, _ in read - known} == {
        (namespace, name) for namespace, names in DOCUMENTED.items() for name in names
    }
    for namespace, name, dimensions in read - known:
        assert {key for key, _ in dimensions} == DOCUMENTED[namespace][name]
        values = {value for _, value in dimensions}
        assert values <= {
            resolved.resources["DeliveryStream"].physical_id,
            resolved.resources["TransformFunction"].physical_id,
            resolved.resources["SubscriptionFilter"].physical_id,
            resolved.outputs["LogGroupName"],
        }
    # Alarms or the dashboard read every metric of the function and the filters.
    assert known <= read


def test_the_query_names_no_set_of_dimensions() -> None:
    # A SCHEMA matches only metrics with exactly its dimensions, which AWS does not document here.
    (query,) = (
        each["Expression"]
        for each in alarms()["SubscriptionErrorsAlarm"]["Metrics"]
        if QUERY.fullmatch(each["Expression"])
    )
    group, name = stack(ALL).outputs["LogGroupName"], stack(ALL).parameters["Name"]
    assert query == (
        f"SELECT SUM(DeliveryErrors) FROM \"AWS/Logs\" WHERE LogGroupName = '{group}' "
        f"AND FilterName = '{name}'"
    )
    assert "SCHEMA" not in json.dumps(alarms())


def test_every_alarm_reads_a_metric() -> None:
    for alarm in alarms().values():
        assert metrics_of(alarm)
        # With metric math or a query, a single series decides.
        returned = [each for each in alarm.get("Metrics", ()) if each["ReturnData"]]
        assert len(returned) == ("Metrics" in alarm)


def test_the_dashboards_log_group_and_fields_exist(logged: Any) -> None:
    (log,) = [each["properties"] for each in widgets() if each["type"] == "log"]
    group = re.match(r"SOURCE '([^']+)' ", log["query"])
    assert group
    resolved = stack(ALL)
    assert group[1] == resolved.resources["TransformLogGroup"].properties["LogGroupName"]
    (fields,) = re.findall(r"\| fields ([^|]+) \|", log["query"])
    named = {each.strip() for each in fields.split(",")}
    named |= set(re.findall(r"(?:filter|or) (\w+) ", log["query"]))
    assert named <= log_fields(logged)
    assert "records_failed" in named
    _, lines = logged(event(b"\x1f\x8b"))
    assert re.findall(r"message = '([^']+)'", log["query"]) == ["record failed"]
    assert "record failed" in {line.get("message") for line in lines}


def test_the_dashboard_shows_every_alarm() -> None:
    for name, wanted in (("a dashboard alone", 0), (ALL, 12)):
        body = json.loads(only(stack(name), "AWS::CloudWatch::Dashboard")["DashboardBody"])
        shown = [
            arn
            for widget in body["widgets"]
            for arn in widget["properties"].get("alarms", ())
            if widget["type"] == "alarm"
        ]
        assert len(shown) == wanted
        ids = {arn.rsplit(":", 1)[1].removeprefix(f"{stack(name).name}-") for arn in shown}
        assert ids == set(alarms(name))


def test_a_dashboard_without_sign_in_alarms_is_json_too() -> None:
    resolved = resolve(DOCUMENT, {"Dashboard": "true", "AlarmEmail": "a@example.com"})
    body = json.loads(only(resolved, "AWS::CloudWatch::Dashboard")["DashboardBody"])
    (states,) = [each for each in body["widgets"] if each["type"] == "alarm"]
    assert len(states["properties"]["alarms"]) == 9


# Metrics on and off -----------------------------------------------------------------------------


def variables(name: str) -> dict[str, str]:
    """Return the function's environment as the template sets it."""
    function = stack(name).resources["TransformFunction"].properties
    found: dict[str, str] = function["Environment"]["Variables"]
    return found


@pytest.mark.parametrize("name", COMBINATIONS)
def test_metrics_are_off_where_nothing_reads_them(name: str) -> None:
    types = {each.type for each in stack(name).resources.values()}
    read = types & {"AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard"}
    # Never "", which Powertools rejects, and then it sends no metrics either.
    assert variables(name)["POWERTOOLS_METRICS_DISABLED"] == ("false" if read else "true")


def test_metrics_are_on_with_any_part_that_reads_them() -> None:
    for parameters in (
        {"AlarmEmail": "a@example.com"},
        {"AlarmTopicArn": TOPIC_ARN},
        {"Dashboard": "true"},
    ):
        resolved = resolve(DOCUMENT, parameters)
        function = resolved.resources["TransformFunction"].properties
        assert function["Environment"]["Variables"]["POWERTOOLS_METRICS_DISABLED"] == "false"


INVOCATIONS = 250
# A sign-in, a record that fails, and a record whose damaged sign-in is put back.
PROGRAM = f"""
from support import CONTEXT, TOKYO, FakeFirehose, envelope, event, gz
import app
from transformer.put_back import PutBack
firehose = FakeFirehose()
app._putter = PutBack(lambda: firehose, sleep=firehose.sleep)
half = gz(envelope([TOKYO, '{{"eventName":"ConsoleLogin"']))
for _ in range({INVOCATIONS}):
    app.lambda_handler(event(gz(envelope([TOKYO])), b"\\x1f\\x8b", half), CONTEXT)
"""


def printed(**environment: str) -> list[dict[str, Any]]:
    """Return the lines of a new process that invokes the handler many times."""
    path = os.pathsep.join(str(ROOT / each) for each in ("functions/transform", "tests"))
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    done = subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path, **environment},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def logs(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines that are not metrics, without timestamps."""
    found = [line for line in lines if "_aws" not in line]
    return [{key: line[key] for key in line if key != "timestamp"} for line in found]


def test_with_metrics_off_the_function_logs_the_same_and_sends_no_metric() -> None:
    off, on = (printed(**variables(name)) for name in ("nothing given", "alarms by mail"))
    assert not [line for line in off if "_aws" in line]
    sent = [line for line in on if "_aws" in line]
    assert len(sent) == INVOCATIONS
    for name in prices.METRICS:
        # Each flush clears the values, so no value is sent twice.
        assert {len(line[name]) for line in sent} == {1}
    assert logs(off) == logs(on)
    messages = [line["message"] for line in logs(off)]
    assert messages.count("batch transformed") == INVOCATIONS


# Thresholds -------------------------------------------------------------------------------------


def test_no_alarm_fires_on_a_quiet_account() -> None:
    # An alarm is OK if its metric has no data (a setting of the alarm) or is 0.
    # TrailSilentAlarm is about the whole account, which is never that quiet: see below.
    for logical_id, alarm in alarms().items():
        if logical_id != "TrailSilentAlarm":
            assert alarm["TreatMissingData"] == "notBreaching"
            assert not breaches(alarm, 0)


def breaches(alarm: dict[str, Any], value: float) -> bool:
    threshold = float(alarm["Threshold"])
    comparisons: dict[str, Callable[[], bool]] = {
        "GreaterThanOrEqualToThreshold": lambda: value >= threshold,
        "GreaterThanThreshold": lambda: value > threshold,
        "LessThanThreshold": lambda: value < threshold,
    }
    return comparisons[alarm["ComparisonOperator"]]()


def test_the_freshness_alarm_waits_for_the_longest_buffers() -> None:
    parameters = DOCUMENT["Parameters"]
    longest = sum(parameters[name]["MaxValue"] for name in ("BufferSeconds", "LambdaBufferSeconds"))
    assert longest < alarms()["DataFreshnessAlarm"]["Threshold"] < 24 * 3600


# A silent trail -------------------------------------------------------------------------------

# CloudWatch reads more intervals than EvaluationPeriods. How many is not documented.
READ_MORE = (0, 2, 12)


def silent(hours: Sequence[int | None], read_more: int = 0) -> list[bool]:
    """Return for each hour whether TrailSilentAlarm is on at its end, as CloudWatch evaluates.

    hours: the number of log events in each hour; None if the metric has no data point. The newest
    data points that are read decide. Only missing ones are filled.
    """
    alarm = alarms()["TrailSilentAlarm"]
    assert (alarm["Period"], alarm["Statistic"]) == (3600, "Sum")
    periods = alarm["EvaluationPeriods"]
    wanted = alarm.get("DatapointsToAlarm", periods)
    filled = {"breaching": True, "notBreaching": False}[alarm["TreatMissingData"]]
    on = []
    for end in range(1, len(hours) + 1):
        read = hours[max(0, end - periods - read_more) : end]
        found = [breaches(alarm, each) for each in read if each is not None][-periods:]
        found += [filled] * (periods - len(found))
        on.append(sum(found) >= wanted)
    return on


@pytest.mark.parametrize("read_more", READ_MORE)
@pytest.mark.parametrize("last", [None, 0])
def test_a_silent_trail_shows_after_a_day(read_more: int, last: int | None) -> None:
    # An hour without an event may have no data point, or 0.
    on = silent([40] * 100 + [last] * 100, read_more)
    first = on.index(True)
    assert 100 + 24 - 1 <= first <= 100 + 24 - 1 + read_more
    # The alarm stays on until the next event.
    assert all(on[first:])


@pytest.mark.parametrize("read_more", READ_MORE)
def test_a_trail_with_an_event_each_day_is_not_silent(read_more: int) -> None:
    for gap in (1, 12, 23):
        assert not any(silent(([1] + [None] * gap) * 10, read_more))
    seeded = random.Random(1)
    hours = [seeded.choice([None, None, None, 1, 300]) for _ in range(2_000)]
    # A new log group is silent until its first event.
    assert silent([None, *hours], read_more)[0]
    assert not any(silent([1, *hours], read_more))


def test_the_alarm_ends_with_the_first_event() -> None:
    on = silent([None] * 200 + [1] + [None] * 10)
    assert on[199]
    assert not any(on[200:])


def test_the_alarm_does_not_detect_a_trail_without_sign_in_events() -> None:
    # As the runbook says: other events, and events of another writer, count too.
    assert not any(silent([5] * 200))
    section = OPERATIONS.split("### TrailSilentAlarm\n")[1].split("\n### ")[0]
    for blind in ("event selectors", "Another writer", "quiet account"):
        assert blind in section


# Reconciliation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in COMBINATIONS if metric_filters(name)])
def test_events_seen_counts_the_events_that_the_subscription_filter_selects(name: str) -> None:
    selecting = only(stack(name), "AWS::Logs::SubscriptionFilter")
    seen = metric_filters(name)["EventsSeenFilter"]
    for key in ("LogGroupName", "FilterPattern"):
        assert seen[key] == selecting[key]
    assert seen["MetricTransformations"][0]["MetricValue"] == "1"
    # Otherwise events from before the subscription filter would count as missing.
    assert "SubscriptionFilter" in needs(stack(name), "EventsSeenFilter")


class Series(list[float]):
    """A time series of metric math."""

    def __sub__(self, other: "Series") -> "Series":
        return Series(mine - its for mine, its in zip(self, other, strict=True))

    def __rmul__(self, factor: float) -> "Series":  # type: ignore[override]
        return Series(factor * each for each in self)


def minutes(moments: Iterable[float]) -> list[int]:
    """Return the number of moments, given in minutes, in each minute of a day."""
    counts = [0] * 24 * 60
    for moment in moments:
        if moment < len(counts):
            counts[int(moment)] += 1
    return counts


def fires(seen: Iterable[float], delivered: Iterable[float]) -> int:
    """Return for how many minutes of a day the reconciliation alarm is on, as CloudWatch evaluates.

    seen, delivered: minutes of the day. A window of EvaluationPeriods is evaluated every minute.
    """
    alarm = alarms()["ReconciliationAlarm"]
    expression = next(each for each in alarm["Metrics"] if each["Id"] == "missing")["Expression"]
    (period,) = {each["MetricStat"]["Period"] for each in alarm["Metrics"] if "MetricStat" in each}
    step, periods = period // 60, alarm["EvaluationPeriods"]
    functions = {
        "FILL": lambda series, filler: Series(filler if each is None else each for each in series),
        "RUNNING_SUM": lambda series: Series(itertools.accumulate(series)),
    }
    counts = {"seen": minutes(seen), "delivered": minutes(delivered)}
    on = 0
    for start in range(24 * 60 - step * periods):
        series = {
            key: [
                # A metric without a value in a period has no data point.
                sum(values[at : at + step]) or None
                for at in range(start, start + step * periods, step)
            ]
            for key, values in counts.items()
        }
        values = eval(expression, functions, series)
        on += sum(breaches(alarm, each) for each in values) >= alarm["DatapointsToAlarm"]
    return on


@pytest.mark.parametrize("lag", [0.5, 3, 15.5])
def test_reconciliation_is_silent_while_sign_ins_are_in_transit(lag: float) -> None:
    # 15.5 minutes: the largest LambdaBufferSeconds.
    for at in (5.0, 59.9, 60.0, 720.5):
        assert not fires([at], [at + lag])
    assert not fires([], [])


@pytest.mark.parametrize("a_day", [10, 100, 1_000, 20_000])
def test_reconciliation_is_silent_under_any_load(a_day: int) -> None:
    seeded = random.Random(a_day)
    for _ in range(5):
        seen = [seeded.uniform(0, 24 * 60) for _ in range(a_day)]
        assert not fires(seen, [at + seeded.uniform(0.2, 1) for at in seen])


def test_reconciliation_shows_one_lost_sign_in_of_a_quiet_account() -> None:
    for lost in (300.0, 302.3):
        assert fires([lost], []) >= 10
        assert fires([lost, lost + 10], [lost + 0.5])


def test_reconciliation_shows_every_fifth_lost_of_a_busy_account() -> None:
    seeded = random.Random(2)
    seen = sorted(seeded.uniform(0, 24 * 60) for _ in range(5_000))
    assert fires(seen, [at + 0.5 for number, at in enumerate(seen) if number % 5])


def test_reconciliation_shows_a_deleted_filter() -> None:
    seeded = random.Random(1)
    for a_day in (20, 20_000):
        seen = sorted(seeded.uniform(0, 24 * 60) for _ in range(a_day))
        assert fires(seen, [at + 0.5 for at in seen if at < 720])


def test_copies_do_not_cause_an_alarm() -> None:
    assert not fires([300.0], [300.5, 300.6, 300.7])


# The CIS alarms ---------------------------------------------------------------------------------

CIS = {
    "SignInWithoutMfaFilter": '{ ($.eventName = "ConsoleLogin") && '
    '($.additionalEventData.MFAUsed != "Yes") && ($.userIdentity.type = "IAMUser") && '
    '($.responseElements.ConsoleLogin = "Success") }',
    "FailedSignInsFilter": "{ ($.eventName = ConsoleLogin) && "
    '($.errorMessage = "Failed authentication") }',
    "RootActivityFilter": '{ $.userIdentity.type = "Root" && '
    '$.userIdentity.invokedBy NOT EXISTS && $.eventType != "AwsServiceEvent" }',
}


def test_the_cis_patterns_are_exactly_those_of_the_benchmark() -> None:
    found = {name: each["FilterPattern"] for name, each in metric_filters().items()}
    del found["EventsSeenFilter"]
    assert found == CIS
    group = {each["LogGroupName"] for each in metric_filters().values()}
    assert group == {stack(ALL).outputs["LogGroupName"]}


@pytest.mark.parametrize(
    ("source", "matched"),
    [
        ("no-mfa", {"SignInWithoutMfaFilter"}),
        ("failed", {"FailedSignInsFilter"}),
        ("root", {"RootActivityFilter"}),
        ("tokyo", set()),
        ("federated", set()),
    ],
)
def test_the_cis_patterns_match_their_own_sign_ins(source: str, matched: set[str]) -> None:
    # Only the first line: failed.jsonl has two error messages, the benchmark one of them.
    line = (ROOT / "events" / "src" / f"{source}.jsonl").read_text().split("\n")[0]
    found = {name for name, pattern in CIS.items() if FilterPattern(pattern).matches(line)}
    assert found == matched


def test_the_cis_patterns_match_some_of_the_real_sign_ins_but_not_all() -> None:
    paths = sorted((DATA / "cloudtrail").glob("consolelogin.*.ndjson"))
    lines = [line for path in paths for line in path.read_text().split("\n") if line]
    for pattern in CIS.values():
        matched = sum(map(FilterPattern(pattern).matches, lines))
        assert 0 < matched < len(lines)
