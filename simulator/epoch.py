"""An epoch of event time: made by itself, then finished with what only the chain of epochs knows (sequence numbers, and what comes late from before)."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import NormalDist

import numpy as np

from simulator.arrays import I64, Codes, Purpose, bits, mixed, words
from simulator.events import DAMAGED, DUPLICATE, Events, events, joined
from simulator.fraud import fraud
from simulator.payments import INDEX_BITS, count, drawn, identity, insolvency, instants, payments
from simulator.population import Population, population
from simulator.returns import returns
from simulator.salaries import salaries
from simulator.stream import Stream

_TS_BITS = 18  # an epoch has at most 240 s
# Milliseconds by quantile: how long a record takes to be sent, and how much later a late one is (2 s to 10 min).
_PROMPT = np.array([round(90 * exp(0.9 * NormalDist().inv_cdf((i + 0.5) / 4096))) for i in range(4096)], np.int64)
_LATE = np.array([round(2000 * exp(log(300) * (i + 0.5) / 4096)) for i in range(4096)], np.int64)


@dataclass(frozen=True)
class Counts:
    """What the chain must know of an epoch: how many events each account has in it, and which records are sent in a later one."""

    epoch: int
    accounts: I64
    numbers: I64
    later: Events


@dataclass(frozen=True)
class Due:
    """What the chain tells an epoch: how many events those accounts had before it, and what is sent in it from before."""

    before: I64
    arriving: Events


def make(stream: Stream, epoch: int) -> tuple[Events, Counts]:
    """The records that are made and sent in an epoch, and what the chain must know. A function of the stream and the number."""
    people = population(stream.seed, stream.accounts)
    whole = _events(stream, people, epoch)
    accounts, numbers, rank = ranks(whole.account, whole.ts - stream.begins(epoch))
    sent = _sent(stream, epoch, whole.put(seq=rank))
    here = sent.emitted < stream.begins(epoch + 1)
    if here.all():
        return sent, Counts(epoch, accounts, numbers, events(0))
    return sent.take(np.flatnonzero(here)), Counts(epoch, accounts, numbers, sent.take(np.flatnonzero(~here)))


def _events(stream: Stream, people: Population, epoch: int) -> Events:
    number = count(stream, epoch)
    given = drawn(stream, epoch, 0, number)
    short = np.array(insolvency(stream, epoch), np.int64)
    main = payments(stream, people, given, short)
    parts = [main.put(ts=instants(stream, epoch, given.c))]
    if not stream.over(epoch) and (back := returns(stream, people, epoch)) is not None:
        parts.append(back.put(ts=instants(stream, epoch, words(stream.seed, Purpose.RETURNS, epoch, 1, len(back)))))
    parts += [more for more in (salaries(stream, people, epoch), fraud(stream, people, epoch)) if more is not None]
    whole = joined(parts)
    return whole.put(id=identity(stream, epoch, np.arange(len(whole))))


def ranks(account: I64, within: I64) -> tuple[I64, I64, I64]:
    """Accounts with their number of events, and each event's rank (from 0) among those of its account, by time and then by index."""
    size = len(account)
    packed = np.sort((account << (_TS_BITS + INDEX_BITS) | within << INDEX_BITS | np.arange(size)).astype(np.uint64))
    index = (packed & np.uint64((1 << INDEX_BITS) - 1)).astype(np.int64)
    owner = (packed >> np.uint64(_TS_BITS + INDEX_BITS)).astype(np.int64)
    starts = np.flatnonzero(np.concatenate([np.ones(min(size, 1), bool), owner[1:] != owner[:-1]]))
    numbers = np.diff(starts, append=size)
    rank = np.empty(size, np.int64)
    rank[index] = np.arange(size) - np.repeat(starts, numbers)
    return owner[starts], numbers, rank


def _sent(stream: Stream, epoch: int, whole: Events) -> Events:
    """Each event as a record with its time of sending, then the extra records: duplicates and damaged ones."""
    luck = words(stream.seed, Purpose.SIDE, epoch, 0, len(whole))
    end = stream.begins(epoch + 1)
    sent = np.minimum(whole.ts + _PROMPT[bits(luck, 52, 12)], end - 1)
    late = _chosen(luck, 0, stream.late)
    again = mixed(luck, stream.seed)
    sent[late] = whole.ts[late] + _LATE[bits(again[late], 0, 12)]
    twice, broken = _chosen(luck, 17, stream.duplicates), _chosen(luck, 34, stream.malformed)
    # Half of the duplicates follow at once, as from a retry; half are late.
    follow = np.where(bits(again[twice], 12, 1) == 0, 1 + bits(again[twice], 13, 9), _LATE[bits(again[twice], 24, 12)])
    whole = whole.put(emitted=sent)
    parts = [whole]
    for rows, extra, after in ((twice, DUPLICATE, follow), (broken, DAMAGED, np.ones(len(broken), np.int64))):
        if len(rows):
            parts.append(whole.take(rows).put(emitted=sent[rows] + after, extra=np.full(len(rows), extra)))
    return joined(parts)


def _chosen(luck: Codes, low: int, share: float) -> I64:
    return np.flatnonzero(bits(luck, low, 17) < round(share * (1 << 17)))


def finish(stream: Stream, epoch: int, made: Events, counts: Counts, due: Due) -> Events:
    """The records sent in an epoch, in the order of sending, each event with its sequence number (from 1)."""
    before = np.zeros(stream.accounts, np.int64)
    before[counts.accounts] = due.before
    whole = joined([made.put(seq=made.seq + before[made.account] + 1), due.arriving])
    within = whole.emitted - stream.begins(epoch)
    order = np.sort(within << (INDEX_BITS + 2) | np.arange(len(whole))) & ((1 << (INDEX_BITS + 2)) - 1)
    return whole.take(order)


class Chain:
    """What goes from epoch to epoch: how many events each account has had, and what is still to be sent. Epochs pass through it in their order."""

    def __init__(self, stream: Stream, begin: int = 0, had: I64 | None = None, later: Sequence[tuple[int, Events]] = ()) -> None:
        self._stream = stream
        self.had = np.zeros(stream.accounts, np.int64) if had is None else had
        self._later: dict[int, list[Events]] = {}
        for epoch, some in later:
            self._later.setdefault(epoch, []).append(some)
        self.next = begin

    @property
    def later(self) -> list[tuple[int, Events]]:
        """What is still to be sent, with the epoch in which it will be."""
        return [(epoch, some) for epoch, parts in self._later.items() for some in parts]

    def copy(self) -> "Chain":
        """The chain as it stands now."""
        return Chain(self._stream, self.next, self.had.copy(), self.later)

    def advance(self, counts: Counts) -> Due:
        """Take an epoch in, and say what it needs to be finished."""
        assert counts.epoch == self.next, f"epoch {counts.epoch} instead of {self.next}"
        before = self.had[counts.accounts]
        arriving = self._later.pop(counts.epoch, [])
        if len(later := counts.later):
            had = self.had[later.account]
            later = later.put(seq=later.seq + had + 1)
            at = (later.emitted - self._stream.start * 1000) // self._stream.epoch_ms
            if self._stream.duration:  # what is late at the end comes in one last epoch
                at = np.minimum(at, self._stream.duration)
            order = np.argsort(at, kind="stable")
            edges = np.flatnonzero(np.diff(at[order], prepend=-1))
            for low, high in zip(edges, [*edges[1:], len(order)], strict=True):
                self._later.setdefault(int(at[order[low]]), []).append(later.take(order[low:high]))
        self.had[counts.accounts] += counts.numbers
        self.next += 1
        return Due(before, joined(arriving) if arriving else events(0))
