"""The saved queries of athena.yaml, transpiled to DuckDB, on objects of the local pipeline.

The table is read as in Athena: partition projection determines the folders, the SerDe's delimiter
the lines, and the object's name whether it is gzip.
"""

import io
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import duckdb
import pytest
import sqlglot
from stacks import ATHENA, ATHENA_COMBINATIONS, DOCUMENT, only, stack
from support import ROOT, TOKYO

from console_login.local import moto_state as state
from console_login.local import pipeline as local
from console_login.local.clock import SimulatedClock
from console_login.local.faults import Faults
from console_login.local.firehose_api import FirehoseClient
from console_login.stack import template
from console_login.stack.template import Stack

# The default of LazySimpleSerDe, which the table does not change:
# https://docs.aws.amazon.com/athena/latest/ug/lazy-simple-serde.html
DELIMITER = "\x01"
DAY = timedelta(days=1)
NOW = datetime.now(UTC)
NUMBERS = itertools.count()


def sign_in(age_days: float, **changes: Any) -> str:
    """Return the tutorial's sign-in, `age_days` old, with changed values at `a__b` paths."""
    sign_in = json.loads(TOKYO)
    sign_in["eventID"] = f"event-{next(NUMBERS)}"
    sign_in["eventTime"] = (NOW - age_days * DAY).strftime("%Y-%m-%dT%H:%M:%SZ")
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = sign_in
        for parent in parents:
            place = place[parent]
        place[last] = value
    return json.dumps(sign_in, separators=(",", ":"), ensure_ascii=False)


ALICE = {"userIdentity__userName": "alice"}
FAILURE = {"responseElements__ConsoleLogin": "Failure", "errorMessage": "Failed authentication"}
EVENTS = {
    "alice": sign_in(1, **ALICE, userAgent="old agent", sourceIPAddress="192.0.2.1"),
    "alice, long ago": sign_in(40, **ALICE, userAgent="old agent"),
    "alice, new agent": sign_in(2, **ALICE, userAgent="new agent\u0394"),
    "failure": sign_in(3, **ALICE, **FAILURE, sourceIPAddress="198.51.100.7"),
    "failure again": sign_in(
        4, userIdentity__userName="bob", **FAILURE, sourceIPAddress="198.51.100.7"
    ),
    "failure, elsewhere": sign_in(5, **ALICE, **FAILURE, sourceIPAddress="203.0.113.9"),
    "failure, too old": sign_in(6.99 + 1, **ALICE, **FAILURE, sourceIPAddress="203.0.113.9"),
    "root": sign_in(10, userIdentity={"type": "Root", "arn": "arn:aws:iam::111122223333:root"}),
    "root, too old": sign_in(95, userIdentity={"type": "Root"}),
    "no MFA": sign_in(20, additionalEventData__MFAUsed="No"),
    "MFA not told": sign_in(21, additionalEventData={}),
    "no MFA, federated": sign_in(
        22, userIdentity__type="AssumedRole", additionalEventData__MFAUsed="No"
    ),
    "no eventID": sign_in(1, eventID=None),
    "no eventID either": sign_in(1.5, eventID=None),
    "userIdentity is a string": sign_in(1, userIdentity="alice"),
}
PARSED = {name: json.loads(text) for name, text in EVENTS.items()}


@pytest.fixture(scope="module", params=["UNCOMPRESSED", "GZIP"])
def athena(request: Any, tmp_path_factory: Any) -> Any:
    """Return a function that runs a saved query by name and returns its rows."""
    return queries(EVENTS.values(), tmp_path_factory.mktemp("bucket"), request.param)


def queries(events: Iterable[str], folder: Path, compression: str = "UNCOMPRESSED") -> Any:
    """Return a function that runs a saved query on events that the pipeline has delivered."""
    with state.started(template.load(), {"Compression": compression}) as started:
        write_objects(started, folder, events)
        pipeline = started.stack
    parameters = {"BucketName": pipeline.outputs["BucketName"]}
    parameters |= {"Prefix": str(pipeline.parameters["Prefix"])}
    parameters |= {"ResultKeyArn": pipeline.outputs["KeyArn"]}
    return connected(template.resolve(ATHENA, parameters), folder, compression)


def write_objects(started: state.State, folder: Path, events: Iterable[str]) -> None:
    """Send each event through the pipeline at an age of three minutes, every record twice."""
    faults, firehose = Faults(["duplicate:1"], 0), FirehoseClient(Faults([], 0))
    function = local.in_process(started.stack, io.StringIO(), firehose)
    clock = SimulatedClock((NOW - 100 * DAY).timestamp())
    pipeline = local.Pipeline(started, function, clock, faults, 0, firehose)
    for event in sorted(events, key=event_time):
        arrival = datetime.fromisoformat(event_time(event)) + timedelta(minutes=3)
        clock.advance_to(arrival.timestamp())
        local.run(pipeline, clock, [event], lambda: None)
    for key in pipeline.stream.keys:
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(started.get(key))


def event_time(event: str) -> str:
    text: str = json.loads(event)["eventTime"]
    return text


def connected(resolved: Stack, folder: Path, compression: str) -> Any:
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    table = only(resolved, "AWS::Glue::Table")["TableInput"]
    serde = table["StorageDescriptor"]["SerdeInfo"]
    assert serde == {"SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"}
    (column,) = table["StorageDescriptor"]["Columns"]
    (partition,) = table["PartitionKeys"]
    columns = f"{column['Name']} text, {partition['Name']} text"
    database.execute(f"CREATE TABLE {table['Name']} ({columns})")
    assert column["Type"] == partition["Type"] == "string"
    for day, location in projected(resolved, NOW):
        paths = sorted((folder / location).glob("*")) if (folder / location).is_dir() else []
        for path in paths:
            assert path.name.endswith(".gz") is (compression == "GZIP")
            lines = "read_csv(?, delim = ?, quote = '', escape = '', header = false,"
            lines += " columns = {'line': 'VARCHAR'})"
            insert = f"INSERT INTO {table['Name']} SELECT line, ? FROM {lines}"
            database.execute(insert, [day, str(path), DELIMITER])

    def query(name: str, *parameters: str) -> list[tuple[Any, ...]]:
        text = (saved() | {"last-day.sql": PASTED})[name]
        (statement,) = sqlglot.transpile(text, read="athena", write="duckdb")
        rows: list[tuple[Any, ...]] = database.execute(statement, list(parameters)).fetchall()
        return rows

    return query


# The SQL in the runbook, for pasting.
RUNBOOK = (ROOT / "docs" / "operations.md").read_text()
PASTED = RUNBOOK.split("cat > last-day.sql <<'END'\n")[1].split("\nEND\n")[0]


def saved() -> dict[str, str]:
    queries = stack("queries").of_type("AWS::Athena::NamedQuery").values()
    return {each.properties["Name"]: each.properties["QueryString"] for each in queries}


def projected(resolved: Stack, now: datetime) -> Iterator[tuple[str, str]]:
    """Yield each day of the table's projection, and its folder in the bucket, as Athena would."""
    table = only(resolved, "AWS::Glue::Table")["TableInput"]
    settings = {
        key.removeprefix("projection.day."): value
        for key, value in table["Parameters"].items()
        if key.startswith("projection.day.")
    }
    assert settings["type"] == "date"
    assert settings["format"] == "yyyy/MM/dd"
    assert (settings["interval"], settings["interval.unit"]) == ("1", "DAYS")
    first, last = settings["range"].split(",")
    assert last == "NOW+1DAYS"
    day = datetime.strptime(first, "%Y/%m/%d").replace(tzinfo=UTC)
    bucket = f"s3://{resolved.parameters['BucketName']}/"
    location = table["Parameters"]["storage.location.template"]
    assert location.startswith(bucket)
    while day <= now + DAY:
        text = day.strftime("%Y/%m/%d")
        yield text, location.removeprefix(bucket).replace("${day}", text)
        day += DAY


def time_of(name: str) -> str:
    return event_time(EVENTS[name])


def test_last_sign_ins(athena: Any) -> None:
    rows = athena("last-sign-ins")
    recent = [name for name, each in PARSED.items() if each["eventTime"] >= week_ago()]
    assert [row[0] for row in rows] == sorted((time_of(name) for name in recent), reverse=True)
    (row,) = [row for row in rows if row[3] == "192.0.2.1"]
    alice = PARSED["alice"]
    assert row == (
        alice["eventTime"],
        "IAMUser",
        "alice",
        "192.0.2.1",
        alice["awsRegion"],
        "Success",
        "Yes",
        None,
        "old agent",
    )


def week_ago() -> str:
    return (NOW - 7 * DAY).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_failures_by_address(athena: Any) -> None:
    assert athena("failures-by-address") == [
        ("198.51.100.7", 2, 2, time_of("failure")),
        ("203.0.113.9", 1, 1, time_of("failure, elsewhere")),
    ]


def test_root_sign_ins(athena: Any) -> None:
    root = PARSED["root"]
    wanted = (time_of("root"), root["sourceIPAddress"], "Success", "Yes", root["userAgent"])
    assert athena("root-sign-ins") == [wanted]


def test_sign_ins_without_mfa(athena: Any) -> None:
    rows = athena("sign-ins-without-mfa")
    assert [(row[0], row[3]) for row in rows] == [
        (time_of("no MFA"), "No"),
        (time_of("MFA not told"), None),
    ]


def test_new_user_agents(athena: Any) -> None:
    rows = [row for row in athena("new-user-agents") if row[0] == "alice"]
    assert ("alice", "new agent\u0394", time_of("alice, new agent"), 1) in rows
    assert "old agent" not in {row[1] for row in rows}


def test_user_history(athena: Any) -> None:
    rows = athena("user-history", "alice")
    alices = [each for each in PARSED.values() if "alice" in str(each["userIdentity"])]
    times = {each["eventTime"] for each in alices if isinstance(each["userIdentity"], dict)}
    assert [row[0] for row in rows] == sorted(times, reverse=True)
    assert athena("user-history", "' OR 1 = 1 --") == []


def test_distinct_events(athena: Any) -> None:
    lines = [row[0] for row in athena("distinct-events")]
    recent = [text for name, text in EVENTS.items() if PARSED[name]["eventTime"] >= week_ago()]
    # Events without an id are told apart by their lines.
    assert set(recent) <= set(lines)
    assert len(lines) == len(set(lines))


def test_the_runbooks_sql_counts_the_last_days_sign_ins(tmp_path: Path) -> None:
    events = [
        sign_in(0.2, **ALICE, sourceIPAddress="192.0.2.1"),
        sign_in(0.1, **ALICE, sourceIPAddress="192.0.2.1"),
        sign_in(0.9, **ALICE, **FAILURE, sourceIPAddress="198.51.100.7"),
        sign_in(1.1, **ALICE, sourceIPAddress="203.0.113.9"),
        sign_in(0.1, **ALICE, eventName="CheckMfa", sourceIPAddress="203.0.113.10"),
    ]
    first, last, failure, *_ = map(event_time, events)
    assert queries(events, tmp_path)("last-day.sql") == [
        ("alice", "192.0.2.1", "Success", "Yes", 2, first, last),
        ("alice", "198.51.100.7", "Failure", "Yes", 1, failure, failure),
    ]
    days = re.findall(r"interval '(\d+)' day", PASTED)
    assert days == ["2", "1"]
    assert ";" not in PASTED


def test_differing_lines(athena: Any) -> None:
    # Copies and lines without an eventID do not count as differing.
    assert athena("differing-lines") == []


# Copies and forgeries ---------------------------------------------------------------------------

REAL, FORGED = "203.0.113.1", "203.0.113.66"
# What the sign-ins have that each query finds. A real and a forged line share an eventID.
FOUND: dict[str, dict[str, Any]] = {
    "last-sign-ins": {},
    "failures-by-address": FAILURE,
    "root-sign-ins": {"userIdentity": {"type": "Root"}},
    "sign-ins-without-mfa": {"additionalEventData__MFAUsed": "No"},
    "new-user-agents": {},
    "user-history": ALICE,
    "distinct-events": {},
    "differing-lines": {},
}


@pytest.fixture(scope="module", params=[-1, 0, 1])
def with_forgeries(request: Any, tmp_path_factory: Any) -> Any:
    """Return queries on pairs with the same eventID.

    The forged event of a pair is newer by the fixture's parameter in days, the same age, or older.
    """
    events = []
    for name, changes in FOUND.items():
        same = {**changes, "eventID": f"shared, {name}"}
        events += [
            sign_in(2, **same, sourceIPAddress=REAL, userAgent=f"{name}, {REAL}"),
            sign_in(
                2 + request.param, **same, sourceIPAddress=FORGED, userAgent=f"{name}, {FORGED}"
            ),
        ]
    assert len(set(events)) == 2 * len(FOUND)
    return queries(events, tmp_path_factory.mktemp("bucket"))


@pytest.mark.parametrize("name", FOUND)
def test_a_forged_line_hides_no_sign_in_and_a_copy_is_shown_once(
    with_forgeries: Any, name: str
) -> None:
    rows = with_forgeries(name, *(["alice"] if name == "user-history" else []))
    if name == "failures-by-address":
        assert [row[:3] for row in rows] == [(REAL, 1, 1), (FORGED, 1, 1)]
    elif name == "distinct-events":
        assert len(rows) == 2 * len(FOUND)
        for address in (REAL, FORGED):
            assert sum(f"{name}, {address}" in row[0] for row in rows) == 1
    elif name == "differing-lines":
        for each in FOUND:
            pair = [row[2] for row in rows if row[0] == f"shared, {each}"]
            assert len(pair) == 2
            assert {json.loads(line)["sourceIPAddress"] for line in pair} == {REAL, FORGED}
        assert len(rows) == 2 * len(FOUND)
        assert all(re.fullmatch(r"20\d\d/\d\d/\d\d", row[1]) for row in rows)
    elif name == "new-user-agents":
        agents = {row[1]: row[3] for row in rows if row[1].startswith(f"{name}, ")}
        # Each sign-in was delivered twice, but counts once.
        assert agents == {f"{name}, {REAL}": 1, f"{name}, {FORGED}": 1}
    else:
        shown = [cell for row in rows for cell in row if cell in (REAL, FORGED)]
        assert len(shown) == len(rows)
        wanted = 2 * len(FOUND) if name == "last-sign-ins" else 2
        assert shown.count(REAL) == shown.count(FORGED) == wanted / 2


def test_the_queried_objects_contain_every_line_twice(tmp_path: Path) -> None:
    # Otherwise the tests above would not show that the queries remove copies.
    queries(EVENTS.values(), tmp_path)
    lines = [
        line
        for path in tmp_path.rglob("*.json")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    assert sorted(lines) == sorted([*EVENTS.values(), *EVENTS.values()])


def test_each_query_has_a_forgery() -> None:
    assert set(FOUND) == set(saved())


def test_each_query_is_tested() -> None:
    names = {name.replace("_", "-").removeprefix("test-") for name in globals()}
    assert set(saved()) <= names
    assert all(";" not in text for text in saved().values())


def test_today_is_projected_in_every_time_zone_at_every_hour() -> None:
    for hour in range(24):
        now = datetime(2026, 11, 24, hour, 30, tzinfo=UTC)
        last = max(day for day, _ in projected(stack("queries"), now))
        for name in ("Asia/Tokyo", "UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"):
            assert name in available_timezones()
            assert now.astimezone(ZoneInfo(name)).strftime("%Y/%m/%d") <= last


@pytest.mark.parametrize("name", sorted(saved()))
def test_a_query_by_event_time_reads_one_more_day_of_folders(name: str) -> None:
    days = [int(text) for text in re.findall(r"interval '(\d+)' day", saved()[name])]
    folders, *events = days
    assert all(folders > each for each in events)
    assert not events or folders == max(events) + 1


def test_error_objects_are_not_part_of_the_table() -> None:
    folders = {location for _, location in projected(stack("queries, no folder"), NOW)}
    assert not [each for each in folders if each.startswith("processing-failed")]


@pytest.mark.parametrize("name", ATHENA_COMBINATIONS)
def test_results_are_encrypted_and_scans_limited(name: str) -> None:
    resolved = stack(name)
    group = only(resolved, "AWS::Athena::WorkGroup")["WorkGroupConfiguration"]
    assert group["EnforceWorkGroupConfiguration"] is True
    result = group["ResultConfiguration"]
    assert result["EncryptionConfiguration"] == {
        "EncryptionOption": "SSE_KMS",
        "KmsKey": resolved.parameters["ResultKeyArn"],
    }
    bucket, name = resolved.parameters["BucketName"], resolved.parameters["WorkGroupName"]
    assert result["OutputLocation"] == f"s3://{bucket}/athena-results/{name}/"
    assert group["BytesScannedCutoffPerQuery"] == 10 * 1024**3


def test_results_expire_by_the_lifecycle_of_the_pipelines_bucket() -> None:
    bucket = only(template.resolve(DOCUMENT), "AWS::S3::Bucket")
    rules = bucket["LifecycleConfiguration"]["Rules"]
    (prefix,) = [each["Prefix"] for each in rules if each["Id"] == "ExpireQueryResults"]
    group = only(stack("queries"), "AWS::Athena::WorkGroup")["WorkGroupConfiguration"]
    location = group["ResultConfiguration"]["OutputLocation"]
    assert location.removeprefix("s3://").split("/", 1)[1].startswith(prefix)
