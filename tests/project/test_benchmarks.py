"""Checks that all transformers in `make bench` do the same work. Does not test their speed."""

import base64
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from support import ROOT

sys.path.append(str(ROOT / "benchmarks"))

import plot
import shapes
from contenders import FLOORS, TRANSFORMERS, ours

# A small request replaces the largest legal one, which takes minutes to create and to transform.
MAKERS = shapes.SHAPES | {"worst": lambda: shapes.request(300_000, 700, 0.1)}


def delivered(answer: Any) -> list[tuple[str, str, list[str]]]:
    return [
        (
            record["recordId"],
            record["result"],
            base64.b64decode(record.get("data") or "").decode().split("\n"),
        )
        for record in answer["records"]
    ]


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_every_contender_delivers_our_lines(make: Callable[[], shapes.Shape]) -> None:
    event = make().event
    expected = delivered(ours(event))
    assert any(result == "Ok" for _, result, _ in expected)
    for name, run in TRANSFORMERS.items():
        got = delivered(run(event))
        if name == "textbook":
            # It serializes events again, with other blanks and escapes: same JSON, other bytes.
            assert _parsed(got) == _parsed(expected), name
        else:
            assert got == expected, name


def _parsed(records: list[tuple[str, str, list[str]]]) -> list[Any]:
    return [(*result, [json.loads(line) for line in lines if line]) for *result, lines in records]


@pytest.mark.parametrize("name", FLOORS)
def test_the_floors_decompress_every_record(name: str) -> None:
    FLOORS[name](MAKERS["dense"]().event)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_shapes_are_the_same_bytes_twice(make: Callable[[], shapes.Shape]) -> None:
    assert json.dumps(make().event) == json.dumps(make().event)


def test_a_request_fills_its_size_and_no_more() -> None:
    size = 100_000
    length = len(json.dumps(shapes.request(size, 100, 0.1).event))
    assert size * 0.95 < length <= size


def test_plots_are_svg(tmp_path: Any) -> None:
    plot.bars(tmp_path / "bars.svg", "a < b", {"x": {"one": 1.0, "two": 2.0}}, " s")
    plot.lines(tmp_path / "lines.svg", "t", {"one": [(1.0, 2.0), (3.0, 4.0)]}, " MB, s")
    for name in ("bars.svg", "lines.svg"):
        text = (tmp_path / name).read_text()
        assert text.startswith("<svg")
        assert text.rstrip().endswith("</svg>")
