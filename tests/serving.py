"""Runs `console-login local --serve` as a process, with clients for it."""

import contextlib
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import forked
from botocore.config import Config
from support import ROOT

GROUP = "/aws/cloudtrail/management-event"
BUCKET = "console-login-firehose-deliverybucket"
STREAM = "console-login-firehose"
REGION = "ap-northeast-1"


def client(url: str, service: Any) -> Any:
    """Return a client for a local endpoint, which accepts any credentials."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


class Endpoint:
    """A running `--serve` and clients for it."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def client(self, service: Any) -> Any:
        return client(self.url, service)

    def keys(self, prefix: str = "consolelogin/") -> list[str]:
        listed = self.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [each["Key"] for each in listed.get("Contents", [])]

    def lines(self, count: int) -> list[str]:
        """Return the bucket's lines once there are `count`, or after 100 tries."""
        s3 = self.client("s3")
        found: list[str] = []
        for _ in range(100):
            found = []
            for key in self.keys():
                if "/processing-failed/" in key:
                    continue
                body = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
                found += body.splitlines()
            if len(found) >= count:
                break
            time.sleep(0.1)
        return found


@contextlib.contextmanager
def serving(
    *arguments: str,
    program: Sequence[str] = (),
    folder: Path = ROOT,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Endpoint]:
    command = [*(program or [forked.command()]), "local", "--serve", "--port", "0"]
    for name in ("BufferSeconds", "LambdaBufferSeconds"):
        command += ["--parameter", f"{name}=0"]
    with subprocess.Popen(
        [*command, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # As in a terminal: Ctrl-C must end the process even if this test ignores it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            found = re.search(r"serving at (http://127\.0\.0\.1:\d+) ", first)
            assert found, first
            yield Endpoint(process, found[1])
        finally:
            process.kill()
