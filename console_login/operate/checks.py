"""Results of checks: what was checked, problems with their remedies, and what was not checked.

In any order, a check yields Finding and Unchecked objects, and strings that say what it checked.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from console_login import shown
from console_login.operate.access import AccessError

OK, FINDING, UNCHECKED = "ok", "finding", "could not be checked"

# Error codes for a resource that does not exist.
_GONE = frozenset(
    {"404", "NoSuchBucket", "NoSuchEntity", "NotFound", "NotFoundException"}
    | {"ResourceNotFound", "ResourceNotFoundException"}
)


@dataclass(frozen=True)
class Finding:
    """A problem, and shell lines in the order to run them.

    remedy: commands to paste; a line that begins with # is a step that no command can do.
    after: commands that send missing events; run them after all problems are fixed.
    """

    problem: str
    remedy: list[str]
    after: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Unchecked:
    """Something that could not be checked, and why."""

    why: str


Checked = Iterable[Finding | Unchecked | str]


@dataclass(frozen=True)
class Result:
    """The result of a check.

    status: FINDING if there are findings; otherwise UNCHECKED if anything could not be checked.
    looked_at: what was checked, the basis of `ok`.
    """

    check: str
    status: str
    findings: list[Finding] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    looked_at: list[str] = field(default_factory=list)


def run[Subject](
    checks: Mapping[str, Callable[[Subject], Checked]], subject: Subject, gone: list[str]
) -> list[Result]:
    """Return the result of each check.

    gone: the remedy if a required resource does not exist.
    """
    return [_result(name, check, subject, gone) for name, check in checks.items()]


def _result[Subject](
    name: str, check: Callable[[Subject], Checked], subject: Subject, gone: list[str]
) -> Result:
    result = Result(name, OK)
    try:
        for each in check(subject):
            match each:
                case Finding():
                    result.findings.append(each)
                case Unchecked():
                    result.unchecked.append(each.why)
                case str():
                    result.looked_at.append(each)
    except AccessError as error:
        # A denied call must not hide the other checks' findings, or this check's earlier ones.
        if is_gone(error):
            result.findings.append(Finding(str(error), gone))
        else:
            result.unchecked.append(str(error))
    status = FINDING if result.findings else UNCHECKED if result.unchecked else OK
    return Result(name, status, result.findings, result.unchecked, result.looked_at)


def is_gone(error: AccessError) -> bool:
    """Return whether the error means that a resource does not exist."""
    return code(error) in _GONE


def code(error: AccessError) -> str:
    """Return the service's error code; empty if the error is not a service's response."""
    cause = error.__cause__
    return str(cause.response["Error"]["Code"]) if isinstance(cause, ClientError) else ""


def is_well(results: Iterable[Result]) -> bool:
    """Return whether every check was completed, without a finding."""
    return all(result.status == OK for result in results)


def words(results: Sequence[Result]) -> list[str]:
    """Return the results as lines: one for each check, then its problems and their remedies."""
    lines = []
    for result in results:
        # For a check that is not ok, only the JSON report lists what was checked.
        said = {OK: result.looked_at, FINDING: [], UNCHECKED: result.unchecked}[result.status]
        lines.append(f"{result.check:<20} {result.status}{': ' if said else ''}{'; '.join(said)}")
        for finding in result.findings:
            lines.append(f"  {finding.problem}")
            lines += [f"    {line}" for line in finding.remedy]
        if result.findings:
            lines += [f"  {UNCHECKED}: {why}" for why in result.unchecked]
    findings = [each for result in results for each in result.findings]
    # Each line once, even if several findings have it.
    if after := dict.fromkeys(line for each in findings for line in each.after):
        lines.append("when all problems are fixed, send the missing events")
        lines += [f"    {line}" for line in after]
    return lines


def report(stack_name: str, results: Iterable[Result]) -> dict[str, Any]:
    """Return the results as JSON; lines to paste are made printable here, too."""
    checks = [asdict(result) for result in results]
    for finding in (each for check in checks for each in check["findings"]):
        for name in ("remedy", "after"):
            finding[name] = [shown.text(line) for line in finding[name]]
    return {"stack": stack_name, "is_well": is_well(results), "checks": checks}
