"""Records as JSON, made in columns: each field is a piece of text, and Arrow joins the pieces. Null fields are left out."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from simulator.arrays import Codes
from simulator.catalogue import CATEGORIES, COUNTRIES
from simulator.damage import damaged
from simulator.events import DAMAGED, Channel, Events, Kind, Reason
from simulator.ledger import Postings, postings
from simulator.money import CURRENCIES
from simulator.population import Population, population
from simulator.schema import hexadecimal, ledger_names, numbered, picked, shops


class Pieces(NamedTuple):
    """Pieces of text that occur again and again."""

    who: Any  # by account
    what: Any  # by kind, reason
    how: Any  # by currency, channel
    shop: Any  # by merchant
    posted: Any  # by ledger code
    of: Any  # by currency, and whether it is the event's last


@lru_cache(maxsize=1)
def _pieces(seed: int, accounts: int) -> Pieces:
    people = population(seed, accounts)
    names = ledger_names(seed, accounts)

    def what(kind: Kind, reason: Reason) -> str:
        status = f'"declined","reason":"{reason.name.lower()}"' if reason else '"approved"'
        return f',"type":"{kind.name.lower()}","status":{status},"amount":'

    shops = names.slice(people.accounts, people.merchants)
    kinds = pa.array([f'","mcc":{c.mcc},"country":"' for c in CATEGORIES])
    return Pieces(
        who=_join('","account":"', names.slice(0, accounts), '","seq":'),
        what=pa.array([what(k, r) for k in Kind for r in Reason]),
        how=pa.array([f',"currency":"{c.code}","channel":"{h.name.lower()}"' for c in CURRENCIES for h in Channel]),
        shop=_join(',"merchant":"', shops, picked(kinds, people.category), picked(pa.array([c.code for c in COUNTRIES]), people.shop_country), '"'),
        posted=_join('{"account":"', names, '","amount":'),
        of=pa.array([f',"currency":"{c.code}"}}{end}' for c in CURRENCIES for end in (",", "")]),
    )


def _join(*pieces: Any) -> Any:
    return pc.binary_join_element_wise(*pieces, b"" if isinstance(pieces[0], pa.BinaryArray) else "")


def _text(numbers: Codes) -> Any:
    return pc.cast(pa.array(numbers), pa.string())


def _maybe(codes: Codes, there: Any) -> Any:
    """The pieces of the rows that have one (`codes` marks them), and nothing for the others."""
    place = np.cumsum(codes) - 1
    return pc.fill_null(picked(there, np.where(codes, place, -1)), "")


def _entries(p: Pieces, posted: Postings) -> Any:
    """The postings of each event as one text. They stand one after another already, so only the places where an event's begin are to be told."""
    last = np.zeros(len(posted.account), np.int64)
    last[posted.offsets[1:] - 1] = 1
    each = _join(picked(p.posted, posted.account), _text(posted.amount), picked(p.of, posted.currency * 2 + last))
    starts = np.frombuffer(each.buffers()[1], np.int32)[posted.offsets] if len(each) else posted.offsets.astype(np.int32)
    return pa.StringArray.from_buffers(len(posted.offsets) - 1, pa.py_buffer(starts), each.buffers()[2])


def values(seed: int, people: Population, given: Events) -> pa.BinaryArray:
    """The records' values: one JSON object each, or what is left of it where the record is damaged."""
    p, posted = _pieces(seed, people.accounts), postings(people, given)
    card, device, back = given.card >= 0, given.device >= 0, given.ref != 0
    shop = shops(people, given)
    whole = _join(
        '{"id":"', hexadecimal(given.id), picked(p.who, given.account), _text(given.seq), ',"ts":', _text(given.ts),
        picked(p.what, given.kind * len(Reason) + given.reason), _text(given.amount), picked(p.how, given.currency * len(Channel) + given.channel),
        _maybe(card, _join(',"card":"', numbered("K", given.card[card]), '"')),
        _maybe(device, _join(',"device":"', numbered("D", given.device[device]), '"')),
        pc.fill_null(picked(p.shop, shop), ""),
        _maybe(back, _join(',"ref":"', hexadecimal(given.ref[back]), '"')),
        ',"postings":[', _entries(p, posted), "]}",
    )  # fmt: skip
    return damaged(seed, given, whole.cast(pa.binary())) if (given.extra == DAMAGED).any() else whole.cast(pa.binary())


def keys(seed: int, people: Population, given: Events) -> pa.StringArray:
    """The records' keys on Kafka: the account, so that an account's events stay in order."""
    return picked(ledger_names(seed, people.accounts), given.account)


def lines(records: pa.BinaryArray) -> bytes:
    """One record a line."""
    if not len(records):
        return b""
    ended = _join(records, pa.scalar(b"\n", pa.binary()))
    offsets = np.frombuffer(ended.buffers()[1], np.int32)
    return bytes(memoryview(ended.buffers()[2])[: offsets[len(ended)]])


def label_values(table: pa.Table) -> pa.BinaryArray:
    """The ground truth, one JSON object each."""
    names = [f'{"," if n else "{"}"{name}":"' for n, name in enumerate(table.column_names)]
    pieces = [piece for name, column in zip(names, table.columns, strict=True) for piece in (name, column.combine_chunks(), '"')]
    return _join(*pieces, "}").cast(pa.binary())
