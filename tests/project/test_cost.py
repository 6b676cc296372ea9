"""Tests benchmarks/cost.py: bills checked by hand, crossovers, and the generated document."""

import math
import re
from dataclasses import replace
from pathlib import Path

import cost
import prices
import pytest
from cost import Scenario, bill, crossover, direct_put_bytes, fills, hours_with
from stacks import DOCUMENT, stack
from support import ROOT

PARAMETERS = DOCUMENT["Parameters"]
DAYS = 730 / 24
# A month of 1,000 records, far apart; an event of 1,560 bytes makes an envelope of 2,000.
FILTERED = Scenario(
    1000 / DAYS, share=1, event_bytes=1560, ratio=2, events_per_record=1, upstream_filter=True
)
# A month of 20 million events, fifty in a record of 9,030 bytes, one in ten selected.
UNFILTERED = Scenario(
    20e6 / DAYS, share=0.1, event_bytes=1240, ratio=8, upstream_filter=False, vended=True
)


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fix the measured and counted values, so that new ones do not change the arithmetic below."""
    monkeypatch.setattr(prices, "MB_PER_SECOND", {"sparse": 300, "dense": 175, "single": 55})
    metrics = {"A": "delivery", "B": "delivery", "RecordsFailed": "trouble"}
    monkeypatch.setattr(prices, "METRICS", metrics)
    alarms = (prices.Alarms("a", 10, 1), prices.Alarms("b", 2, 1), prices.Alarms("c", 1, 2))
    monkeypatch.setattr(prices, "ALARMS", alarms)


def amounts(scenario: Scenario) -> dict[str, tuple[float, float]]:
    return {line.what: (line.native, line.ours) for line in bill(scenario).lines}


@pytest.mark.parametrize(("name", "written"), [("cost.md", cost.document), ("cost.svg", cost.plot)])
def test_files_on_disk_are_what_the_script_writes(name: str, written: object) -> None:
    assert callable(written)
    on_disk = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert on_disk == written(), f"docs/{name} has drifted: run make cost"


def test_write_writes_the_document_and_its_plot(tmp_path: Path) -> None:
    assert cost.main(["--write", str(tmp_path / "cost.md")]) == 0
    assert (tmp_path / "cost.md").read_text(encoding="utf-8") == cost.document()
    assert (tmp_path / "cost.svg").read_text(encoding="utf-8") == cost.plot()


@pytest.mark.usefixtures("by_hand")
def test_a_filtered_month_by_hand() -> None:
    lines = amounts(FILTERED)
    seconds = 730 * 3600
    # One event of 1,560 bytes: the trail's log group, 1,000 x 1,560 bytes at 0.50 a GB.
    trail = 1000 * 1560 / 2**30 * 0.50
    assert lines["CloudWatch Logs ingestion of the trail"] == pytest.approx((trail, trail))
    # An envelope of 240 + 1 x (1,560 + 200) = 2,000 bytes gzips to 1,000, billed as 5,120.
    firehose = 1000 * 5120 / 2**30 * 0.029
    assert lines["Firehose ingestion, as Direct PUT"] == pytest.approx((firehose, firehose))
    native = 1000 * 2000 / 2**30 * 0.00325
    assert lines["Firehose decompression and extraction"] == pytest.approx((native, 0))
    # Nearly one invocation a record: 1,000 / (1 + 1,000 / 2,628,000 x 10 s) = 996.2.
    invocations = 1000 / (1 + 1000 / seconds * 10)
    assert invocations == pytest.approx(996.2, abs=0.05)
    assert lines["Lambda requests"] == pytest.approx((0, invocations * 0.20 / 1e6))
    # 5 ms each, and 2,000,000 bytes at 55 MB/s of 1,024 / 1,769 of a core; 1,024 MB are one GB.
    busy = invocations * 0.005 + 2_000_000 / (55e6 * 1024 / 1769)
    # Idle longer than 600 s before exp(-996.2 x 600 / 2,628,000) = 0.797 of the invocations.
    cold = invocations * math.exp(-invocations * 600 / seconds)
    assert cold / invocations == pytest.approx(0.797, abs=0.0005)
    time = (busy + cold * 0.5) * 0.0000133334
    assert lines["Lambda time, with cold starts"] == pytest.approx((0, time))
    log = invocations * (760 + 230 + 400) / 2**30 * 0.50
    assert lines["the function's log"] == pytest.approx((0, log))
    # Two metrics, each in 730 x (1 - exp(-1,000 / 730)) = 544.5 hours.
    hours = 730 * (1 - math.exp(-1000 / 730))
    assert hours == pytest.approx(544.5, abs=0.05)
    metrics = 2 * 0.30 * hours / 730
    assert lines["the function's custom metrics"] == pytest.approx((0, metrics))
    put = invocations * 0.005 / 1000
    assert lines["S3 PUT of the objects"] == pytest.approx((put, put))
    assert bill(FILTERED).native == pytest.approx(native)


@pytest.mark.usefixtures("by_hand")
def test_a_month_without_metrics_by_hand() -> None:
    lines, with_metrics = amounts(replace(FILTERED, metrics=False)), amounts(FILTERED)
    assert lines["the function's custom metrics"] == (0, 0)
    invocations = 1000 / (1 + 1000 / (730 * 3600) * 10)
    assert lines["the function's log"] == pytest.approx(
        (0, invocations * (760 + 400) / 2**30 * 0.50)
    )
    others = set(lines) - {"the function's custom metrics", "the function's log"}
    assert len(others) == 7
    assert all(lines[each] == with_metrics[each] for each in others)


@pytest.mark.usefixtures("by_hand")
def test_an_unfiltered_month_of_many_events_by_hand() -> None:
    lines = amounts(replace(UNFILTERED, region="ap-northeast-1"))
    # 400,000 records of 240 + 50 x (1,240 + 200) = 72,240 bytes, 9,030 compressed, not rounded.
    firehose = 400_000 * 9030 / 2**30 * 0.16
    assert lines["Firehose ingestion, as Vended Logs"] == pytest.approx((firehose, firehose))
    native = 400_000 * 72_240 / 2**30 * 0.00403
    assert lines["Firehose decompression and extraction"] == pytest.approx((native, 0))
    # By time 400,000 / (1 + 1.522) = 158,600 invocations; 0.25 MiB fill only 13,779 times.
    invocations = 400_000 / (1 + 400_000 / 2_628_000 * 10)
    assert lines["Lambda requests"] == pytest.approx((0, invocations * 0.20 / 1e6))
    busy = invocations * 0.005 + 400_000 * 72_240 / (300e6 * 1024 / 1769)
    cold = invocations * math.exp(-invocations * 600 / 2_628_000)
    time = (busy + cold * 0.5) * 0.0000133334
    assert lines["Lambda time, with cold starts"] == pytest.approx((0, time))
    # In 0.9^50 = 0.5% of the records, none of the fifty events is selected.
    delivering = 400_000 * (1 - 0.9**50)
    ours = delivering / (1 + delivering / 2_628_000 * 10)
    put = (invocations * 0.0047 / 1000, ours * 0.0047 / 1000)
    assert lines["S3 PUT of the objects"] == pytest.approx(put)
    storage = (20e6 * 1240 / 2**30 * 0.025, 2e6 * 1240 / 2**30 * 0.025)
    assert lines["S3 storage of the objects for a month"] == pytest.approx(storage)


@pytest.mark.parametrize(
    ("size", "billed"), [(1, 5120), (5120, 5120), (5120.5, 10240), (5121, 10240), (42_000, 46_080)]
)
def test_direct_put_rounds_each_record_up_to_5_kb(size: float, billed: int) -> None:
    assert direct_put_bytes(size) == billed


def test_only_direct_put_rounds_and_the_difference_does_not_depend_on_it() -> None:
    direct, vended = bill(FILTERED), bill(replace(FILTERED, vended=True))
    paid = vended.line("Firehose ingestion").ours
    assert paid == pytest.approx(1000 * 1000 / 2**30 * 0.13)
    assert direct.line("Firehose ingestion").ours == pytest.approx(paid * 5.12 * 0.029 / 0.13)
    assert (vended.native, vended.ours) == (direct.native, direct.ours)


@pytest.mark.parametrize("scenario", [FILTERED, UNFILTERED], ids=["filtered", "unfiltered"])
def test_bytes_are_billed_in_proportion(scenario: Scenario) -> None:
    once = amounts(scenario)
    thrice = amounts(replace(scenario, events_per_day=3 * scenario.events_per_day))
    for what, (native, ours) in once.items():
        if what.startswith(("CloudWatch", "Firehose", "S3 storage")):
            assert thrice[what] == pytest.approx((3 * native, 3 * ours))
        else:
            assert thrice[what][1] <= 3 * ours


def test_buffers_are_emptied_by_time_by_size_and_never_oftener_than_records_come() -> None:
    month = 730 * 3600
    assert fills(month * 1e6, 0, 10, 1) == pytest.approx(month / 10, rel=1e-4)
    assert fills(1, 0, 10, 1) == pytest.approx(1, rel=1e-4)
    assert fills(month, month * 1000, 10, 2000) == pytest.approx(month / 2)
    assert fills(5, 1e9, 10, 1) == 5


def test_a_metric_costs_an_hour_only_when_it_has_a_value() -> None:
    assert hours_with(0) == 0
    assert hours_with(1) == pytest.approx(1, rel=1e-3)
    assert hours_with(1e6) == pytest.approx(730)


def test_no_event_costs_nothing() -> None:
    nothing = bill(Scenario(0))
    assert (nothing.both, nothing.native, nothing.ours) == (0, 0, 0)


@pytest.mark.parametrize("region", prices.REGIONS)
@pytest.mark.parametrize("scenario", cost.CROSSOVERS.values(), ids=cost.CROSSOVERS)
def test_the_crossover_is_where_the_bills_meet(scenario: Scenario, region: str) -> None:
    scenario = replace(scenario, region=region)
    events = crossover(scenario)
    assert events is not None
    at = bill(replace(scenario, events_per_day=events))
    assert at.ours == pytest.approx(at.native)
    below, above = (bill(replace(scenario, events_per_day=events * by)) for by in (0.9, 1.1))
    assert below.ours > below.native
    assert above.ours < above.native


def test_a_crossover_that_never_comes_is_none() -> None:
    # Records so small that an invocation always costs more than their decompression.
    assert crossover(Scenario(0, share=1e-9)) is None


def test_the_documents_words_are_true() -> None:
    quiet, small, filtered, unfiltered, stored = map(bill, cost.SCENARIOS.values())
    for cheap in (quiet, small, filtered):
        assert cheap.native < cheap.ours
    for dear in (unfiltered, stored):
        assert dear.ours < dear.native
    # With a filter upstream, both are cheaper than either one without.
    assert max(filtered.native, filtered.ours) < min(unfiltered.native, unfiltered.ours)
    metrics = small.line("the function's custom metrics").ours
    assert cost.usd(metrics) == cost.usd(prices.METRIC.us_east_1)
    assert metrics > 0.9 * small.ours
    # A few cents a month, and nearly all of the difference is the metric.
    assert 0.01 < quiet.ours < 0.05
    assert metrics < small.ours - quiet.ours < 1.02 * metrics
    sign_ins, picked, _ = map(crossover, cost.CROSSOVERS.values())
    assert sign_ins is not None
    assert 75 < sign_ins / 86_400 < 150
    # S3 contributes more to the second crossover than decompression.
    assert picked is not None
    meeting = bill(replace(cost.UNFILTERED, events_per_day=picked))
    s3 = sum(line.native - line.ours for line in meeting.lines if line.what.startswith("S3"))
    assert s3 > meeting.line("Firehose decompression").native
    # Vended Logs: cheaper for records with one sign-in, about four times the price for many events.
    for scenario, low, high in ((cost.UPSTREAM, 0.7, 1.0), (cost.UNFILTERED, 3.5, 4.5)):
        direct, vended = bill(scenario), bill(replace(scenario, vended=True))
        ratio = vended.line("Firehose ing").ours / direct.line("Firehose ing").ours
        assert low < ratio < high
    trouble = [f"`{name}`" for name, when in prices.METRICS.items() if when == "trouble"]
    assert f"| {' and '.join(trouble)} | 0 |" in cost.document()
    # The fixed fees are the same in both Regions.
    fees = (prices.METRIC, prices.ALARM_METRIC, prices.DASHBOARD, prices.ATHENA, prices.KMS_KEY)
    for price in (*fees, prices.SECOND_TRAIL, prices.LAMBDA_ARM64, prices.LAMBDA_X86):
        assert price.us_east_1 == price.ap_northeast_1


def test_constants_are_the_templates() -> None:
    function = DOCUMENT["Resources"]["TransformFunction"]["Properties"]
    assert function["MemorySize"] == prices.MEMORY_MB
    assert PARAMETERS["Architecture"]["Default"] == "arm64"
    assert PARAMETERS["LambdaBufferSeconds"]["Default"] == prices.LAMBDA_BUFFER_SECONDS
    assert PARAMETERS["LambdaBufferMiB"]["Default"] * 2**20 == prices.LAMBDA_BUFFER_BYTES
    assert PARAMETERS["BufferSeconds"]["Default"] == prices.S3_BUFFER_SECONDS
    assert PARAMETERS["BufferSizeMiB"]["Default"] * 2**20 == prices.S3_BUFFER_BYTES


def test_alarms_and_metrics_are_the_templates() -> None:
    counted = {1: 0, 2: 0, "query": 0}
    for alarm in stack("alarms by mail").of_type("AWS::CloudWatch::Alarm").values():
        metrics = alarm.properties.get("Metrics", [])
        read = sum("MetricStat" in each for each in metrics)
        is_query = any(each.get("Expression", "").startswith("SELECT") for each in metrics)
        counted["query" if is_query else read or 1] += 1
    assert [each.count for each in prices.ALARMS] == [counted[1], counted["query"], counted[2]]
    everything = stack("everything optional")
    alarms = everything.of_type("AWS::CloudWatch::Alarm")
    filters = everything.of_type("AWS::Logs::MetricFilter")
    (signs,) = prices.SIGN_IN_ALARMS
    assert len(alarms) == sum(each.count for each in prices.ALARMS) + signs.count
    assert len(filters) == prices.SIGN_IN_METRICS + prices.ALARM_METRICS


@pytest.mark.usefixtures("by_hand")
def test_alarms_are_billed_for_each_metric_that_they_read() -> None:
    # 10 x 1 + 2 x 1 + 1 x 2 metrics at 0.10, and a custom metric at 0.30.
    written = cost.document()
    assert "13 alarms | 1.40 | 1.70 with `EventsSeen`, and 0.10 for each" in written
    # 3 alarms at 0.10, and 3 custom metrics at 0.30 when they have a value in every hour.
    assert "3 metric filters and 3 alarms | 0.30 | 1.20" in written


def test_every_price_has_a_page_and_a_date() -> None:
    for price in prices.PRICES:
        assert price.page.startswith("https://aws.amazon.com/"), price.what
        assert re.search(r"\b20\d\d-\d\d\b", price.checked), price.what
        assert f"[{price.what}]({price.page})" in cost.document()


def test_a_scenario_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "--events-per-day 100000 --event-bytes 900 --ratio 7 --share 0.5 --region ap-northeast-1"
        " --no-upstream-filter --events-per-record 20 --no-metrics"
    )
    assert cost.main(words.split()) == 0
    expected = Scenario(100_000, 0.5, False, "ap-northeast-1", False, 900, 7, 20, False)
    table = cost.bill_table("ap-northeast-1", {"your scenario": expected})
    assert capsys.readouterr().out == table + "\n"
    assert expected.record_bytes == pytest.approx((240 + 20 * 1100) / 7)


@pytest.mark.parametrize(
    "words",
    [
        "--events-per-day x",
        "--events-per-day nan",
        "--events-per-day -1",
        "--events-per-day inf",
        "--events-per-day 10 --share 1.5",
        "--events-per-day 10 --ratio 0",
        "--events-per-day 10 --event-bytes 0",
        "--events-per-day 10 --region mars",
        "--events-per-day 10 --events-per-record 10000 --ratio 1",
        "",
        "--share 0.5",
        "--write no/such/folder/cost.md",
        "--write cost.md --share 0.5",
        "--nonsense",
    ],
)
def test_wrong_input_is_one_line_and_exit_2(
    words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        cost.main(words.split())
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert not out
    assert re.fullmatch(r"cost\.py: [^\n]+\n", err)
    assert not list(tmp_path.iterdir())
