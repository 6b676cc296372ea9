"""Every command of docs/operations.md, run in order against `console-login local --serve`.

At the start one record has failed, and a sign-in has passed the log group while the filter was
gone: what the runbook says to type must bring both into the bucket.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from serving import BUCKET, GROUP, STREAM, serving
from support import OSAKA, ROOT, TOKYO, envelope, gz

TEXT = (ROOT / "docs" / "operations.md").read_text()
BLOCKS = re.findall(r"^ *```sh\n(.*?)^ *```$", TEXT, re.MULTILINE | re.DOTALL)


def test_every_block_is_run() -> None:
    assert len(BLOCKS) == TEXT.count("```sh") == TEXT.count("```") / 2
    assert len(BLOCKS) > 15


def test_what_the_runbook_says_to_type_brings_everything_into_the_bucket(tmp_path: Path) -> None:
    aws = tmp_path / "bin" / "aws"
    aws.parent.mkdir()
    aws.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/tests/aws_command.py" "$@"\n')
    aws.chmod(0o755)
    with serving() as endpoint:
        prepare(endpoint)
        address = re.compile(r"http://127\.0\.0\.1:4566")
        # One shell, so that what the first blocks set holds for the others.
        script = "set -eu\n"
        for number, block in enumerate(BLOCKS):
            text = address.sub(endpoint.url, block)
            script += f"echo '### {number}'\n{tolerant(text)}\n"
        environment = os.environ | {
            "PATH": f"{aws.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "AWS_ENDPOINT_URL": endpoint.url,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "ap-northeast-1",
        }
        done = subprocess.run(
            ["sh", "-c", script],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        assert sorted(set(endpoint.lines(2))) == sorted([TOKYO, OSAKA])
    # The first doctor finds what is prepared, nothing else.
    first = done.stdout.split("### 2\n")[1].split("### 3\n")[0]
    assert re.search(r"error objects +finding", first) or "error object" in first
    assert "last-sign-ins" in done.stdout or "NamedQueryIds" in done.stdout


def tolerant(block: str) -> str:
    """Let doctor find something: its exit status says so."""
    return re.sub(r"^(console-login doctor .*)$", r"\1 || [ $? -eq 1 ]", block, flags=re.MULTILINE)


def prepare(endpoint: Any) -> None:
    logs, firehose = endpoint.client("logs"), endpoint.client("firehose")
    half = gz(envelope([TOKYO]))
    # Refused whole by a function without time; here a copy whose gzip lost its end would stay lost.
    firehose.put_record(DeliveryStreamName=STREAM, Record={"Data": half[:-4]})
    logs.create_log_stream(logGroupName=GROUP, logStreamName="trail")
    (found,) = logs.describe_subscription_filters(logGroupName=GROUP)["subscriptionFilters"]
    logs.delete_subscription_filter(logGroupName=GROUP, filterName=found["filterName"])
    message = {"timestamp": int(time.time() * 1000), "message": OSAKA}
    logs.put_log_events(logGroupName=GROUP, logStreamName="trail", logEvents=[message])
    given = ("logGroupName", "filterName", "filterPattern", "destinationArn", "roleArn")
    logs.put_subscription_filter(**{key: found[key] for key in given})
    for _ in range(100):
        if endpoint.keys("consolelogin/processing-failed/"):
            return
        time.sleep(0.1)
    pytest.fail("the record has not failed")
