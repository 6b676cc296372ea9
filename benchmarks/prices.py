"""List prices in USD with their pages and how they were checked, and measured values.

ALARMS, METRICS and SIGN_IN_ALARMS have the numbers of alarms and metrics. After a change, run
`make cost`.
"""

from dataclasses import dataclass

from console_login.stack.limits import MIB

REGIONS = ("us-east-1", "ap-northeast-1")

# The approximate month of the snapshot of the price list's JSON files.
SNAPSHOT = "2025-06"


@dataclass(frozen=True)
class Price:
    """USD per unit in each Region, AWS's page for it, and the source of the amount."""

    what: str
    unit: str
    us_east_1: float
    ap_northeast_1: float
    page: str
    checked: str = SNAPSHOT

    def in_region(self, region: str) -> float:
        return {"us-east-1": self.us_east_1, "ap-northeast-1": self.ap_northeast_1}[region]


FIREHOSE_PAGE = "https://aws.amazon.com/firehose/pricing/"
CLOUDWATCH_PAGE = "https://aws.amazon.com/cloudwatch/pricing/"
LAMBDA_PAGE = "https://aws.amazon.com/lambda/pricing/"
S3_PAGE = "https://aws.amazon.com/s3/pricing/"
KMS_PAGE = "https://aws.amazon.com/kms/pricing/"

_LAMBDA_FOUND = f"{SNAPSHOT}; third party 2026-05, without a Region"
_CLOUDWATCH_FOUND = f"{SNAPSHOT}; third party 2026-05, us-east-1"

DIRECT_PUT = Price("Firehose, Direct PUT", "GB", 0.029, 0.036, FIREHOSE_PAGE)
VENDED_LOGS = Price("Firehose, Vended Logs", "GB", 0.13, 0.16, FIREHOSE_PAGE)
DECOMPRESSION = Price(
    "Firehose, decompression, with extraction",
    "GB decompressed",
    0.00325,
    0.00403,
    FIREHOSE_PAGE,
)
LAMBDA_REQUEST = Price(
    "Lambda, requests", "million", 0.20, 0.20, LAMBDA_PAGE, checked=_LAMBDA_FOUND
)
LAMBDA_ARM64 = Price(
    "Lambda, arm64", "GB-second", 0.0000133334, 0.0000133334, LAMBDA_PAGE, checked=_LAMBDA_FOUND
)
LAMBDA_X86 = Price(
    "Lambda, x86_64", "GB-second", 0.0000166667, 0.0000166667, LAMBDA_PAGE, checked=_LAMBDA_FOUND
)
LOG_INGESTION = Price(
    "CloudWatch Logs, ingestion", "GB", 0.50, 0.76, CLOUDWATCH_PAGE, checked=_CLOUDWATCH_FOUND
)
METRIC = Price(
    "CloudWatch, custom metric",
    "month, prorated by the hour",
    0.30,
    0.30,
    CLOUDWATCH_PAGE,
    checked=_CLOUDWATCH_FOUND,
)
ALARM_METRIC = Price(
    "CloudWatch, standard alarm",
    "metric and month",
    0.10,
    0.10,
    CLOUDWATCH_PAGE,
    checked=_CLOUDWATCH_FOUND,
)
DASHBOARD = Price(
    "CloudWatch, dashboard",
    "month",
    3.00,
    3.00,
    CLOUDWATCH_PAGE,
    checked=f"{SNAPSHOT}; third party 2022-04, without a Region",
)
S3_PUT = Price("S3 Standard, PUT", "thousand", 0.005, 0.0047, S3_PAGE)
S3_STORAGE = Price(
    "S3 Standard, first 50 TB",
    "GB-month",
    0.023,
    0.025,
    S3_PAGE,
    checked="recalled 2026-11; third parties undated, Tokyo 2022-02",
)
KMS_KEY = Price(
    "KMS key; after each of the first two rotations 1 more",
    "month",
    1.00,
    1.00,
    KMS_PAGE,
    checked=f"{SNAPSHOT}; third party 2026-03; no source found for the limit of 3",
)
SECOND_TRAIL = Price(
    "CloudTrail, another copy of management events",
    "100,000",
    2.00,
    2.00,
    "https://aws.amazon.com/cloudtrail/pricing/",
    checked=f"{SNAPSHOT}; undated copy of AWS's page",
)
ATHENA = Price(
    "Athena, data scanned",
    "TB",
    5.00,
    5.00,
    "https://aws.amazon.com/athena/pricing/",
    checked="recalled 2026-11; third parties undated",
)

PRICES = (
    DIRECT_PUT,
    VENDED_LOGS,
    DECOMPRESSION,
    LAMBDA_REQUEST,
    LAMBDA_ARM64,
    LAMBDA_X86,
    LOG_INGESTION,
    METRIC,
    ALARM_METRIC,
    DASHBOARD,
    S3_PUT,
    S3_STORAGE,
    KMS_KEY,
    SECOND_TRAIL,
    ATHENA,
)

# How AWS counts --------------------------------------------------------------------------------

# Each record is rounded up to "5 KB (5,120 bytes)":
# https://aws.amazon.com/kinesis/data-firehose/pricing/
DIRECT_PUT_STEP = 5 * 1024
# The S3 FAQ's example counts 100 GB as 107,374,182,400 bytes. Other services are assumed to count
# the same way. With 10^9 the amounts would be up to 7.4% higher.
GB = 2**30
HOURS_PER_MONTH = 730
# 1,769 MB are one vCPU: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
MB_PER_VCPU = 1769
# CloudTrail's largest event: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/
# WhatIsCloudTrail-Limits.html
MAX_EVENT_BYTES = 256 * 1024

# Values of the template (tests/project/test_cost.py compares them) --------------------------------

MEMORY_MB = 1024
LAMBDA_BUFFER_SECONDS = 10
LAMBDA_BUFFER_BYTES = 0.25 * MIB
S3_BUFFER_SECONDS = 10
S3_BUFFER_BYTES = MIB

# The function's metrics. "delivery": has a value whenever a record delivers lines. "trouble": has a
# value only when something is wrong.
METRICS = {
    "EventsDelivered": "delivery",
    "RecordsFailed": "trouble",
    "RecordsPutBack": "trouble",
}


@dataclass(frozen=True)
class Alarms:
    """Alarms of one kind. A standard alarm is billed for each metric that it reads."""

    kind: str
    count: int
    metrics_each: int


ALARMS = (
    Alarms("on one metric", 7, 1),
    # Billed for each metric that the query analyses: at least one.
    Alarms("on a Metrics Insights query", 1, 1),
    Alarms("on metric math", 1, 2),
)
# EventsSeen, which is created for the alarms and the dashboard.
ALARM_METRICS = 1
SIGN_IN_ALARMS = (Alarms("on one metric", 3, 1),)
SIGN_IN_METRICS = 3

# Measured: MB (10^6 bytes) decompressed by one core in a second, rounded down from `make bench` of
# 2026-11-24 (512, 258 and 68, x86_64). The template's default is arm64, which was not measured.
MB_PER_SECOND = {"sparse": 500, "dense": 250, "single": 65}
# Gzip ratio of envelopes with one sign-in (1.8) and with fifty events (6.7 to 9.1).
RATIO_SINGLE, RATIO_MANY = 1.8, 8.0
# Overhead of an envelope, and of each event in it (id, timestamp, escaped quotes).
ENVELOPE_BYTES, PER_EVENT_BYTES = 240, 200
# The function's summary (694 bytes in `make bench`, with short ids) and its metrics (224).
FUNCTION_LOG_BYTES = 760
METRICS_LOG_BYTES = 230

# Assumed ---------------------------------------------------------------------------------------

EVENT_BYTES = 1200
# Events in a record.
FILTERED_BATCH, UNFILTERED_BATCH = 1, 50
# Lambda's own lines, platform.start and platform.report.
PLATFORM_LOG_BYTES = 400
# Minimum time of an invocation. The handler's share was 0.12 ms of one core.
SECONDS_PER_INVOCATION = 0.005
# Importing the function takes 0.13 to 0.2 s of one core; the rest is Python's start.
SECONDS_PER_COLD_START = 0.5
# Lambda does not say how long an idle environment is kept.
IDLE_SECONDS = 600
