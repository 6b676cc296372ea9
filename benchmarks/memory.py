"""Measure memory and CPU time of requests in fresh processes, and time and cost by MemorySize.

Linux only: the peak is /proc's VmHWM. Prices are list prices of us-east-1 and ap-northeast-1.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plot
import shapes

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "functions" / "transform")]

import hostile

MEMORY_SIZES = (512, 768, 1024, 1280, 1536, 1769, 3008)
# MemorySize of one vCPU. Less memory gets a proportional share; more does not help a single thread.
MEMORY_OF_A_VCPU = 1769
# USD per GB-second, and per request.
PRICES = {"arm64": 0.0000133334, "x86_64": 0.0000166667}
REQUEST_PRICE = 0.20 / 1_000_000
REQUEST_SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000, 2_000_000, 4_000_000, 6_000_000)


def bomb(name: str) -> dict[str, Any]:
    """Return an event with one record that decompresses to 64 MiB, the function's limit."""
    return hostile.request(hostile.CASES[f"{name}, 64 MiB"].hostile())


REQUESTS: dict[str, Callable[[], dict[str, Any]]] = {
    "one event": lambda: shapes.envelopes(1, 1, 1.0)().event,
    "1 MB, 10% sign-ins": lambda: shapes.request(1_000_000, 100, 0.1).event,
    "largest request": lambda: shapes.worst().event,
    "64 MiB, empty events": lambda: bomb("log events without a message"),
    "64 MiB, tiny messages": lambda: bomb("two letters"),
    "64 MiB, long emoji": lambda: bomb("one message of emoji"),
}


def child() -> None:
    """Answer the request on stdin twice as Lambda does; print the second's CPU time and the peak.

    The first one includes one-time work, so it is not timed.
    """
    # Imported here, because only this process's memory counts.
    from contenders import ours

    text = sys.stdin.read()
    for _ in range(2):
        start = time.process_time()
        json.dumps(ours(json.loads(text)))
        seconds = time.process_time() - start
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    print(json.dumps({"cpu_seconds": seconds, "peak_mib": peak}))


def measure(event: dict[str, Any]) -> dict[str, float]:
    """Return the median of three fresh processes, by CPU time."""
    found: list[dict[str, float]] = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, __file__, "--child"],
            input=json.dumps(event),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        found.append(json.loads(done.stdout))
    return sorted(found, key=lambda each: each["cpu_seconds"])[1]


def linearity() -> list[dict[str, float]]:
    rows = []
    for size in REQUEST_SIZES:
        event = shapes.request(size, 100 if size > 30_000 else 20, 0.1).event
        rows.append({"request_mb": len(json.dumps(event)) / 1e6} | measure(event))
    return rows


def cost(cpu_seconds: float, memory: int) -> dict[str, float]:
    """Return an invocation's wall seconds, and the USD for a million of them by architecture."""
    seconds = cpu_seconds / min(1, memory / MEMORY_OF_A_VCPU)
    gb_seconds = seconds * memory / 1024
    dollars = {name: (gb_seconds * price + REQUEST_PRICE) * 1e6 for name, price in PRICES.items()}
    return {"seconds": seconds} | dollars


def show(requests: dict[str, dict[str, float]], rows: list[dict[str, float]]) -> None:
    dear = MEMORY_SIZES[-1]
    print(
        "wall seconds by MemorySize; USD (arm64/x86_64) per million invocations, equal up to 1769"
    )
    print(
        f"{'request':24}{'CPU s':>8}{'peak MiB':>9}" + "".join(f"{m:>8}" for m in MEMORY_SIZES),
        end="",
    )
    print(f"{'USD':>13}{f'USD at {dear}':>13}")
    for name, found in requests.items():
        print(f"{name:24}{found['cpu_seconds']:>8.4f}{found['peak_mib']:>9.0f}", end="")
        for memory in MEMORY_SIZES:
            seconds = cost(found["cpu_seconds"], memory)["seconds"]
            print(f"{seconds:>8.4f}" if found["peak_mib"] < memory else f"{'-':>8}", end="")
        for memory in (MEMORY_OF_A_VCPU, dear):
            priced = cost(found["cpu_seconds"], memory)
            print(f"{priced['arm64']:>7.2f}/{priced['x86_64']:.2f}", end="")
        print()
    print(f"\n{'request MB':>12}{'CPU ms':>10}{'ms / MB':>10}{'peak MiB':>10}")
    for row in rows:
        milliseconds = 1000 * row["cpu_seconds"]
        print(
            f"{row['request_mb']:>12.2f}{milliseconds:>10.1f}"
            f"{milliseconds / row['request_mb']:>10.1f}{row['peak_mib']:>10.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the linearity as SVG")
    options = parser.parse_args()
    if options.child:
        child()
        return
    requests = {name: measure(make()) for name, make in REQUESTS.items()}
    rows = linearity()
    if options.json:
        print(json.dumps({"requests": requests, "linearity": rows}, indent=2))
    else:
        show(requests, rows)
    if options.plot:
        most = {key: max(row[key] for row in rows) for key in ("cpu_seconds", "peak_mib")}
        series = {
            f"CPU, of {1000 * most['cpu_seconds']:.0f} ms": [
                (row["request_mb"], row["cpu_seconds"] / most["cpu_seconds"]) for row in rows
            ],
            f"peak, of {most['peak_mib']:.0f} MiB": [
                (row["request_mb"], row["peak_mib"] / most["peak_mib"]) for row in rows
            ],
        }
        plot.lines(options.plot, "CPU time and peak memory by size of the request", series, " MB,")


if __name__ == "__main__":
    main()
