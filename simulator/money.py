"""Money: integer minor units with a currency. Exchange rates are fixed and integer, so that a conversion is exact arithmetic, the same everywhere."""

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from simulator.arrays import I64, Codes


class Currency(NamedTuple):
    """ISO 4217: code, digits of the minor unit (JPY and KRW have none, KWD has three), and units for one euro."""

    code: str
    digits: int
    per_euro: str


CURRENCIES = (
    Currency("EUR", 2, "1"),
    Currency("GBP", 2, "0.86"),
    Currency("USD", 2, "1.08"),
    Currency("CHF", 2, "0.95"),
    Currency("JPY", 0, "162"),
    Currency("KRW", 0, "1480"),
    Currency("KWD", 3, "0.33"),
)
SCALE = 20  # bits behind the point of a rate
LARGEST = 10**10  # minor units: with it no conversion overflows 64 bits


def _rate(source: Currency, target: Currency) -> int:
    """Minor units of `target` for one minor unit of `source`, times 2**SCALE."""
    ratio: Fraction = Fraction(target.per_euro) * 10**target.digits / (Fraction(source.per_euro) * 10**source.digits)
    return round(ratio * (1 << SCALE))


RATES = np.array([[_rate(s, t) for t in CURRENCIES] for s in CURRENCIES], np.int64)


def convert(amount: I64, source: Codes, target: Codes) -> I64:
    """The amounts in minor units of other currencies, rounded half up; what is not zero stays at least one unit."""
    rate = RATES.ravel()[source.astype(np.int64) * len(CURRENCIES) + target]
    return np.where(amount > 0, np.maximum((amount * rate + (1 << (SCALE - 1))) >> SCALE, 1), 0)
