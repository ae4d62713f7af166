"""Records: JSON and Parquet say the same, what is malformed can be told, and nothing in a record gives fraud away."""

import json
import re
from itertools import takewhile

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from simulator.events import DAMAGED, Pattern
from simulator.ndjson import keys, label_values, lines, values
from simulator.schema import EVENT, LABELS, MALFORMED, PARQUET, labels, table
from simulator.stream import Stream
from tests.unit.test_docs import code, rows

from .streams import SMALL, all_of, people_of, replace, small_streams

RECORDS = all_of(SMALL)
PEOPLE = people_of(SMALL)


def without_nulls(row: dict[str, object]) -> dict[str, object]:
    return {k: v for k, v in row.items() if v is not None and k != "emitted"}


@settings(max_examples=20)
@given(small_streams())
def test_json_and_parquet_say_the_same(stream: Stream) -> None:
    records, people = all_of(replace(stream, rate=min(stream.rate, 100), duration=min(stream.duration, 2))), people_of(stream)
    good = records.take(np.flatnonzero(records.extra != DAMAGED))
    made = table(stream.seed, people, good)
    made.validate(full=True)
    assert made.schema.equals(PARQUET)
    values_ = values(stream.seed, people, good).to_pylist()
    rows_ = made.to_pylist()
    assert [json.loads(v) for v in values_] == [without_nulls(r) for r in rows_]
    assert keys(stream.seed, people, good).to_pylist() == [r["account"] for r in rows_]
    assert [list(json.loads(v)) for v in values_] == [[n for n in EVENT.names if r[n] is not None] for r in rows_]


def is_in_order(value: bytes) -> bool:
    """What a strict reader of the schema takes."""
    try:
        row = json.loads(value.decode())
    except ValueError:
        return False
    kinds = {pa.string(): str, pa.int64(): int, pa.int32(): int}
    return isinstance(row, dict) and all(
        isinstance(row[f.name], kinds.get(f.type, list)) if f.name in row else f.nullable for f in EVENT
    )  # fmt: skip


def test_a_strict_reader_refuses_each_malformed_record_and_no_other() -> None:
    found = values(SMALL.seed, PEOPLE, RECORDS).to_pylist()
    bad = [v for v, e in zip(found, RECORDS.extra.tolist(), strict=True) if e == DAMAGED]
    assert len(bad) > 50
    assert not any(is_in_order(v) for v in bad)
    assert all(is_in_order(v) for v, e in zip(found, RECORDS.extra.tolist(), strict=True) if e != DAMAGED)
    ways = (rb"^<html>", rb"\xff\xfe", rb'"amount":"\d+,00"', rb'^\{"account"', rb"[^}]$|[^\]]\}$")
    assert all(any(re.search(w, v) for v in bad) for w in ways)
    assert b"\n" not in b"".join(found)


def test_lines_are_the_values() -> None:
    some = RECORDS.take(np.arange(1000))
    found = values(SMALL.seed, PEOPLE, some)
    assert lines(found) == b"".join(v + b"\n" for v in found.to_pylist())
    assert lines(found.slice(0, 0)) == b""


def test_labels_are_apart_from_the_events() -> None:
    truth = labels(RECORDS)
    assert truth.schema.equals(LABELS)
    assert set(EVENT.names) & set(LABELS.names) == {"id"}
    bad = {r["id"] for r in truth.to_pylist()}
    events = {json.loads(v)["id"]: v for v in values(SMALL.seed, PEOPLE, RECORDS.take(np.flatnonzero(RECORDS.extra == 0))).to_pylist()}
    assert bad
    assert bad <= set(events)
    assert [json.loads(v) for v in label_values(truth).to_pylist()] == truth.to_pylist()
    names = [p.name.lower().encode() for p in Pattern if p] + [c.encode() for c in truth["campaign"].unique().to_pylist()]
    assert not any(n in v for n in names for v in events.values())
    assert set(truth["pattern"].to_pylist()) == {p.name.lower() for p in Pattern if p}


def test_no_field_by_itself_gives_fraud_away() -> None:
    """Every kind, channel and so on of a fraudulent event is one of honest events too, and ids are spread alike."""
    events = RECORDS.take(np.flatnonzero(RECORDS.extra == 0))
    bad = events.pattern > 0
    for name in ("kind", "reason", "channel", "currency", "ref"):
        assert set(getattr(events, name)[bad].tolist()) <= set(getattr(events, name)[~bad].tolist()), name
    for name, owners in (("device", PEOPLE.devices), ("card", int(PEOPLE.card[-1] + PEOPLE.cards[-1]))):
        assert getattr(events, name)[bad].max() < owners
    for shift in range(0, 64, 8):
        byte = (events.id >> np.uint64(shift)) & np.uint64(255)
        assert byte[bad].mean() == pytest.approx(127.5, abs=5 * 74 / np.sqrt(bad.sum()))


def test_the_schema_is_documented() -> None:
    """docs/reference/payments.md has each column with its type, in order."""
    own = takewhile(lambda r: r[0] != "Table", rows("reference/payments.md"))  # what follows is the stream's
    documented = [(code(r[0]), code(r[1]), r[2]) for r in own if len(r) == 4 and r[0] not in ("Field", "Option") and not r[0].startswith("`--")]
    posting = list(EVENT.field("postings").type.value_type)
    expected = [(f.name, str(f.type) if f.name != "postings" else "list", "yes" if f.nullable else "no") for f in PARQUET]
    expected += [(f"postings[].{f.name}", str(f.type), "no") for f in posting]
    expected += [(f"{name}.{f.name}", str(f.type), "no") for name, schema in (("malformed", MALFORMED), ("labels", LABELS)) for f in schema]
    assert documented == expected
