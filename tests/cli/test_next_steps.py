"""Checks that errors in access to AWS say what to do next."""

import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import botocore.exceptions
import forked
import pytest
from botocore.exceptions import ClientError
from serving import REGION, serving
from support import ROOT

from console_login.counts import counted
from console_login.operate.access import AccessError, one_line

DOCTOR = ("doctor", "--stack", "none")


@pytest.fixture
def unconfigured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """Return an environment without any AWS configuration."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    nothing = str(tmp_path / "nothing")
    return {
        "AWS_CONFIG_FILE": nothing,
        "AWS_SHARED_CREDENTIALS_FILE": nothing,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def failed(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [forked.command(), *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("console-login: ")
    return line


def test_a_missing_region_names_the_option(unconfigured: dict[str, str]) -> None:
    assert "--region" in failed(*DOCTOR, **unconfigured)


def test_missing_credentials_say_how_to_sign_in(unconfigured: dict[str, str]) -> None:
    line = failed(*DOCTOR, "--region", REGION, **unconfigured)
    assert "Unable to locate credentials; sign in" in line
    assert "--profile" in line


def test_an_endpoint_that_does_not_answer_names_the_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_MAX_ATTEMPTS": "1"}
    line = failed(*DOCTOR, "--region", REGION, "--endpoint-url", url, **keys)
    assert "check --endpoint-url" in line


def test_a_missing_stack_is_named_with_its_region() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    with serving() as endpoint:
        line = failed(*DOCTOR, "--region", REGION, "--endpoint-url", endpoint.url, **keys)
    assert line.endswith(
        f"Stack with id none does not exist in {REGION}; check --stack and --region"
    )


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": code, "Message": "It is over."}}, "DescribeStacks")
        for code in ("ExpiredToken", "ExpiredTokenException")
    ]
    + [botocore.exceptions.UnauthorizedSSOTokenError()],
)
def test_expired_credentials_say_how_to_renew_them(error: Any) -> None:
    with (
        pytest.raises(AccessError, match=r"; sign in again, for example with `aws sso login`$"),
        one_line(),
    ):
        raise error


def test_a_count_of_one_is_singular() -> None:
    found = [counted(count, "object") for count in (0, 1, 2000)]
    assert found == ["0 objects", "1 object", "2,000 objects"]
    assert [counted(count, "copy", "copies") for count in (1, 2)] == ["1 copy", "2 copies"]
