"""Fraud with its ground truth: card testing, account takeover, chains of mules. Made in blocks of event time, each a function of the seed and its number.

The victims, mules and shops are ordinary participants, and amounts are of an ordinary size for what happens: nothing but behaviour tells them apart.
"""

from functools import lru_cache

import numpy as np

from simulator.arrays import I64, Purpose, mixed, philox
from simulator.catalogue import COUNTRY_CURRENCY
from simulator.events import NOBODY, Channel, Events, Kind, Pattern, Reason, events, joined
from simulator.money import convert
from simulator.population import Population, population
from simulator.stream import Stream

BLOCK_MS = 600_000  # about; a block is a whole number of epochs
_EVENTS = {Pattern.CARD_TESTING: 40.0, Pattern.ACCOUNT_TAKEOVER: 7.0, Pattern.MULE_CHAIN: 6.0}  # of one campaign, about
_EUR = np.zeros(1, np.int64)


def _block_epochs(stream: Stream) -> int:
    return max(1, BLOCK_MS // stream.epoch_ms)


def fraud(stream: Stream, people: Population, epoch: int) -> Events | None:
    """The fraudulent events of an epoch, with their times and labels."""
    if not stream.fraud or stream.over(epoch):
        return None
    begin, end = stream.begins(epoch), stream.begins(epoch + 1)
    block, parts = epoch // _block_epochs(stream), []
    for made in (_block(stream, block - 1), _block(stream, block)):  # a campaign may reach into the next block, also into the first one
        low, high = np.searchsorted(made.ts, [begin, end])
        parts.append(made.take(np.arange(low, high)))
    return joined(parts)


@lru_cache(maxsize=3)
def _block(stream: Stream, block: int) -> Events:
    """All campaigns that begin within a block, by time."""
    people = population(stream.seed, stream.accounts)
    epochs = _block_epochs(stream)
    first, last = block * epochs, (block + 1) * epochs
    begin, length = stream.begins(first), epochs * stream.epoch_ms
    mean = stream.fraud * sum(stream.expected(first) + stream.expected(last)) / 4 * length / 1000
    rng = np.random.Generator(philox(stream.seed, Purpose.FRAUD, block))
    parts = []
    for pattern, make in ((Pattern.CARD_TESTING, _card_testing), (Pattern.ACCOUNT_TAKEOVER, _takeover), (Pattern.MULE_CHAIN, _mules)):
        campaigns = int(rng.poisson(mean / 3 / _EVENTS[pattern]))
        if campaigns:
            made = make(people, rng, campaigns)
            spread = rng.integers(0, length, campaigns)
            number = mixed((np.int64(block) << 24 | int(pattern) << 20 | made.campaign.astype(np.int64)).astype(np.uint64), stream.seed + 1)
            within = np.minimum(made.ts, length - 1)
            parts.append(made.put(ts=begin + spread[made.campaign.astype(np.int64)] + within, campaign=number, pattern=np.full(len(made), int(pattern))))
    if not parts:
        return events(0)
    whole = joined(parts)
    return whole.take(np.lexsort((whole.account, whole.campaign, whole.ts)))


def _card_testing(people: Population, rng: np.random.Generator, campaigns: int) -> Events:
    """One device tries many stolen cards with small amounts at one online shop; what works is used once for a larger payment elsewhere."""
    tries = rng.integers(20, 61, campaigns)
    of = np.repeat(np.arange(campaigns), tries)
    account = people.payers.holder[rng.integers(0, len(people.payers.holder), len(of))].astype(np.int64)
    shop = rng.integers(0, people.merchants, campaigns)[of]
    device = _strange_devices(people, rng, campaigns)[of]
    passed = rng.random(len(of)) < 0.35
    cents = rng.integers(50, 300, len(of))
    reason = np.where(passed, 0, rng.choice([Reason.DO_NOT_HONOR, Reason.EXPIRED_CARD, Reason.SUSPECTED_FRAUD], len(of)))
    ts = rng.integers(0, 150_000, len(of))
    used = np.flatnonzero(passed & (rng.random(len(of)) < 0.25))
    return joined([
        _online(people, of, account, shop, device, cents, ts, reason),
        _online(people, of[used], account[used], rng.integers(0, people.merchants, len(used)), device[used], rng.integers(9_000, 60_000, len(used)),
                ts[used] + rng.integers(5_000, 45_000, len(used)), np.zeros(len(used), np.int64)),
    ])  # fmt: skip


def _takeover(people: Population, rng: np.random.Generator, campaigns: int) -> Events:
    """A new device on somebody's account: large payments at shops anywhere, in quick succession, until they are declined."""
    tries = rng.integers(4, 11, campaigns)
    of = np.repeat(np.arange(campaigns), tries)
    nth = np.arange(len(of)) - np.repeat(np.cumsum(tries) - tries, tries)
    account = people.payers.holder[rng.integers(0, len(people.payers.holder), campaigns)].astype(np.int64)[of]
    device = _strange_devices(people, rng, campaigns)[of]
    ts = nth * rng.integers(8_000, 18_000, campaigns)[of]
    declined = (nth >= tries[of] - 2) & (rng.random(len(of)) < 0.7)
    reason = np.where(declined, rng.choice([Reason.LIMIT_EXCEEDED, Reason.SUSPECTED_FRAUD], len(of)), 0)
    return _online(people, of, account, rng.integers(0, people.merchants, len(of)), device, rng.integers(8_000, 190_000, len(of)), ts, reason)


def _mules(people: Population, rng: np.random.Generator, campaigns: int) -> Events:
    """Money leaves a victim and is passed on within minutes, each mule keeping a part, until it is taken out as cash."""
    hops = rng.integers(2, 5, campaigns)
    longest = int(hops.max())
    first = people.payers.holder[rng.integers(0, len(people.payers.holder), campaigns)].astype(np.int64)
    country = people.country[first]
    low = np.searchsorted(people.country, country)
    size = np.searchsorted(people.country, country, side="right") - low
    # The way leads through the accounts of one country; an odd step keeps neighbours on it apart.
    chain = low[:, None] + (first[:, None] - low[:, None] + np.arange(longest + 2)[None, :] * (1 + rng.integers(0, 997, campaigns)[:, None])) % size[:, None]
    amount = convert(rng.integers(80_000, 900_000, campaigns), _EUR, people.currency[first])
    at = rng.integers(0, 20_000, campaigns)
    found = []
    for hop in range(longest + 1):
        rows = np.flatnonzero((hop <= hops) & ((chain[:, hop] != chain[:, hop + 1]) | (hop == hops)))
        cash = hop == hops[rows]
        payer, currency = chain[rows, hop], people.currency[first[rows]]
        found.append(events(len(rows), account=payer, ts=at[rows], kind=np.where(cash, Kind.WITHDRAWAL, Kind.TRANSFER), amount=amount[rows],
                            billed=amount[rows], currency=currency, channel=np.where(cash, Channel.ATM, Channel.APP),
                            other=np.where(cash, people.cash, chain[rows, hop + 1]), card=np.where(cash, people.card[payer], NOBODY),
                            device=np.where(cash, NOBODY, people.device[payer]), campaign=rows.astype(np.uint64)))  # fmt: skip
        amount = np.maximum(amount * rng.integers(88, 97, campaigns) // 100, 1)
        at = at + rng.integers(5_000, 40_000, campaigns)
    return joined(found)


def _strange_devices(people: Population, rng: np.random.Generator, count: int) -> I64:
    """Devices that belong to somebody else: their numbers look like any other."""
    return rng.integers(0, people.devices, count)


def _online(people: Population, of: I64, account: I64, shop: I64, device: I64, cents: I64, ts: I64, reason: I64) -> Events:
    """Purchases on the net."""
    own, currency = people.currency[account], COUNTRY_CURRENCY[people.shop_country[shop]]
    amount = convert(cents, _EUR, currency)
    billed = np.where(own == currency, amount, convert(amount, currency, own))
    fee = np.where(reason == 0, amount * 12 // 1000, 0)
    return events(len(of), account=account, ts=ts, kind=Kind.PURCHASE, reason=reason.astype(np.int64), channel=Channel.ONLINE, amount=amount, currency=currency,
                  billed=billed, fee=fee, other=shop + people.accounts, card=people.card[account], device=device, campaign=of.astype(np.uint64))  # fmt: skip
