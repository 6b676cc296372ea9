"""Every command of docs/operations.md, run in order against `console-login local --serve`.

At the start a record has failed, and a sign-in has passed the log group while the filter was gone:
what the runbook says to type must bring both into the bucket.
"""

import base64
import json
import re
import time
from pathlib import Path
from typing import Any

import jmespath
from serving import BUCKET, GROUP, Endpoint, serving
from shell import blocks, impatient, run
from stacks import stack
from support import OSAKA, ROOT, TOKYO, envelope, gz

BLOCKS = blocks(ROOT / "docs" / "operations.md")
FAILED = "consolelogin/processing-failed/2026/11/24/failed-1"
WORK_GROUP = "console-login"
SAVED = {
    each.properties["Name"]: each
    for each in stack("queries").of_type("AWS::Athena::NamedQuery").values()
}


def test_what_the_runbook_says_to_type_brings_everything_into_the_bucket(tmp_path: Path) -> None:
    assert len(BLOCKS) > 15
    # One shell, so that what the first blocks set stays for the others; what compares may find
    # something.
    script = "".join(f"echo '### {number}'\n{each}" for number, each in enumerate(BLOCKS))
    script = re.sub(
        r"^(console-login (?:doctor|compare) .*)$", r"\1 || [ $? -eq 1 ]", script, flags=re.M
    )
    with serving() as endpoint:
        prepare(endpoint)
        impatient(tmp_path)
        script = script.replace("http://127.0.0.1:4566", endpoint.url)
        done = run(script, tmp_path, {"AWS_ENDPOINT_URL": endpoint.url})
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        assert set(endpoint.lines(2)) == {TOKYO, OSAKA}
        assert set((tmp_path / "in-log-group").read_text().splitlines()) == {TOKYO, OSAKA}
        logs = endpoint.client("logs")
        filters = logs.describe_subscription_filters(logGroupName=GROUP)["subscriptionFilters"]
        assert filters == []
        ran = executions(endpoint)
    printed = [part.split("\n", 1)[1] for part in done.stdout.split("### ")[1:]]
    # What was on its way has arrived, and when the filter is deleted by hand as well.
    (number,) = (number for number, each in enumerate(printed) if "is safe" in each)
    assert "all 2 events have arrived" in printed[number]
    (by_hand,) = (each for each in printed if each.endswith(" missing\n"))
    assert by_hand.splitlines()[-1].split() == ["0", "missing"]
    # The first doctor finds what is prepared.
    assert "1 error object waits" in printed[2]
    # The commands among the outputs are whole, a line each.
    (commands,) = (each for each in printed if each.count("--region ap-northeast-1") > 3)
    assert [line.split()[0] for line in commands.splitlines()] == ["aws"] * 5
    # Each query ran on the table's database, and the one with a `?` had its value.
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


def executions(endpoint: Endpoint) -> list[dict[str, Any]]:
    """Return what Athena was asked to run, in order."""
    athena = endpoint.client("athena")
    ids = athena.list_query_executions(WorkGroup=WORK_GROUP)["QueryExecutionIds"]
    found = [athena.get_query_execution(QueryExecutionId=each)["QueryExecution"] for each in ids]
    return sorted(found, key=lambda each: each["Status"]["SubmissionDateTime"])


def prepare(endpoint: Endpoint) -> None:
    """Let one sign-in fail as Firehose leaves it, and another pass while there is no filter.

    Then the first comes once more, through the filter. Athena has the saved queries, but no table.
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
