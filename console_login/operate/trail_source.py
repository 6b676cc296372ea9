"""Events from CloudTrail's log files in a trail's bucket, for a backfill.

The keys are [PREFIX/]AWSLogs/[ORGANIZATION/]ACCOUNT/CloudTrail/REGION/yyyy/MM/dd/*.json.gz, with
the UTC day of the delivery. A file can have events of any time before that.
https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-examples.html
"""

import gzip
import io
import itertools
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from console_login.events.bounds import MAX_VALUES, is_too_dense
from console_login.events.envelope import LogEvent, compact
from console_login.function import make_importable
from console_login.operate import error_objects
from console_login.operate.access import Access, one_line
from console_login.operate.backfill_records import (
    LeftOut,
    SentEvent,
    Slice,
    Watch,
    records,
)
from console_login.operate.backfill_state import BackfillError, Plan, milliseconds
from console_login.operate.error_objects import ListedObject, ObjectError

# CloudTrail delivers a file about five minutes after an event. A file that is delayed by more than
# this is not read.
LATE_MS = 24 * 60 * 60 * 1000

# If a run is killed, the next run reads up to this many files again, and may send their events
# again.
FILES_PER_SLICE = 100

# Decompressed. CloudTrail's files are far smaller: a larger file is a mistake or an attack.
MAX_FILE_BYTES = 128 * 1024 * 1024
_MAX_OBJECT_BYTES = 32 * 1024 * 1024

# Fetching a file takes some milliseconds, and parsing it takes less.
_READERS = 8

_TOO_LARGE = "it is larger than any CloudTrail log file"

_ACCOUNT = r"\d{12}"
_ORGANIZATION = r"o-[a-z0-9]{10,32}"
_REGION = r"[a-z]{2}(?:-[a-z]+)+-\d+"
_URL = re.compile(
    rf"s3://([a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9])/((?:.+/)?AWSLogs/(?:{_ORGANIZATION}/)?)"
    rf"(?:({_ACCOUNT})/(?:CloudTrail/(?:({_REGION})/)?)?)?"
)

_BEGIN = re.compile(r'\s*\{\s*"Records"\s*:\s*\[\s*')
_NEXT = re.compile(r"\s*,\s*|\s*(?=\])")
_END = re.compile(r"\]\s*\}\s*")
_decode = json.JSONDecoder().raw_decode


class _Folder(NamedTuple):
    account: str
    region: str
    prefix: str


class Trail:
    """The log files of a trail, by account and Region, and the events in them to send.

    accounts, regions: empty for all.
    Raises BackfillError if an option is invalid or its folder does not exist, AccessError if a
    request fails.
    """

    def __init__(
        self,
        access: Access,
        url: str,
        accounts: Sequence[str],
        regions: Sequence[str],
        event_names: str,
    ) -> None:
        make_importable()
        from transformer.config import ConfigurationError
        from transformer.config import event_names as names_in

        try:
            self._names = names_in({"EVENT_NAMES": event_names})
        except ConfigurationError as error:
            raise BackfillError(f"--event-names: {error}") from error
        match = _URL.fullmatch(url.rstrip("/") + "/")
        if match is None or not url.isprintable():
            raise BackfillError(
                f"--from {url}: name the AWSLogs folder of a trail's bucket, such as"
                " s3://BUCKET/AWSLogs/, or the folder of an organization or account in it; use"
                " --start and --end for days"
            )
        self._bucket, self._root, account, region = match.groups()
        self._url = f"s3://{self._bucket}/{self._root}"
        self._s3 = access.client("s3")
        folders = self._folders([account] if account else None)
        self._wanted = [
            _wanted("--account", [account] if account else accounts, {f.account for f in folders}),
            _wanted("--from-region", [region] if region else regions, {f.region for f in folders}),
        ]
        chosen, chosen_regions = self._wanted
        # In the order of their keys, because a run continues from a key.
        self._chosen = sorted(
            (f for f in folders if f.account in chosen and f.region in chosen_regions),
            key=lambda folder: folder.prefix,
        )
        if not self._chosen:
            raise BackfillError(f"there are no CloudTrail log files under {url}: check --from")
        named = ([account] if account else accounts), ([region] if region else regions)
        all_accounts, all_regions = (",".join(sorted(set(each))) or "all" for each in named)
        self.source = {
            "from": self._url,
            "accounts": all_accounts,
            "regions": all_regions,
            "event_names": event_names,
        }

    def described(self) -> list[tuple[str, str]]:
        """Return a description of the source, as pairs of a heading and a value."""
        accounts = {folder.account for folder in self._chosen}
        regions = {folder.region for folder in self._chosen}
        return [
            ("files", self._url),
            ("accounts", _abridged(accounts)),
            ("Regions", _abridged(regions)),
            ("events", self.source["event_names"]),
        ]

    def first(self, start: int) -> int:
        """Return `start`, because the files do not show when the trail began."""
        return start

    def slices(self, plan: Plan, position: str, watch: Watch) -> Iterator[Slice]:
        """Yield slices of files, one account and Region after another.

        Files that were delivered up to a day after the plan's end are read. Raises AccessError.
        """
        first, last = _day(plan.start), _day(plan.end + LATE_MS)
        # Before the first slice is done, the position is a time and not a key.
        after = position if "/" in position else ""
        for number, folder in enumerate(self._chosen):
            if folder.prefix < after and not after.startswith(folder.prefix):
                continue
            begin = max(after, f"{folder.prefix}{first:%Y/%m/%d}/")
            end = f"{folder.prefix}{last:%Y/%m/%d}0"
            listed = error_objects.listed(self._s3, self._bucket, folder.prefix, begin)
            of_days = itertools.takewhile(lambda each: each.key < end, listed)  # noqa: B023
            for files in itertools.batched(of_days, FILES_PER_SLICE, strict=False):
                found = records(folder.account, self._url, self._events(plan, folder, files))
                yield Slice(found, files[-1].key, len(files))
                share = _share(files[-1].key.removeprefix(folder.prefix), first, last)
                watch((number + share) / len(self._chosen))

    def _folders(self, accounts: list[str] | None) -> list[_Folder]:
        """Return the folder of each Region, of the given accounts only, or of all for None."""
        if accounts is not None:
            places = [(self._root, account) for account in accounts]
        else:
            names = self._names_in(self._root)
            organizations = [name for name in names if re.fullmatch(_ORGANIZATION, name)]
            places = [(self._root, name) for name in names]
            for organization in organizations:
                root = f"{self._root}{organization}/"
                places += [(root, name) for name in self._names_in(root)]
        return [
            _Folder(account, region, f"{root}{account}/CloudTrail/{region}/")
            for root, account in places
            if re.fullmatch(_ACCOUNT, account)
            for region in self._names_in(f"{root}{account}/CloudTrail/")
        ]

    def _names_in(self, prefix: str) -> list[str]:
        """Return the names of the subfolders of a folder."""
        pages = self._s3.get_paginator("list_objects_v2")
        with one_line():
            return [
                each["Prefix"].removeprefix(prefix).rstrip("/")
                for page in pages.paginate(Bucket=self._bucket, Prefix=prefix, Delimiter="/")
                for each in page.get("CommonPrefixes", ())
            ]

    def _events(
        self, plan: Plan, folder: _Folder, files: Iterable[ListedObject]
    ) -> Iterator[SentEvent | LeftOut]:
        log_stream = f"{folder.account}_CloudTrail_{folder.region}"
        with ThreadPoolExecutor(_READERS) as readers:
            for some in itertools.batched(files, _READERS, strict=False):
                for file, body in zip(some, readers.map(self._read, some), strict=True):
                    try:
                        for message, event in _records(body):
                            if self._is_selected(event) and _is_within(plan, event):
                                yield SentEvent(log_stream, _log_event(plan, message, event))
                    except ObjectError as error:
                        yield LeftOut(file.key, str(error))

    def _read(self, file: ListedObject) -> bytes | ObjectError:
        """Return the file's bytes, or the error: one unreadable file must not end the run."""
        if file.size > _MAX_OBJECT_BYTES:
            return ObjectError(_TOO_LARGE)
        try:
            return error_objects.read(self._s3, self._bucket, file)
        except ObjectError as error:
            return error

    def _is_selected(self, event: dict[str, Any]) -> bool:
        name = event.get("eventName")
        return self._names is None or (isinstance(name, str) and name in self._names)


def _wanted(option: str, wanted: Sequence[str], found: set[str]) -> set[str]:
    for each in wanted:
        if each not in found:
            existing = f", only {_abridged(found)}" if found else ""
            raise BackfillError(f"{option} {each}: --from has no such folder{existing}")
    return set(wanted) or found


def _abridged(names: set[str]) -> str:
    """Return the names in order, cut after the first 20."""
    most = 20
    listed = ", ".join(sorted(names)[:most])
    return listed if len(names) <= most else f"{listed} and {len(names) - most:,} more"


def _day(moment: int) -> date:
    return datetime.fromtimestamp(moment / 1000, UTC).date()


def _share(name: str, first: date, last: date) -> float:
    """Return the share of the days that is done after a file, from the day in its name."""
    try:
        day = date.fromisoformat(name[:10].replace("/", "-"))
    except ValueError:
        return 0.0
    return ((day - first).days + 1) / ((last - first).days + 1)


def _records(body: bytes | ObjectError) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each record of a file: its JSON as in the file, but on one line, and the parsed event.

    Raises ObjectError if the file is damaged or is not a CloudTrail log file; the records before
    the damage are valid.
    """
    if isinstance(body, ObjectError):
        raise body
    text = _text(body)
    if is_too_dense(text):
        raise ObjectError(f"it has more than {MAX_VALUES:,} values")
    begin = _BEGIN.match(text)
    if begin is None:
        raise ObjectError("it is not a CloudTrail log file")
    index = begin.end()
    try:
        while not text.startswith("]", index):
            event, end = _decode(text, index)
            following = _NEXT.match(text, end)
            if not isinstance(event, dict) or following is None:
                raise ValueError(index)
            message = text[index:end]
            yield compact(event) if "\n" in message or "\r" in message else message, event
            index = following.end()
        if _END.fullmatch(text, index) is None:
            raise ValueError(index)
    except (ValueError, RecursionError) as error:
        raise ObjectError("its JSON is damaged") from error


def _text(body: bytes) -> str:
    try:
        if body.startswith(b"\x1f\x8b"):
            with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
                body = file.read(MAX_FILE_BYTES + 1)
            if len(body) > MAX_FILE_BYTES:
                raise ObjectError(_TOO_LARGE)
        return body.decode("utf-8-sig")
    except (EOFError, OSError, zlib.error) as error:
        raise ObjectError("its gzip is damaged") from error
    except UnicodeDecodeError as error:
        raise ObjectError("it is not UTF-8") from error


def _time(event: dict[str, Any]) -> int | None:
    try:
        return milliseconds(datetime.fromisoformat(event["eventTime"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _is_within(plan: Plan, event: dict[str, Any]) -> bool:
    """Whether an event is in the plan's time range, or has no valid time and so may be in it."""
    time = _time(event)
    return time is None or plan.start <= time < plan.end


def _log_event(plan: Plan, message: str, event: dict[str, Any]) -> LogEvent:
    time, event_id = _time(event), event.get("eventID")
    return LogEvent(
        event_id if isinstance(event_id, str) else "", plan.start if time is None else time, message
    )
