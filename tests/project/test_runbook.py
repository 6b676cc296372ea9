"""Runs every command of docs/operations.md in order against `console-login local --serve`.

At the start, one record has failed, and one sign-in reached the log group while the filter was
deleted. The runbook's commands must deliver both to the bucket.

The Japanese runbook is compared with the English one, section by section.
"""

import base64
import json
import re
import time
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import MagicMock

import jmespath
from serving import BUCKET, GROUP, Endpoint, serving
from shell import blocks, run
from stacks import stack
from support import OSAKA, ROOT, TOKYO, envelope, gz

from console_login.cli import cli
from console_login.operate import drain_report
from console_login.operate.drain import Outcome

RUNBOOK = ROOT / "docs" / "operations.md"
JAPANESE = ROOT / "docs" / "operations.ja.md"
BLOCKS = blocks(RUNBOOK)
FAILED = "consolelogin/processing-failed/2026/11/24/failed-1"
WORK_GROUP = "console-login"
SAVED = {
    each.properties["Name"]: each
    for each in stack("queries").of_type("AWS::Athena::NamedQuery").values()
}


def test_the_runbooks_commands_deliver_everything(tmp_path: Path) -> None:
    assert len(BLOCKS) > 15
    # One shell, so that variables of the first blocks are set in the others. doctor and compare may
    # exit with 1 for findings.
    script = "".join(f"echo '### {number}'\n{each}" for number, each in enumerate(BLOCKS))
    script = re.sub(
        r"^(console-login (?:doctor|compare) .*)$", r"\1 || [ $? -eq 1 ]", script, flags=re.M
    )
    with serving() as endpoint:
        prepare(endpoint)
        script = script.replace("http://127.0.0.1:4566", endpoint.url)
        done = run(script, tmp_path, {"AWS_ENDPOINT_URL": endpoint.url}, margin=1)
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        assert set(endpoint.lines(2)) == {TOKYO, OSAKA}
        assert set((tmp_path / "in-log-group").read_text().splitlines()) == {TOKYO, OSAKA}
        logs = endpoint.client("logs")
        filters = logs.describe_subscription_filters(logGroupName=GROUP)["subscriptionFilters"]
        assert filters == []
        ran = executions(endpoint)
    printed = [part.split("\n", 1)[1] for part in done.stdout.split("### ")[1:]]
    # All events in transit have arrived, even if the filter is deleted by hand.
    (number,) = (number for number, each in enumerate(printed) if "is safe" in each)
    assert "all 2 events have arrived" in printed[number]
    (by_hand,) = (each for each in printed if each.endswith(" missing\n"))
    assert by_hand.splitlines()[-1].split() == ["0", "missing"]
    # The first doctor reports the prepared error object.
    assert "1 error object was not redriven" in printed[2]
    # The runbook explains both.
    assert "ok: compared nothing" in printed[2]
    assert "too recent to compare" in printed[2]
    # Each command among the outputs is complete, on one line.
    (commands,) = (each for each in printed if each.count("--region ap-northeast-1") > 3)
    assert [line.split()[0] for line in commands.splitlines()] == ["aws"] * 5
    # Each query ran on the table's database, and the query with a `?` got its value.
    assert [each["Query"] for each in ran] == [
        SAVED["last-sign-ins"].properties["QueryString"].strip(),
        SAVED["user-history"].properties["QueryString"].strip(),
        (tmp_path / "last-day.sql").read_text().strip(),
    ]
    assert {each["QueryExecutionContext"]["Database"] for each in ran} == {"sign-ins-database"}
    assert [each.get("ExecutionParameters") for each in ran] == [None, ["'alice'"], None]
    (listed,) = (each for each in printed if "last-sign-ins\t" in each)
    assert len(listed.splitlines()) == len(SAVED)


def test_a_row_of_a_result_is_one_line() -> None:
    (block,) = (each for each in BLOCKS if "get-query-results" in each)
    expression = re.search(r'--query "(ResultSet.*)"', block)
    assert expression
    # A null value has no VarCharValue; a value's control characters stay escaped in JSON.
    rows = [
        {"Data": [{"VarCharValue": "user_name"}, {"VarCharValue": "error"}]},
        {"Data": [{"VarCharValue": "alice\x1b[2J"}, {}]},
    ]
    found = jmespath.search(expression[1], {"ResultSet": {"Rows": rows}})
    assert found == ["user_name | error", "alice\x1b[2J | -"]
    assert "--output json" in block


def test_the_runbook_quotes_what_drain_prints() -> None:
    (section,) = (each for each in sections(RUNBOOK) if each.heading == "Remove the pipeline")
    quoted = [quote for row in section.first_cells() for quote in row]
    assert len(quoted) > 5
    outcomes = [
        Outcome(),
        Outcome(waiting=["key"] * 2, tags_unread=1),
        Outcome(oldest_record_seconds=3600),
        Outcome(events=2, missing=["event"]),
        Outcome(unread=1),
        Outcome(problem="a call was denied"),
    ]
    printed = [line for each in outcomes for line in drain_report.words(MagicMock(), each)]
    assert [each for each in quoted if each not in "\n".join(printed)] == []


def executions(endpoint: Endpoint) -> list[dict[str, Any]]:
    """Return the executed Athena queries, in order."""
    athena = endpoint.client("athena")
    ids = athena.list_query_executions(WorkGroup=WORK_GROUP)["QueryExecutionIds"]
    found = [athena.get_query_execution(QueryExecutionId=each)["QueryExecution"] for each in ids]
    return sorted(found, key=lambda each: each["Status"]["SubmissionDateTime"])


def prepare(endpoint: Endpoint) -> None:
    """Write an error object as Firehose does, and a sign-in while the filter is deleted.

    Then send the first sign-in through the filter. Athena has the saved queries, but no table.
    """
    athena = endpoint.client("athena")
    athena.create_work_group(Name=WORK_GROUP)
    for name, each in SAVED.items():
        athena.create_named_query(
            Name=name,
            Description=each.properties["Description"],
            Database="sign-ins-database",
            QueryString=each.properties["QueryString"],
            WorkGroup=WORK_GROUP,
        )
    source = base64.b64encode(gz(envelope([TOKYO]))).decode()
    line = {
        "attemptsMade": 4,
        "arrivalTimestamp": 1711792102369,
        "errorCode": "Lambda.FunctionError",
        "errorMessage": "x",
        "attemptEndingTimestamp": 1711792112369,
        "rawData": source,
        "lambdaARN": "arn:aws:lambda:ap-northeast-1:111122223333:function:x:$LATEST",
    }
    body = f"{json.dumps(line)}\n".encode()
    endpoint.client("s3").put_object(Bucket=BUCKET, Key=FAILED, Body=body)
    logs = endpoint.client("logs")
    logs.create_log_stream(logGroupName=GROUP, logStreamName="trail")
    (found,) = logs.describe_subscription_filters(logGroupName=GROUP)["subscriptionFilters"]
    logs.delete_subscription_filter(logGroupName=GROUP, filterName=found["filterName"])
    message = {"timestamp": int(time.time() * 1000), "message": OSAKA}
    logs.put_log_events(logGroupName=GROUP, logStreamName="trail", logEvents=[message])
    given = ("logGroupName", "filterName", "filterPattern", "destinationArn", "roleArn")
    logs.put_subscription_filter(**{key: found[key] for key in given})
    message = {"timestamp": int(time.time() * 1000), "message": TOKYO}
    logs.put_log_events(logGroupName=GROUP, logStreamName="trail", logEvents=[message])


# The two languages ------------------------------------------------------------------------------


class Section(NamedTuple):
    """A section of a runbook: the heading's level and text, the code blocks, and the other text."""

    level: str
    heading: str
    fences: list[str]
    prose: str

    def code(self) -> set[str]:
        return set(re.findall(r"`([^`\n]+)`", self.prose))

    def first_cells(self) -> list[list[str]]:
        """Return the code in the first cell of each row of the tables."""
        rows = re.findall(r"^\| ([^|]*)\|", self.prose, re.MULTILINE)
        return [re.findall(r"`([^`]+)`", row) for row in rows]

    def links(self, document: Path) -> list[tuple[str, int]]:
        """Return the sorted targets: the English document and the heading's number (-1: none)."""
        found = re.findall(r"\]\(([^)]+\.md)?(?:#([^)]+))?\)", self.prose)
        return sorted(
            (
                (name or document.name).replace(".ja.md", ".md"),
                numbers(sections(document.parent / (name or document.name)))[anchor]
                if anchor
                else -1,
            )
            for name, anchor in found
        )


def sections(path: Path) -> list[Section]:
    fence = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
    text = path.read_text()
    fences = fence.findall(text)
    found = re.split(r"^(#+) (.+)$", fence.sub("@fence", text), flags=re.MULTILINE)[1:]
    return [
        Section(level, heading, [fences.pop(0) for _ in range(prose.count("@fence"))], prose)
        for level, heading, prose in zip(found[::3], found[1::3], found[2::3], strict=True)
    ]


def numbers(document: list[Section]) -> dict[str, int]:
    headings = [re.sub(r"[^\w\- ]", "", each.heading.lower()) for each in document]
    return {heading.replace(" ", "-"): number for number, heading in enumerate(headings)}


def test_the_japanese_runbook_matches_the_english_runbook() -> None:
    english, japanese = sections(RUNBOOK), sections(JAPANESE)
    assert [each.level for each in english] == [each.level for each in japanese]
    assert len(numbers(english)) == len(numbers(japanese)) == len(english)
    for ours, theirs in zip(english[1:], japanese[1:], strict=True):
        where = f"{ours.heading}: {theirs.heading}"
        assert ours.fences == theirs.fences, where
        # Japanese may name a command where English uses a verb.
        assert ours.code() <= theirs.code() <= ours.code() | set(cli.commands), where
        assert ours.first_cells() == theirs.first_cells(), where
        assert ours.links(RUNBOOK) == theirs.links(JAPANESE), where
        # Lists have the same number of items, and alarm names are the same in both languages.
        items = [len(re.findall(r"^(?:- |\d\. )", each.prose, re.M)) for each in (ours, theirs)]
        assert items[0] == items[1], where
        names = [
            set(re.findall(r"[A-Z][A-Za-z]+Alarm(?![A-Za-z])", each.prose))
            for each in (ours, theirs)
        ]
        assert names[0] == names[1], where
        if ours.heading.endswith("Alarm"):
            assert ours.heading == theirs.heading
    assert "(operations.ja.md)" in english[0].prose
    assert "(operations.md)" in japanese[0].prose
    assert english[0].fences == japanese[0].fences


def test_the_japanese_table_names_the_same_resources_for_each_parameter() -> None:
    for ours, theirs in zip(sections(RUNBOOK), sections(JAPANESE), strict=True):
        cells = [
            [
                row.strip("|").split(" | ")
                for row in each.prose.splitlines()
                if row.startswith("| `")
            ]
            for each in (ours, theirs)
        ]
        for row, its in zip(*cells, strict=True):
            assert len(row) == len(its)
            if len(row) == 4:
                assert re.findall("`[^`]+`", row[1]) == re.findall("`[^`]+`", its[1]), row[0]
