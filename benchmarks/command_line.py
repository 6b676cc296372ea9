"""Compare the time of `console-login --help` with importing the libraries that it needs.

Wall time of fresh processes, medians of interleaved rounds.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

ROUNDS = 30
COMMANDS = {
    "python": ["-c", ""],
    "click": ["-c", "import click"],
    "click and rich": ["-c", "import click, rich.console, rich.table"],
    "console-login --help": ["-m", "console_login", "--help"],
}


def milliseconds() -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, arguments in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            taken[name].append(time.perf_counter() - start)
    return {name: 1000 * statistics.median(seconds) for name, seconds in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = milliseconds()
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        print(f"{name:25}{value:8.0f} ms")
    ratio = found["console-login --help"] / found["click and rich"]
    print(f"--help / click and rich: {ratio:.2f}")


if __name__ == "__main__":
    main()
