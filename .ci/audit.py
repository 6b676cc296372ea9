"""Look up every locked package in PyPI's advisory database: `make audit`.

Exits with 0 only if each locked version was looked up and none has a known vulnerability.
pip-audit itself also exits with 0 and reports success if it could not look up any package.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = (
    "functions/transform/requirements.txt",
    "requirements-dev.txt",
    "tests/deploy/requirements.txt",
    "tests/mutation/requirements.txt",
    ".ci/scan.txt",
    ".ci/sbom.txt",
    ".ci/uv.txt",
)


def audit(program: str, lock: Path) -> tuple[int, list[str], list[str]]:
    """Return the number of packages in a lock, the vulnerable ones, and those not looked up.

    program: pip-audit. Markers are ignored, so packages for other systems are looked up too.
    """
    lines = [line for line in lock.read_text().splitlines() if re.match(r"[^\s#]", line)]
    pins = [re.match(r"([\w.-]+)(?:\[.*\])?==([^\s;]+)", line) for line in lines]
    locked = [(pin[1], pin[2]) for pin in pins if pin]
    with tempfile.TemporaryDirectory() as folder:
        pinned, report = Path(folder) / "pinned.txt", Path(folder) / "report.json"
        pinned.write_text("".join(f"{name}=={version}\n" for name, version in locked))
        command = [program, "--no-deps", "--disable-pip", "--progress-spinner", "off"]
        command += ["--format", "json", "--output", str(report), "--requirement", str(pinned)]
        # Ignore the exit status: only the report shows which packages were looked up.
        subprocess.run(command, capture_output=True, check=False)
        found = json.loads(report.read_text())["dependencies"] if report.exists() else []
    answers = {(each["name"], each["version"]): each["vulns"] for each in found if "vulns" in each}
    unknown = [f"{name} {version}" for name, version in locked if (name, version) not in answers]
    unknown += [line for line, pin in zip(lines, pins, strict=True) if not pin]
    if not lines:
        unknown.append("the lock names no package")
    vulnerable = [
        f"{name} {version}: {vulnerability['id']}"
        f" (fixed in {', '.join(vulnerability['fix_versions']) or 'no version'})"
        for (name, version), vulnerabilities in answers.items()
        for vulnerability in vulnerabilities
    ]
    return len(locked), vulnerable, unknown


def main(program: str) -> int:
    failed = False
    for name in LOCKS:
        count, vulnerable, unknown = audit(program, ROOT / name)
        failed = failed or bool(vulnerable or unknown)
        for each in vulnerable:
            print(f"{name}: {each}")
        if unknown:
            more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
            print(f"{name}: could not be checked: {', '.join(unknown[:3])}{more}")
        elif not vulnerable:
            print(f"{name}: {count} packages looked up, no known vulnerability")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
