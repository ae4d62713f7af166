"""Each check of the audit finds the fault it is for, and finds nothing in a lake that is in order."""

import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest

from include.lake.audit import CHECKS, COMPACTED_MARKS, MOST, SCHEMA, TIMES, AuditReport, audit, bounds, marks, span

sys.path.append(str(Path(__file__).resolve().parents[3] / "jobs"))
import payments_events

SECOND, START = 1000, 1_777_626_000_000
Db = duckdb.DuckDBPyConnection
_NAMES = [c.name for c in CHECKS]


def event(account: str, seq: int, offset: int, *, partition: int = 0, late: bool = False, batch: int = 0) -> tuple[object, ...]:
    postings = [{"account": account, "amount": -seq, "currency": "EUR"}, {"account": "M1", "amount": seq, "currency": "EUR"}]
    return (f"{account}-{seq}", account, seq, START + seq * SECOND, "purchase", "approved", seq, "EUR", postings, late, partition, offset, START, batch)


def clean(db: Db) -> None:
    """Two accounts in two partitions, a repetition, a dead letter, one late event, and one record that silver does not have yet."""
    for sql in SCHEMA:
        db.execute(sql)
    silver = [event("A1", n, n) for n in (1, 2, 4, 5)] + [event("A1", 3, 8, late=True, batch=1)] + [event("A2", n, n, partition=1) for n in (1, 2, 3)]
    for row in silver:
        db.execute(f"insert into silver values ({', '.join('?' * len(row))})", row)
    db.execute("insert into dead values (0, 6)")
    db.execute(
        "insert into bronze (partition, \"offset\", id) select partition, \"offset\", id from silver union all values (0, 6, null), (0, 7, 'A1-2'), (0, 9, 'A1-6')"
    )
    db.execute(
        "insert into figures select ts - ts % 60000, currency, type, status, count(*), sum(amount), count_if(late) from silver group by 1, 2, 3, 4, batch"
    )
    db.execute("insert into alerts values ('a', ['A1-1', 'A1-2']), ('a', ['A1-1', 'A1-2', 'A1-4']), ('b', ['A2-1'])")
    db.execute("insert into bounds values (0, 0, 8), (1, 0, 3)")
    db.execute("insert into begins values (0, 0), (1, 0)")
    db.execute("insert into counted values (0, 7), (1, 3)")
    db.execute("insert into marks values (0, ?), (1, ?)", [START - 60 * SECOND, START + 4 * SECOND])
    db.execute("insert into settled values (?)", [START + 100 * SECOND])


@pytest.fixture
def db() -> Iterator[Db]:
    with duckdb.connect(":memory:") as made:
        clean(made)
        yield made


def report(db: Db) -> AuditReport:
    return audit("s3a://datalake/payments/", lambda sql: db.execute(sql).fetchall())


def test_a_lake_in_order_has_no_finding(db: Db) -> None:
    found = report(db)
    assert found.failed == ()
    assert found.counts == {"records": 10, "events": 8, "dead": 1, "repeated": 1, "late": 1, "ahead": 1, "removed": 0, "unmarked": 0, "unjoined": 0, "open": 0,
                            "accounts": 2, "alerts": 2}  # fmt: skip
    assert found.error() is None
    assert found.as_dict()["clean"] is True


@pytest.mark.parametrize(("fault", "checks"), [
    ("delete from bronze where \"offset\" = 7", [0]),
    ("update counted set n = 9 where partition = 0", [0]),
    ("insert into bronze values (1, 2, 'A2-2', null)", [0, 1]),
    ("insert into dead values (0, 6)", [1]),
    ("delete from bronze where id = 'A2-2'", [0, 2]),
    ("delete from dead", [3]),
    ("delete from silver where id = 'A2-3'", [3, 9]),
    ("delete from silver where id = 'A2-2'", [3, 5, 9]),
    ("update bronze set id = 'A1-3' where \"offset\" = 7", [3]),
    ("update bronze set id = 'A2-9' where \"offset\" = 7", [3]),
    ("insert into silver select * replace (7 as \"offset\") from silver where id = 'A1-2'", [4, 6, 9]),
    ("update silver set seq = 9 where id = 'A2-3'", [5]),
    ("update silver set seq = 2, id = 'other' where id = 'A2-3'", [6]),
    ("update silver set postings = [postings[1]] where id = 'A1-4'", [7]),
    ("update silver set late = true where id = 'A1-5'", [8, 9]),
    ("update silver set late = false where id = 'A1-3'", [8, 9]),
    ("update figures set late = late + 1", [9]),
    ("update silver set amount = 0 where id = 'A1-1'", [9, 10]),
    ("update silver set amount = 1000000000000001 where id = 'A1-1'", [9, 10]),
    ("update silver set ts = ts * 1000 where id = 'A1-1'", [9, 10]),
    ("update silver set ts = 946684799999 where id = 'A1-3'", [9, 10]),
    ("update figures set amount = amount + 1", [9]),
    ("update silver set amount = amount + 1 where id = 'A1-1'", [9]),
    ("update alerts set events = ['A2-1', 'A2-9'] where id = 'b'", [11]),
    ("insert into alerts values ('c', [])", [11]),
])  # fmt: skip
def test_a_fault_is_found_by_the_checks_for_it(db: Db, fault: str, checks: list[int]) -> None:
    db.execute(fault)
    found = report(db)
    assert [f.check for f in found.failed] == [_NAMES[n] for n in checks]
    told = str(found.error())
    assert told.startswith("Unable to confirm s3a://datalake/payments/: ")
    assert all(_NAMES[n] in told for n in checks)


def test_a_gap_that_may_still_be_filled_is_told_as_open(db: Db) -> None:
    db.execute("delete from silver where id = 'A1-3'")
    db.execute("delete from bronze where id = 'A1-3'")
    db.execute("update counted set n = 6 where partition = 0")
    db.execute("update settled set ts = ?", [START + 4 * SECOND])
    found = report(db)
    assert [f.check for f in found.failed] == ["the figures add up to silver"], "the figures counted it"
    assert found.counts["open"] == 1


def test_the_first_keys_are_named(db: Db) -> None:
    db.execute("delete from silver where id = 'A2-2'")
    finding = next(f for f in report(db).failed if "numbers have a gap" in f.check)
    assert (finding.wrong, finding.first) == (1, (("A2", 2, 2),))


def test_bounds_are_what_both_have_and_kafka_still_holds() -> None:
    assert bounds({0: 10, 1: 5}, {0: 8, 1: 7, 2: 3}, {0: 4}) == [(0, 4, 7), (1, 0, 4)]


def test_marks_follow_from_the_batch_before() -> None:
    entries = [{"batch": n, "high_water": 1000 * n, "late_after": 2} for n in (4, 5, 6)]
    assert marks(entries) == [(5, 2000), (6, 3000)]
    assert marks([{"batch": 0, "high_water": 7, "late_after": 1}]) == [(0, -1000)]


def test_of_a_batch_after_compaction_the_mark_is_known_and_of_those_within_it_is_told_that_it_is_not(db: Db) -> None:
    assert marks([{"batch": 7, "high_water": 9000, "late_after": 2}], {"through": 6, "high_water": 8000}) == [(7, 6000)]
    db.execute("delete from marks where batch = 0")
    found = report(db)
    assert (found.failed, found.counts["unmarked"]) == ((), 7)


def test_the_marks_of_compacted_batches_follow_from_the_newest_event_of_those_before(db: Db) -> None:
    db.execute("delete from marks")
    db.execute("insert into newest values (2, 9000), (3, 8000), (3, 12000), (5, 11000), (7, 1)")
    db.execute("insert into allowed values (3, 500), (5, 2000)")
    db.execute(COMPACTED_MARKS)
    assert db.execute("from marks order by 1").fetchall() == [(3, 8500), (5, 10000), (7, 10000)], "of batch 2 it is not known what was allowed"


def test_what_only_one_query_has_is_left_for_the_next_audit(db: Db) -> None:
    db.execute("update bounds set last = 2 where partition = 1")  # bronze is one behind in partition 1, and two in partition 2
    db.execute("update counted set n = 2 where partition = 1")
    db.execute('delete from bronze where partition = 1 and "offset" = 3')
    db.execute("insert into dead values (2, 0), (2, 1)")
    found = report(db)
    assert (found.failed, found.counts["ahead"], found.counts["records"]) == ((), 4, 9)


def test_what_kafka_has_removed_is_told_and_only_the_rest_compared(db: Db) -> None:
    db.execute("update bounds set first = 4 where partition = 0")
    db.execute("update counted set n = 5 where partition = 0")
    found = report(db)
    assert (found.failed, found.counts["removed"]) == ((), 2)


def late_begin(db: Db) -> None:
    """A2's numbers begin at 11."""
    db.execute("update silver set seq = seq + 10 where account = 'A2'")


def test_an_account_that_does_not_begin_at_1_is_a_gap(db: Db) -> None:
    late_begin(db)
    assert [(f.check, f.first) for f in report(db).failed] == [("no account's numbers have a gap", (("A2", 1, 10),))]


def test_unless_kafka_had_removed_records_before_the_stream_began(db: Db) -> None:
    late_begin(db)
    db.execute("update begins set first = 1 where partition = 1")
    found = report(db)
    assert (found.failed, found.counts["unjoined"]) == ((), 1)
    db.execute("update silver set seq = 14 where id = 'A2-3'")
    assert [f.first for f in report(db).failed] == [(("A2", 13, 13),)], "after its first event its numbers are followed"


def test_what_came_before_a_day_joins_on_to_it(db: Db) -> None:
    late_begin(db)
    db.execute("insert into earlier values ('A2', 10)")
    found = audit("p", lambda sql: db.execute(sql).fetchall(), date(2026, 5, 1))
    assert (found.failed, found.counts["unjoined"], found.as_dict()["day"]) == ((), 0, "2026-05-01")
    db.execute("update earlier set seq = 8")
    assert [f.first for f in report(db).failed] == [(("A2", 9, 10),)]
    db.execute("update earlier set seq = null")
    found = report(db)
    assert (found.failed, found.counts["unjoined"]) == ((), 1)


def test_a_repetition_may_come_in_another_partition(db: Db) -> None:
    """Partitions were added between the two; its offset there says nothing of what came first."""
    db.execute("update bronze set id = 'A2-1' where \"offset\" = 7")
    db.execute("insert into bronze values (2, 0, 'A1-5', null)")
    db.execute("insert into bounds values (2, 0, 0)")
    db.execute("insert into counted values (2, 1)")
    found = report(db)
    assert (found.failed, found.counts["repeated"]) == ((), 2)


def test_what_lies_on_another_day_is_held_against_and_not_judged(db: Db) -> None:
    db.execute("insert into other_silver select id, partition, \"offset\" from silver where id = 'A2-1'")
    db.execute("insert into other_bronze select partition, \"offset\" from bronze where id = 'A1-1'")
    db.execute("delete from silver where id = 'A2-1'")
    db.execute("delete from bronze where id = 'A1-1'")
    db.execute("update counted set n = n - 1 where partition = 0")
    assert [_NAMES.index(f.check) for f in report(db).failed] == [5, 9], "the gap and the figures, which are of the day itself"


def test_the_bounds_of_an_event_are_those_of_the_stream() -> None:
    assert (TIMES, MOST) == (payments_events.TIMES, payments_events.MOST)
    assert [datetime.fromtimestamp(t / 1000, UTC) for t in (TIMES[0], TIMES[1] + 1)] == [datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)]


def test_a_day_is_24_hours_of_utc() -> None:
    assert span(date(2026, 5, 1)) == (1_777_593_600_000, 1_777_680_000_000)


def test_of_very_many_that_are_wrong_the_first_are_named(db: Db) -> None:
    db.execute("insert into dead select 0, 6 + i from range(50) t(i), range(2)")
    finding = report(db).failed[0]
    assert (finding.wrong, len(finding.first)) == (50, 10)
