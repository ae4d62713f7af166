"""What the audit of one day reads: its partition of every table, and of other days only what that is held against."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from include.adapters.audit_tables import READ, Tables
from include.lake.audit import DAY, span

Files = Mapping[str, Mapping[date, Sequence[Mapping[str, Any]]]]  # by table and day
BACK = 7  # days with events that are looked through for the number before an account's first one of the day


def read_day(tables: Tables, files: Files, day: date) -> None:
    """Fill the tables for the audit of a day. The log says which files are of which day, so no other is opened."""
    for table in READ:
        tables.read(table, files[table].get(day, ()))
    _events_elsewhere(tables, files["silver"], day)
    _records_elsewhere(tables, files["bronze"], day)
    _numbers_before(tables, files["silver"], day)


def _events_elsewhere(tables: Tables, silver: Mapping[date, Sequence[Mapping[str, Any]]], day: date) -> None:
    """Of the day's records that carry an event of another day, that event; and the events of its alerts, whose window may go past midnight.

    The repetition of an event is the same bytes, so both are of one day.
    """
    records = 'select r.id, r.ts from bronze r anti join dead using (partition, "offset")'
    named = "select unnest(events) from alerts"
    tables.query(
        f"create temp table sought as select id from ({records}) where {_day('ts')} <> {_number(day)} union select * from ({named}) t(id) anti join silver using (id)"
    )
    days = _those(tables, f"select distinct {_day('ts')} from ({records})", silver, day)
    beside = {day - timedelta(1), day + timedelta(1)} if tables.query("select exists (from alerts)")[0][0] else set()
    for other in sorted(days | (beside & silver.keys())):
        tables.gather("silver", silver[other], ("id", "partition", "offset"), "insert into other_silver from source semi join sought using (id)")
    tables.query("drop table sought")


def _records_elsewhere(tables: Tables, bronze: Mapping[date, Sequence[Mapping[str, Any]]], day: date) -> None:
    """The records that brought the day's events on another day."""
    for other in sorted(_those(tables, f"select distinct {_day('timestamp')} from silver", bronze, day)):
        tables.gather("bronze", bronze[other], ("partition", "offset"), 'insert into other_bronze from source semi join silver using (partition, "offset")')


def _numbers_before(tables: Tables, silver: Mapping[date, Sequence[Mapping[str, Any]]], day: date) -> None:
    """The highest number of each account before the day: from the days before, the newest first, until all are known. Beyond BACK they are not."""
    tables.query("create temp table joined as select account from silver group by 1 having min(seq) > 1")
    before = sorted((d for d in silver if d < day), reverse=True)
    for looked, other in enumerate(before):
        if not tables.query("select exists (from joined anti join earlier using (account))")[0][0]:
            break
        if looked == BACK:
            tables.query("insert into earlier select account, null from joined anti join earlier using (account)")
            break
        sql = "insert into earlier select account, max(seq) from source semi join (from joined anti join earlier using (account)) using (account) group by 1"
        tables.gather("silver", silver[other], ("account", "seq"), sql)
    tables.query("drop table joined")


def _those(tables: Tables, sql: str, files: Collection[date], day: date) -> set[date]:
    """Of the days (numbers since 1970) that a query gives, those of which there are files, without the day itself."""
    numbers = {n for (n,) in tables.query(sql)}
    return {d for d in files if _number(d) in numbers} - {day}


def _number(day: date) -> int:
    """The day since 1970, as `_day` gives it."""
    return span(day)[0] // DAY


def _day(time: str) -> str:
    """In SQL: of a time in ms the day since 1970, none beyond the calendar's ends."""
    return f"least(greatest(floor({time} / {DAY})::bigint, {_number(date.min)}), {_number(date.max)})"
