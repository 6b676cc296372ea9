"""`console-login doctor` on the trail: missing events, and trails that cannot be read."""

import json
import shlex
import time
from collections.abc import Iterator
from typing import Any

import pytest
from doctored import STACK, Refusing, examined, found_by, only_finding, result_of
from serving import GROUP, REGION

from console_login.operate.access import Access
from console_login.operate.checks import FINDING, OK, UNCHECKED
from console_login.operate.subject import Subject
from console_login.operate.trail import records

TRAIL = "management-events"
LOGS = f"arn:aws:logs:{REGION}:111122223333:log-group"
OTHER = "444455556666"

pytestmark = pytest.mark.usefixtures("credentials")


@pytest.mark.parametrize(
    ("broken", "fixed", "words", "remedy"),
    [
        (
            {"IsMultiRegionTrail": False},
            {"IsMultiRegionTrail": True},
            "is not multi-Region",
            "--is-multi-region-trail",
        ),
        (
            {"IncludeGlobalServiceEvents": False},
            {"IncludeGlobalServiceEvents": True},
            "excludes events of global services",
            "--include-global-service-events",
        ),
        (
            {"CloudWatchLogsLogGroupArn": f"{LOGS}:/x:*"},
            {"CloudWatchLogsLogGroupArn": f"{LOGS}:{GROUP}:*"},
            "sends its events to log group",
            "--cloud-watch-logs-log-group-arn",
        ),
    ],
    ids=["one Region", "no global events", "another log group"],
)
def test_the_trail_is_not_as_it_should_be(
    broken: Any, fixed: Any, words: str, remedy: str, access: Access
) -> None:
    cloudtrail = access.client("cloudtrail")
    cloudtrail.update_trail(Name="management-events", **broken)
    try:
        finding = only_finding(access, "trail")
    finally:
        cloudtrail.update_trail(Name="management-events", **fixed)
    assert words in finding.problem
    assert " cloudtrail update-trail " in finding.remedy[-1]
    assert remedy in finding.remedy[-1]


def test_the_trail_is_stopped(access: Access) -> None:
    cloudtrail = access.client("cloudtrail")
    cloudtrail.stop_logging(Name="management-events")
    try:
        (finding,) = found_by("trail", access)
    finally:
        cloudtrail.start_logging(Name="management-events")
    assert "logging of trail " in finding.problem
    assert "is stopped" in finding.problem
    (remedy,) = finding.remedy
    assert " cloudtrail start-logging --name arn:aws:cloudtrail:" in remedy


def test_the_trail_cannot_write_to_the_log_group(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    # moto does not return this error.
    status = {"IsLogging": True, "LatestCloudWatchLogsDeliveryError": "AccessDenied"}
    monkeypatch.setattr(access.client("cloudtrail"), "get_trail_status", lambda **_: status)
    (finding,) = found_by("trail", access)
    assert "cannot write to the log group: AccessDenied" in finding.problem


def test_one_trail_without_problems_is_enough(access: Access) -> None:
    cloudtrail = access.client("cloudtrail")
    (trail,) = cloudtrail.describe_trails()["trailList"]
    keys = ("CloudWatchLogsLogGroupArn", "CloudWatchLogsRoleArn", "S3BucketName")
    cloudtrail.create_trail(Name="second", **{key: trail[key] for key in keys})
    try:
        assert found_by("trail", access) == []
    finally:
        cloudtrail.delete_trail(Name="second")


# Event selectors ---------------------------------------------------------------------------------

# https://docs.aws.amazon.com/awscloudtrail/latest/userguide/logging-management-events-with-cloudtrail.html
ALL = {"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": []}
READ_ONLY = ALL | {"ReadWriteType": "ReadOnly"}
WRITE_ONLY = ALL | {"ReadWriteType": "WriteOnly"}
OBJECTS = [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}]
DATA_ONLY = {
    "ReadWriteType": "All",
    "IncludeManagementEvents": False,
    "DataResources": OBJECTS,
}


def advanced(*fields: dict[str, Any], category: str = "Management") -> dict[str, Any]:
    chosen = [{"Field": "eventCategory", "Equals": [category]}, *fields]
    return {"AdvancedEventSelectors": [{"Name": "any", "FieldSelectors": chosen}]}


def field(name: str, **operators: list[str]) -> dict[str, Any]:
    return {"Field": name, **operators}


@pytest.mark.parametrize(
    ("selectors", "decision"),
    [
        ({}, True),
        ({"EventSelectors": [], "AdvancedEventSelectors": []}, True),
        ({"EventSelectors": [ALL]}, True),
        ({"EventSelectors": [WRITE_ONLY]}, True),
        ({"EventSelectors": [{}]}, True),
        ({"EventSelectors": [READ_ONLY]}, False),
        ({"EventSelectors": [DATA_ONLY]}, False),
        ({"EventSelectors": [READ_ONLY, DATA_ONLY]}, False),
        ({"EventSelectors": [READ_ONLY, WRITE_ONLY]}, True),
        (
            {"EventSelectors": [ALL | {"ExcludeManagementEventSources": ["kms.amazonaws.com"]}]},
            True,
        ),
        (
            {"EventSelectors": [ALL | {"ExcludeManagementEventSources": ["signin.amazonaws.com"]}]},
            False,
        ),
        (advanced(), True),
        (advanced(category="Data"), False),
        (advanced(field("readOnly", Equals=["false"])), True),
        (advanced(field("readOnly", Equals=["true"])), False),
        (advanced(field("readOnly", NotEquals=["true"])), True),
        (advanced(field("readOnly", NotEquals=["false"])), False),
        (advanced(field("eventSource", NotEquals=["kms.amazonaws.com"])), True),
        (advanced(field("eventSource", NotEquals=["a", "signin.amazonaws.com"])), False),
        (advanced(field("eventSource", Equals=["kms.amazonaws.com"])), False),
        (advanced(field("eventSource", StartsWith=["signin."])), True),
        (advanced(field("eventSource", NotStartsWith=["sign"])), False),
        (advanced(field("eventSource", EndsWith=[".amazonaws.com"], NotEndsWith=["s.com"])), False),
        (advanced(field("eventName", Equals=["CheckMfa", "ConsoleLogin"])), True),
        (advanced(field("eventName", NotEquals=["ConsoleLogin"])), False),
        (advanced(field("eventType", Equals=["AwsApiCall"])), False),
        # The selectors match only some sign-ins, and it is unknown which.
        (advanced(field("userIdentity.arn", NotStartsWith=["arn:aws:iam::111122223333:u"])), None),
        (advanced(field("sessionCredentialFromConsole", Equals=["true"])), None),
        (
            advanced(field("userIdentity.arn", Equals=["x"]), field("readOnly", Equals=["true"])),
            False,
        ),
        (
            {
                "AdvancedEventSelectors": [
                    *advanced(field("userIdentity.arn", Equals=["x"]))["AdvancedEventSelectors"],
                    *advanced()["AdvancedEventSelectors"],
                ]
            },
            True,
        ),
    ],
)
def test_a_sign_in_is_a_management_write_event(
    selectors: dict[str, Any], decision: bool | None
) -> None:
    assert records(selectors, "ConsoleLogin") is decision


def test_whether_other_events_are_write_events_is_unknown() -> None:
    assert records({"EventSelectors": [ALL]}, "CheckMfa") is True
    assert records({"EventSelectors": [WRITE_ONLY]}, "CheckMfa") is None
    assert records({"EventSelectors": [DATA_ONLY]}, "CheckMfa") is False
    kms = {"EventSelectors": [ALL | {"ExcludeManagementEventSources": ["kms.amazonaws.com"]}]}
    assert records(kms, "CheckMfa") is True
    assert records(kms, "CreateGrant") is None


@pytest.fixture
def selecting(access: Access) -> Iterator[Any]:
    """Put event selectors for a while."""
    cloudtrail = access.client("cloudtrail")
    yield lambda **selectors: cloudtrail.put_event_selectors(TrailName=TRAIL, **selectors)
    cloudtrail.put_event_selectors(TrailName=TRAIL, EventSelectors=[ALL])


@pytest.mark.parametrize("selector", [DATA_ONLY, READ_ONLY], ids=["data only", "read only"])
def test_a_trail_that_records_no_management_write_events_is_a_finding(
    selector: Any, selecting: Any, access: Access
) -> None:
    selecting(EventSelectors=[selector])
    finding = only_finding(access, "trail")
    assert "does not record ConsoleLogin: its event selectors exclude management write" in (
        finding.problem
    )
    (remedy,) = finding.remedy
    command = shlex.split(remedy)
    assert "put-event-selectors" in command
    fixed = json.loads(command[command.index("--event-selectors") + 1])
    # The trail still records all events that it recorded before.
    assert fixed[0] == selector
    selecting(EventSelectors=fixed)
    assert examined(access)["trail"].status == OK


def test_advanced_selectors_keep_what_they_select(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = advanced(field("readOnly", Equals=["true"]))
    cloudtrail = access.client("cloudtrail")
    monkeypatch.setattr(cloudtrail, "get_event_selectors", lambda **_: before)
    (finding,) = found_by("trail", access)
    command = shlex.split(finding.remedy[0])
    fixed = json.loads(command[command.index("--advanced-event-selectors") + 1])
    assert fixed[0] == before["AdvancedEventSelectors"][0]
    assert records({"AdvancedEventSelectors": fixed}, "ConsoleLogin") is True


def test_selectors_of_fields_with_unknown_values_are_not_reported_as_ok(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = advanced(field("userIdentity.arn", NotEquals=["arn:aws:iam::111122223333:user/any"]))
    monkeypatch.setattr(access.client("cloudtrail"), "get_event_selectors", lambda **_: chosen)
    result = result_of("trail", Subject(access, STACK, 24, time.time()))
    assert (result.status, result.findings) == (UNCHECKED, [])
    assert "records every ConsoleLogin" in result.unchecked[0]


def test_ok_names_the_trail(access: Access) -> None:
    result = examined(access)["trail"]
    (said,) = result.looked_at
    assert said == (
        f"trail arn:aws:cloudtrail:{REGION}:111122223333:trail/{TRAIL}: multi-Region, management"
        " write events"
    )


# Trails of other accounts ------------------------------------------------------------------------


def as_if(access: Access, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Let DescribeTrails return the trail with changes; without changes, no trail."""
    cloudtrail = access.client("cloudtrail")
    (trail,) = cloudtrail.describe_trails()["trailList"]
    answer = {"trailList": [trail | changes] if changes else []}
    monkeypatch.setattr(cloudtrail, "describe_trails", lambda **_: answer)


def streams(access: Access, monkeypatch: pytest.MonkeyPatch, **ages: float) -> None:
    """Let the log group have these log streams; ages: hours since the last event."""
    found = [
        {"logStreamName": name, "lastIngestionTime": int((time.time() - hours * 3600) * 1000)}
        for name, hours in ages.items()
    ]
    answer = {"logStreams": [{"logStreamName": "made, never written to"}, *found]}
    monkeypatch.setattr(access.client("logs"), "describe_log_streams", lambda **_: answer)


def test_no_trail_of_any_account_is_a_finding(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_if(access, monkeypatch)
    # Events of the account's own trail do not prove that another account's trail exists.
    streams(access, monkeypatch, **{"111122223333_CloudTrail_us-east-1": 1})
    (finding,) = found_by("trail", access)
    assert finding.problem == (
        f"no trail of account 111122223333 sends its events to log group {GROUP}"
    )
    assert finding.remedy[-1] == "make deploy-trail"


def test_another_accounts_trail_in_a_central_log_group_is_not_reported_as_missing(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_if(access, monkeypatch)
    streams(
        access,
        monkeypatch,
        **{f"{OTHER}_CloudTrail_us-east-1": 1, "o-a1b2c3d4e5_777788889999_CloudTrail_eu-west-1": 2},
    )
    result = result_of("trail", Subject(access, STACK, 24, time.time()))
    assert (result.status, result.findings) == (UNCHECKED, [])
    assert f"trails of other accounts do ({OTHER}, 777788889999; " in result.unchecked[0]


def test_another_accounts_trail_that_has_been_silent_for_a_day_is_a_finding(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_if(access, monkeypatch)
    streams(access, monkeypatch, **{f"{OTHER}_CloudTrail_us-east-1": 25})
    (finding,) = found_by("trail", access)
    assert f"; those of {OTHER} have sent no event since 20" in finding.problem


def test_an_organizations_unreadable_trail_is_not_reported_as_ok(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = f"arn:aws:cloudtrail:us-east-1:{OTHER}:trail/organization"
    as_if(access, monkeypatch, TrailARN=arn, HomeRegion="us-east-1", IsOrganizationTrail=True)
    refusing = Refusing(access, "get_event_selectors")
    monkeypatch.setattr(
        access.client("cloudtrail"), "get_trail_status", lambda **_: {"IsLogging": True}
    )
    result = result_of("trail", Subject(refusing, STACK, 24, time.time()))
    assert (result.status, result.findings) == (UNCHECKED, [])
    assert (
        f"trail {arn} of account {OTHER}: GetEventSelectors: AccessDenied" in (result.unchecked[0])
    )


def test_an_organizations_trail_is_fixed_in_its_own_account_and_region(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = f"arn:aws:cloudtrail:us-east-1:{OTHER}:trail/organization"
    as_if(access, monkeypatch, TrailARN=arn, HomeRegion="us-east-1")
    status = {"IsLogging": False}
    cloudtrail = access.client("cloudtrail")
    monkeypatch.setattr(cloudtrail, "get_trail_status", lambda **_: status)
    monkeypatch.setattr(cloudtrail, "get_event_selectors", lambda **_: {})
    result = result_of("trail", Subject(access, STACK, 24, time.time()))
    assert result.status == FINDING
    where, command = result.findings[0].remedy
    assert where == f"# in account {OTHER}, which owns the trail"
    assert " --region us-east-1 " in command
