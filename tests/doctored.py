"""A stack served by `local --serve`, for tests of the commands that check it."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from serving import GROUP, REGION, Endpoint, serving
from support import OSAKA, TOKYO

from console_login.operate import doctor
from console_login.operate.access import Access
from console_login.operate.checks import OK, Finding, Result, run
from console_login.operate.doctor import CHECKS
from console_login.operate.subject import Subject

STACK = "console-login-firehose"


class CachingAccess(Access):
    """Caches clients, because creating one takes longer than a call."""

    clients: dict[str, Any]

    def client(self, service: Any, **config: Any) -> Any:
        if service not in self.clients:
            self.clients[service] = super().client(service, **config)
        return self.clients[service]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with serving() as running:
        logs = running.client("logs")
        logs.create_log_stream(logGroupName=GROUP, logStreamName="trail")
        put_sign_ins(running, TOKYO, OSAKA)
        running.lines(2)
        yield running


@pytest.fixture(scope="module")
def access(endpoint: Endpoint) -> Access:
    found = CachingAccess(endpoint.url, REGION)
    object.__setattr__(found, "clients", {})
    return found


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")


def put_sign_ins(endpoint: Endpoint, *messages: str) -> None:
    now = int(time.time() * 1000)
    log_events = [{"timestamp": now, "message": message} for message in messages]
    logs = endpoint.client("logs")
    logs.put_log_events(logGroupName=GROUP, logStreamName="trail", logEvents=log_events)


def examined(access: Access, **keys: Any) -> dict[str, Result]:
    results = doctor.examine(access, STACK, **keys)
    assert [result.check for result in results] == list(CHECKS)
    return {result.check: result for result in results}


def only_finding(access: Access, check: str, **keys: Any) -> Finding:
    """Return the only finding of a check. All other checks must be OK."""
    results = examined(access, **keys)
    (finding,) = results.pop(check).findings
    assert [each for each in results.values() if each.status != OK] == []
    return finding


def result_of(check: str, subject: Subject) -> Result:
    (result,) = run({check: CHECKS[check]}, subject, subject.drift)
    return result


def found_by(check: str, access: Any) -> list[Finding]:
    return result_of(check, Subject(access, STACK, 24, time.time())).findings


@contextlib.contextmanager
def without_filter(access: Access) -> Iterator[dict[str, Any]]:
    """Delete the filter, yield its settings, and create it again at the end."""
    logs = access.client("logs")
    (found,) = logs.describe_subscription_filters(logGroupName=GROUP)["subscriptionFilters"]
    logs.delete_subscription_filter(logGroupName=GROUP, filterName=found["filterName"])
    names = ("logGroupName", "filterName", "filterPattern", "destinationArn", "roleArn")
    settings = {name: found[name] for name in names}
    try:
        yield settings
    finally:
        logs.put_subscription_filter(**settings)


class Refusing(Access):
    """Returns clients that refuse one operation."""

    def __init__(self, access: Access, operation: str) -> None:
        self.__dict__.update(access=access, operation=operation)

    def client(self, service: Any, **config: Any) -> Any:
        return _RefusingClient(self.__dict__["access"].client(service, **config), self.__dict__)


class _RefusingClient:
    def __init__(self, client: Any, refused: Any) -> None:
        self._client, self._operation = client, refused["operation"]

    def __getattr__(self, name: str) -> Any:
        return self._refuse if name == self._operation else getattr(self._client, name)

    def get_paginator(self, operation: str) -> Any:
        if operation == self._operation:
            return self
        return self._client.get_paginator(operation)

    def _refuse(self, **_: Any) -> Any:
        name = self._client.meta.method_to_api_mapping[self._operation]
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, name)

    paginate = _refuse
