"""Small streams, and all records of one."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from simulator.epoch import Chain, finish, make
from simulator.events import Events, joined
from simulator.population import Population, population
from simulator.stream import Stream

SMALL = Stream(seed=7, rate=400.0, accounts=300, duration=12, late=0.05, duplicates=0.03, malformed=0.03, fraud=0.1)


@st.composite
def small_streams(draw: st.DrawFn) -> Stream:
    share = st.sampled_from([0.0, 0.01, 0.2, 0.5])
    return Stream(
        seed=draw(st.integers(0, 2**64 - 1)), rate=draw(st.floats(0.5, 800)), accounts=draw(st.integers(100, 2000)), duration=draw(st.integers(1, 6)),
        epoch_ms=draw(st.sampled_from([1, 250, 1000, 60_000])) if draw(st.booleans()) else 1000, flat=draw(st.booleans()),
        start=draw(st.integers(0, 4_000_000_000)), late=draw(share), duplicates=draw(share), malformed=draw(share), fraud=draw(share),
    )  # fmt: skip


def people_of(stream: Stream) -> Population:
    return population(stream.seed, stream.accounts)


def epochs_of(stream: Stream, chain: Chain | None = None) -> list[Events]:
    """The records of every epoch, the last one (with what is late) among them."""
    chain, found = chain or Chain(stream), []
    for epoch in range(chain.next, stream.duration + 1):
        made, counts = make(stream, epoch)
        found.append(finish(stream, epoch, made, counts, chain.advance(counts)))
    return found


def all_of(stream: Stream) -> Events:
    return joined(epochs_of(stream))


def true_events(records: Events) -> Events:
    """Each event once."""
    return records.take(np.flatnonzero(records.extra == 0))


def same(a: Events, b: Events) -> bool:
    return all(np.array_equal(getattr(a, n), getattr(b, n)) for n in vars(a))


def by_account(records: Events) -> dict[int, list[int]]:
    found = defaultdict(list)
    for account, seq in zip(records.account.tolist(), records.seq.tolist(), strict=True):
        found[account].append(seq)
    return found


__all__ = ["SMALL", "all_of", "by_account", "epochs_of", "people_of", "replace", "same", "small_streams", "true_events"]
