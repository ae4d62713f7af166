"""What the stream's three rules find of the simulator's fraud, held against its ground truth.

For each seed a stream of an hour (--minutes) goes from the simulator through Kafka and the stream's own job into a lake on loopback, in one look for
fraud: its cut changes no alert (tests/e2e/test_fraud.py). Each figure is the least and the most of the seeds:

  attacks   of which an alert names at least one event
  events    of attacks that an alert names
  right     alerts of which half of the events, or more, are of an attack that the rule is for

Attacks that the end of the stream cuts off count as missed. The rules and their thresholds: docs/explanation/stream.md.
"""

import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench.report import circumstances, options, say, table
from bench.spark_home import QUICK
from bench.stream_site import StreamSite, stream_site
from simulator.epoch import Chain, finish, make
from simulator.schema import labels
from simulator.stream import Stream

Truth = Mapping[str, Mapping[str, set[str]]]  # pattern → attack → ids of its events


class Rates(NamedTuple):
    """Of a rule: shares of its attacks that were found, of their events that were named, of its alerts that are right."""

    attacks: float
    events: float
    right: float


def main(argv: list[str]) -> None:
    """Run it and print its table."""
    parser = options(__doc__ or "", 5)
    parser.add_argument("--minutes", type=int, default=60, metavar="N", help="how long each stream is, in its own time (default: 60)")
    args = parser.parse_args(argv)
    found: dict[str, list[Rates]] = defaultdict(list)
    events = attacks = 0
    with tempfile.TemporaryDirectory(prefix="homelake-bench-") as folder, stream_site(say, Path(folder), QUICK) as site:
        for seed in range(1, args.runs + 1):
            stream = Stream(seed=seed, duration=args.minutes * 60)
            mine, true = taken(site, stream), truth(stream)
            told = mine.table("alerts").to_pylist()
            for rule, of in true.items():
                found[rule].append(measured([a for a in told if a["rule"] == rule], of))
            attacks += sum(map(len, true.values()))
            events += sum(e["counts"]["silver"] for e in mine.entries("silver"))
            say(f"seed {seed}: " + ", ".join(f"{rule} {rates[-1].attacks:.1%}" for rule, rates in found.items()))
    print(f"\n{args.runs} streams of {args.minutes} minutes: {events:,} events, {attacks:,} attacks\n")
    print(table(["Rule", "Attacks found", "Their events named", "Alerts that are right"],
                [[rule, *(f"{min(v):.0%} to {max(v):.0%}" for v in zip(*rates, strict=True))] for rule, rates in found.items()]))  # fmt: skip
    print("\nHow it was measured\n")
    print(circumstances(f"again: python -m bench fraud --runs={args.runs} --minutes={args.minutes}"))


def taken(site: StreamSite, stream: Stream) -> StreamSite:
    """Send a stream through Kafka and the job, in one look. Returns where it lies."""
    mine = site.beside(f"seed{stream.seed}", topic=f"seed{stream.seed}")
    if mine.simulate("--partitions=3", "--speed-up=max", f"--seed={stream.seed}", f"--duration={stream.duration}").wait():
        raise SystemExit("Unable to send the stream: the simulator failed.")
    if mine.start("--once", "--max-records=400000", "--alerts-every=3600", conf={"spark.driver.memory": "4g"}).wait():
        raise SystemExit(f"Unable to take the stream: {mine.log.read_text()[-2000:]}")
    return mine


def truth(stream: Stream) -> Truth:
    """What the simulator says of each attack, by pattern."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    chain = Chain(stream)
    for epoch in range(stream.duration + 1):  # the last one holds what is late
        made, counts = make(stream, epoch)
        for event in labels(finish(stream, epoch, made, counts, chain.advance(counts))).to_pylist():
            found[event["pattern"]][event["campaign"]].add(event["id"])
    return found


def measured(found: list[dict[str, Any]], attacks: Mapping[str, set[str]]) -> Rates:
    """How well a rule's alerts fit the attacks that it is for."""
    events, named = set().union(*attacks.values()), {e for a in found for e in a["events"]}
    return Rates(
        sum(not of.isdisjoint(named) for of in attacks.values()) / len(attacks),
        len(events & named) / len(events),
        sum(2 * len(events.intersection(a["events"])) >= len(a["events"]) for a in found) / len(found),
    )
