"""Double entry: what each event posts to whom. For every event, and in each currency, the postings add up to zero."""

from dataclasses import dataclass

import numpy as np

from simulator.arrays import I64
from simulator.events import Events, Kind
from simulator.population import Population


@dataclass(frozen=True)
class Postings:
    """The postings of many events, one after another: those of event i stand at offsets[i] … offsets[i+1]-1."""

    offsets: I64
    account: I64  # codes of the ledger
    amount: I64  # minor units, signed: what the account gains
    currency: I64


def postings(people: Population, given: Events) -> Postings:
    """What the events post: customer and other side always (nothing, when declined), the house for a fee, its exchange desk for two currencies."""
    moves = given.reason == 0
    sign = np.where(np.isin(given.kind, (Kind.REFUND, Kind.CHARGEBACK, Kind.SALARY)), 1, -1) * moves
    own, fee = people.currency[given.account], given.fee
    paid, foreign = np.flatnonzero(fee != 0), np.flatnonzero((own != given.currency) & moves)
    number = np.full(len(given), 2)
    number[paid] += 1
    number[foreign] += 2
    offsets = np.concatenate([[0], np.cumsum(number)])
    first = offsets[:-1]
    account, amount, currency = (np.empty(offsets[-1], np.int64) for _ in range(3))

    def post(at: I64, who: I64 | int, how_much: I64, of: I64) -> None:
        account[at], amount[at], currency[at] = who, how_much, of

    post(first, given.account, sign * given.billed, own)
    post(first + 1, given.other, -sign * given.amount - fee, given.currency)
    post(first[paid] + 2, people.fees, fee[paid], given.currency[paid])
    desk = first[foreign] + 2 + (fee[foreign] != 0)
    post(desk, people.exchange, -(sign * given.billed)[foreign], own[foreign])
    post(desk + 1, people.exchange, (sign * given.amount)[foreign], given.currency[foreign])
    return Postings(offsets, account, amount, currency)
