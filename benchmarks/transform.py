"""Compare the handler's speed with other transformers on seeded shapes, in one run: `make bench`.

Prints MB of decompressed data per second of CPU time: medians of interleaved rounds, and their
spread (the interquartile range in percent of the median).
"""

import argparse
import gc
import json
import math
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import plot
from contenders import FLOORS, TRANSFORMERS
from shapes import SHAPES, Shape

CONTENDERS = TRANSFORMERS | FLOORS
# Large shapes get fewer rounds, so that a run stays short.
ROUNDS = 41
SECONDS_A_SHAPE = 20
MEAN_SHAPES = ("sparse", "mixed", "dense", "single")


def measure(shape: Shape) -> dict[str, dict[str, float]]:
    """Return the median MB/s and the spread in percent of each contender."""
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    begun = time.process_time()
    while len(seconds["ours"]) < ROUNDS and (
        len(seconds["ours"]) < 3 or time.process_time() - begun < SECONDS_A_SHAPE
    ):
        for name, run in CONTENDERS.items():
            gc.collect()
            start = time.process_time()
            run(shape.event)
            seconds[name].append(time.process_time() - start)
    return {name: _figures(taken, shape.decompressed_bytes) for name, taken in seconds.items()}


def _figures(taken: list[float], size: int) -> dict[str, float]:
    median = statistics.median(taken)
    quarter, _, three_quarters = statistics.quantiles(taken, n=4)
    return {
        "mb_per_s": size / median / 1e6,
        "spread_percent": 100 * (three_quarters - quarter) / median,
    }


def ratios(shapes: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return our speed over each contender's, by shape and as geometric mean of MEAN_SHAPES."""
    table: dict[str, dict[str, float]] = {}
    for other in CONTENDERS:
        row = {
            name: figures["ours"]["mb_per_s"] / figures[other]["mb_per_s"]
            for name, figures in shapes.items()
        }
        aimed = [row[name] for name in MEAN_SHAPES if name in row]
        if aimed:
            row["mean"] = math.prod(aimed) ** (1 / len(aimed))
        table[other] = row
    return table


def show(shapes: dict[str, Any], ours_over: dict[str, dict[str, float]]) -> None:
    print("MB/s (spread in percent)")
    print(f"{'shape':10}" + "".join(f"{name:>14}" for name in CONTENDERS))
    for name, figures in shapes.items():
        cells = (f"{f['mb_per_s']:,.0f} ({f['spread_percent']:.0f})" for f in figures.values())
        print(f"{name:10}" + "".join(f"{cell:>14}" for cell in cells))
    print("\nours over")
    columns = list(ours_over["ours"])
    print(f"{'':10}" + "".join(f"{name:>10}" for name in columns))
    for other, row in ours_over.items():
        if other != "ours":
            print(f"{other:10}" + "".join(f"{row[name]:>10.2f}" for name in columns))
    print(f"\nmean: geometric, of {', '.join(MEAN_SHAPES)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", action="append", choices=list(SHAPES), help="only these shapes")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the run as SVG")
    options = parser.parse_args()
    shapes = {name: measure(SHAPES[name]()) for name in options.shape or SHAPES}
    ours_over = ratios(shapes)
    if options.json:
        run = {"python": platform.python_version(), "shapes": shapes, "ours_over": ours_over}
        print(json.dumps(run, indent=2))
    else:
        show(shapes, ours_over)
    if options.plot:
        speeds = {
            shape: {
                name: figures[name]["mb_per_s"] / figures["floor isal"]["mb_per_s"]
                for name in CONTENDERS
            }
            for shape, figures in shapes.items()
        }
        plot.bars(options.plot, "Speed against the floor (base64 and gunzip by isal)", speeds, "")


if __name__ == "__main__":
    main()
