"""How many payments one core makes: the simulator, a plain loop over events, and Faker, in turn.

  made      events in memory, with amounts, postings' parts, sequence numbers, order of sending
  as JSON   the same, and the bytes of each record
  Parquet   the same, and a table of columns with the postings (no file)
  to Kafka  a million records through `python -m simulator` into a broker on loopback, beside Kafka's own load generator (only with --kafka:
            a broker is started; bench/kafka_load.py says how the two are held alike)

The loop makes one dict an event with the same fields from `random`, without fraud, returns, late and double records; Faker makes the fields that it
has. Both use `json.dumps`. Figures are per second of CPU time of the process, so that a machine with other work on it does not change them much;
those of Kafka are per second of the clock, and the broker shares the machine.
"""

import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

from faker import Faker

from bench.kafka_load import PERF, RATE, SIMULATOR, loads
from bench.report import Aim, circumstances, compare, number, options, say, versions
from simulator.epoch import Chain, finish, make
from simulator.events import Events
from simulator.ndjson import values
from simulator.population import population
from simulator.schema import table
from simulator.stream import Stream

STREAM = Stream(rate=100_000, flat=True)
MINE, LOOP, FAKER = "simulator", "plain loop", "Faker"
MADE, AS_JSON, PARQUET = "made, events/s", "as JSON, records/s", "as columns for Parquet, records/s"
AIM = 1_000_000  # events made in a second by one core


def main(argv: list[str]) -> None:
    """Run it and print its table."""
    parser = options(__doc__ or "", 7)
    parser.add_argument("--kafka", action="store_true", help="measure Kafka too; fetches the broker's jars when they are not there")
    parser.add_argument("--records", type=int, default=1_000_000, metavar="N", help="records that each sends to Kafka in a run, about (default: 1,000,000)")
    parser.add_argument("--only-kafka", action="store_true", help="nothing but Kafka")
    args = parser.parse_args(argv)
    if not args.only_kafka:
        _one_core(args.runs)
    if args.kafka or args.only_kafka:
        print(f"\nTo Kafka, {args.runs} runs of each in turn after one warm-up; about {args.records:,} records a run\n")
        print(compare(loads(args.runs, args.records), PERF, {(RATE, SIMULATOR): Aim(least=0.5)}))
    print("\nHow it was measured\n")
    kafka = [f"--records={args.records} {'--only-kafka' if args.only_kafka else '--kafka'}"] if args.kafka or args.only_kafka else []
    print(circumstances(versions("numpy", "pyarrow", "confluent-kafka", "faker"), f"{STREAM.accounts:,} accounts, epochs of {STREAM.rate:,.0f} payments",
                        " ".join([f"again: python -m bench simulator --runs={args.runs}", *kafka])))  # fmt: skip


def _one_core(runs: int) -> None:
    epochs, seqs = _epochs(), defaultdict[int, int](int)
    people, fake = population(STREAM.seed, STREAM.accounts), Faker("en_US")
    Faker.seed(1)
    rng = random.Random(1)
    found: dict[str, dict[str, list[float]]] = {m: defaultdict(list) for m in (MADE, AS_JSON, PARQUET)}
    for turn in range(runs + 1):
        tries: dict[tuple[str, str], Callable[[], int]] = {
            (MADE, LOOP): lambda: len([_plain(rng, seqs) for _ in range(20_000)]),
            (MADE, FAKER): lambda: len([_faked(fake, seqs) for _ in range(1_000)]),
            (MADE, MINE): lambda: len(next(epochs)),
            (AS_JSON, LOOP): lambda: len([json.dumps(_plain(rng, seqs), separators=(",", ":")).encode() for _ in range(20_000)]),
            (AS_JSON, FAKER): lambda: len([json.dumps(_faked(fake, seqs), separators=(",", ":")).encode() for _ in range(1_000)]),
            (AS_JSON, MINE): lambda: len(values(STREAM.seed, people, next(epochs))),
            (PARQUET, MINE): lambda: len(table(STREAM.seed, people, next(epochs))),
        }
        for (measure, peer), run in tries.items():
            began = time.process_time()
            made = run()
            took = time.process_time() - began
            if turn:
                found[measure][peer].append(made / took)
        say(f"{f'run {turn} of {runs}' if turn else 'warm-up'} done")
    print(f"\nOne core, {runs} runs of each in turn after one warm-up; per second of CPU time\n")
    print(compare(found, LOOP, {(MADE, MINE): Aim(least=10)}))
    middle = median(found[MADE][MINE])
    print(f"\nMade: {number(middle)} events a second (≥ {number(AIM)}: {'met' if middle >= AIM else 'MISSED'}).")


def _epochs() -> Iterator[Events]:
    chain = Chain(STREAM)
    while True:
        made, counts = make(STREAM, chain.next)
        yield finish(STREAM, counts.epoch, made, counts, chain.advance(counts))


def _plain(rng: random.Random, seqs: dict[int, int]) -> dict[str, Any]:
    """One event, as a script would make it."""
    account, shop = int(rng.paretovariate(1.6) * 1000) % 100_000, rng.randrange(5000)
    seqs[account] += 1
    amount, declined = max(50, int(rng.lognormvariate(7.8, 0.8))), rng.random() < 0.04
    paid, fee = (0, 0) if declined else (amount, amount * 12 // 1000)
    event = {
        "id": f"{rng.getrandbits(64):016x}", "account": f"A{account:07d}", "seq": seqs[account], "ts": 1_777_626_000_000 + int(rng.expovariate(1.0) * 1000),
        "type": rng.choice(("purchase", "purchase", "transfer")), "status": "declined" if declined else "approved", "amount": amount, "currency": "EUR",
        "channel": rng.choice(("pos", "online")), "card": f"K{account:08d}", "merchant": f"M{shop:06d}", "mcc": 5411, "country": "DE",
        "postings": [
            {"account": f"A{account:07d}", "amount": -paid, "currency": "EUR"}, {"account": f"M{shop:06d}", "amount": paid - fee, "currency": "EUR"},
            {"account": "FEES", "amount": fee, "currency": "EUR"},
        ],
    }  # fmt: skip
    if declined:
        event["reason"] = "do_not_honor"
    return event


def _faked(fake: Faker, seqs: dict[int, int]) -> dict[str, Any]:
    """One event, out of Faker's fields."""
    account, amount = fake.random_int(0, 99_999), fake.random_int(50, 50_000)
    seqs[account] += 1
    return {
        "id": fake.uuid4(), "account": fake.bothify("A#######"), "seq": seqs[account], "ts": fake.unix_time(), "type": fake.random_element(("purchase", "transfer")),
        "status": "approved", "amount": amount, "currency": fake.currency_code(), "channel": fake.random_element(("pos", "online")),
        "card": fake.credit_card_number(), "merchant": fake.company(), "mcc": fake.random_int(1000, 9999), "country": fake.country_code(),
        "postings": [{"account": "A", "amount": -amount, "currency": "EUR"}, {"account": "M", "amount": amount, "currency": "EUR"}],
    }  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
