"""What checks say: what they looked at, what is wrong and what to type, what stays unchecked.

A check yields in any order: a text for what it looked at, a Finding, or an Unchecked.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from console_login import shown
from console_login.operate.access import AccessError

OK, FINDING, UNCHECKED = "ok", "finding", "could not be checked"

# Asked for what is said to be there.
_GONE = frozenset(
    {"404", "NoSuchBucket", "NoSuchEntity", "NotFound", "NotFoundException"}
    | {"ResourceNotFound", "ResourceNotFoundException"}
)


@dataclass(frozen=True)
class Finding:
    """Something wrong, and lines for a shell in the order to run them.

    remedy: commands to paste; a line that begins with # says what no command can do.
    after: those that send what is missing: they must wait until all that is wrong is repaired.
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
    """What a check has found.

    status: FINDING where it found something; else UNCHECKED where something could not be checked.
    looked_at: what its `ok` rests on.
    """

    check: str
    status: str
    findings: list[Finding] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    looked_at: list[str] = field(default_factory=list)


def run[Subject](
    checks: Mapping[str, Callable[[Subject], Checked]], subject: Subject, gone: list[str]
) -> list[Result]:
    """Return what each check finds.

    gone: what to type where something that must be there is not.
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
        # One refused call must not hide what the others find, nor what came before it.
        if is_gone(error):
            result.findings.append(Finding(str(error), gone))
        else:
            result.unchecked.append(str(error))
    status = FINDING if result.findings else UNCHECKED if result.unchecked else OK
    return Result(name, status, result.findings, result.unchecked, result.looked_at)


def is_gone(error: AccessError) -> bool:
    """Whether a service says that what was asked for is not there."""
    return code(error) in _GONE


def code(error: AccessError) -> str:
    """Return the service's code of an error, empty where it is none of a service."""
    cause = error.__cause__
    return str(cause.response["Error"]["Code"]) if isinstance(cause, ClientError) else ""


def is_well(results: Iterable[Result]) -> bool:
    """Whether every check was made, and found nothing."""
    return all(result.status == OK for result in results)


def words(results: Sequence[Result]) -> list[str]:
    """Return results in lines: a check each, and under it what is wrong and what to type."""
    lines = []
    for result in results:
        # What a finding or a refusal was looked at with is in the JSON.
        said = {OK: result.looked_at, FINDING: [], UNCHECKED: result.unchecked}[result.status]
        lines.append(f"{result.check:<20} {result.status}{': ' if said else ''}{'; '.join(said)}")
        for finding in result.findings:
            lines.append(f"  {finding.problem}")
            lines += [f"    {line}" for line in finding.remedy]
        if result.findings:
            lines += [f"  {UNCHECKED}: {why}" for why in result.unchecked]
    findings = [each for result in results for each in result.findings]
    # Each once, however many ask for it.
    if after := dict.fromkeys(line for each in findings for line in each.after):
        lines.append("when all of this is repaired, send what is missing")
        lines += [f"    {line}" for line in after]
    return lines


def report(stack_name: str, results: Iterable[Result]) -> dict[str, Any]:
    """Return results for machines; what is to be pasted is printable here too."""
    checks = [asdict(result) for result in results]
    for finding in (each for check in checks for each in check["findings"]):
        for name in ("remedy", "after"):
            finding[name] = [shown.text(line) for line in finding[name]]
    return {"stack": stack_name, "is_well": is_well(results), "checks": checks}
