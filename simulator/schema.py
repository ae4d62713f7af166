"""The form of a record: the columns of Parquet and the fields of JSON are the same, in the same order. docs/reference/payments.md explains them."""

from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from simulator.arrays import U64, Codes
from simulator.catalogue import CATEGORIES, COUNTRIES
from simulator.events import Channel, Events, Kind, Pattern, Reason
from simulator.ledger import postings
from simulator.money import CURRENCIES
from simulator.population import Population, population

POSTING = pa.struct([pa.field("account", pa.string(), False), pa.field("amount", pa.int64(), False), pa.field("currency", pa.string(), False)])
EVENT = pa.schema([
    pa.field("id", pa.string(), False),
    pa.field("account", pa.string(), False),
    pa.field("seq", pa.int64(), False),
    pa.field("ts", pa.int64(), False),
    pa.field("type", pa.string(), False),
    pa.field("status", pa.string(), False),
    pa.field("reason", pa.string()),
    pa.field("amount", pa.int64(), False),
    pa.field("currency", pa.string(), False),
    pa.field("channel", pa.string(), False),
    pa.field("card", pa.string()),
    pa.field("device", pa.string()),
    pa.field("merchant", pa.string()),
    pa.field("mcc", pa.int32()),
    pa.field("country", pa.string()),
    pa.field("ref", pa.string()),
    pa.field("postings", pa.list_(pa.field("element", POSTING, False)), False),
])  # fmt: skip
EMITTED = pa.field("emitted", pa.int64(), False)
PARQUET = pa.schema([*EVENT, EMITTED])
MALFORMED = pa.schema([pa.field("key", pa.string(), False), pa.field("value", pa.binary(), False), EMITTED])
LABELS = pa.schema([pa.field("id", pa.string(), False), pa.field("pattern", pa.string(), False), pa.field("campaign", pa.string(), False)])

_HEX = np.frombuffer(b"".join(b"%02x" % n for n in range(256)), np.uint16)  # the two digits of each byte


def hexadecimal(numbers: U64) -> pa.StringArray:
    """64-bit numbers as text of 16 digits."""
    text = _HEX[numbers.astype(">u8").view(np.uint8)]
    offsets = np.arange(0, 16 * len(numbers) + 1, 16, dtype=np.int32)
    return pa.StringArray.from_buffers(len(numbers), pa.py_buffer(offsets), pa.py_buffer(text))


def picked(values: Any, codes: Codes) -> Any:
    """The values at the codes; a code below 0 is null."""
    index = pa.array(codes.astype(np.int32))
    if len(codes) and codes.min() < 0:
        index = pa.array(codes.astype(np.int32), mask=codes < 0)
    return pc.take(values, index, boundscheck=False)


def numbered(letter: str, codes: Codes) -> Any:
    """Names of cards and devices: a letter and eight digits; null for nobody."""
    digits = np.empty((len(codes), 9), np.uint8)
    digits[:, 0] = ord(letter)
    rest = np.maximum(codes, 0)
    for place in range(8, 0, -1):
        rest, digit = np.divmod(rest, 10)
        digits[:, place] = digit + 48
    text = pa.FixedSizeBinaryArray.from_buffers(pa.binary(9), len(codes), [None, pa.py_buffer(digits)])
    there = text.cast(pa.binary()).cast(pa.string())
    return pc.if_else(pa.array(codes >= 0), there, None) if len(codes) and codes.min() < 0 else there


def _names(kind: Any) -> pa.Array:
    return pa.array([member.name.lower() for member in kind])


@lru_cache(maxsize=1)
def ledger_names(seed: int, accounts: int) -> pa.Array:
    """The names of the ledger's codes."""
    return pa.array(population(seed, accounts).names)


CODES = pa.array([c.code for c in CURRENCIES])
KINDS, CHANNELS, REASONS, PATTERNS = (_names(e) for e in (Kind, Channel, Reason, Pattern))
MCC = pa.array([c.mcc for c in CATEGORIES], pa.int32())
LANDS = pa.array([c.code for c in COUNTRIES])
STATUS = pa.array(["approved", "declined"])


def shops(people: Population, given: Events) -> Codes:
    """The merchant's number, or -1 where the other side is none."""
    shop = given.other - people.accounts
    return np.where((shop >= 0) & (shop < people.merchants), shop, -1)


def table(seed: int, people: Population, given: Events) -> pa.Table:
    """Records as a table of EVENT and `emitted`, in the order given."""
    names, shop = ledger_names(seed, people.accounts), shops(people, given)
    trade = np.maximum(shop, 0)
    made = postings(people, given)
    entries = pa.StructArray.from_arrays([picked(names, made.account), pa.array(made.amount), picked(CODES, made.currency)], fields=list(POSTING))
    columns = [
        hexadecimal(given.id), picked(names, given.account), pa.array(given.seq), pa.array(given.ts), picked(KINDS, given.kind),
        picked(STATUS, (given.reason > 0).astype(int)), picked(REASONS, np.where(given.reason > 0, given.reason, -1)), pa.array(given.amount),
        picked(CODES, given.currency), picked(CHANNELS, given.channel), numbered("K", given.card), numbered("D", given.device),
        picked(names, np.where(shop >= 0, given.other, -1)), picked(MCC, np.where(shop >= 0, people.category[trade], -1)),
        picked(LANDS, np.where(shop >= 0, people.shop_country[trade], -1)),
        pc.if_else(pa.array(given.ref != 0), hexadecimal(given.ref), None),
        pa.ListArray.from_arrays(pa.array(made.offsets.astype(np.int32)), entries, type=EVENT.field("postings").type), pa.array(given.emitted),
    ]  # fmt: skip
    return pa.Table.from_arrays(columns, schema=PARQUET)


def labels(given: Events) -> pa.Table:
    """The ground truth of the fraudulent events among the records: whoever is not named is honest."""
    bad = given.take(np.flatnonzero((given.pattern > 0) & (given.extra == 0)))
    return pa.Table.from_arrays([hexadecimal(bad.id), picked(PATTERNS, bad.pattern), hexadecimal(bad.campaign)], schema=LABELS)
