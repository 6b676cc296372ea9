"""Ask PyPI's advisory database about every package of every lock: `make audit`.

Exits with 0 only if each locked version was looked up and none has a known vulnerability.
pip-audit itself exits with 0 and says so, too, when it could look up none of them.
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
    """Return how many packages a lock has, which are vulnerable, and which were not looked up.

    program: pip-audit. Without the lock's markers: what other systems install is looked up too.
    """
    lines = [line for line in lock.read_text().splitlines() if re.match(r"[^\s#]", line)]
    pins = [re.match(r"([\w.-]+)(?:\[.*\])?==([^\s;]+)", line) for line in lines]
    locked = [(pin[1], pin[2]) for pin in pins if pin]
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "asked.txt", Path(folder) / "answered.json"
        asked.write_text("".join(f"{name}=={version}\n" for name, version in locked))
        command = [program, "--no-deps", "--disable-pip", "--progress-spinner", "off"]
        command += ["--format", "json", "--output", str(answered), "--requirement", str(asked)]
        # Its exit status says too little: what it has looked up is in its answer.
        subprocess.run(command, capture_output=True, check=False)
        found = json.loads(answered.read_text())["dependencies"] if answered.exists() else []
    answers = {(each["name"], each["version"]): each["vulns"] for each in found if "vulns" in each}
    unknown = [f"{name} {version}" for name, version in locked if (name, version) not in answers]
    unknown += [line for line, pin in zip(lines, pins, strict=True) if not pin]
    if not lines:
        unknown.append("it names no package")
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
