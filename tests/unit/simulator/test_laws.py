"""What holds for every stream."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.epoch import Chain, finish, make, ranks
from simulator.events import DAMAGED, DUPLICATE, Kind
from simulator.ledger import postings
from simulator.ndjson import lines, values
from simulator.stream import Stream

from .streams import SMALL, all_of, by_account, epochs_of, people_of, same, small_streams, true_events

few = settings(max_examples=25)


@few
@given(small_streams())
def test_sequence_numbers_have_no_gap_and_follow_event_time(stream: Stream) -> None:
    events = true_events(all_of(stream))
    for seqs in by_account(events).values():
        assert sorted(seqs) == list(range(1, len(seqs) + 1))
    order = np.lexsort((events.seq, events.account))
    same_account = np.diff(events.account[order]) == 0
    assert (np.diff(events.ts[order])[same_account] >= 0).all()


@few
@given(small_streams())
def test_every_event_adds_up_to_zero_in_each_currency(stream: Stream) -> None:
    events = true_events(all_of(stream))
    posted = postings(people_of(stream), events)
    of = np.repeat(np.arange(len(events)), np.diff(posted.offsets))
    sums: Counter[tuple[int, int]] = Counter()
    accounts: dict[int, set[int]] = {}
    for n, who, amount, currency in zip(of.tolist(), posted.account.tolist(), posted.amount.tolist(), posted.currency.tolist(), strict=True):
        sums[n, currency] += amount
        accounts.setdefault(n, set()).add(who)
    assert not any(sums.values())
    assert all(len(a) >= 2 for a in accounts.values())
    assert len(accounts) == len(events)


@few
@given(small_streams())
def test_money_moves_as_the_event_says(stream: Stream) -> None:
    people, events = people_of(stream), true_events(all_of(stream))
    posted = postings(people, events)
    customer = posted.amount[posted.offsets[:-1]]
    gains = np.isin(events.kind, (Kind.REFUND, Kind.CHARGEBACK, Kind.SALARY))
    assert (posted.account[posted.offsets[:-1]] == events.account).all()
    assert (posted.currency[posted.offsets[:-1]] == people.currency[events.account]).all()
    assert (customer == np.where(events.reason > 0, 0, np.where(gains, events.billed, -events.billed))).all()
    assert (events.amount > 0).all()
    assert (events.billed > 0).all()


@few
@given(small_streams())
def test_ids_are_unique_and_extra_records_copy_an_event(stream: Stream) -> None:
    records = all_of(stream)
    events = true_events(records)
    assert len(np.unique(events.id)) == len(events)
    place = {i: n for n, i in enumerate(events.id.tolist())}
    for extra in (DUPLICATE, DAMAGED):
        copies = records.take(np.flatnonzero(records.extra == extra))
        origin = events.take(np.array([place[i] for i in copies.id.tolist()], np.int64))
        assert same(copies.put(extra=origin.extra, emitted=origin.emitted), origin)
        assert (copies.emitted > origin.emitted).all()


@few
@given(small_streams())
def test_records_are_sent_in_the_order_of_their_time_of_sending(stream: Stream) -> None:
    for epoch, records in enumerate(epochs_of(stream)):
        assert (np.diff(records.emitted) >= 0).all()
        assert (records.emitted >= stream.begins(epoch)).all()
        assert (records.emitted >= records.ts).all()
        if epoch < stream.duration:
            assert (records.emitted < stream.begins(epoch + 1)).all()


@few
@given(small_streams(), st.data())
def test_an_epoch_depends_on_nothing_but_its_number_and_the_chain(stream: Stream, data: st.DataObject) -> None:
    """Made backwards, in whatever process: only the chain goes forward."""
    made = {e: make(stream, e) for e in reversed(range(stream.duration + 1))}
    again = data.draw(st.integers(0, stream.duration))
    assert same(make(stream, again)[0], made[again][0])
    chain = Chain(stream)
    for epoch, whole in enumerate(epochs_of(stream)):
        assert same(finish(stream, epoch, *made[epoch], chain.advance(made[epoch][1])), whole)


@few
@given(small_streams())
def test_what_is_given_back_was_paid_before_and_only_once(stream: Stream) -> None:
    # Minutes pass in each epoch, so that there are returns.
    stream = replace(stream, epoch_ms=60_000, rate=min(stream.rate, 20), duration=8)
    events = true_events(all_of(stream))
    place = {i: n for n, i in enumerate(events.id.tolist())}
    back = events.take(np.flatnonzero(events.ref != 0))
    assert set(back.kind.tolist()) <= {Kind.REFUND, Kind.CHARGEBACK}
    assert set(events.kind[events.ref == 0].tolist()).isdisjoint({Kind.REFUND, Kind.CHARGEBACK})
    assert len(np.unique(back.ref)) == len(back)
    origin = events.take(np.array([place[i] for i in back.ref.tolist()], np.int64))
    assert (origin.kind == Kind.PURCHASE).all()
    assert (origin.reason == 0).all()
    assert (origin.ts < back.ts).all()
    for name in ("account", "other", "currency", "card"):
        assert np.array_equal(getattr(origin, name), getattr(back, name)), name
    assert (back.amount <= origin.amount).all()
    assert (back.amount[back.kind == Kind.CHARGEBACK] == origin.amount[back.kind == Kind.CHARGEBACK]).all()


def test_there_are_returns_in_a_long_enough_stream() -> None:
    events = true_events(all_of(replace(SMALL, epoch_ms=60_000, rate=60, duration=8)))
    assert {Kind.REFUND, Kind.CHARGEBACK} <= set(events.kind.tolist())


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=60))
def test_ranks_count_by_time_and_then_by_place(rows: list[tuple[int, int]]) -> None:
    account, ts = (np.array([r[n] for r in rows], np.int64) for n in (0, 1))
    accounts, numbers, rank = ranks(account, ts)
    assert dict(zip(accounts.tolist(), numbers.tolist(), strict=True)) == Counter(account.tolist())
    for n, (a, t) in enumerate(rows):
        assert rank[n] == sum(1 for m, (b, u) in enumerate(rows) if b == a and (u, m) < (t, n))


def test_another_seed_makes_another_stream() -> None:
    def text(stream: Stream) -> bytes:
        return lines(values(stream.seed, people_of(stream), all_of(stream)))

    assert text(SMALL) == text(replace(SMALL))
    assert text(SMALL) != text(replace(SMALL, seed=8))


def test_a_longer_stream_begins_with_the_shorter_one() -> None:
    assert all(same(a, b) for a, b in zip(epochs_of(SMALL)[:-1], epochs_of(replace(SMALL, duration=20)), strict=False))


@pytest.mark.parametrize("share", ["late", "duplicates", "malformed", "fraud"])
def test_what_is_switched_off_is_not_there(share: str) -> None:
    records = all_of(replace(SMALL, **{share: 0.0}))
    found = {"late": records.ts[records.extra == 0] + 5000 < records.emitted[records.extra == 0], "duplicates": records.extra == DUPLICATE,
             "malformed": records.extra == DAMAGED, "fraud": records.pattern > 0}  # fmt: skip
    assert not found[share].any()
    assert all(f.any() for n, f in found.items() if n != share)
