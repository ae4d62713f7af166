"""What customers begin: purchases, transfers, withdrawals. Each row depends on its own random words only, so any prefix of an epoch can be made alone."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from simulator.arrays import I64, U64, Purpose, bits, mixed, philox, scaled, words
from simulator.catalogue import CASH, COUNTRY_CURRENCY, ONLINE, TRANSFER, amounts
from simulator.events import NOBODY, Channel, Events, Kind, Reason, events
from simulator.money import convert
from simulator.population import FIFTEENTH, FIRST, FRIDAY, TWENTY_FIFTH, Population
from simulator.stream import Stream

INDEX_BITS = 24  # of an event's number; the epoch stands above
_DECLINED = 1400  # of 65536, whatever the account holds
_REASONS = np.array([Reason.DO_NOT_HONOR] * 7 + [Reason.EXPIRED_CARD] * 3 + [Reason.LIMIT_EXCEEDED] * 4 + [Reason.SUSPECTED_FRAUD] * 2, np.int64)
_FEES = 12  # per mille of a purchase


def identity(stream: Stream, epoch: int | I64, index: I64) -> U64:
    """Ids: unique, and telling nothing of when or how the event was made."""
    return mixed((np.asarray(epoch, np.int64) << INDEX_BITS | index).astype(np.uint64), stream.seed)


def count(stream: Stream, epoch: int) -> int:
    """How many payments an epoch has: a Poisson number around the integral of the intensity."""
    if epoch < 0 or stream.over(epoch):
        return 0
    mean = sum(stream.expected(epoch)) / 2 * stream.epoch_ms / 1000
    return int(np.random.Generator(philox(stream.seed, Purpose.COUNT, epoch)).poisson(mean))


def insolvency(stream: Stream, epoch: int) -> list[int]:
    """For each rule of pay, of 65536: how often money is short. It grows from pay day to pay day."""
    day = datetime.fromtimestamp(stream.begins(epoch) / 1000, UTC)
    since = {FIRST: day.day - 1, FIFTEENTH: (day.day - 15) % 30, TWENTY_FIFTH: (day.day - 25) % 30, FRIDAY: (day.weekday() - 4) % 7 * 3}
    return [900, *(100 + 70 * since[rule] for rule in (FIRST, FIFTEENTH, TWENTY_FIFTH, FRIDAY))]


@dataclass(frozen=True)
class Drawn:
    """The random words of some payments, and which payments they are."""

    epoch: I64
    index: I64
    a: U64
    b: U64
    c: U64


def drawn(stream: Stream, epoch: int, low: int, high: int) -> Drawn:
    """The payments low … high-1 of an epoch."""
    a, b, c = (words(stream.seed, Purpose.PAYMENT, epoch, part, high)[low:] for part in range(3))
    return Drawn(np.full(high - low, epoch, np.int64), np.arange(low, high), a, b, c)


def payments(stream: Stream, people: Population, given: Drawn, short: I64) -> Events:
    """The payments of these words. `short` holds the five thresholds of `insolvency`, for each row (n × 5 is flattened) or for all."""
    a, b, c = given.a, given.b, given.c
    account = people.payers.draw(bits(a, 0, 32), 32)
    home = people.country[account]
    abroad = bits(a, 56, 8) < 15
    field = bits(b, 0, 32)
    shop = people.shops.draw_in(home, field, 32)
    rows = np.flatnonzero(abroad)
    shop[rows] = people.shops.draw(field[rows], 32)
    category = people.category[shop]
    own = people.currency[account]
    currency = COUNTRY_CURRENCY[people.shop_country[shop]]
    channel = (bits(c, 40, 8) < ONLINE[category]).astype(np.int64)  # Channel.POS or Channel.ONLINE
    kind_bits = bits(a, 32, 8)
    kind = np.zeros(len(a), np.int64)
    other = shop + people.accounts
    row = category
    choice = bits(c, 32, 8)
    card = people.card[account] + scaled(choice, 8, people.cards[account])
    device = np.where(channel == Channel.ONLINE, people.device[account] + scaled(choice, 8, people.device_count[account]), NOBODY)

    moved = np.flatnonzero((kind_bits >= 222) & (kind_bits < 245))
    payee = people.payers.draw_in(home[moved], field[moved], 32)
    # Nobody pays himself: then it is the neighbour of the same country, or of the neighbouring one when the country has one account.
    payee = np.where(payee == account[moved], np.where(payee > 0, payee - 1, 1), payee)
    kind[moved], channel[moved], other[moved], card[moved], row[moved] = Kind.TRANSFER, Channel.APP, payee, NOBODY, TRANSFER
    device[moved] = people.device[account[moved]]
    currency[moved] = people.currency[payee]

    taken = np.flatnonzero(kind_bits >= 245)
    kind[taken], channel[taken], other[taken], row[taken], device[taken] = Kind.WITHDRAWAL, Channel.ATM, people.cash, CASH, NOBODY
    currency[taken] = own[taken]

    euros = amounts(row, bits(b, 32, 32))
    euros[taken] = (euros[taken] + 999) // 1000 * 1000
    amount = convert(euros, np.zeros(1, np.int64), currency)
    billed = amount.copy()
    rows = np.flatnonzero(currency != own)
    billed[rows] = convert(amount[rows], currency[rows], own[rows])

    doubt = bits(a, 40, 16)
    threshold = short[people.pay_rule[account]] if short.ndim == 1 else short[np.arange(len(a)), people.pay_rule[account]]
    reason = np.zeros(len(a), np.int64)
    rows = np.flatnonzero(doubt < threshold + _DECLINED)
    reason[rows] = np.where(doubt[rows] < threshold[rows], Reason.INSUFFICIENT_FUNDS, _REASONS[bits(c[rows], 48, 4)])
    fee = np.where((kind == Kind.PURCHASE) & (reason == 0), amount * _FEES // 1000, 0)
    return events(len(a), id=identity(stream, given.epoch, given.index), account=account, kind=kind, reason=reason, channel=channel, amount=amount,
                  currency=currency, billed=billed, fee=fee, other=other, card=card, device=device)  # fmt: skip


def instants(stream: Stream, epoch: int, word: U64) -> I64:
    """Event times within an epoch: the intensity there is a straight line, and its integral is inverted."""
    u = (word & np.uint64(0xFFFFFFFF)).astype(np.float64) / 2**32
    low, high = stream.expected(epoch)
    if abs(high - low) > 1e-9 * (high + low):
        u = (np.sqrt(low * low + u * (high * high - low * low)) - low) / (high - low)
    return stream.begins(epoch) + np.minimum((u * stream.epoch_ms).astype(np.int64), stream.epoch_ms - 1)
