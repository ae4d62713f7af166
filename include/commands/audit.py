"""`./lake audit`."""

import argparse
import json
import sys
import time

from include.adapters.audit import run_audit
from include.adapters.stream_run import stream_of
from include.lake.lake import load_lake
from include.settings import command_line_connections


def run(args: argparse.Namespace) -> int:
    """Hold the lake's payments against Kafka and against themselves. Returns 0; raises LakeError with what is wrong."""
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
            print(f"Of the events only the {c['judged']:,} of {args.day} were looked at.")
        if c["removed"] or c["unmarked"]:
            print(f"Not checked: {c['removed']:,} records that Kafka no longer holds, and the marks of {c['unmarked']:,} events of compacted batches.")
        print(f"{c['records']:,} records: {c['events']:,} events of {c['accounts']:,} accounts ({c['late']:,} late), {c['dead']:,} dead letters, {c['repeated']:,} repetitions; {c['alerts']:,} alerts. "
              f"{c['open']:,} numbers may still come late, {c['ahead']:,} records are left for the next audit. {time.monotonic() - began:.1f} s")  # fmt: skip
    report.raise_failed()
    return 0
