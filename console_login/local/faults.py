"""Inject faults on request, to show that no event is lost."""

import random
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from console_login.errors import UserError
from console_login.function import FunctionFailure
from console_login.local.stream import Function, Storage, StorageFailure

KINDS = {
    "lambda": "the function raises an exception",
    "lambda-timeout": "the function responds too late",
    "s3": "an object cannot be written",
    "duplicate": "CloudWatch Logs delivers a record twice",
    "put-record-batch:throttle": "a call of the function to PutRecordBatch is throttled",
    "put-record-batch:partial": "PutRecordBatch rejects a record of the function's call",
    "put-record-batch:outage": "a call of the function to PutRecordBatch fails (default: always)",
    "put-record-batch:timeout": "PutRecordBatch accepts the function's records, but times out",
}

DEFAULT_SHARE = 0.2


class FaultError(UserError):
    """An unknown fault, or an invalid share."""


class Faults:
    """The faults to inject and their shares. The same seed always gives the same faults.

    struck: number of faults so far, by kind.
    """

    def __init__(self, specifications: Iterable[str], seed: int) -> None:
        self._shares = dict(map(_parse, specifications))
        self._randomness = random.Random(f"faults {seed}")  # noqa: S311 - not a secret
        self.struck: Counter[str] = Counter()

    def strikes(self, kind: str) -> bool:
        """Whether a fault of this kind occurs now."""
        share = self._shares.get(kind)
        does_strike = share is not None and self._randomness.random() < share
        self.struck[kind] += does_strike
        return does_strike


def _parse(specification: str) -> tuple[str, float]:
    if specification in KINDS:
        is_always = specification == "put-record-batch:outage"
        return specification, 1.0 if is_always else DEFAULT_SHARE
    kind, _, share = specification.rpartition(":")
    if kind not in KINDS:
        raise FaultError(f"--fail {specification}: unknown fault (available: {', '.join(KINDS)})")
    if not re.fullmatch(r"0?\.[0-9]+|[01](\.0*)?", share):
        raise FaultError(f"--fail {specification}: {share!r} is not a share from 0 to 1")
    return kind, float(share)


class FaultyFunction:
    """The function, with injected failures of Lambda."""

    def __init__(self, function: Function, faults: Faults) -> None:
        self._function = function
        self._faults = faults

    def invoke(self, event: dict[str, Any]) -> Any:
        if self._faults.strikes("lambda"):
            raise FunctionFailure("Lambda.FunctionError", "The function failed (injected fault).")
        answer = self._function.invoke(event)
        # In this fault the function has already done its work when it times out.
        if self._faults.strikes("lambda-timeout"):
            message = "The function timed out (injected fault)."
            raise FunctionFailure("Lambda.FunctionTimedOut", message)
        return answer


class FaultyStorage:
    """The bucket, with injected failures of writes."""

    def __init__(self, storage: Storage, faults: Faults) -> None:
        self._storage = storage
        self._faults = faults

    def put(self, key: str, body: bytes) -> None:
        if self._faults.strikes("s3"):
            raise StorageFailure
        self._storage.put(key, body)
