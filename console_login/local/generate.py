"""Generate realistic CloudTrail events from a seed, without real data."""

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from console_login.events.envelope import compact
from console_login.stack.place import ACCOUNT_ID, REGION

# Common events of a trail, including other sign-in events, which the filter must not select.
_CALLS = (
    ("ec2.amazonaws.com", "DescribeInstances"),
    ("s3.amazonaws.com", "GetBucketAcl"),
    ("sts.amazonaws.com", "AssumeRole"),
    ("kms.amazonaws.com", "Decrypt"),
    ("logs.amazonaws.com", "CreateLogStream"),
    ("iam.amazonaws.com", "GetUser"),
    ("monitoring.amazonaws.com", "DescribeAlarms"),
    ("lambda.amazonaws.com", "GetFunction20150331v2"),
    ("signin.amazonaws.com", "CheckMfa"),
    ("signin.amazonaws.com", "SwitchRole"),
    ("signin.amazonaws.com", "GetSigninToken"),
)
_REGIONS = (REGION, "us-east-1", "us-east-2", "eu-north-1", "ap-southeast-2")
_USERS = ("example-user", "operator", "auditor", "利用者")
_BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/123.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:124.0) Gecko/20100101 Firefox/124.0",
)


def events(count: int, sign_ins: float, randomness: random.Random, start: float) -> Iterator[str]:
    """Yield `count` events; a share of about `sign_ins` are console sign-ins.

    start: time of the first event, in seconds since the epoch. Events are 10 ms apart.
    """
    for number in range(count):
        moment = datetime.fromtimestamp(start + number / 100, UTC)
        event = _common(randomness, moment)
        event |= _sign_in(randomness) if randomness.random() < sign_ins else _call(randomness)
        yield compact(event)


def _common(randomness: random.Random, moment: datetime) -> dict[str, Any]:
    user = randomness.choice(_USERS)
    return {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "IAMUser",
            "principalId": f"AIDAEXAMPLE{randomness.randrange(10**10):010d}",
            "arn": f"arn:aws:iam::{ACCOUNT_ID}:user/{user}",
            "accountId": ACCOUNT_ID,
            "userName": user,
        },
        "eventTime": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        "awsRegion": randomness.choice(_REGIONS),
        "sourceIPAddress": f"203.0.113.{randomness.randrange(256)}",
        "userAgent": randomness.choice(_BROWSERS),
        "eventID": str(uuid.UUID(int=randomness.getrandbits(128), version=4)),
        "managementEvent": True,
        "recipientAccountId": ACCOUNT_ID,
        "eventCategory": "Management",
    }


def _sign_in(randomness: random.Random) -> dict[str, Any]:
    event: dict[str, Any] = {
        "eventSource": "signin.amazonaws.com",
        "eventName": "ConsoleLogin",
        "eventType": "AwsConsoleSignIn",
        "requestParameters": None,
        "responseElements": {"ConsoleLogin": "Success"},
        "additionalEventData": {
            "LoginTo": "https://console.aws.amazon.com/console/home",
            "MobileVersion": "No",
            "MFAUsed": randomness.choice(("Yes", "No")),
        },
        "readOnly": False,
    }
    if randomness.random() < 0.1:
        event["errorMessage"] = "Failed authentication"
        event["responseElements"] = {"ConsoleLogin": "Failure"}
    return event


def _call(randomness: random.Random) -> dict[str, Any]:
    source, name = randomness.choice(_CALLS)
    return {
        "eventSource": source,
        "eventName": name,
        "eventType": "AwsApiCall",
        "requestID": str(uuid.UUID(int=randomness.getrandbits(128), version=4)),
        "requestParameters": {"maxResults": randomness.randrange(1000)},
        # A plain text search for the name would mistake this for a sign-in.
        "responseElements": {"ConsoleLogin": "Success"} if name == "SwitchRole" else None,
        "readOnly": True,
    }
