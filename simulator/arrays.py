"""Names for arrays, and random numbers that are named by where they stand: no generator has a state that somebody could share or skip."""

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
Codes = NDArray[Any]  # integers of any width
_MASK = (1 << 64) - 1


class Purpose(IntEnum):
    """What random numbers are for: each purpose has its own, so that using one more changes no other."""

    POPULATION = 1
    COUNT = 2
    PAYMENT = 3
    RETURNS = 4
    FRAUD = 5
    SIDE = 6
    DAMAGE = 7


def philox(seed: int, purpose: Purpose, place: int = 0, part: int = 0) -> np.random.Philox:
    """The random numbers of (seed, purpose, place, part): Philox, a counter-based generator. The lowest 64 bits of its counter count the draws."""
    return np.random.Philox(key=np.array([seed & _MASK, purpose], np.uint64), counter=np.array([0, part, place & _MASK, 0], np.uint64))


def words(seed: int, purpose: Purpose, place: int, part: int, count: int) -> U64:
    """The first `count` 64-bit words. A longer run begins with the shorter one, which is how a few events of an old epoch are made again."""
    drawn: U64 = philox(seed, purpose, place, part).random_raw(count)
    return drawn


def bits(word: U64, low: int, width: int) -> I64:
    """A field of random bits: independent of the other fields of the word."""
    return ((word >> np.uint64(low)) & np.uint64((1 << width) - 1)).astype(np.int64)


def scaled(field: I64, width: int, size: Codes | int) -> I64:
    """A field of `width` bits spread evenly over 0 … size-1. (Multiplied and shifted: no division, and no rounding.)"""
    return (field * size) >> width


def mixed(number: U64, seed: int) -> U64:
    """A one-to-one map of 64-bit numbers that hides their order: Stafford's variant 13 of MurmurHash3's last step."""
    x = number + np.uint64((seed * 0x9E3779B97F4A7C15 + 0xD1B54A32D192ED03) & _MASK)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
