"""Compare the monthly bill of Firehose's own decompression and extraction with this pipeline's.

--write writes docs/cost.md and its plot (`make cost`). The other options print the bill of your
own scenario. Amounts are USD a month at list prices.
"""

import argparse
import bisect
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, NoReturn

import prices as p
from log_plot import Series, svg

from console_login.stack.limits import MAX_RECORD_BYTES

TEMPLATE = Path(__file__).with_name("cost.template.md")
SECONDS_PER_MONTH = p.HOURS_PER_MONTH * 3600


@dataclass(frozen=True)
class Scenario:
    """A month of a trail's events; None means the usual value.

    `share` is the share of selected events. With `upstream_filter` only these reach the stream, on
    both sides. Without it the function selects them, and native extraction stores every event.
    `metrics` says whether alarms or a dashboard read the function's metrics; if not, it sends none.
    """

    events_per_day: float
    share: float = 0.01
    upstream_filter: bool = True
    region: str = "us-east-1"
    vended: bool = False
    event_bytes: float = p.EVENT_BYTES
    ratio: float | None = None
    events_per_record: float | None = None
    metrics: bool = True

    @property
    def batch(self) -> float:
        """Events in a record."""
        usual = p.FILTERED_BATCH if self.upstream_filter else p.UNFILTERED_BATCH
        return self.events_per_record or usual

    @property
    def shape(self) -> str:
        """The shape whose measured throughput applies; between two shapes, the slower one."""
        if self.batch < p.UNFILTERED_BATCH:
            return "single"
        return "dense" if self.upstream_filter or self.share > 0.1 else "sparse"

    @property
    def envelope_bytes(self) -> float:
        return p.ENVELOPE_BYTES + self.batch * (self.event_bytes + p.PER_EVENT_BYTES)

    @property
    def record_bytes(self) -> float:
        usual = p.RATIO_SINGLE if self.shape == "single" else p.RATIO_MANY
        return self.envelope_bytes / (self.ratio or usual)


def fills(items: float, data: float, seconds: float, size: float) -> float:
    """Return how often a buffer is emptied in a month with `items` items and `data` bytes.

    The first item starts the clock. The buffer is emptied after `seconds`, or when it holds `size`
    bytes. Items arrive independently of each other, and no item is in two buffers.
    """
    by_time = items / (1 + items / SECONDS_PER_MONTH * seconds)
    return min(items, max(by_time, data / size))


def hours_with(items: float) -> float:
    """Return the hours of a month in which at least one of `items` independent items arrives."""
    return p.HOURS_PER_MONTH * -math.expm1(-items / p.HOURS_PER_MONTH)


def direct_put_bytes(record_bytes: float) -> float:
    """Return the bytes billed for one record: rounded up to 5 KB."""
    return math.ceil(record_bytes / p.DIRECT_PUT_STEP) * p.DIRECT_PUT_STEP


# The bill ----------------------------------------------------------------------------------------


class Line(NamedTuple):
    """An item of both bills, USD a month."""

    what: str
    native: float
    ours: float

    @property
    def is_same(self) -> bool:
        return math.isclose(self.native, self.ours)


class Bill:
    """The lines, the sum that both sides pay, and what each side pays in addition."""

    def __init__(self, *lines: Line) -> None:
        self.lines = lines
        self.both = sum(line.ours for line in lines if line.is_same)
        self.native = sum(line.native for line in lines if not line.is_same)
        self.ours = sum(line.ours for line in lines if not line.is_same)

    def line(self, start: str) -> Line:
        """Return the line whose name starts with `start`."""
        return next(line for line in self.lines if line.what.startswith(start))


def bill(month: Scenario) -> Bill:
    """Return every line of the bill, in a month without failures."""

    def usd(price: p.Price, units: float) -> float:
        return price.in_region(month.region) * units

    def puts(records: float, data: float) -> float:
        return usd(p.S3_PUT, fills(records, data, p.S3_BUFFER_SECONDS, p.S3_BUFFER_BYTES) / 1000)

    def storage(data: float) -> float:
        return usd(p.S3_STORAGE, data / p.GB)

    # Events of the month: all, the selected ones, and those that reach the stream.
    events = month.events_per_day * p.HOURS_PER_MONTH / 24
    selected = events * month.share
    sent = selected if month.upstream_filter else events
    records = sent / month.batch
    decompressed = records * month.envelope_bytes
    # A record delivers unless none of its events is selected.
    empty = 0.0 if month.upstream_filter else (1 - month.share) ** month.batch
    delivering = records * (1 - empty)
    stored, native_stored = selected * month.event_bytes, sent * month.event_bytes

    trail = usd(p.LOG_INGESTION, events * month.event_bytes / p.GB)
    if month.vended:
        kind, price, billed = "Vended Logs", p.VENDED_LOGS, month.record_bytes
    else:
        kind, price, billed = "Direct PUT", p.DIRECT_PUT, direct_put_bytes(month.record_bytes)
    firehose = usd(price, records * billed / p.GB)

    data = records * month.record_bytes
    invocations = fills(records, data, p.LAMBDA_BUFFER_SECONDS, p.LAMBDA_BUFFER_BYTES)
    speed = p.MB_PER_SECOND[month.shape] * 1e6 * p.MEMORY_MB / p.MB_PER_VCPU
    busy = invocations * p.SECONDS_PER_INVOCATION + decompressed / speed
    cold_starts = invocations * math.exp(-invocations / SECONDS_PER_MONTH * p.IDLE_SECONDS)
    seconds = busy + cold_starts * p.SECONDS_PER_COLD_START
    log = invocations * (p.FUNCTION_LOG_BYTES + p.PLATFORM_LOG_BYTES)
    metric_hours = 0.0
    if month.metrics:
        log += invocations * p.METRICS_LOG_BYTES
        metric_hours = list(p.METRICS.values()).count("delivery") * hours_with(delivering)
    return Bill(
        Line("CloudWatch Logs ingestion of the trail", trail, trail),
        Line(f"Firehose ingestion, as {kind}", firehose, firehose),
        Line("Firehose decompression and extraction", usd(p.DECOMPRESSION, decompressed / p.GB), 0),
        Line("Lambda requests", 0, usd(p.LAMBDA_REQUEST, invocations / 1e6)),
        Line("Lambda time, with cold starts", 0, usd(p.LAMBDA_ARM64, seconds * p.MEMORY_MB / 1024)),
        Line("the function's log", 0, usd(p.LOG_INGESTION, log / p.GB)),
        Line("the function's custom metrics", 0, usd(p.METRIC, metric_hours / p.HOURS_PER_MONTH)),
        Line("S3 PUT of the objects", puts(records, native_stored), puts(delivering, stored)),
        Line("S3 storage of the objects for a month", storage(native_stored), storage(stored)),
    )


def crossover(scenario: Scenario) -> float | None:
    """Return from how many events a day this pipeline is cheaper; the rest is as in `scenario`."""

    def is_cheaper(step: int) -> bool:
        made = bill(replace(scenario, events_per_day=10 ** (step / 1e8)))
        return made.ours <= made.native

    steps = range(10**9)
    step = bisect.bisect_left(steps, True, key=is_cheaper)
    return 10 ** (step / 1e8) if step < len(steps) else None


# The document ------------------------------------------------------------------------------------

SMALL, UPSTREAM = Scenario(100_000), Scenario(10**7)
UNFILTERED = Scenario(10**7, upstream_filter=False)
SCENARIOS = {
    "1,000 of 100,000 events, filtered upstream, no alarms and no dashboard": replace(
        SMALL, metrics=False
    ),
    "1,000 of 100,000 events, filtered upstream": SMALL,
    "100,000 of 10 million, filtered upstream": UPSTREAM,
    "100,000 of 10 million, selected by the function": UNFILTERED,
    "10 million, all stored (`EventNames=*`)": replace(UNFILTERED, share=1),
}
CROSSOVERS = {
    "only sign-ins, filtered upstream": replace(UPSTREAM, share=1),
    "no filter upstream, 1 event in 100 selected": UNFILTERED,
    "no filter upstream, every event stored": replace(UNFILTERED, share=1),
}


def usd(amount: float) -> str:
    """Format an amount with its significant digits."""
    if 0 < amount < 0.0001:
        return "< 0.0001"
    return f"{amount:,.4f}" if 0 < amount < 0.1 else f"{amount:,.2f}" if amount else "0"


def rounded(number: float | None) -> str:
    """Format a number with two significant digits."""
    return "never" if number is None else f"{float(f'{number:.1e}'):,.0f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], align: str = "--:") -> str:
    """Return a Markdown table; `align` is that of every column but the first."""
    lines = [head, ["---"] + [align] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(line: Line) -> str:
    both = usd(line.ours)
    return both if line.is_same else f"{usd(line.native)} / {both}"


def bill_table(region: str, scenarios: Mapping[str, Scenario] = SCENARIOS) -> str:
    """Return the bills side by side: native / ours, or one amount that both sides pay."""
    months = [replace(scenario, region=region) for scenario in scenarios.values()]
    bills = [bill(month) for month in months]
    lines = [
        *zip(*(each.lines for each in bills), strict=True),
        [Line("sum that both sides pay", each.both, each.both) for each in bills],
        [Line("**in addition**", each.native, each.ours) for each in bills],
        [bill(replace(month, vended=True)).line("Firehose ing") for month in months],
    ]
    rows = ([row[0].what, *map(cell, row)] for row in lines)
    return table((f"{region}, USD a month", *scenarios), rows)


def crossover_table() -> str:
    rows = (
        [name, *(rounded(crossover(replace(scenario, region=region))) for region in p.REGIONS)]
        for name, scenario in CROSSOVERS.items()
    )
    return table(("ours is cheaper from, events a day", *p.REGIONS), rows)


def price_table() -> str:
    rows = (
        [f"[{price.what}]({price.page})", price.unit]
        + [f"{price.in_region(region):.10f}".rstrip("0").rstrip(".") for region in p.REGIONS]
        + [price.checked]
        for price in p.PRICES
    )
    return table(("price", "USD per", *p.REGIONS, "source"), rows, "---")


def document() -> str:
    """Return docs/cost.md."""
    metric = p.METRIC.us_east_1
    alarms, sign_ins = (
        sum(each.count * each.metrics_each for each in group) * p.ALARM_METRIC.us_east_1
        for group in (p.ALARMS, p.SIGN_IN_ALARMS)
    )
    return TEMPLATE.read_text(encoding="utf-8").format(
        p=p,
        bills="\n\n".join(map(bill_table, p.REGIONS)),
        quiet=bill(replace(SMALL, metrics=False)),
        small=bill(SMALL),
        large=bill(UNFILTERED),
        crossovers=crossover_table(),
        alarm_count=sum(each.count for each in p.ALARMS),
        alarms=alarms,
        alarms_most=alarms + p.ALARM_METRICS * metric,
        trouble=list(p.METRICS.values()).count("trouble") * metric,
        sign_in_count=sum(each.count for each in p.SIGN_IN_ALARMS),
        sign_ins=sign_ins,
        sign_ins_most=sign_ins + p.SIGN_IN_METRICS * metric,
        rotated_key=3 * p.KMS_KEY.us_east_1,
        x86=p.LAMBDA_X86.us_east_1 / p.LAMBDA_ARM64.us_east_1 - 1,
        vcpus=p.MEMORY_MB / p.MB_PER_VCPU,
        prices=price_table(),
    )


def plot() -> str:
    """Return docs/cost.svg: what each side costs beyond the common sum, in us-east-1."""
    series = []
    for name, scenario in (("no filter upstream", UNFILTERED), ("filter upstream", UPSTREAM)):
        numbers = [10 ** (step / 8) for step in range(16, 65)]
        bills = [(each, bill(replace(scenario, events_per_day=each))) for each in numbers]
        native = [(each, made.native) for each, made in bills]
        ours = [(each, made.ours) for each, made in bills]
        series += [Series(f"native, {name}", native, True), Series(f"this pipeline, {name}", ours)]
    label = "events a day, one in 100 selected (us-east-1)"
    return svg(series, label, "USD a month beyond what both sides cost", (-5, 3))


# The command -------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"cost.py: {message}\n")


def between(low: float, high: float) -> Callable[[str], float]:
    """Return an argument's type: a number from `low` to `high`."""

    def number(text: str) -> float:
        if low <= float(text) <= high:
            return float(text)
        raise argparse.ArgumentTypeError(f"{text} is not between {low:,} and {high:,}")

    return number


NUMBERS = (
    ("--events-per-day", 0, 10**10, "Events a day in the log group."),
    ("--share", 0, 1, "Share of selected events, from 0 to 1."),
    ("--event-bytes", 1, p.MAX_EVENT_BYTES, "Size of an event in bytes."),
    ("--ratio", 1, 1000, "Gzip ratio of a record."),
    ("--events-per-record", 1, 10_000, "Number of events in a record."),
)
FLAGS = (
    ("--no-upstream-filter", "upstream_filter", "The subscription filter passes every event."),
    ("--no-metrics", "metrics", "No alarms and no dashboard, so the function sends no metrics."),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(prog="cost.py", description=__doc__, argument_default=argparse.SUPPRESS)
    for name, low, high, text in NUMBERS:
        parser.add_argument(name, type=between(low, high), help=text)
    parser.add_argument("--region", choices=p.REGIONS, help="Region whose prices are used.")
    for name, dest, text in FLAGS:
        parser.add_argument(name, dest=dest, action="store_false", help=text)
    parser.add_argument("--write", type=Path, metavar="FILE", help="Write FILE and its plot.")
    chosen = vars(parser.parse_args(arguments))
    target: Path | None = chosen.pop("write", None)
    if target is not None and chosen:
        parser.error("--write cannot be combined with a scenario")
    elif target is not None:
        try:
            target.write_text(document(), encoding="utf-8")
            target.with_suffix(".svg").write_text(plot(), encoding="utf-8")
        except OSError as error:
            parser.error(f"cannot write {error.filename}: {error.strerror}")
    elif "events_per_day" not in chosen:
        parser.error("a scenario needs --events-per-day")
    else:
        scenario = Scenario(**chosen)
        if (size := scenario.record_bytes) > MAX_RECORD_BYTES:
            parser.error(
                f"a record of {size:,.0f} bytes is too large: Firehose accepts {MAX_RECORD_BYTES:,}"
            )
        print(bill_table(scenario.region, {"your scenario": scenario}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
