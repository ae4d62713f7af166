"""The audit of the stream: that each record of Kafka is in the lake once, and each cent with it. Checks are SQL over tables that others have filled.

The tables: `bronze` (partition, offset, id), `silver`, `dead` (partition, offset), `figures`, `alerts` (id, events); `counted` (partition, n: what Kafka holds within
the bounds), `bounds` (partition, first, last: the offsets that both queries have and Kafka still has), `marks` (batch, below: the event time
below which its rows are late), `settled` (ts: the event time before which nothing late may still come). `audit` adds the views `judged` and
`judged_figures` (silver and figures, of the day that is asked for) and `numbered` (account, seq, ts, before: the number before it). Each check gives
the rows that are wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from include.lake.errors import LakeError

TOLD = 10  # offending keys that are named
GRACE = 15 * 60  # seconds of event time: a gap that is younger may still be filled by what is late
_DAY = 24 * 60 * 60 * 1000  # ms

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
        f'select \'silver\', partition, "offset", id from {_S} anti join bronze using (partition, "offset") union all '
        f'select \'dead\', partition, "offset", null from {_D} anti join bronze using (partition, "offset")',
        AGAIN,
    ),
    Check(
        "each record of bronze is an event, a dead letter, or the repetition of an event before it",
        f'select x.partition, x."offset", x.id from {_ALL} x anti join silver using (partition, "offset") anti join dead using (partition, "offset") '
        'left join silver s on s.id = x.id and s.partition = x.partition and s."offset" < x."offset" where s.id is null',
        AGAIN,
    ),
    Check(
        "no event is in silver twice",
        "select id, count(*) from judged group by 1 having count(*) > 1",
        "It was repeated later than payments.duplicates_within: raise that, at another path and checkpoint",
    ),
    Check(
        "no account's numbers have a gap",
        "select account, before + 1, seq - 1 from numbered where seq > before + 1 and ts < (select ts from settled)",
        "An event was lost before Kafka, or is among the dead letters",
    ),
    Check(
        "no number of an account is there twice",
        "select account, seq, count(*) from judged group by all having count(*) > 1",
        "The sender numbered two events alike",
    ),
    Check(
        "the postings of every event add up to nothing in each currency",
        "select id, p.currency, sum(p.amount) from (select id, unnest(postings) as p from judged) group by all having sum(p.amount) <> 0",
        "The sender's books are wrong: stop it",
    ),
    Check("late events are marked, and no others", "select id, batch, ts, late from judged join marks using (batch) where late <> (ts < below)", AGAIN),
    Check(
        "the figures add up to silver",
        "select minute, currency, type, status, f.n, s.n, f.amount, s.amount, f.late, s.late from "
        "(select minute, currency, type, status, sum(events) n, sum(amount) amount, sum(late) late from judged_figures group by all) f full join "
        "(select ts - ts % 60000 as minute, currency, type, status, count(*) n, sum(amount) amount, count_if(late) late from judged group by all) s "
        "using (minute, currency, type, status) "
        "where f.n is distinct from s.n or f.amount is distinct from s.amount or f.late is distinct from s.late",
        AGAIN,
    ),
    Check("every amount is above nothing", "select id, amount from judged where amount <= 0", "The stream takes no such event: silver was changed by hand"),
    Check(
        "every alert names events that are in silver",
        "select a.id, a.event from (select id, unnest(events) as event from alerts) a anti join silver s on s.id = a.event "
        "union select id, null from alerts where len(events) = 0",
        "Look at the driver's log, and compare _log/gold with _log/silver: the alerts were made from files that the log no longer names",
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
    """What was found; with a day, of its events only, while records are always all of them.

    Of the counts, `open`: numbers not there yet that may still come late; `ahead`: records that only one of the two queries has so far;
    `removed`: records that Kafka no longer holds, so that bronze cannot be held against it; `unmarked`: events of batches whose mark is not known.
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

    def raise_failed(self) -> None:
        """Raise LakeError with the first offending keys of every check that found something."""
        if self.failed:
            causes = [f"{f.check}: not so {f.wrong:,} times, first {'; '.join(' '.join(map(str, row)) for row in f.first[:3])}" for f in self.failed]
            raise LakeError("confirm", self.path, "\n- ".join(["the audit found", *causes]) if len(causes) > 1 else causes[0], self.failed[0].remedy)


COUNTS = {
    "records": f"select count(*) from {_ALL}",
    "events": f"select count(*) from {_S}",
    "dead": f"select count(*) from {_D}",
    "repeated": f'select count(*) from {_ALL} x anti join silver using (partition, "offset") anti join dead using (partition, "offset")',
    "late": f"select count(*) from {_S} where late",
    "ahead": 'select count(*) from (select partition, "offset" from bronze union select partition, "offset" from silver '
    'union select partition, "offset" from dead) left join bounds using (partition) where "offset" > coalesce(last, -1)',
    "removed": 'select count(*) from bronze join bounds using (partition) where "offset" < first',
    "unmarked": "select count(*) from judged anti join marks using (batch)",
    "open": "select coalesce(sum(seq - before - 1), 0) from numbered where seq > before + 1 and ts >= (select ts from settled)",
    "accounts": "select count(distinct account) from judged",
    "judged": "select count(*) from judged",
    "alerts": "select count(distinct id) from alerts",
}


def audit(path: str, query: Callable[[str], Sequence[tuple[Any, ...]]], day: date | None = None) -> AuditReport:
    """Run every check by a function that answers SQL. With a day (UTC), the events are those of that day alone; the records are all of them."""
    for sql in views(day):
        query(sql)
    findings = []
    for check in CHECKS:
        wrong = int(query(f"select count(*) from ({check.sql})")[0][0])
        first = query(f"select * from ({check.sql}) order by all limit {TOLD}") if wrong else ()  # there may be millions
        findings.append(Finding(check.name, wrong, tuple(first), check.remedy))
    return AuditReport(path, {name: int(query(sql)[0][0]) for name, sql in COUNTS.items()}, tuple(findings), day)


def views(day: date | None) -> list[str]:
    """What the checks of events look at. An account's numbers begin at 1, those of a day wherever its first event is."""
    begin = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000) if day else 0
    within = f" where {{0}} >= {begin} and {{0}} < {begin + _DAY}" if day else ""
    before = f"lag(seq, 1, {'seq - 1' if day else '0'}) over (partition by account order by seq)"
    return [
        f"create or replace view judged as select * from silver{within.format('ts')}",
        f"create or replace view judged_figures as select * from figures{within.format('minute')}",
        f"create or replace view numbered as select account, seq, ts, {before} as before from judged",
    ]


def bounds(bronze: dict[int, int], silver: dict[int, int], kept: dict[int, int]) -> list[tuple[int, int, int]]:
    """Of each partition the first offset that Kafka still has and the last that both queries have. The arguments: offsets behind the last, and Kafka's first."""
    return [(p, kept.get(p, 0), min(bronze[p], silver[p]) - 1) for p in sorted(bronze.keys() & silver.keys())]


def marks(entries: Sequence[Any], compacted: Any = None) -> list[tuple[int, int]]:
    """Of each batch of silver the event time below which its rows are late: what the batch before had seen, less what is allowed.

    Of a batch that was compacted it is not known any more.
    """
    before = {e["batch"]: e["high_water"] for e in entries} | ({compacted["through"]: compacted["high_water"]} if compacted else {})
    return [(e["batch"], before.get(e["batch"] - 1, 0) - int(e["late_after"] * 1000)) for e in entries if e["batch"] == 0 or e["batch"] - 1 in before]
