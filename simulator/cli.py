"""The command line: what it can do, and how it ends."""

import argparse
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from simulator.errors import SimulatorError
from simulator.metrics import Metrics
from simulator.outputs import Output
from simulator.outputs.lines import LinesOutput
from simulator.outputs.parquet import ParquetOutput
from simulator.progress import Progress
from simulator.run import Pace, Told, run
from simulator.stream import TIMES, Stream, moment

_LONGEST = 10**11  # seconds of event time: three thousand years

HELP = """Payments of invented customers, as a bank would see them: purchases, transfers, withdrawals, salaries, refunds, chargebacks, declines, fraud.

The same options give the same stream, byte for byte, at any speed and with any number of workers. Money is in integer minor units, every event
posts to two or more accounts and adds up to zero, and each account's events are numbered without a gap. Records come late, twice or damaged, at
the rates that are given. What is fraud is told apart from the events.

  python -m simulator --ndjson - --duration 60 --speed-up max | head   # look at it
  python -m simulator --parquet payments --duration 3600 --speed-up max --workers 2
  python -m simulator --kafka localhost:9092 --topic payments --rate 1000
  python -m simulator --parquet payments --resume                      # go on where it was stopped or killed

Exit codes: 0 the end was reached · 1 an error · 2 wrong options · 130 Ctrl-C · 143 SIGTERM. However it ends, whole epochs are written, and
--resume goes on without gap or duplicate. docs/reference/payments.md has the records, docs/how-to/simulate-payments.md has more examples."""


def parser() -> argparse.ArgumentParser:
    """All options. Those of the stream have no default here: a resumed stream brings its own."""
    default = Stream()
    p = argparse.ArgumentParser(prog="python -m simulator", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    s = p.add_argument_group("the stream (these make it what it is)")
    s.add_argument("--seed", type=int, metavar="N", help=f"another seed, other payments (default: {default.seed})")
    s.add_argument("--start", metavar="TIME", help="event time of the begin, ISO 8601 in UTC, or now (default: 2026-05-01T09:00:00, a pay day)")
    s.add_argument(
        "--rate", type=float, metavar="N", help=f"payments a second of event time that customers begin, as the mean of a week (default: {default.rate:g})"
    )
    s.add_argument("--flat", action="store_true", default=None, help="no hours and no days: the rate is the same at every moment")
    s.add_argument("--duration", type=float, metavar="SECONDS", help="event time (default: without end)")
    s.add_argument("--epoch", type=float, metavar="SECONDS", help="event time that is made, sent and committed at once (default: 1)")
    s.add_argument("--accounts", type=int, metavar="N", help=f"how many accounts there are (default: {default.accounts:,})")
    s.add_argument("--late", type=float, metavar="SHARE", help=f"share that is sent 2 s to 10 min late (default: {default.late})")
    s.add_argument("--duplicates", type=float, metavar="SHARE", help=f"share that is sent a second time (default: {default.duplicates})")
    s.add_argument("--malformed", type=float, metavar="SHARE", help=f"damaged records, sent beside the good ones (default: {default.malformed})")
    s.add_argument("--fraud", type=float, metavar="SHARE", help=f"share of fraud, about (default: {default.fraud})")
    o = p.add_argument_group("where it goes (one of them)")
    where = o.add_mutually_exclusive_group(required=True)
    where.add_argument("--parquet", metavar="DIR", help="a folder of Parquet: events, malformed records, labels")
    where.add_argument("--ndjson", metavar="FILE", help="lines of JSON; - is stdout")
    where.add_argument("--kafka", metavar="BOOTSTRAP", help="a Kafka: host:port, or several with commas; needs --topic")
    o.add_argument("--topic", metavar="NAME", help="with --kafka: the topic; NAME.labels has the ground truth, NAME.progress the next epoch")
    o.add_argument("--partitions", type=int, default=6, metavar="N", help="with --kafka: of a topic that is not there yet (default: 6)")
    o.add_argument(
        "--kafka-config", metavar="FILE", help="with --kafka: librdkafka properties, name=value a line (TLS, SASL), so that no secret is an argument"
    )
    o.add_argument("--labels", metavar="FILE", help="with --ndjson: the ground truth of fraud, as lines of JSON")
    r = p.add_argument_group("how it runs (these change no byte)")
    r.add_argument("--speed-up", type=_speed, default=1.0, metavar="N", help="seconds of event time in one second, or max (default: 1)")
    r.add_argument("--workers", type=_workers, default=1, metavar="N", help="processes that make events (default: 1)")
    r.add_argument("--resume", action="store_true", help="go on with the stream that is there, or begin one")
    r.add_argument("--keep-options", action="store_true", help="options of the stream are for a new one: one that is there goes on with its own")
    r.add_argument("--state", metavar="FILE", help="shortens a resume; may be lost (default: beside the output)")
    r.add_argument("--metrics-port", type=int, metavar="PORT", help="Prometheus metrics on http://127.0.0.1:PORT/metrics")
    r.add_argument("--quiet", action="store_true", help="no progress on stderr")
    return p


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is neither a number above 0 nor max")
    return value


def _workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text} is not a number of workers (1 to 256)")
    return int(text)


def stream_of(args: argparse.Namespace, kept: Stream | None) -> Stream:
    """The stream that was asked for: what is kept, or the defaults, with the options that were given."""
    if kept and args.keep_options:
        return kept
    stream = kept or Stream()
    given = {n: getattr(args, n) for n in ("seed", "rate", "flat", "accounts", "late", "duplicates", "malformed", "fraud") if getattr(args, n) is not None}
    if args.start is not None and not (kept and args.start == "now"):  # a stream that began then goes on
        given["start"] = moment(args.start)
    if args.epoch is not None and not 0.001 <= args.epoch <= 240:
        raise SimulatorError("use", f"--epoch {args.epoch:g}", "an epoch lasts from 0.001 to 240 seconds")
    epoch = stream.epoch_ms if args.epoch is None else round(args.epoch * 1000)
    if args.duration is not None:
        if not args.duration > 0:
            raise SimulatorError("use", f"--duration {args.duration:g}", "it must be above 0", "Leave it out for a stream without end")
        if args.duration > _LONGEST:
            raise SimulatorError("use", f"--duration {args.duration:g}", f"it is more than {_LONGEST:,} seconds", "Leave it out for a stream without end")
        given["duration"] = max(1, -(-round(args.duration * 1000) // epoch))
    asked = replace(stream, epoch_ms=epoch, **given)
    if given.keys() & {"start", "duration"} and asked.begins(asked.duration) > (TIMES[1] + 1) * 1000:
        raise SimulatorError("use", f"--duration {asked.duration * epoch / 1000:g}", "the stream would go on beyond the year 2099", "Begin or end earlier")
    return asked


def output_of(args: argparse.Namespace) -> Output:
    """The output that was asked for."""
    if args.labels and args.ndjson is None:
        raise SimulatorError("use", "--labels", "this output has its labels with it", "Leave it out")
    if (args.kafka is None) != (args.topic is None):
        raise SimulatorError("use", "--kafka" if args.kafka else "--topic", "--kafka and --topic go together", "Give both")
    if args.kafka is not None:
        from simulator.outputs.kafka import KafkaOutput  # librdkafka is loaded only by who needs it

        return KafkaOutput(args.kafka, args.topic, args.resume, args.partitions, properties(args.kafka_config), args.kafka_config)
    if args.parquet is not None:
        return ParquetOutput(Path(args.parquet), args.resume)
    return LinesOutput(args.ndjson, args.labels, args.resume)


def properties(file: str | None) -> dict[str, str]:
    """The properties of a file; empty lines and comments are left out."""
    try:
        rows = [r.strip() for r in Path(file).read_text().splitlines()] if file else []
    except (OSError, UnicodeDecodeError) as error:
        raise SimulatorError("read", str(file), getattr(error, "strerror", None) or str(error), "Give a file of name=value lines") from error
    pairs = [r.partition("=") for r in rows if r and not r.startswith("#")]
    if bad := [n for n, (_, sign, _) in enumerate(pairs, 1) if not sign]:
        raise SimulatorError("read", str(file), f"property {bad[0]} has no =", "Write name=value")
    return {name.strip(): value.strip() for name, _, value in pairs}


def state_of(args: argparse.Namespace) -> Path | None:
    """Where the shortcut is."""
    if args.state:
        return Path(args.state)
    if args.parquet:
        return Path(args.parquet) / "state.npz"
    return Path(args.ndjson + ".state.npz") if args.ndjson not in (None, "-") else None


def main(argv: list[str] | None = None) -> int:
    """Run it; returns the exit code."""
    args = parser().parse_args(argv)
    stop, caught = threading.Event(), []

    def end(number: int, frame: object) -> None:
        caught.append(number)
        stop.set()

    before = {n: signal.signal(n, end) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        output = output_of(args)
        stream = stream_of(args, output.kept() if args.resume else None)
        progress = Progress(stream, quiet=args.quiet)
        tell: list[Callable[[Told], None]] = [progress.tell]
        if args.metrics_port is not None:
            tell.append(Metrics(args.metrics_port).tell)

        def everybody(told: Told) -> None:
            for one in tell:
                one(told)

        done = run(stream, output, Pace(args.speed_up), args.workers, stop, everybody, state_of(args), progress.counting)
        progress.end(done)
    except SimulatorError as error:
        print(error, file=sys.stderr)
        return 2 if error.verb == "use" else 1
    except BrokenPipeError:  # as `| head`: the reader has enough
        return 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 + caught[0] if caught else 0
