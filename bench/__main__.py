"""`python -m bench`: run the benchmarks."""

import argparse
import importlib
import signal
import sys

from bench.report import say
from include.lake.errors import LakeError
from lab.errors import LabError

HELP = """Benchmarks of Homelake. Each runs the product and its peer in turn, several times, in one run, and prints a Markdown table:
minimum, median, maximum, and the ratio to the peer. Timings on a busy machine are noisy: read the medians and the ratios.

  python -m bench              all of them
  python -m bench s3a          the S3A profile against Hadoop's defaults and boto3, on a MinIO of its own (no lab needed)
  python -m bench converge     a run without changes against its raw round trips, and against an empty DAG of the same shape
                               (needs a lake on the lab that HOMELAKE_LAB names; `./lake apply` makes it)
  python -m bench figures      how long it takes to say how full a lake is, for 10 and for 20,000 objects (no lab needed)
  python -m bench simulator    payments a core makes in a second, against a plain loop and Faker (no lab needed)
  python -m bench stream       the stream of payments against Spark's defaults: rows a second, delay, requests (no lab needed)
  python -m bench fraud        what the stream's rules find of the simulator's fraud, in streams of an hour (no lab needed; about 15 minutes)
  python -m bench tables       the stream's own log against Spark's file sink, Delta Lake and Iceberg, on a locked bucket (no lab needed)
  python -m bench watching     what it costs a Spark job that somebody looks at it (needs a lake on the lab, as `converge`)
  python -m bench lab          the lab's memory, and how long `lab up` takes (starts and stops a lab of its own, `bench`)

`python -m bench NAME --help` tells what a benchmark measures and which options it has."""
NAMES = ("s3a", "converge", "figures", "simulator", "stream", "fraud", "tables", "watching", "lab")


def main(argv: list[str]) -> int:
    """Run the benchmark that is named, or all. Returns the exit code."""
    if argv and argv[0] in NAMES:
        return _run(argv[0], argv[1:])
    parser = argparse.ArgumentParser(prog="python -m bench", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=NAMES, metavar="NAME", help="which one: " + ", ".join(NAMES))
    parser.parse_args(argv)
    return max(_run(name, []) for name in NAMES)


def _run(name: str, options: list[str]) -> int:
    # Ended from outside, it still stops what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        importlib.import_module(f"bench.{name}").main(options)
    except (LakeError, LabError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
