"""What the world is made of: countries, merchant categories with their amounts, the hours of a day. All figures are invented but plausible."""

from math import exp
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from simulator.arrays import I64
from simulator.money import CURRENCIES


class Country(NamedTuple):
    """ISO 3166 code, currency, share of the customers (per mille)."""

    code: str
    currency: str
    share: int


COUNTRIES = (
    Country("DE", "EUR", 260), Country("FR", "EUR", 190), Country("ES", "EUR", 110), Country("NL", "EUR", 80), Country("GB", "GBP", 150),
    Country("US", "USD", 70), Country("CH", "CHF", 50), Country("JP", "JPY", 40), Country("KR", "KRW", 40), Country("KW", "KWD", 10),
)  # fmt: skip
COUNTRY_CURRENCY = np.array([[c.code for c in CURRENCIES].index(c.currency) for c in COUNTRIES], np.int64)


class Category(NamedTuple):
    """A merchant category (ISO 18245): its share of merchants and tickets, the median amount in euro cents, the spread of its logarithm, online share."""

    mcc: int
    merchants: int  # per mille
    busy: float  # tickets of one merchant, relative
    median: int
    spread: float
    online: int  # of 256


CATEGORIES = (
    Category(5411, 160, 3.0, 2400, 0.80, 20),  # groceries
    Category(5812, 170, 1.2, 2800, 0.65, 30),  # restaurants
    Category(5814, 130, 1.6, 950, 0.50, 40),  # fast food
    Category(5541, 60, 1.8, 5200, 0.45, 0),  # fuel
    Category(5912, 60, 1.0, 1700, 0.70, 40),  # pharmacies
    Category(5651, 90, 0.7, 4900, 0.80, 120),  # clothes
    Category(5732, 40, 0.5, 11900, 1.10, 150),  # electronics
    Category(5942, 40, 0.8, 2100, 0.70, 180),  # books and media
    Category(4111, 30, 2.5, 640, 0.90, 120),  # public transport
    Category(4511, 10, 0.8, 23500, 0.85, 240),  # airlines
    Category(7011, 40, 0.5, 16800, 0.80, 170),  # hotels
    Category(5816, 40, 1.6, 1100, 0.95, 256),  # digital goods and games
    Category(5968, 30, 1.8, 1299, 0.45, 256),  # subscriptions
    Category(5944, 10, 0.2, 34000, 1.30, 60),  # jewellery
    Category(8011, 40, 0.3, 7400, 0.90, 10),  # doctors
    Category(5712, 50, 0.3, 19900, 1.20, 90),  # furniture
)
ONLINE = np.array([c.online for c in CATEGORIES], np.int64)

# Amounts by quantile. Up to 99 % a log-normal distribution, above it a Pareto tail: the largest payments are far larger than a log-normal would make them.
CELLS = 4096  # of a table; the topmost cell has a table of its own, so that the tail is as fine as the body
_TAIL_FROM, _TAIL = 0.99, 1.6
_CAP = 25_000_000  # euro cents


def _quantiles(median: float, spread: float, places: list[float]) -> list[int]:
    edge = median * exp(spread * NormalDist().inv_cdf(_TAIL_FROM))

    def at(p: float) -> float:
        if p > _TAIL_FROM:
            return float(edge * ((1 - _TAIL_FROM) / (1 - p)) ** (1 / _TAIL))
        return float(median * exp(spread * NormalDist().inv_cdf(max(p, 0.0005))))

    return [round(min(max(at(p), 50), _CAP)) for p in places]


def _tables(shapes: list[tuple[float, float]]) -> tuple[I64, I64]:
    body = [i / CELLS for i in range(CELLS)] + [1 - 1 / CELLS]
    tail = [1 - 1 / CELLS + i / CELLS**2 for i in range(CELLS)] + [1 - 1 / CELLS**2]
    return (np.array([_quantiles(m, s, body) for m, s in shapes], np.int64), np.array([_quantiles(m, s, tail) for m, s in shapes], np.int64))


TRANSFER, CASH = len(CATEGORIES), len(CATEGORIES) + 1  # rows of the tables that are no merchant category
_SHAPES = [(float(c.median), c.spread) for c in CATEGORIES] + [(8500.0, 1.25), (9000.0, 0.6)]
BODY, TAIL = _tables(_SHAPES)


def amounts(row: I64, field: I64) -> I64:
    """Amounts in euro cents: `row` names the distribution, `field` is 32 random bits."""
    cell, part = field >> 20, field & 0xFFFFF
    at = row * (CELLS + 1) + cell
    flat = BODY.ravel()
    low = flat[at]
    found: I64 = low + (((flat[at + 1] - low) * part) >> 20)
    rare = np.flatnonzero(cell == CELLS - 1)
    at, part = row[rare] * (CELLS + 1) + (part[rare] >> 8), part[rare] & 0xFF
    found[rare] = TAIL.ravel()[at] + (((TAIL.ravel()[at + 1] - TAIL.ravel()[at]) * part) >> 8)
    return found


# Payments by hour of the day (UTC) and by day of the week (Monday first), relative; the mean over a week is made 1.
_HOURS = (2, 1, 1, 1, 1, 2, 5, 9, 11, 11, 12, 14, 16, 14, 12, 12, 14, 17, 18, 15, 12, 9, 6, 4)
_DAYS = (9, 9, 10, 10, 13, 14, 9)


def intensity(seconds: float) -> float:
    """How busy an instant is (seconds since 1970), relative to the mean of a week. Linear between full hours."""
    hour, within = divmod(seconds, 3600)

    def at(hour: int) -> float:
        return _HOURS[hour % 24] * _DAYS[(hour // 24 + 3) % 7]  # 1970-01-01 was a Thursday

    mean = sum(_HOURS) * sum(_DAYS) / 168
    return (at(int(hour)) * (1 - within / 3600) + at(int(hour) + 1) * within / 3600) / mean
