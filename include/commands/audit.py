"""`./lake audit`."""

import argparse
import json
import sys
import time

from include.adapters.audit import run_audit
from include.adapters.stream_run import stream_of
from include.lake.lake import load_lake
from include.settings import command_line_connections

UNCHECKED = {
    "removed": "whether all is there of {:,} records that Kafka no longer holds",
    "unmarked": "the marks of {:,} events of batches that an older Homelake put together",
    "unjoined": "what came before the first events of {:,} accounts",
}


def run(args: argparse.Namespace) -> int:
    """Hold the lake's payments against Kafka and against themselves. Exits 1 when a check finds something."""
    began = time.monotonic()
    payments = stream_of(load_lake(args.file)).payments
    report = run_audit(payments, command_line_connections(), lambda text: print(f"  … {text}", file=sys.stderr, flush=True), args.day)
    if args.json:
        print(json.dumps(report.as_dict(), indent=2))
    else:
        for finding in report.findings:
            print(f"{'✗' if finding.wrong else '✓'} {finding.check}" + (f": {finding.wrong:,} times not" if finding.wrong else ""))
        c = report.counts
        if args.day:
            print(f"Only {args.day} was looked at: events by their own time, records by Kafka's.")
        if left := [text.format(c[name]) for name, text in UNCHECKED.items() if c[name]]:
            print(f"Not checked: {'; '.join(left)}.")
        print(f"{c['records']:,} records: {c['events']:,} events of {c['accounts']:,} accounts ({c['late']:,} late), {c['dead']:,} dead letters, {c['repeated']:,} repetitions; {c['alerts']:,} alerts. "
              f"{c['open']:,} numbers may still come late, {c['ahead']:,} records are left for the next audit. {time.monotonic() - began:.1f} s")  # fmt: skip
    if error := report.error():
        raise error
    return 0
