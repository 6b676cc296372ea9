"""The combinations of parameters that the template is checked with."""

import functools
from typing import Any

from console_login.stack import template

KEY_ARN = "arn:aws:kms:ap-northeast-1:111122223333:key/11112222-3333-4444-5555-666677778888"
OTHER_ACCOUNT = "444455556666"

COMBINATIONS: dict[str, dict[str, str]] = {
    "nothing given": {},
    "everything given": {
        "LogGroupName": "/aws/cloudtrail/other",
        "EventNames": "ConsoleLogin",
        "ExistingBucketName": "amzn-s3-demo-bucket",
        "ExistingKeyArn": KEY_ARN,
        "Prefix": "a/b/",
        "TimeZone": "UTC",
    },
    "trail": {"CreateTrail": "true"},
    "trail and existing key": {"CreateTrail": "true", "ExistingKeyArn": KEY_ARN},
    "existing bucket": {"ExistingBucketName": "amzn-s3-demo-bucket"},
    "another account's bucket and key": {
        "ExistingBucketName": "amzn-s3-demo-bucket",
        "ExistingBucketOwner": OTHER_ACCOUNT,
        "ExistingKeyArn": KEY_ARN.replace("111122223333", OTHER_ACCOUNT),
    },
    "every event": {"EventNames": "*"},
    "several names": {"EventNames": "ConsoleLogin, CheckMfa,Login_GET"},
    "gzip": {"Compression": "GZIP"},
    "alarms by mail": {"AlarmEmail": "security@example.com"},
    "everything optional": {
        "AlarmEmail": "security@example.com",
        "AlarmTopicArn": "arn:aws:sns:ap-northeast-1:111122223333:alarms",
        "SignInAlarms": "true",
        "Dashboard": "true",
        "CreateTrail": "true",
    },
    "alarms to a topic, existing key": {
        "AlarmTopicArn": "arn:aws:sns:ap-northeast-1:111122223333:alarms",
        "ExistingKeyArn": KEY_ARN,
        "SignInAlarms": "true",
    },
    "a dashboard alone": {"Dashboard": "true", "AthenaTable": "false"},
    "no folder, objects expire": {"Prefix": "", "ExpireAfterDays": "365"},
}

DOCUMENT = template.load()


@functools.cache
def stack(name: str = "nothing given", **keys: Any) -> template.Stack:
    return template.resolve(DOCUMENT, COMBINATIONS[name], **keys)


def only(resolved: template.Stack, type_: str) -> dict[str, Any]:
    """Return the properties of the one resource of a type."""
    return resolved.only(type_).properties


def needs(resolved: template.Stack, logical_id: str) -> set[str]:
    """Return everything that CloudFormation creates before a resource."""
    found: set[str] = set()
    waiting = [logical_id]
    while waiting:
        for each in resolved.resources[waiting.pop()].needs - found:
            found.add(each)
            waiting.append(each)
    return found
