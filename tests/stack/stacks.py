"""The combinations of parameters that the templates are checked with."""

import functools
from typing import Any

from samtranslator.translator import translator
from support import ROOT

from console_login.stack import template

# The translator checks SAM's own policy templates each time, which takes longer than the rest.
_make_plugin = functools.cache(translator.make_policy_template_for_function_plugin)
translator.make_policy_template_for_function_plugin = _make_plugin

KEY_ARN = "arn:aws:kms:ap-northeast-1:111122223333:key/11112222-3333-4444-5555-666677778888"
OTHER_ACCOUNT = "444455556666"
TOPIC_ARN = "arn:aws:sns:ap-northeast-1:111122223333:alarms"
ORGANIZATION = "o-a1b2c3d4e5"

# Parameters of template.yaml.
COMBINATIONS: dict[str, dict[str, str]] = {
    "nothing given": {},
    "everything given": {
        "Name": "sign-ins",
        "LogGroupName": "/aws/cloudtrail/other",
        "EventNames": "ConsoleLogin",
        "ExistingBucketName": "amzn-s3-demo-bucket",
        "ExistingKeyArn": KEY_ARN,
        "Prefix": "a/b/",
        "TimeZone": "UTC",
    },
    "the longest name": {"Name": "n" * 54},
    "existing key": {"ExistingKeyArn": KEY_ARN},
    "existing bucket": {"ExistingBucketName": "amzn-s3-demo-bucket"},
    "another account's bucket and key": {
        "ExistingBucketName": "amzn-s3-demo-bucket",
        "ExistingBucketOwner": OTHER_ACCOUNT,
        "ExistingKeyArn": KEY_ARN.replace("111122223333", OTHER_ACCOUNT),
    },
    "every event": {"EventNames": "*"},
    "several names": {"EventNames": "ConsoleLogin,CheckMfa,Login_GET"},
    "gzip": {"Compression": "GZIP"},
    "alarms by mail": {"AlarmEmail": "security@example.com"},
    "everything optional": {
        "AlarmEmail": "security@example.com",
        "AlarmTopicArn": TOPIC_ARN,
        "SignInAlarms": "true",
        "Dashboard": "true",
    },
    "alarms to a topic, existing key": {
        "AlarmTopicArn": TOPIC_ARN,
        "ExistingKeyArn": KEY_ARN,
        "SignInAlarms": "true",
    },
    "a dashboard alone": {"Dashboard": "true"},
    "no folder, objects expire": {"Prefix": "", "ExpireAfterDays": "365"},
    "an organization": {"Name": "fleet", "OrganizationId": ORGANIZATION},
    "objects are locked": {"ObjectLockDays": "365", "ObjectLockMode": "COMPLIANCE"},
}

TRAIL_COMBINATIONS: dict[str, dict[str, str]] = {
    "the trail": {},
    "another trail": {
        "TrailName": "every-region_2",
        "PipelineName": "sign-ins",
        "LogRetentionDays": "365",
    },
    "the longest trail's name": {"TrailName": "t" * 128, "PipelineName": "n" * 54},
}

_BUCKET_AND_KEY = {"BucketName": "amzn-s3-demo-bucket", "ResultKeyArn": KEY_ARN}
ATHENA_COMBINATIONS: dict[str, dict[str, str]] = {
    "queries": _BUCKET_AND_KEY,
    "queries, no folder": _BUCKET_AND_KEY | {"Prefix": ""},
    "queries, all given": _BUCKET_AND_KEY | {"Prefix": "a/b/", "WorkGroupName": "w" * 128},
}

FILTER_COMBINATIONS: dict[str, dict[str, str]] = {
    name: {"DestinationArn": "arn:aws:logs:ap-northeast-1:444455556666:destination:fleet"} | given
    for name, given in {
        "a filter": {},
        "a filter of several names": {"EventNames": "ConsoleLogin,CheckMfa", "Name": "n" * 54},
        "a filter of every event": {"EventNames": "*", "LogGroupName": "/aws/cloudtrail/other"},
    }.items()
}

DOCUMENT = template.load()
TRAIL = template.load(ROOT / "trail.yaml")
ATHENA = template.load(ROOT / "athena.yaml")
FILTER = template.load(ROOT / "filter.yaml")
DOCUMENTS = {
    "template.yaml": DOCUMENT,
    "trail.yaml": TRAIL,
    "athena.yaml": ATHENA,
    "filter.yaml": FILTER,
}

# The combinations of all templates, by their names, which differ.
EVERY: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    name: (document, parameters)
    for document, combinations in (
        (DOCUMENT, COMBINATIONS),
        (TRAIL, TRAIL_COMBINATIONS),
        (ATHENA, ATHENA_COMBINATIONS),
        (FILTER, FILTER_COMBINATIONS),
    )
    for name, parameters in combinations.items()
}


@functools.cache
def stack(name: str = "nothing given", **keys: Any) -> template.Stack:
    """Return the stack of a combination, of any template."""
    document, parameters = EVERY[name]
    return template.resolve(document, parameters, **keys)


def trail(name: str = "the trail", **keys: Any) -> template.Stack:
    return stack(name, **keys)


def athena(name: str = "queries", **keys: Any) -> template.Stack:
    return stack(name, **keys)


def only(resolved: template.Stack, type_: str) -> dict[str, Any]:
    """Return the properties of the only resource of a type."""
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
