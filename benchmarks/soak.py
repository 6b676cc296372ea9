"""Run a million events through the local pipeline and check each eventID: `make soak`.

Prints time and memory during the run. Memory may grow only by the objects in the bucket and by the
ids of the events to find.
"""

import argparse
import os
import random
import resource
import sys
import time
from pathlib import Path

from console_login.local import generate
from console_login.local import moto_state as state
from console_login.local import pipeline as local
from console_login.local.clock import SimulatedClock
from console_login.local.faults import Faults
from console_login.local.firehose_api import FirehoseClient
from console_login.stack import template

START = 1711792102.0


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--sign-ins", type=float, default=0.01)
    parser.add_argument("--fail", action="append", default=[])
    options = parser.parse_args()
    with state.started(template.load(), {}) as started, Path(os.devnull).open("w") as log:
        clock = SimulatedClock(START)
        faults = Faults(options.fail, 0)
        client = FirehoseClient(faults)
        function = local.in_process(started.stack, log, client)
        pipeline = local.Pipeline(started, function, clock, faults, 0, client)
        randomness = random.Random(0)
        events = generate.events(options.events, options.sign_ins, randomness, START)
        begun = time.perf_counter()
        print(f"{'events':>10} {'seconds':>8} {'resident MiB':>13} {'objects':>8}")

        def report() -> None:
            seen = pipeline.subscription.seen
            seconds = time.perf_counter() - begun
            objects = len(pipeline.stream.keys)
            print(f"{seen:>10,} {seconds:>8.1f} {resident_mib():>13.1f} {objects:>8,}", flush=True)

        next_report = 0

        def watch() -> None:
            nonlocal next_report
            if pipeline.subscription.seen >= next_report:
                report()
                next_report += max(1, options.events // 10)

        local.run(pipeline, clock, events, watch)
        account = pipeline.account()
        stored = sum(each.size for each in pipeline.objects())
        report()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"size of the objects {stored / 2**20:.1f} MiB; peak memory {peak:.0f} MiB")
    print(account)
    return 0 if account.is_balanced and account.events == options.events else 1


if __name__ == "__main__":
    sys.exit(main())
