"""The audit of the stream: that each record of Kafka is in the lake once, and each cent with it. Checks are SQL over tables that others have filled.

What is judged: `bronze`, `silver`, `dead`, `figures`, `alerts`. Of a day these hold its partition `date` alone: events by event time, records by
Kafka's. What such rows are held against lies elsewhere, in `other_silver` and `other_bronze`, and in `earlier`: the highest number of an account
before the day (null: not known). Of the whole lake those three are empty. Each row is judged on one day, so all days together are the whole.

Beside them: `counted` (what Kafka holds within the bounds), `bounds` (the first offset that Kafka still has, and the last that both queries have),
`begins` (the offset at which the stream began to read), `marks` (of a batch the event time below which its rows are late) with what those of
compacted batches are made of, `settled` (the event time before which nothing late may still come), `waiting` (what Kafka has held for too long
without a query having read it, whatever its day). Each check gives the rows that are wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from include.lake.errors import LakeError

TOLD = 10  # offending keys that are named
GRACE = 15 * 60  # seconds of event time: a gap that is younger may still be filled by what is late
DAY = 24 * 60 * 60 * 1000  # ms
TIMES, MOST = (946_684_800_000, 4_102_444_799_999), 10**15  # what an event may have as time and at most as amount: jobs/payments_events.py
TABLES = {
    "bronze": 'partition int, "offset" bigint, id varchar, ts bigint',
    "silver": "id varchar, account varchar, seq bigint, ts bigint, type varchar, status varchar, amount bigint, currency varchar, "
    'postings struct(account varchar, amount bigint, currency varchar)[], late boolean, partition int, "offset" bigint, timestamp bigint, batch bigint',
    "dead": 'partition int, "offset" bigint',
    "figures": "minute bigint, currency varchar, type varchar, status varchar, events bigint, amount bigint, late bigint",
    "alerts": "id varchar, events varchar[]",
    "other_silver": 'id varchar, partition int, "offset" bigint',
    "other_bronze": 'partition int, "offset" bigint',
    "earlier": "account varchar, seq bigint",
    "counted": "partition int, n bigint",
    "bounds": "partition int, first bigint, last bigint",
    "begins": "partition int, first bigint",
    "marks": "batch bigint, below bigint",
    "newest": "batch bigint, ts bigint",
    "allowed": "batch bigint, behind bigint",
    "settled": "ts bigint",
    "waiting": 'query varchar, partition int, "offset" bigint, n bigint',
}
# Where an account's numbers begin: at 1, unless Kafka had removed records before the stream began, or it is not known what was before the day.
_BEFORE = "case when e.account is not null then coalesce(e.seq, s.seq - 1) when b.first > 0 then s.seq - 1 else 0 end"
VIEWS = {
    "known_events": 'select id, partition, "offset" from silver union all from other_silver',
    "known_records": 'select partition, "offset" from bronze union all from other_bronze',
    "numbered": f"select account, s.seq, s.ts, coalesce(lag(s.seq) over (partition by account order by s.seq), {_BEFORE}) as before "
    "from silver s left join earlier e using (account) left join begins b using (partition)",
}
# The marks of batches that were put together, out of the newest event of each batch (`newest`; of a day, those of the day and of later ones: what is
# older than every event of the day makes none of them late) and out of what was `allowed` (ms behind) from which batch on.
COMPACTED_MARKS = (
    "insert into marks select n.batch, seen - behind from (select batch, coalesce(max(max(ts)) over (order by batch rows between unbounded preceding and "
    "1 preceding), 0) as seen from newest group by batch) n asof join allowed a on n.batch >= a.batch"
)
SCHEMA = (*(f"create table {name} ({columns})" for name, columns in TABLES.items()), *(f"create view {name} as {sql}" for name, sql in VIEWS.items()))

_B = '(select b.* from bronze b join bounds using (partition) where "offset" between first and last)'
_S = '(select s.* from silver s join bounds using (partition) where "offset" <= last)'
_D = '(select d.* from dead d join bounds using (partition) where "offset" <= last)'
_ALL = '(select b.* from bronze b join bounds using (partition) where "offset" <= last)'


@dataclass(frozen=True)
class Check:
    """What must hold, and the query that finds where it does not."""

    name: str
    sql: str
    remedy: str


WAITS, WAITS_FOR_MICRO_BATCH = 10 * 60 * 1000, DAY + 60 * 60 * 1000  # ms that a record may lie in Kafka and not be in the lake
AGAIN = "Look at the driver's log; bronze has every record as it came, and silver can be made again from it at another path"
CHECKS = (
    Check(
        "every committed record of Kafka is in bronze",
        f"select 'partition', partition, n, coalesce(have, 0) from counted left join (select partition, count(*) have from {_B} group by 1) using (partition) "
        "where n <> coalesce(have, 0)",
        "Run the stream at another path from the begin of the topic, as long as Kafka holds it",
    ),
    Check(
        "no record is in a table twice",
        " union all ".join(f"select '{t}', partition, \"offset\", count(*) from {t} group by all having count(*) > 1" for t in ("bronze", "silver", "dead")),
        "Two streams wrote this path, or its log was changed by hand: run the stream at another path",
    ),
    Check(
        "silver and dead letters hold nothing that bronze has not",
        f'select \'silver\', partition, "offset", id from {_S} anti join known_records using (partition, "offset") union all '
        f'select \'dead\', partition, "offset", null from {_D} anti join known_records using (partition, "offset")',
        AGAIN,
    ),
    Check(
        "each record of bronze is an event, a dead letter, or the repetition of an event before it",
        f'select x.partition, x."offset", x.id from {_ALL} x anti join known_events using (partition, "offset") anti join dead using (partition, "offset") '
        # Of two partitions no order is known; a repetition gets into another one when partitions were added.
        'left join known_events s on s.id = x.id and (s.partition <> x.partition or s."offset" < x."offset") where s.id is null',
        AGAIN,
    ),
    Check(
        "no event is in silver twice",
        "select id, count(*) from silver group by 1 having count(*) > 1",
        "It was repeated later than payments.duplicates_within: raise that, at another path and checkpoint",
    ),
    Check(
        "no account's numbers have a gap",
        "select account, before + 1, seq - 1 from numbered where seq > before + 1 and ts < (select ts from settled)",
        "An event was lost before Kafka, or is among the dead letters",
    ),
    Check(
        "no number of an account is there twice",
        "select account, seq, count(*) from silver group by all having count(*) > 1",
        "The sender numbered two events alike",
    ),
    Check(
        "the postings of every event add up to nothing in each currency",
        "select id, p.currency, sum(p.amount) from (select id, unnest(postings) as p from silver) group by all having sum(p.amount) <> 0",
        "The sender's books are wrong: stop it",
    ),
    Check("late events are marked, and no others", "select id, batch, ts, late from silver join marks using (batch) where late <> (ts < below)", AGAIN),
    Check(
        "the figures add up to silver",
        "select minute, currency, type, status, f.n, s.n, f.amount, s.amount, f.late, s.late from "
        "(select minute, currency, type, status, sum(events) n, sum(amount) amount, sum(late) late from figures group by all) f full join "
        "(select ts - ts % 60000 as minute, currency, type, status, count(*) n, sum(amount) amount, count_if(late) late from silver group by all) s "
        "using (minute, currency, type, status) "
        "where f.n is distinct from s.n or f.amount is distinct from s.amount or f.late is distinct from s.late",
        AGAIN,
    ),
    Check(
        "every amount and every time is one that the stream takes",
        f"select id, amount, ts from silver where amount not between 1 and {MOST} or ts not between {TIMES[0]} and {TIMES[1]}",
        "Silver was changed by hand, or a Homelake before these bounds wrote it: run the stream at another path",
    ),
    Check(
        "every alert names events that are in silver",
        "select a.id, a.event from (select id, unnest(events) as event from alerts) a anti join known_events s on s.id = a.event "
        "union select id, null from alerts where len(events) = 0",
        "Look at the driver's log, and compare _log/gold with _log/silver: the alerts were made from files that the log no longer names",
    ),
    Check(
        "Kafka holds nothing that the lake lacks for long",
        "select query, 'partition', partition, n, 'offsets from', \"offset\" from waiting",
        "See whether the stream runs, and how far behind it is: ./lake stream status",
    ),
)


@dataclass(frozen=True)
class Finding:
    """How a check came out: how many rows are wrong, and the first of them."""

    check: str
    wrong: int
    first: tuple[tuple[Any, ...], ...]
    remedy: str


@dataclass(frozen=True)
class AuditReport:
    """What was found; with a day, in its partition alone.

    Of the counts, `open`: numbers not there yet that may still come late; `ahead`: records that only one of the two queries has so far;
    `removed`: records that Kafka no longer holds, so that bronze cannot be held against it; `unmarked`: events of batches whose mark is not known;
    `unjoined`: accounts of which it is not known what came before their first event here.
    """

    path: str
    counts: dict[str, int]
    findings: tuple[Finding, ...]
    day: date | None = None

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The checks that found something."""
        return tuple(f for f in self.findings if f.wrong)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        checks = [{"check": f.check, "wrong": f.wrong, "first": [list(map(str, row)) for row in f.first]} for f in self.findings]
        day = {"day": self.day.isoformat()} if self.day else {}
        return {"path": self.path, **day, "counts": self.counts, "checks": checks, "clean": not self.failed}

    def error(self) -> LakeError | None:
        """The first offending keys of every check that found something; None when none did."""
        if not self.failed:
            return None
        causes = [f"{f.check}: not so {f.wrong:,} times, first {'; '.join(' '.join(map(str, row)) for row in f.first[:3])}" for f in self.failed]
        what = f"{self.day} of {self.path}" if self.day else self.path
        return LakeError("confirm", what, "\n- ".join(["the audit found", *causes]) if len(causes) > 1 else causes[0], self.failed[0].remedy)


COUNTS = {
    "records": f"select count(*) from {_ALL}",
    "events": f"select count(*) from {_S}",
    "dead": f"select count(*) from {_D}",
    "repeated": f'select count(*) from {_ALL} x anti join known_events using (partition, "offset") anti join dead using (partition, "offset")',
    "late": f"select count(*) from {_S} where late",
    "ahead": 'select count(distinct (partition, "offset")) from ('
    + " union all ".join(
        f'select partition, "offset" from {t} left join bounds using (partition) where "offset" > coalesce(last, -1)' for t in ("bronze", "silver", "dead")
    )
    + ")",
    "removed": 'select count(*) from bronze join bounds using (partition) where "offset" < first',
    "unmarked": "select count(*) from silver anti join marks using (batch)",
    "open": "select coalesce(sum(seq - before - 1), 0) from numbered where seq > before + 1 and ts >= (select ts from settled)",
    "accounts": "select count(distinct account) from silver",
    "unjoined": "select count(*) from (select account, min(seq) as seq, arg_min(partition, seq) as partition from silver group by 1) s "
    f"left join earlier e using (account) left join begins b using (partition) where s.seq > 1 and {_BEFORE} = s.seq - 1 and e.seq is null",
    "alerts": "select count(distinct id) from alerts",
}


def audit(path: str, query: Callable[[str], Sequence[tuple[Any, ...]]], day: date | None = None) -> AuditReport:
    """Run every check by a function that answers SQL over SCHEMA. `day`: the one (UTC) whose partition was filled in."""
    findings = []
    for check in CHECKS:
        wrong = int(query(f"select count(*) from ({check.sql})")[0][0])
        first = query(f"select * from ({check.sql}) order by all limit {TOLD}") if wrong else ()  # there may be millions
        findings.append(Finding(check.name, wrong, tuple(first), check.remedy))
    return AuditReport(path, {name: int(query(sql)[0][0]) for name, sql in COUNTS.items()}, tuple(findings), day)


def span(day: date) -> tuple[int, int]:
    """When a day (UTC) begins and ends, in ms since 1970."""
    begin = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    return begin, begin + DAY


def bounds(bronze: dict[int, int], silver: dict[int, int], kept: dict[int, int]) -> list[tuple[int, int, int]]:
    """Of each partition the first offset that Kafka still has and the last that both queries have. The arguments: offsets behind the last, and Kafka's first."""
    return [(p, kept.get(p, 0), min(bronze[p], silver[p]) - 1) for p in sorted(bronze.keys() & silver.keys())]


def marks(entries: Sequence[Any], compacted: Any = None) -> list[tuple[int, int]]:
    """Of each batch of silver the event time below which its rows are late: what the batch before had seen, less what is allowed.

    Those of batches that were compacted are in no entry: COMPACTED_MARKS.
    """
    before = {e["batch"]: e["high_water"] for e in entries} | ({compacted["through"]: compacted["high_water"]} if compacted else {})
    return [(e["batch"], before.get(e["batch"] - 1, 0) - int(e["late_after"] * 1000)) for e in entries if e["batch"] == 0 or e["batch"] - 1 in before]
