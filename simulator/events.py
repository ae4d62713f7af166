"""Events as columns of integers: the form in which they are made, counted and carried. Text is made of them only at the end."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum

import numpy as np

from simulator.arrays import I64, U64, Codes


class Kind(IntEnum):
    """What happened."""

    PURCHASE = 0
    REFUND = 1
    CHARGEBACK = 2
    TRANSFER = 3
    WITHDRAWAL = 4
    SALARY = 5


class Reason(IntEnum):
    """Why a payment was declined."""

    NONE = 0
    INSUFFICIENT_FUNDS = 1
    DO_NOT_HONOR = 2
    EXPIRED_CARD = 3
    LIMIT_EXCEEDED = 4
    SUSPECTED_FRAUD = 5


class Channel(IntEnum):
    """How the customer paid."""

    POS = 0
    ONLINE = 1
    ATM = 2
    APP = 3
    BANK = 4


class Pattern(IntEnum):
    """The ground truth. It is kept apart from the event."""

    NONE = 0
    CARD_TESTING = 1
    ACCOUNT_TAKEOVER = 2
    MULE_CHAIN = 3


NOBODY = -1  # no card, no device
DUPLICATE, DAMAGED = 1, 2  # what an extra record is


@dataclass(frozen=True)
class Events:
    """Columns of one length. `seq` is the rank among the account's events of the epoch (from 0) until the chain adds what came before."""

    id: U64
    account: I64
    ts: I64  # event time, milliseconds since 1970
    kind: I64
    reason: I64
    channel: I64
    amount: I64  # minor units of `currency`
    currency: I64  # of the payment, as the other side sees it
    billed: I64  # minor units of the account's own currency
    fee: I64  # minor units of `currency`, paid by the other side
    other: I64  # the other side's code in the ledger
    card: I64
    device: I64
    ref: U64  # the id of the payment that is given back, or 0
    pattern: I64  # ground truth
    campaign: U64
    seq: I64
    emitted: I64  # when it is sent, milliseconds since 1970
    extra: I64  # 0: the event itself, or what the extra record is

    def __len__(self) -> int:
        return len(self.account)

    def take(self, rows: Codes) -> "Events":
        """These rows, in this order."""
        return Events(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def put(self, **columns: Codes) -> "Events":
        """The same rows with other columns."""
        return replace(self, **columns)


def events(count: int, **columns: Codes | int) -> Events:
    """Events with these columns; a single value holds for all; what is not given is 0, or nobody."""
    filled: dict[str, Codes] = {}
    for field in fields(Events):
        value = columns.pop(field.name, NOBODY if field.name in ("card", "device") else 0)
        kind = np.uint64 if field.name in ("id", "ref", "campaign") else np.int64
        filled[field.name] = value if isinstance(value, np.ndarray) else np.full(count, value, kind)
    assert not columns, columns
    return Events(**filled)


def joined(parts: Sequence[Events]) -> Events:
    """One after another."""
    parts = [p for p in parts if len(p)] or list(parts[:1])
    return parts[0] if len(parts) == 1 else Events(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Events)})
