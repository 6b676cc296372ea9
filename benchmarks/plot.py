"""Draws bar and line charts for docs/ as SVG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

_COLOURS = ("#0072b2", "#56b4e9", "#999999", "#e69f00", "#d55e00", "#009e73", "#cc79a7")
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 820, 340, 60, 60, 40
_PLOT_HEIGHT = _HEIGHT - _TOP - _BOTTOM


def bars(path: Path, title: str, groups: Mapping[str, Mapping[str, float]], unit: str) -> None:
    """Draw a group of bars for each key, with one bar for each series."""
    series = list(next(iter(groups.values())))
    most = max(value for group in groups.values() for value in group.values())
    step = (_WIDTH - _LEFT) / len(groups)
    width = step * 0.85 / len(series)
    marks = []
    for column, (name, group) in enumerate(groups.items()):
        left = _LEFT + column * step
        marks.append(_text(left + step * 0.42, _HEIGHT - 18, name, "middle"))
        for number, value in enumerate(group.values()):
            height = value / most * _PLOT_HEIGHT
            x, y = left + number * width, _TOP + _PLOT_HEIGHT - height
            marks.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{width - 1:.1f}" height="{height:.1f}"'
                f' fill="{_COLOURS[number]}"/>'
            )
    _write(path, title, series, marks, most, unit)


def lines(
    path: Path, title: str, series: Mapping[str, Sequence[tuple[float, float]]], units: str
) -> None:
    """Draw a line through the points of each series. units: of x and y, separated by a comma."""
    x_unit, y_unit = units.split(",")
    right = max(x for points in series.values() for x, _ in points)
    most = max(y for points in series.values() for _, y in points)
    marks = [_text(_WIDTH - 8, _HEIGHT - 18, f"{right:.3g}{x_unit}", "end")]
    for number, points in enumerate(series.values()):
        placed = [
            (_LEFT + x / right * (_WIDTH - _LEFT - 20), _TOP + _PLOT_HEIGHT * (1 - y / most))
            for x, y in points
        ]
        colour = _COLOURS[number]
        path_text = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        marks.append(f'<polyline points="{path_text}" fill="none" stroke="{colour}"/>')
        marks += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed]
    _write(path, title, list(series), marks, most, y_unit)


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _write(
    path: Path, title: str, series: Sequence[str], marks: list[str], most: float, unit: str
) -> None:
    base = _TOP + _PLOT_HEIGHT
    frame = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        ' font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>',
        _text(_LEFT, 20, title),
        _text(_LEFT - 6, _TOP + 4, f"{most:.3g}{unit}", "end"),
        _text(_LEFT - 6, base + 4, "0", "end"),
        f'<path d="M{_LEFT} {_TOP}V{base}H{_WIDTH - 10}" fill="none" stroke="black"/>',
    ]
    for number, name in enumerate(series):
        x = _LEFT + number * 105
        frame.append(
            f'<rect x="{x}" y="32" width="10" height="10" fill="{_COLOURS[number]}"/>'
            f"{_text(x + 14, 42, name)}"
        )
    path.write_text("\n".join([*frame, *marks, "</svg>"]) + "\n", encoding="utf-8")
