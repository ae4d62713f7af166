"""Refunds and chargebacks: each gives back a payment of an earlier epoch, which is made again from its random words, not remembered."""

import numpy as np

from simulator.arrays import Purpose, bits, philox, words
from simulator.events import NOBODY, Channel, Events, Kind
from simulator.money import convert
from simulator.payments import Drawn, count, drawn, insolvency, payments
from simulator.population import Population
from simulator.stream import Stream

_MINUTE, _DAY = 60_000, 86_400_000
# How long after the payment, and the share of payments that come back then. A return's moment within its epoch is its own.
_RETURNS = (
    (Kind.REFUND, 1 * _MINUTE, 0.002), (Kind.REFUND, 60 * _MINUTE, 0.003), (Kind.REFUND, 2 * _DAY, 0.009), (Kind.REFUND, 9 * _DAY, 0.008),
    (Kind.CHARGEBACK, 5 * _MINUTE, 0.0002), (Kind.CHARGEBACK, 1 * _DAY, 0.0004), (Kind.CHARGEBACK, 12 * _DAY, 0.0008), (Kind.CHARGEBACK, 35 * _DAY, 0.0008),
)  # fmt: skip
_CHARGEBACK_FEE = 1500  # euro cents, paid by the merchant
_EUR = np.zeros(1, np.int64)


def donors(stream: Stream, epoch: int) -> list[tuple[Kind, Drawn]]:
    """Which payments come back in an epoch: of every earlier epoch the first few are given back at one time, the next few at another.

    The number of a payment says nothing about it, so the first few are as good as any; and no payment is given back twice.
    """
    found, share = [], 0.0
    for kind, after, part in _RETURNS:
        low, share = share, share + part
        source = epoch - max(1, after // stream.epoch_ms)
        if source < 0:
            continue
        number = count(stream, source)
        # Rounded at random but alike at both ends, so that slow streams have returns too.
        luck = float(np.random.Generator(philox(stream.seed, Purpose.COUNT, source, 1)).random())
        first, last = int(number * low + luck), min(int(number * share + luck), number)
        if last > first:
            found.append((kind, drawn(stream, source, first, last)))
    return found


def returns(stream: Stream, people: Population, epoch: int) -> Events | None:
    """The refunds and chargebacks of an epoch, without times."""
    found = donors(stream, epoch)
    if not found:
        return None
    sizes = [len(d.a) for _, d in found]
    given = Drawn(*(np.concatenate([getattr(d, name) for _, d in found]) for name in ("epoch", "index", "a", "b", "c")))
    short = np.repeat(np.array([insolvency(stream, int(d.epoch[0])) for _, d in found], np.int64), sizes, axis=0)
    origin = payments(stream, people, given, short)
    kind = np.repeat([int(k) for k, _ in found], sizes)
    good = np.flatnonzero((origin.kind == Kind.PURCHASE) & (origin.reason == 0))
    origin, kind = origin.take(good), kind[good]
    luck = words(stream.seed, Purpose.RETURNS, epoch, 0, len(good))
    part = np.where((kind == Kind.REFUND) & (bits(luck, 0, 8) < 50), (origin.amount + 1) // 2, origin.amount)
    own, currency = people.currency[origin.account], origin.currency
    billed = np.where(own == currency, part, convert(part, currency, own))
    fee = np.where(kind == Kind.CHARGEBACK, convert(np.full(len(good), _CHARGEBACK_FEE), _EUR, currency), 0)
    return origin.put(kind=kind, amount=part, billed=billed, fee=fee, ref=origin.id,
                      channel=np.full(len(good), Channel.BANK), device=np.full(len(good), NOBODY), id=np.zeros(len(good), np.uint64))  # fmt: skip
