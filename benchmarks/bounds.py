"""Measure every hostile request of tests/hostile.py under AWS's runtime emulator.

Run `make build ARCHITECTURE=x86_64` first (or arm64, as this machine is). Prints the CPU seconds of
one core and the peak memory of the process, with runtime and boto3. Warm means all requests in one
process; cold means a fresh process for each. Linux only. A complete run takes an hour; select
requests with --only.
"""

import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "functions" / "transform")]

import bounded
import hostile

ARTIFACT = ROOT / ".aws-sam" / "build" / "TransformFunction"


def show(name: str, names: str, state: str, figures: bounded.Figures, *, as_json: bool) -> None:
    if as_json:
        row = {"name": name, "names": names, "state": state, **figures._asdict()}
        print(json.dumps(row | {"broken": figures.broken}), flush=True)
        return
    print(
        f"{name:52}{names:>6}{state:>5}{figures.cpu_seconds:>8.2f}{figures.max_seconds:>7.1f}"
        f"{figures.peak_mib:>6.0f}  {'; '.join(figures.broken)}",
        flush=True,
    )


def warm(
    cases: dict[str, hostile.Case], names: str, timeout: int, *, as_json: bool
) -> list[bounded.Figures]:
    found = []
    waiting = list(cases.items())
    while waiting:
        with bounded.running(ARTIFACT, hostile.ALL_NAMES[names], timeout) as function:
            function.warm_up()
            while waiting:
                name, case = waiting.pop(0)
                figures = function.run(case)
                show(name, names, "warm", figures, as_json=as_json)
                found.append(figures)
                # NaN: no answer, because the process has ended.
                if figures.cpu_seconds != figures.cpu_seconds:
                    break
    return found


def cold(
    cases: dict[str, hostile.Case], names: str, timeout: int, *, as_json: bool
) -> list[bounded.Figures]:
    found = []
    for name, case in cases.items():
        with bounded.running(ARTIFACT, hostile.ALL_NAMES[names], timeout) as function:
            found.append(function.run(case))
            show(name, names, "cold", found[-1], as_json=as_json)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", default="", metavar="REGEX", help="only requests whose name matches"
    )
    parser.add_argument(
        "--names",
        nargs="+",
        choices=hostile.ALL_NAMES,
        default=list(hostile.ALL_NAMES),
        help="values of EVENT_NAMES",
    )
    parser.add_argument("--state", choices=("warm", "cold", "both"), default="both")
    parser.add_argument("--timeout", type=int, default=bounded.FUNCTION["Timeout"])
    parser.add_argument("--json", action="store_true", help="print one JSON line per request")
    options = parser.parse_args()
    cases = {name: case for name, case in hostile.CASES.items() if re.search(options.only, name)}
    if not options.json:
        print(f"{'request':52}{'names':>6}{'':>5}{'CPU s':>8}{'max':>7}{'MiB':>6}")
    found = []
    for names in options.names:
        for state, run in (("warm", warm), ("cold", cold)):
            if options.state in (state, "both"):
                found += run(cases, names, options.timeout, as_json=options.json)
    if not options.json:
        answered = [figures for figures in found if figures.cpu_seconds == figures.cpu_seconds]
        print(
            f"{len(found)} requests, {sum(bool(each.broken) for each in found)} above a limit; "
            f"most CPU {max(each.cpu_seconds for each in answered):.2f} s, "
            f"peak {max(each.peak_mib for each in answered):.0f} MiB"
        )


if __name__ == "__main__":
    main()
