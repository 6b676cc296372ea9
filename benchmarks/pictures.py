"""Draw the README's pictures from real output: `make pictures` writes them into docs/.

before-after: a sign-in in an envelope, as CloudWatch Logs sends it, and as the function's line.
demo: the output of `make demo`. Each picture has a light and a dark version, contains no external
address and no font, and has the same bytes every time.
"""

import base64
import gzip
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from console_login.events.pack import pack
from console_login.function import InProcess, lines_of

ROOT = Path(__file__).resolve().parent.parent
# The time of the demo's run. Object names contain it.
CLOCK = "2026-11-24T16:07:06+09:00"
MODES: Mapping[str, Mapping[str, str]] = {
    "light": {
        "page": "#ffffff",
        "panel": "#f6f8fa",
        "edge": "#d0d7de",
        "text": "#1f2328",
        "dim": "#59636e",
        "bad": "#cf222e",
        "good": "#1a7f37",
    },
    "dark": {
        "page": "#0d1117",
        "panel": "#161b22",
        "edge": "#3d444d",
        "text": "#e6edf3",
        "dim": "#9198a1",
        "bad": "#ff7b72",
        "good": "#3fb950",
    },
}


# Before and after --------------------------------------------------------------------------------

WIDTH, PANEL, COLUMNS, ROWS = 900, 440, 60, 13
CHARACTER, LINE = 7.0, 16
NAME = '"eventName":"ConsoleLogin"'


def sign_in() -> tuple[str, str]:
    """Return the tutorial's sign-in in CloudWatch Logs' envelope, and as the function's line."""
    event = pack([ROOT / "events" / "src" / "tokyo.jsonl"])
    envelope = gzip.decompress(base64.b64decode(event["records"][0]["data"])).decode()
    _, outcomes = InProcess(log=io.StringIO()).handle(event)
    (line,) = lines_of(outcomes[0])
    return envelope, line


def rows(text: str) -> list[str]:
    """Return the text in rows of a panel. The last row ends in an ellipsis if there is more."""
    parts = [text[at : at + COLUMNS] for at in range(0, len(text), COLUMNS)]
    if len(parts) > ROWS:
        parts = [*parts[: ROWS - 1], parts[ROWS - 1][:-1] + "…"]
    return parts


def before_after(colours: Mapping[str, str]) -> str:
    """Return the picture: both forms of the sign-in side by side, and the data flow."""
    envelope, line = sign_in()
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} 476" role="img"'
        ' font-family="sans-serif" font-size="13">',
        "<title>Before: an envelope with the sign-in as an escaped string."
        " After: the sign-in, one line.</title>",
        f'<rect width="{WIDTH}" height="476" fill="{colours["page"]}"/>',
    ]
    titles = (
        ("Before: Firehose without message extraction", "an envelope; the event is a string in it"),
        ("After: this pipeline", "the event as CloudTrail wrote it, one line"),
    )
    for column, (text, (title, subtitle)) in enumerate(zip((envelope, line), titles, strict=True)):
        x = 5 + column * (WIDTH - PANEL - 10)
        colour = colours["good" if column else "bad"]
        out.append(words(x, 22, title, colours["text"], ' font-weight="bold" font-size="16"'))
        out.append(words(x, 43, subtitle, colours["dim"]))
        out.append(
            f'<rect x="{x}" y="54" width="{PANEL}" height="{ROWS * LINE + 20}" rx="6"'
            f' fill="{colours["panel"]}" stroke="{colour}"/>'
        )
        out.append('<g font-family="monospace" font-size="11.6">')
        for number, row in enumerate(rows(text)):
            out += marked(row, x + 10, 74 + number * LINE, colours)
        out.append("</g>")
    return "\n".join([*out, *data_flow(colours), "</svg>", ""])


def marked(row: str, x: float, y: float, colours: Mapping[str, str]) -> Iterator[str]:
    """Yield a row of JSON with the escaped quotes and the event's name highlighted.

    Each part has an explicit width, so that no font makes a row longer than its panel.
    """
    for part in filter(None, re.split(rf'((?:\\")+|{NAME})', row)):
        kind = "bad" if part.startswith("\\") else "good" if part == NAME else "text"
        width = len(part) * CHARACTER
        yield words(x, y, part, colours[kind], f' xml:space="preserve" textLength="{width:g}"')
        x += width


def data_flow(colours: Mapping[str, str]) -> Iterator[str]:
    """Yield the data flow: boxes, arrows and labels."""
    pen = f'fill="none" stroke="{colours["dim"]}" stroke-width="1.5"'
    y = 340
    yield (
        f'<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
        f' markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="{colours["dim"]}"/>'
        "</marker></defs>"
    )
    boxes = (
        (5, y, 105, "CloudTrail"),
        (150, y, 130, "CloudWatch Logs"),
        (320, y, 140, "subscription filter"),
        (530, y, 130, "Data Firehose"),
        (770, y, 125, "S3"),
        (530, y + 90, 130, "this function"),
        (770, y + 90, 125, "processing-failed/"),
    )
    for x, top, width, name in boxes:
        edge = colours["good" if name == "this function" else "edge"]
        yield (
            f'<rect x="{x}" y="{top}" width="{width}" height="36" rx="6" fill="{colours["panel"]}"'
            f' stroke="{edge}" stroke-width="1.5"/>'
        )
        yield words(x + width / 2, top + 23, name, colours["text"], ' text-anchor="middle"')
    middle = y + 18
    arrows = (
        f"M110 {middle}H148",
        f"M280 {middle}H318",
        f"M460 {middle}H528",
        f"M660 {middle}H768",
        f"M575 {y + 36}V{y + 88}",
        f"M615 {y + 90}V{y + 38}",
        f"M660 {y + 30}C715 {y + 34} 715 {y + 108} 768 {y + 108}",
    )
    for path in arrows:
        yield f'<path d="{path}" {pen} marker-end="url(#head)"/>'
    small = ' font-size="12" text-anchor="middle"'
    yield words(495, y - 22, "gzip, many", colours["dim"], small)
    yield words(495, y - 6, "events a record", colours["dim"], small)
    yield words(714, y + 8, "one event a line", colours["dim"], small)
    yield words(566, y + 67, "records", colours["dim"], ' font-size="12" text-anchor="end"')
    yield words(624, y + 67, "lines", colours["dim"], ' font-size="12"')
    yield words(
        895,
        y + 82,
        "failed, with their source",
        colours["dim"],
        ' font-size="12" text-anchor="end"',
    )


def words(x: float, y: float, text: str, colour: str, rest: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" fill="{colour}"{rest}>{escape(text)}</text>'


# The demo ----------------------------------------------------------------------------------------

# Replaces Rich's format, which loads a font from the internet.
FORMAT = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<title>What make demo prints</title>
<style>
.{unique_id}-matrix {{ font-family: monospace; font-size: {char_height}px; }}
.{unique_id}-title {{ font-family: sans-serif; font-size: 18px; font-weight: bold; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def demo_text() -> str:
    """Return the output of `make demo` at a fixed time."""
    found = re.search(r"^demo:.*\n\t@console-login (.+)$", (ROOT / "Makefile").read_text(), re.M)
    assert found
    command = [sys.executable, "-m", "console_login", *shlex.split(found[1]), "--clock", CLOCK]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def demo(text: str, colours: Mapping[str, str]) -> str:
    """Return the picture of the output of `make demo`. Lines that are too wide are cut."""
    console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ make demo", style="bold"))
    for line in text.splitlines():
        style = "bold green" if line.endswith("nothing lost") else ""
        console.print(Text(line.rstrip(), style=style), no_wrap=True, overflow="ellipsis")

    def rgb(name: str) -> tuple[int, ...]:
        return tuple(bytes.fromhex(colours[name][1:]))

    palette = [rgb(name) for name in ("panel", "bad", "good", "dim", "dim", "dim", "dim", "text")]
    theme = TerminalTheme(rgb("panel"), rgb("text"), palette)  # type: ignore[arg-type]
    drawn = console.export_svg(title="", theme=theme, code_format=FORMAT, unique_id="demo")
    # Rich's edge is white on every page.
    return drawn.replace("rgba(255,255,255,0.35)", colours["edge"])


def pictures() -> dict[str, str]:
    """Return every picture by file name."""
    text = demo_text()
    drawn = {}
    for mode, colours in MODES.items():
        drawn[f"before-after-{mode}.svg"] = before_after(colours)
        drawn[f"demo-{mode}.svg"] = demo(text, colours)
    return drawn


if __name__ == "__main__":
    for name, text in pictures().items():
        (ROOT / "docs" / name).write_text(text, encoding="utf-8")
