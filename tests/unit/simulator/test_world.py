"""The world is plausible: times, amounts, pay days, borders, declines, fraud."""

from datetime import UTC, datetime
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.arrays import Purpose, mixed, words
from simulator.catalogue import CATEGORIES, COUNTRY_CURRENCY, amounts, intensity
from simulator.errors import SimulatorError
from simulator.events import Channel, Events, Kind, Pattern, Reason, joined
from simulator.money import CURRENCIES, LARGEST, convert
from simulator.payments import count, insolvency
from simulator.population import NO_PAY, population
from simulator.salaries import salaries
from simulator.stream import Stream, moment

from .streams import all_of, replace, true_events

BUSY = Stream(seed=3, rate=20_000, duration=3, accounts=20_000, fraud=0.02)
EVENTS = true_events(all_of(BUSY))
PEOPLE = population(BUSY.seed, BUSY.accounts)
DAY = 86_400


def only(**wanted: int) -> Events:
    rows = np.ones(len(EVENTS), bool)
    for name, value in wanted.items():
        rows &= getattr(EVENTS, name) == value
    return EVENTS.take(np.flatnonzero(rows))


# Random numbers and money


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**40), st.integers(0, 50), st.integers(0, 50))
def test_a_longer_run_of_words_begins_with_the_shorter_one(seed: int, place: int, a: int, b: int) -> None:
    low, high = sorted((a, b))
    assert np.array_equal(words(seed, Purpose.PAYMENT, place, 0, high)[:low], words(seed, Purpose.PAYMENT, place, 0, low))


def test_places_purposes_and_seeds_have_words_of_their_own() -> None:
    names = [(s, p, n, k) for s in (0, 1) for p in Purpose for n in (0, 1, 2) for k in (0, 1)]
    found = np.concatenate([words(*name, 100) for name in names])
    assert len(np.unique(found)) == len(found)


@given(st.integers(0, 2**64 - 1))
def test_ids_are_a_one_to_one_map(seed: int) -> None:
    numbers = np.arange(10_000, dtype=np.uint64)
    assert len(np.unique(mixed(numbers, seed))) == len(numbers)


@given(st.integers(1, LARGEST), st.sampled_from(range(len(CURRENCIES))), st.sampled_from(range(len(CURRENCIES))))
def test_conversion_is_right_to_a_unit_or_a_hundred_thousandth(amount: int, source: int, target: int) -> None:
    a, b = CURRENCIES[source], CURRENCIES[target]
    exact = Fraction(amount) * Fraction(b.per_euro) * 10**b.digits / (Fraction(a.per_euro) * 10**a.digits)
    found = int(convert(np.array([amount]), np.array([source]), np.array([target]))[0])
    assert found >= 1
    assert abs(found - exact) <= max(1, exact / 50_000)


@pytest.mark.parametrize(("cents", "currency", "units"), [(1000, "EUR", 1000), (1000, "JPY", 1620), (1000, "KRW", 14_800), (1000, "KWD", 3300), (1, "JPY", 2)])
def test_minor_units_of_currencies_without_cents_and_with_three_digits(cents: int, currency: str, units: int) -> None:
    target = [c.code for c in CURRENCIES].index(currency)
    assert convert(np.array([cents]), np.array([0]), np.array([target])).tolist() == [units]


# Time


def test_the_week_has_its_cycles_and_a_mean_of_one() -> None:
    monday = datetime(2026, 5, 4, tzinfo=UTC).timestamp()
    hours = [intensity(monday + 3600 * h) for h in range(168)]
    assert np.mean(hours) == pytest.approx(1)
    assert hours[17] > 5 * hours[3]  # Monday, 17:00 and 03:00
    assert hours[5 * 24 + 17] > 1.3 * hours[17]  # Saturday


def test_payments_are_a_poisson_process_of_the_declared_intensity() -> None:
    """The numbers of an hour's epochs, scaled by what is expected: mean and variance of a Poisson distribution."""
    stream = Stream(seed=11, rate=50)
    numbers = np.array([count(stream, e) for e in range(3600)])
    expected = np.array([sum(stream.expected(e)) / 2 for e in range(3600)])
    assert numbers.sum() == pytest.approx(expected.sum(), abs=5 * np.sqrt(expected.sum()))
    scaled = (numbers - expected) / np.sqrt(expected)
    assert scaled.var() == pytest.approx(1, abs=5 * np.sqrt(2 / 3600))
    assert abs(np.corrcoef(scaled[1:], scaled[:-1])[0, 1]) < 5 / 60  # epochs know nothing of each other


def test_times_within_an_epoch_follow_the_intensity() -> None:
    """One long epoch in the morning: the second half has as many more as the line says."""
    stream = Stream(seed=2, rate=5000, epoch_ms=240_000, start=moment("2026-05-04T06:00:00"), duration=1, late=0, accounts=1000)
    given_ = true_events(all_of(replace(stream, fraud=0.0)))
    low, high = stream.expected(0)
    share = float((given_.ts >= stream.begins(0) + 120_000).mean())
    assert share == pytest.approx((low + 3 * high) / (4 * (low + high)), abs=4 * 0.5 / np.sqrt(len(given_)))


# Amounts and places


def test_amounts_have_their_median_and_a_heavy_tail() -> None:
    luck = words(1, Purpose.SIDE, 0, 0, 400_000) >> np.uint64(32)
    for row, category in enumerate(CATEGORIES):
        found = amounts(np.full(len(luck), row), luck.astype(np.int64))
        assert np.median(found) == pytest.approx(category.median, rel=0.03)
        top = np.sort(found)[::-1]
        # Pareto: the highest of 10 times as many are 10 ** (1 / 1.6) = 4.2 times as high.
        assert 3.0 < top[40] / top[400] < 6.0
        assert (found > 0).all()


def test_cross_border_payments_are_a_part_and_are_billed_at_home() -> None:
    bought = only(kind=Kind.PURCHASE, pattern=Pattern.NONE)
    abroad = PEOPLE.shop_country[bought.other - PEOPLE.accounts] != PEOPLE.country[bought.account]
    assert 0.02 < abroad.mean() < 0.08
    assert np.array_equal(bought.currency, COUNTRY_CURRENCY[PEOPLE.shop_country[bought.other - PEOPLE.accounts]])
    same = bought.currency == PEOPLE.currency[bought.account]
    assert np.array_equal(bought.amount[same], bought.billed[same])
    assert (~same).any()


def test_cards_and_devices_belong_to_the_account() -> None:
    paid = only(pattern=Pattern.NONE)
    card, device = paid.card >= 0, (paid.device >= 0)
    offset = paid.card[card] - PEOPLE.card[paid.account[card]]
    assert ((offset >= 0) & (offset < PEOPLE.cards[paid.account[card]])).all()
    offset = paid.device[device] - PEOPLE.device[paid.account[device]]
    assert ((offset >= 0) & (offset < PEOPLE.device_count[paid.account[device]])).all()
    assert np.array_equal(paid.channel[device] == Channel.POS, np.zeros(device.sum(), bool))
    transfers = only(kind=Kind.TRANSFER)
    assert (transfers.other != transfers.account).all()
    assert (transfers.other < PEOPLE.accounts).all()


def test_declines_are_few_and_have_reasons() -> None:
    begun = EVENTS.take(np.flatnonzero((EVENTS.kind != Kind.SALARY) & (EVENTS.pattern == 0)))
    assert 0.02 < (begun.reason > 0).mean() < 0.1
    assert set(begun.reason.tolist()) == {int(r) for r in Reason}
    assert (EVENTS.fee[EVENTS.reason > 0] == 0).all()


def test_money_is_short_before_pay_day() -> None:
    stream = Stream(start=moment("2026-06-01"), epoch_ms=240_000)
    first = [insolvency(stream, d * 360)[1] for d in range(30)]
    assert first == sorted(first)
    assert first[-1] > 5 * first[0]


def test_activity_is_uneven() -> None:
    numbers = np.sort(np.bincount(EVENTS.account, minlength=PEOPLE.accounts))[::-1]
    assert numbers[: PEOPLE.accounts // 10].sum() > 0.25 * numbers.sum()


def test_each_salary_comes_once_on_its_day() -> None:
    stream = Stream(seed=3, start=moment("2026-04-30T00:00:00"), epoch_ms=240_000, accounts=2000)
    people = population(stream.seed, stream.accounts)
    paid = joined([s for e in range(3 * 360) if (s := salaries(stream, people, e)) is not None])  # Thursday 30th, Friday 1st, Saturday
    assert len(np.unique(paid.account)) == len(paid) > 0
    assert set(paid.account.tolist()) == set(np.flatnonzero(np.isin(people.pay_rule, (1, 4))).tolist())
    assert {datetime.fromtimestamp(t / 1000, UTC).date().isoformat() for t in paid.ts.tolist()} == {"2026-05-01"}
    assert (people.pay_rule == NO_PAY).any()


# Fraud


def test_card_testing_is_one_device_at_one_shop_with_many_cards() -> None:
    tests = only(pattern=Pattern.CARD_TESTING)
    assert len(tests) > 50
    for campaign in np.unique(tests.campaign):
        mine = tests.take(np.flatnonzero(tests.campaign == campaign))
        assert len(np.unique(mine.device)) == 1
        small = mine.take(np.flatnonzero(convert(mine.amount, mine.currency, np.zeros(1, np.int64)) <= 302))
        assert len(np.unique(small.other)) <= 1


def test_a_takeover_is_a_strange_device_and_a_chain_passes_money_on() -> None:
    stream = Stream(seed=4, rate=200, epoch_ms=60_000, duration=10, accounts=5000, fraud=0.05)
    people, events = population(4, 5000), true_events(all_of(stream))
    taken = events.take(np.flatnonzero(events.pattern == Pattern.ACCOUNT_TAKEOVER))
    for campaign in np.unique(taken.campaign):
        mine = taken.take(np.flatnonzero(taken.campaign == campaign))
        assert len(np.unique(mine.account)) == len(np.unique(mine.device)) == 1
    moved = events.take(np.flatnonzero(events.pattern == Pattern.MULE_CHAIN))
    chains = 0
    for campaign in np.unique(moved.campaign):
        mine = moved.take(np.flatnonzero(moved.campaign == campaign))
        mine = mine.take(np.argsort(mine.ts, kind="stable"))
        if len(mine) >= 3 and mine.kind[-1] == Kind.WITHDRAWAL:
            chains += int(np.array_equal(mine.other[:-1], mine.account[1:]) and (np.diff(mine.amount) < 0).all())
            assert people.cash == mine.other[-1]
    assert chains > 0.8 * len(np.unique(moved.campaign)) > 5


def test_fraud_has_about_its_share() -> None:
    stream = Stream(seed=4, rate=300, epoch_ms=60_000, duration=10, accounts=5000, fraud=0.02)
    events = true_events(all_of(stream))
    assert float((events.pattern > 0).mean()) == pytest.approx(0.02, rel=0.35)


# What is refused


@pytest.mark.parametrize(("options", "cause"), [
    ({"rate": 0}, "--rate 0: an epoch holds at most"), ({"rate": float("nan")}, "--rate nan"), ({"rate": 1e9}, "at most 2,097,152 events"),
    ({"late": 1.5}, "--late 1.5: a share lies between"), ({"accounts": 5}, "--accounts 5: there can be 100"), ({"epoch_ms": 0}, "--epoch 0.0: an epoch lasts"),
])  # fmt: skip
def test_streams_that_cannot_be_are_refused(options: dict[str, float], cause: str) -> None:
    with pytest.raises(SimulatorError, match=f"Unable to use .*{cause}"):
        Stream(**options)  # type: ignore[arg-type]


def test_a_time_that_is_none_is_refused() -> None:
    assert moment("2026-05-01T09:00:00") == moment("2026-05-01T11:00:00+02:00") == Stream().start
    with pytest.raises(SimulatorError, match="Unable to use --start tomorrow: it is no ISO 8601 time"):
        moment("tomorrow")
