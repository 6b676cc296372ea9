"""Measures the built function under AWS's runtime emulator: CPU seconds, memory and results."""

import base64
import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import hostile
from support import TOKYO, envelope, event, gz

from console_login.function import FunctionError, FunctionFailure
from console_login.local.emulator import RuntimeEmulator
from console_login.stack import template

FUNCTION = template.resolve(template.load()).resources["TransformFunction"].properties
# The share of a core that MemorySize 1,024 has. A second in Lambda is 0.58 seconds here, so the
# Timeout is reduced by the same factor.
CORE = 0.58
MAX_PEAK_MIB = 768
_TICKS = 100  # per second, in /proc


class Stream:
    """Firehose's endpoint: accepts every PutRecordBatch and keeps its records."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        kept = self.records

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                kept.extend(base64.b64decode(each["Data"]) for each in request["Records"])
                responses = [{"RecordId": "x"} for _ in request["Records"]]
                body = json.dumps({"FailedPutCount": 0, "RequestResponses": responses}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Figures(NamedTuple):
    """The time and memory of a request. faults: errors in its answer; broken: also its limits."""

    cpu_seconds: float
    max_seconds: float
    peak_mib: float
    faults: list[str]

    @property
    def broken(self) -> list[str]:
        found = list(self.faults)
        if self.cpu_seconds > self.max_seconds:
            found.append(f"{self.cpu_seconds:.1f} CPU seconds, {self.max_seconds:.1f} allowed")
        if self.peak_mib > MAX_PEAK_MIB:
            found.append(f"{self.peak_mib:.0f} MiB, {MAX_PEAK_MIB} allowed")
        return found


class Measured:
    """A running function with the template's memory, and the stream for records put back."""

    def __init__(self, emulator: RuntimeEmulator, stream: Stream, names: str, timeout: int) -> None:
        self._emulator = emulator
        self._stream = stream
        self._names = names
        self._timeout = timeout

    def warm_up(self) -> None:
        """Deliver one event and put one back, so that no request pays for imports and clients."""
        self._emulator.invoke(event(gz(envelope([TOKYO, TOKYO[:-1]]))))

    def run(self, case: hostile.Case) -> Figures:
        records = case.records()
        most = case.max_seconds(records, self._timeout)
        process = self._process()
        before = _cpu_seconds(process) if process else 0.0
        if process:
            # Reset the peak to the current memory (proc(5)).
            Path(f"/proc/{process}/clear_refs").write_text("5")
        self._stream.records.clear()
        try:
            answer = self._emulator.invoke(hostile.request(records))
        except (FunctionError, FunctionFailure) as error:
            text = f"{getattr(error, 'code', '')} {error}".strip()
            return Figures(float("nan"), most, float("nan"), [text])
        process = self._process()
        assert process is not None
        return Figures(
            _cpu_seconds(process) - before,
            most,
            _peak_mib(process),
            hostile.faults(records, answer, self._stream.records, names=self._names),
        )

    def _process(self) -> int | None:
        """Return the id of the runtime's process, which the first request starts."""
        emulator = self._emulator._process
        assert emulator is not None
        children = Path(f"/proc/{emulator.pid}/task").glob("*/children")
        for child in " ".join(path.read_text() for path in children).split():
            with contextlib.suppress(FileNotFoundError):
                if "app.lambda_handler" in Path(f"/proc/{child}/cmdline").read_text():
                    return int(child)
        return None


@contextlib.contextmanager
def running(
    artifact: Path, names: str = hostile.ONE, timeout: int = FUNCTION["Timeout"]
) -> Iterator[Measured]:
    """Run the function with `names` as EVENT_NAMES, as Lambda does with this Timeout."""
    stream = Stream()
    variables = FUNCTION["Environment"]["Variables"] | {
        "EVENT_NAMES": names,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "ap-northeast-1",
        "AWS_ENDPOINT_URL_FIREHOSE": stream.url,
    }
    try:
        with RuntimeEmulator(
            artifact,
            variables,
            timeout_seconds=int(timeout * CORE),
            memory_mb=FUNCTION["MemorySize"],
        ) as emulator:
            yield Measured(emulator, stream, names, timeout)
    finally:
        stream.close()


def _cpu_seconds(process: int) -> float:
    # utime and stime are fields 14 and 15 (proc(5)). Skip the name in parentheses.
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _peak_mib(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
