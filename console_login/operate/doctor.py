"""Check a deployed stack, and report its problems. Calls to AWS only read; nothing is changed."""

import time
from collections.abc import Callable

from console_login.operate import checks, trail, trail_permissions
from console_login.operate.access import Access
from console_login.operate.checks import Checked, Result
from console_login.operate.configuration import check_filter, check_function, check_stream
from console_login.operate.copies import check_copies
from console_login.operate.delivery import check_alarms, check_delivery, check_errors
from console_login.operate.permissions import check_key
from console_login.operate.role_permissions import (
    check_filter_role,
    check_function_role,
    check_stream_role,
)
from console_login.operate.subject import Subject
from console_login.operate.topics import check_topics


def examine(
    access: Access, stack_name: str, hours: int = 24, now: float | None = None
) -> list[Result]:
    """Return the result of each check.

    hours: how far back events and objects are compared.
    now: in seconds since the epoch.
    Raises AccessError if the stack does not exist, TemplateError if the template rejects its
    parameters.
    """
    subject = Subject(access, stack_name, hours, time.time() if now is None else now)
    return checks.run(CHECKS, subject, subject.drift)


def check_trail(subject: Subject) -> Checked:
    """Check that a multi-Region trail sends sign-ins to the log group, and is allowed to."""
    yield from trail.check(
        subject,
        subject.log_group_arn,
        subject.stack.parameters["EventNames"],
        subject.now,
        lambda each: trail_permissions.check_policies(subject, each),
    )


CHECKS: dict[str, Callable[[Subject], Checked]] = {
    "subscription filter": check_filter,
    "role of the filter": check_filter_role,
    "role of the stream": check_stream_role,
    "role of the function": check_function_role,
    "key policy": check_key,
    "stream": check_stream,
    "function": check_function,
    "error objects": check_errors,
    "trail": check_trail,
    "delivery": check_delivery,
    "copies": check_copies,
    "alarms": check_alarms,
    "alarm topics": check_topics,
}
