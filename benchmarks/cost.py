"""What a month costs: Firehose's own decompression and message extraction, or this pipeline.

Without options the tables of docs/cost.md; with options the bill of your own scenario; with
--write the document and its plot: `make cost`. Amounts are USD a month at list prices.
"""

import argparse
import contextlib
import itertools
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import prices as p
from log_plot import Series, svg

TEMPLATE = Path(__file__).with_name("cost.template.md")
SECONDS_PER_MONTH = p.HOURS_PER_MONTH * 3600
DAYS_PER_MONTH = p.HOURS_PER_MONTH / 24
VCPU_SHARE = p.MEMORY_MB / p.MB_PER_VCPU
MAX_EVENTS_PER_DAY = 1e10


@dataclass(frozen=True)
class Scenario:
    """Events of a trail's log group, and what is done with them; None is the usual value.

    `share` is that of the selected events. With `upstream_filter` only these reach the stream, on
    both sides; without, the function selects, and native extraction stores every event.
    """

    events_per_day: float
    share: float = 0.01
    upstream_filter: bool = True
    region: str = "us-east-1"
    vended: bool = False
    event_bytes: float = p.EVENT_BYTES
    ratio: float | None = None
    events_per_record: float | None = None

    @property
    def batch(self) -> float:
        """Events in a record."""
        usual = (
            p.EVENTS_PER_RECORD_FILTERED if self.upstream_filter else p.EVENTS_PER_RECORD_UNFILTERED
        )
        return usual if self.events_per_record is None else self.events_per_record

    @property
    def gzip_ratio(self) -> float:
        if self.ratio is not None:
            return self.ratio
        return p.RATIO_SINGLE if self.batch < p.EVENTS_PER_RECORD_UNFILTERED else p.RATIO_MANY

    @property
    def shape(self) -> str:
        """Whose measured throughput counts; between the measured shapes, the slower one."""
        if self.batch < p.EVENTS_PER_RECORD_UNFILTERED:
            return "single"
        return "dense" if self.upstream_filter or self.share > 0.1 else "sparse"


@dataclass(frozen=True)
class Traffic:
    """What a scenario moves in a month."""

    selected: float
    records: float
    record_bytes: float
    decompressed_bytes: float
    delivering_records: float
    invocations: float
    cold_starts: float
    objects: float
    native_objects: float
    stored_bytes: float
    native_stored_bytes: float


@dataclass(frozen=True)
class Line:
    """An item of both bills, USD a month."""

    what: str
    native: float
    ours: float

    @property
    def is_same(self) -> bool:
        return math.isclose(self.native, self.ours)


@dataclass(frozen=True)
class Bill:
    lines: tuple[Line, ...]

    def line(self, start: str) -> Line:
        """Return the item whose name starts so."""
        return next(line for line in self.lines if line.what.startswith(start))

    @property
    def both(self) -> float:
        return sum(line.ours for line in self.lines if line.is_same)

    @property
    def native(self) -> float:
        """What native decompression costs beyond what both sides cost."""
        return sum(line.native for line in self.lines if not line.is_same)

    @property
    def ours(self) -> float:
        """What this pipeline costs beyond what both sides cost."""
        return sum(line.ours for line in self.lines if not line.is_same)


def fills(items: float, data: float, seconds: float, size: float) -> float:
    """How often a buffer is emptied in a month that brings `items` and `data` bytes.

    The first item starts the clock, and after `seconds`, or when `size` bytes have come together,
    the buffer is emptied; items come independently of each other.
    """
    by_time = items / (1 + items / SECONDS_PER_MONTH * seconds)
    # No item is in two of them, however large it is.
    return min(items, max(by_time, data / size))


def hours_with(items: float) -> float:
    """Hours of a month in which one of `items` comes, when they come independently."""
    return p.HOURS_PER_MONTH * -math.expm1(-items / p.HOURS_PER_MONTH)


def direct_put_bytes(record_bytes: float) -> float:
    """Bytes billed for one record: rounded up to 5 KB."""
    return math.ceil(record_bytes / p.DIRECT_PUT_STEP) * p.DIRECT_PUT_STEP


def traffic(scenario: Scenario) -> Traffic:
    events = scenario.events_per_day * DAYS_PER_MONTH
    selected = events * scenario.share
    sent = selected if scenario.upstream_filter else events
    records = sent / scenario.batch
    envelope = p.ENVELOPE_BYTES + scenario.batch * (scenario.event_bytes + p.PER_EVENT_BYTES)
    record_bytes = envelope / scenario.gzip_ratio
    # A record delivers unless not one of its events is selected.
    empty = 0.0 if scenario.upstream_filter else (1 - scenario.share) ** scenario.batch
    delivering = records * (1 - empty)
    invocations = fills(
        records, records * record_bytes, p.LAMBDA_BUFFER_SECONDS, p.LAMBDA_BUFFER_BYTES
    )
    stored, native_stored = selected * scenario.event_bytes, sent * scenario.event_bytes
    return Traffic(
        selected=selected,
        records=records,
        record_bytes=record_bytes,
        decompressed_bytes=records * envelope,
        delivering_records=delivering,
        invocations=invocations,
        cold_starts=invocations * math.exp(-invocations / SECONDS_PER_MONTH * p.IDLE_SECONDS),
        objects=fills(delivering, stored, p.S3_BUFFER_SECONDS, p.S3_BUFFER_BYTES),
        native_objects=fills(records, native_stored, p.S3_BUFFER_SECONDS, p.S3_BUFFER_BYTES),
        stored_bytes=stored,
        native_stored_bytes=native_stored,
    )


def bill(scenario: Scenario) -> Bill:
    region, month = scenario.region, traffic(scenario)

    def usd(price: p.Price, units: float) -> float:
        return price.in_region(region) * units

    events = scenario.events_per_day * DAYS_PER_MONTH
    trail = usd(p.LOG_INGESTION, events * scenario.event_bytes / p.GB)
    gb_seconds = p.MEMORY_MB / 1024 * _function_seconds(scenario, month)
    cold = p.MEMORY_MB / 1024 * month.cold_starts * p.SECONDS_PER_COLD_START
    log = month.invocations * (p.FUNCTION_LOG_BYTES + p.PLATFORM_LOG_BYTES)
    return Bill(
        (
            Line("CloudWatch Logs ingestion of the trail", trail, trail),
            _firehose(scenario, month),
            Line(
                "Firehose decompression and extraction",
                usd(p.DECOMPRESSION, month.decompressed_bytes / p.GB),
                0,
            ),
            Line("Lambda requests", 0, usd(p.LAMBDA_REQUEST, month.invocations / 1e6)),
            Line("Lambda time", 0, usd(p.LAMBDA_ARM64, gb_seconds)),
            Line("Lambda cold starts", 0, usd(p.LAMBDA_ARM64, cold)),
            Line("the function's log", 0, usd(p.LOG_INGESTION, log / p.GB)),
            Line("the function's custom metrics", 0, usd(p.METRIC, _metric_months(month))),
            Line(
                "S3 PUT of the objects",
                usd(p.S3_PUT, month.native_objects / 1000),
                usd(p.S3_PUT, month.objects / 1000),
            ),
            Line(
                "S3 storage of a month's objects, a month",
                usd(p.S3_STORAGE, month.native_stored_bytes / p.GB),
                usd(p.S3_STORAGE, month.stored_bytes / p.GB),
            ),
        )
    )


def _firehose(scenario: Scenario, month: Traffic) -> Line:
    price = p.VENDED_LOGS if scenario.vended else p.DIRECT_PUT
    billed = month.record_bytes if scenario.vended else direct_put_bytes(month.record_bytes)
    amount = price.in_region(scenario.region) * month.records * billed / p.GB
    kind = "Vended Logs" if scenario.vended else "Direct PUT"
    return Line(f"Firehose ingestion, as {kind}", amount, amount)


def _function_seconds(scenario: Scenario, month: Traffic) -> float:
    per_second = p.MB_PER_SECOND[scenario.shape] * 1e6 * VCPU_SHARE
    return month.invocations * p.SECONDS_PER_INVOCATION + month.decompressed_bytes / per_second


def _metric_months(month: Traffic) -> float:
    """Return how many whole months the hours with a value add up to; no month has trouble here."""
    hours = {
        "delivery": hours_with(month.delivering_records),
        "trouble": 0.0,
    }
    return sum(hours[when] for when in p.METRICS.values()) / p.HOURS_PER_MONTH


def crossover(scenario: Scenario) -> float | None:
    """Events a day from which this pipeline costs less than native, all else as in `scenario`."""

    def difference(power: float) -> float:
        each = bill(replace(scenario, events_per_day=10**power))
        return each.ours - each.native

    powers = [step / 10 for step in range(101)]
    for low, high in itertools.pairwise(powers):
        if difference(low) > 0 >= difference(high):
            for _ in range(60):
                middle = (low + high) / 2
                low, high = (middle, high) if difference(middle) > 0 else (low, middle)
            return float(10**high)
    return None


# The document ------------------------------------------------------------------------------------

HEADLINE = (
    ("quiet: 50 sign-ins among 5,000", Scenario(5_000)),
    ("middle: 1,000 sign-ins among 100,000", Scenario(100_000)),
    ("busy: 1,000 among 100,000, no filter upstream", Scenario(100_000, upstream_filter=False)),
    ("large: 100,000 among 10 million", Scenario(10**7)),
    ("large: the same, no filter upstream", Scenario(10**7, upstream_filter=False)),
    (
        "large: all 10 million stored, `EventNames=*`",
        Scenario(10**7, share=1, upstream_filter=False),
    ),
)
DETAIL = HEADLINE[2]
COMPARED = (
    ("sign-ins alone, filtered upstream", Scenario(0, share=1)),
    ("no filter upstream, 1 event in 100 selected", Scenario(0, upstream_filter=False)),
    ("no filter upstream, every event stored", Scenario(0, share=1, upstream_filter=False)),
)


def usd(amount: float) -> str:
    """Write an amount with the digits that matter."""
    if amount == 0:
        return "0"
    if amount < 0.0001:
        return "< 0.0001"
    return f"{amount:,.4f}" if amount < 0.1 else f"{amount:,.2f}"


def rounded(number: float) -> str:
    """Write a number with two digits that are not zero."""
    step: float = 10.0 ** max(math.floor(math.log10(number)) - 1, 0)
    return f"{round(number / step) * step:,.0f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are numbers."""
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def text_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table of words."""
    return table(head, rows).replace("--:", "---")


def headline_table(region: str) -> str:
    rows = []
    for name, scenario in HEADLINE:
        direct = bill(replace(scenario, region=region))
        vended = bill(replace(scenario, region=region, vended=True))
        firehose = " / ".join(
            usd(each.line("Firehose ingestion").ours) for each in (direct, vended)
        )
        cheaper = "native" if direct.native < direct.ours else "ours"
        trail = usd(direct.line("CloudWatch Logs").ours)
        rows.append((name, trail, firehose, usd(direct.native), usd(direct.ours), cheaper))
    head = ("events a day", "both: log group", "both: Firehose", "native", "ours", "cheaper")
    return table(head, rows)


def bill_table(scenario: Scenario) -> str:
    """Return the lines of a scenario's bill, those that are the same on both sides once."""
    made, vended = bill(scenario), _firehose(replace(scenario, vended=True), traffic(scenario))
    rows = [
        (line.what, usd(line.ours), "", "")
        if line.is_same
        else (line.what, "", usd(line.native), usd(line.ours))
        for line in made.lines
    ]
    rows.append(("sum", usd(made.both), usd(made.native), usd(made.ours)))
    rows.append((f"instead: {vended.what}", usd(vended.ours), "", ""))
    return table((f"{scenario.region}, USD a month", "both", "native", "ours"), rows)


def crossover_table() -> str:
    rows = [
        (f"{name}, {region}", *_crossover_cells(replace(scenario, region=region)))
        for name, scenario in COMPARED
        for region in p.REGIONS
    ]
    return table(("", "ours is cheaper from, events a day", "of the stream's quota"), rows)


def _crossover_cells(scenario: Scenario) -> tuple[str, str]:
    events = crossover(scenario)
    if events is None:
        return "never", ""
    month = traffic(replace(scenario, events_per_day=events))
    in_use = month.records * month.record_bytes / SECONDS_PER_MONTH
    share = in_use / p.STREAM_QUOTA[scenario.region]
    return rounded(events), "< 1%" if share < 0.01 else f"{share:.0%}"


def options_table() -> str:
    """Return what each optional part adds in a month, least and most; the Regions do not differ."""
    alarms, sign_ins = _alarms_usd(p.ALARMS), _alarms_usd(p.SIGN_IN_ALARMS)
    metric = p.METRIC.us_east_1
    trouble = [name for name, when in p.METRICS.items() if when == "trouble"]
    rows = (
        (
            f"`AlarmEmail` or `AlarmTopicArn`: {_count(p.ALARMS)} alarms",
            usd(alarms),
            f"{usd(alarms + p.ALARM_METRICS * metric)} with `EventsSeen`, and"
            f" {usd(p.ALARM_METRIC.us_east_1)} for each further metric that a query analyses",
        ),
        (
            f"{' and '.join(f'`{name}`' for name in trouble)}, in hours with a value",
            "0",
            usd(len(trouble) * metric),
        ),
        (
            f"`SignInAlarms`: {p.SIGN_IN_METRICS} metric filters and"
            f" {_count(p.SIGN_IN_ALARMS)} alarms",
            usd(sign_ins),
            usd(sign_ins + p.SIGN_IN_METRICS * metric),
        ),
        ("`Dashboard`", "0 (three in an account are free)", usd(p.DASHBOARD.us_east_1)),
        ("`AthenaTable`", "0 at rest", f"{usd(p.ATHENA.us_east_1)} a TB scanned"),
        (
            "`CreateTrail` beside another trail",
            f"{usd(p.SECOND_TRAIL.us_east_1)} per 100,000 events",
            "and its log group's ingestion once more",
        ),
        (
            "the key made here; 0 with `ExistingKeyArn`",
            usd(p.KMS_KEY.us_east_1),
            f"{usd(3 * p.KMS_KEY.us_east_1)} after two rotations",
        ),
        (
            "`Architecture` `x86_64`",
            f"{p.LAMBDA_X86.us_east_1 / p.LAMBDA_ARM64.us_east_1 - 1:.0%} more for Lambda's time",
            "the same",
        ),
    )
    return text_table(("part", "at least", "at most"), rows)


def _count(alarms: Iterable[p.Alarms]) -> int:
    return sum(each.count for each in alarms)


def _alarms_usd(alarms: Iterable[p.Alarms]) -> float:
    return sum(each.count * each.metrics_each for each in alarms) * p.ALARM_METRIC.us_east_1


def price_table() -> str:
    rows = (
        (
            f"[{price.what}]({price.page})",
            price.unit,
            f"{price.us_east_1:.10f}".rstrip("0").rstrip("."),
            f"{price.ap_northeast_1:.10f}".rstrip("0").rstrip("."),
            price.checked,
        )
        for price in p.PRICES
    )
    return text_table(("price", "USD per", *p.REGIONS, "checked"), rows)


def document() -> str:
    """Return docs/cost.md."""
    quiet, middle = bill(HEADLINE[0][1]), bill(HEADLINE[1][1])
    values = {
        "headline_us": headline_table("us-east-1"),
        "headline_tokyo": headline_table("ap-northeast-1"),
        "quiet_native": usd(quiet.native),
        "quiet_ours": usd(quiet.ours),
        "middle_native": usd(middle.native),
        "middle_ours": usd(middle.ours),
        "middle_metrics": usd(middle.line("the function's custom metrics").ours),
        "detail_name": DETAIL[0].split(": ")[1],
        "detail_us": bill_table(DETAIL[1]),
        "detail_tokyo": bill_table(replace(DETAIL[1], region="ap-northeast-1")),
        "crossovers": crossover_table(),
        "options": options_table(),
        "prices": price_table(),
        "assumptions": assumptions(),
        "firehose_page": p.FIREHOSE_PAGE,
    }
    return TEMPLATE.read_text(encoding="utf-8").format_map(values)


def assumptions() -> str:
    speed = ", ".join(f"{shape} {speed}" for shape, speed in p.MB_PER_SECOND.items())
    rows = (
        ("an event", f"{p.EVENT_BYTES:,} bytes", "assumed"),
        (
            "around it",
            f"{p.PER_EVENT_BYTES} bytes an event, {p.ENVELOPE_BYTES} an envelope",
            "measured on the sign-ins in `tests/data`",
        ),
        (
            "events in a record",
            f"{p.EVENTS_PER_RECORD_FILTERED} filtered upstream, {p.EVENTS_PER_RECORD_UNFILTERED}"
            " unfiltered",
            "assumed",
        ),
        (
            "gzip ratio",
            f"{p.RATIO_SINGLE} of one sign-in, {p.RATIO_MANY:g} of many events",
            "measured; real envelopes of fifty events 6.7 to 9.1",
        ),
        (
            "throughput of one core, MB/s",
            speed,
            f"`make bench`, x86_64; the function has {VCPU_SHARE:.3f} of a core",
        ),
        ("an invocation", f"{p.SECONDS_PER_INVOCATION * 1000:g} ms at least", "assumed"),
        (
            "a cold start",
            f"{p.SECONDS_PER_COLD_START:g} s, after {p.IDLE_SECONDS} idle seconds",
            "assumed; AWS does not say how long",
        ),
        (
            "log of an invocation",
            f"{p.FUNCTION_LOG_BYTES + p.PLATFORM_LOG_BYTES:,} bytes",
            f"{p.FUNCTION_LOG_BYTES} measured, Lambda's own lines assumed",
        ),
        ("arrivals", "independent, spread evenly over the day", "assumed"),
        ("month, GB", f"{p.HOURS_PER_MONTH} hours, 2^30 bytes", "as AWS's examples count"),
    )
    return text_table(("", "value", "from"), rows)


def plot() -> str:
    """Return docs/cost.svg: what each side costs beyond what both cost, us-east-1."""
    numbers = [10 ** (step / 8) for step in range(16, 65)]
    series = []
    for name, scenario in (
        ("no filter upstream", Scenario(0, upstream_filter=False)),
        ("filter upstream", Scenario(0)),
    ):
        bills = [(each, bill(replace(scenario, events_per_day=each))) for each in numbers]
        native = [(each, made.native) for each, made in bills]
        ours = [(each, made.ours) for each, made in bills]
        series += [Series(f"native, {name}", native, True), Series(f"this pipeline, {name}", ours)]
    label = "events a day, one in 100 selected (us-east-1)"
    return svg(series, label, "USD a month beyond what both sides cost", (-5, 3))


# The command -------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"cost.py: {message}\n")


def number(low: float, high: float) -> Callable[[str], float]:
    """Return an argument's type: a number from `low` to `high`."""

    def between(text: str) -> float:
        with contextlib.suppress(ValueError):
            if low <= (value := float(text)) <= high:
                return value
        message = f"{text!r} is no number from {low:,.0f} to {high:,.0f}"
        raise argparse.ArgumentTypeError(message)

    return between


def parser() -> Parser:
    made = Parser(prog="cost.py", description=__doc__, allow_abbrev=False)
    made.add_argument(
        "--events-per-day", type=number(0, MAX_EVENTS_PER_DAY), help="events in the log group"
    )
    made.add_argument("--event-bytes", type=number(1, p.MAX_EVENT_BYTES), help="of one event")
    made.add_argument("--ratio", type=number(1, 1000), help="gzip's, of a record")
    made.add_argument("--events-per-record", type=number(1, 10_000))
    made.add_argument("--share", type=number(0, 1), help="of the events that are selected")
    made.add_argument("--region", choices=p.REGIONS)
    made.add_argument(
        "--no-upstream-filter",
        dest="upstream_filter",
        action="store_const",
        const=False,
        help="every event reaches the stream",
    )
    made.add_argument("--write", type=Path, metavar="FILE", help="regenerate docs/cost.md")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    command = parser()
    options = vars(command.parse_args(arguments))
    target: Path | None = options.pop("write")
    chosen = {name: value for name, value in options.items() if value is not None}
    if target is not None:
        if chosen:
            command.error("--write takes no scenario")
        try:
            target.write_text(document(), encoding="utf-8")
            target.with_suffix(".svg").write_text(plot(), encoding="utf-8")
        except OSError as error:
            command.error(f"cannot write {error.filename}: {error.strerror}")
    elif not chosen:
        for region in p.REGIONS:
            print(f"{region}, USD a month\n\n{headline_table(region)}\n")
        print(f"{crossover_table()}\n\n{options_table()}")
    elif "events_per_day" not in chosen:
        command.error("a scenario needs --events-per-day")
    else:
        scenario = Scenario(**chosen)
        if (size := traffic(scenario).record_bytes) > p.MAX_RECORD_BYTES:
            command.error(f"a record of {size:,.0f} bytes: Firehose takes {p.MAX_RECORD_BYTES:,}")
        print(bill_table(scenario))
    return 0


if __name__ == "__main__":
    sys.exit(main())
