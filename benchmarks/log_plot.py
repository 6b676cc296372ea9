"""A line plot with logarithmic axes as SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 440, 70, 50, 20, 110
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")


@dataclass(frozen=True)
class Series:
    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


def _x(value: float, low: int, high: int) -> float:
    return LEFT + (math.log10(value) - low) / (high - low) * (WIDTH - LEFT - RIGHT)


def _y(value: float, low: int, high: int) -> float:
    return HEIGHT - BOTTOM - (math.log10(value) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def svg(series: Sequence[Series], x_label: str, y_label: str, y_decades: tuple[int, int]) -> str:
    """Return the plot of positive points, without those outside y_decades, two powers of ten."""
    xs = [x for each in series for x, _ in each.points]
    x_low, x_high = math.floor(math.log10(min(xs))), math.ceil(math.log10(max(xs)))
    (y_low, y_high), bottom, middle = y_decades, HEIGHT - BOTTOM, (LEFT + WIDTH - RIGHT) / 2
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for power in range(x_low, x_high + 1):
        x = _x(10.0**power, x_low, x_high)
        out.append(f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="#ddd"/>')
        out.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{10**power:,}</text>')
    for power in range(y_low, y_high + 1):
        y = _y(10.0**power, y_low, y_high)
        out.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    for number, each in enumerate(series):
        colour, dash = COLOURS[number % len(COLOURS)], ' stroke-dasharray="6 4"' * each.dashed
        line = f'fill="none" stroke="{colour}" stroke-width="2"{dash}'
        drawn = ((x, y) for x, y in each.points if 10.0**y_low <= y <= 10.0**y_high)
        path = "L".join(f"{_x(x, x_low, x_high):.1f} {_y(y, y_low, y_high):.1f}" for x, y in drawn)
        out.append(f'<path d="M{path}" {line}/>')
        x, y = LEFT + number % 2 * 340, HEIGHT - 45 + number // 2 * 22
        out.append(f'<path d="M{x} {y}h30" {line}/>')
        out.append(f'<text x="{x + 38}" y="{y + 4}">{escape(each.name)}</text>')
    out.append(
        f'<text x="{middle}" y="{bottom + 38}" text-anchor="middle">{escape(x_label)}</text>'
    )
    turned = f'transform="translate(16 {(TOP + bottom) / 2}) rotate(-90)" text-anchor="middle"'
    out.append(f"<text {turned}>{escape(y_label)}</text>")
    return "\n".join([*out, "</svg>", ""])
