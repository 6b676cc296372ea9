"""Measure cold starts: time of imports, of the first and warm invocations, and the artifact's size.

Run `make build ARCHITECTURE=x86_64` first (or arm64, as this machine is). Imports are CPU time in
fresh processes, medians of interleaved rounds, without bytecode: `sam build` ships none, and Lambda
cannot write any. Invocations are wall time under AWS's runtime emulator.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from shapes import SHAPES, envelopes

from console_login.local.emulator import RuntimeEmulator
from console_login.stack import template

ROOT = Path(__file__).resolve().parent.parent
ARTIFACT = ROOT / ".aws-sam" / "build" / "TransformFunction"
FUNCTION = template.resolve(template.load()).resources["TransformFunction"].properties
ROUNDS = 15
HEAVIEST = 12

BARE = """from aws_lambda_powertools import Logger, Metrics
logger, metrics = Logger(), Metrics()"""
# For each name: the code that runs first, and the code that is timed.
IMPORTS = {
    "bare Powertools": ("", BARE),
    "app": ("", "import app"),
    "app after bare": (BARE, "import app"),
    "msgspec after bare": (BARE, "import msgspec"),
    "isal after bare": (BARE, "from isal import isal_zlib"),
    "pybase64 after bare": (BARE, "import pybase64"),
    "Powertools after the rest": (
        "import msgspec, isal.isal_zlib, pybase64, json, re",
        BARE,
    ),
}
# As the emulator starts the function: -S, with only the artifact before the standard library.
_PATH = "import sys; sys.path.insert(0, sys.argv[1])"
_TIMED = "import time; start = time.process_time()\n{}\nprint(time.process_time() - start)"


def run(code: str, artifact: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", "-B", *options, "-c", code, str(artifact)],
        env={"PATH": os.environ["PATH"], **_environment()},
        check=True,
        capture_output=True,
        text=True,
    )


def _environment() -> dict[str, str]:
    variables = FUNCTION["Environment"]["Variables"]
    return {name: str(value) for name, value in variables.items()}


def import_milliseconds(artifact: Path) -> dict[str, float]:
    """Return the median CPU milliseconds of each import."""
    taken: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(ROUNDS):
        for name, (before, timed) in IMPORTS.items():
            done = run(f"{_PATH}\n{before}\n{_TIMED.format(timed)}", artifact)
            taken[name].append(float(done.stdout))
    return {name: 1000 * statistics.median(seconds) for name, seconds in taken.items()}


def heaviest(artifact: Path) -> list[tuple[str, float]]:
    """Return the modules with the longest import times of their own, in milliseconds."""
    log = run(f"{_PATH}\nimport app", artifact, "-X", "importtime").stderr
    found = re.findall(r"^import time: +(\d+) \| +\d+ \| +(\S+)$", log, re.MULTILINE)
    return [(name, int(own) / 1000) for own, name in sorted(found, key=lambda e: -int(e[0]))][
        :HEAVIEST
    ]


def invocation_milliseconds(artifact: Path) -> dict[str, float]:
    """Return the median wall milliseconds of first and warm invocations under the emulator."""
    one, sparse = envelopes(1, 1, 1.0)().event, SHAPES["sparse"]().event
    taken: dict[str, list[float]] = {"first, one event": [], "warm, one event": []}
    taken["warm, sparse"] = []
    for _ in range(3):
        with RuntimeEmulator(artifact, _environment(), timeout_seconds=60) as emulator:
            for name, event in zip(
                ["first, one event", *["warm, one event"] * 10, *["warm, sparse"] * 10],
                [one] * 11 + [sparse] * 10,
                strict=True,
            ):
                start = time.perf_counter()
                emulator.invoke(event)
                taken[name].append(time.perf_counter() - start)
    return {name: 1000 * statistics.median(seconds) for name, seconds in taken.items()}


def sizes(artifact: Path) -> dict[str, float]:
    """Return the size of each package of an artifact in megabytes."""
    found: dict[str, float] = {}
    for path in artifact.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            package = re.sub(r"-[\d.]+\.dist-info$", "", path.relative_to(artifact).parts[0])
            found[package] = found.get(package, 0) + path.stat().st_size / 1e6
    return dict(sorted(found.items(), key=lambda entry: -entry[1]))


def measure(artifact: Path) -> dict[str, Any]:
    return {
        "import_milliseconds": import_milliseconds(artifact),
        "heaviest_milliseconds": dict(heaviest(artifact)),
        "invocation_milliseconds": invocation_milliseconds(artifact),
        "megabytes": sizes(artifact),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--artifact", type=Path, default=ARTIFACT, help="output of sam build")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if not (options.artifact / "app.py").is_file():
        parser.error(f"no built function in {options.artifact}: run make build first")
    found = measure(options.artifact)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for title, figures in found.items():
        print(title.replace("_", " "))
        for name, value in figures.items():
            print(f"  {name:45}{value:8.2f}")
    imports = found["import_milliseconds"]
    print(f"app / bare Powertools: {imports['app'] / imports['bare Powertools']:.2f}")
    print(f"artifact: {sum(found['megabytes'].values()):.1f} MB")


if __name__ == "__main__":
    main()
