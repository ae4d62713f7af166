"""Malformed records: what arrives when a sender, a proxy or a line is broken. Each can be told from a record in order, and none passes for a duplicate."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from simulator.arrays import mixed
from simulator.events import DAMAGED, Events

WAYS = 5


def damaged(seed: int, given: Events, values: pa.BinaryArray) -> pa.BinaryArray:
    """The values with those of damaged records spoilt, each in one of five ways."""
    rows = np.flatnonzero(given.extra == DAMAGED)
    way = (mixed(given.id[rows], seed + 2) % np.uint64(WAYS)).astype(np.int64)
    whole = values.take(pa.array(rows))
    ways = [
        pc.binary_slice(whole, 0, -30),  # the line broke off
        pc.replace_substring_regex(whole, rb'"amount":(\d+)', rb'"amount":"\1,00"', max_replacements=1),  # a number became text
        pc.replace_substring_regex(whole, rb'^\{"id":"[0-9a-f]+",', rb"{"),  # a field is missing
        _same(b"<html><body>502 Bad Gateway</body></html>", len(rows)),  # somebody else answered
        pc.replace_substring(whole, b'"type":"', b'"type":"\xff\xfe'),  # bytes that are no UTF-8
    ]
    spoilt = pa.concat_arrays(ways).take(pa.array(way * len(rows) + np.arange(len(rows))))
    return pc.replace_with_mask(values, pa.array(given.extra == DAMAGED), spoilt)


def _same(value: bytes, count: int) -> Any:
    return pa.repeat(pa.scalar(value, pa.binary()), count)
