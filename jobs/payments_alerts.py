"""Alerts of fraud: what silver has committed is looked through for what a device, an account, or money on its way should not do.

It follows silver's log, not Kafka: a look takes the batches that silver has committed since the last look, with what is still of interest of those
before, and commits alerts and how far it has looked by one entry, `_log/gold/LOOK.json`. What is still of interest lies in the checkpoint, and the
entry names it. So a look that was killed is made again over the same batches. What a rule finds can only grow with more events, and an alert's id is
made of what does not change while it grows: however the batches are cut, the alerts are the same. The rules: docs/explanation/stream.md.
"""

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from payments_store import FORMAT, Unfit, compacted_at, entry, newest_entry, same_code

MINUTE = 60_000
WINDOW = 5 * MINUTE  # of event time, on the clock: 10:00 to 10:05
LATE = 10 * MINUTE  # how far behind the newest event one still counts
MOST = 1_000_000  # events in a look; more are taken by the next one
# Minor units for about a euro, for thresholds only. In another currency only declines count.
EURO = {"EUR": 100, "GBP": 86, "USD": 108, "CHF": 95, "JPY": 162, "KRW": 1480, "KWD": 330}
CARDS = 4  # that were declined at one device; SMALL and LARGE payments there are named too, since they say what the thief learned and took
SMALL, LARGE = 5, 75
PAYMENTS, LANDS = 3, 3  # LARGE ones, at one device of an account
PASSED, SHARE, WITHIN = 300, 0.8, 2 * MINUTE  # money that goes on, at most so much later; once is everyday life, twice in a row is not

SILVER = (
    "id string, account string, ts bigint, type string, status string, amount bigint, currency string, channel string, card string, device string, "
    "country string, postings array<struct<account string, amount bigint, currency string>>"
)
RECENT = "id string, account string, ts bigint, type string, status string, card string, device string, country string, euros double, payee string"
_MINOR = " ".join(f"when '{code}' then {minor}" for code, minor in EURO.items())
_PAYEE = "get(filter(postings, p -> p.amount > 0 and p.account like 'A%' and p.account <> account), 0).account"
OF_INTEREST = f"""
select id, account, ts, type, status, card, device, country, euros, payee from (
  select *, amount / case currency {_MINOR} end as euros, case when type = 'transfer' then {_PAYEE} end as payee from events)
where (type = 'purchase' and channel = 'online' and device is not null and (status = 'declined' or euros < {SMALL} or euros >= {LARGE}))
   or (type in ('transfer', 'withdrawal') and status = 'approved' and euros >= {PASSED})
"""
# Each gives rule, subject, what its window is told apart by, first and last event time, and events. `fresh` is an event that no look has seen yet.
RULES = (
    f"""
select 'card_testing' as rule, device as subject, ts - ts % {WINDOW} as since, min(ts) as first, max(ts) as last, array_sort(collect_list(id)) as events
from recent where type = 'purchase' group by device, since
having count(distinct case when status = 'declined' then card end) >= {CARDS} and bool_or(fresh)
""",
    f"""
select 'account_takeover', concat_ws(' ', account, device) as subject, ts - ts % {WINDOW} as since, min(ts), max(ts), array_sort(collect_list(id))
from recent where type = 'purchase' and euros >= {LARGE} group by account, device, since
having count(*) >= {PAYMENTS} and count(distinct country) >= {LANDS} and bool_or(fresh)
""",
    f"""
with moved as (select * from recent where type <> 'purchase'),
links as (
  select came.id as came, went.id as went, went.account, came.ts as since, went.ts as until, came.fresh or went.fresh as fresh
  from moved came join moved went on went.account = came.payee and went.ts > came.ts and went.ts <= came.ts + {WITHIN}
    and went.euros between {SHARE} * came.euros and came.euros),
chained as (
  select l.*, l.fresh or n.fresh as moving from links l join links n on n.came = l.went
  union all select l.*, l.fresh or n.fresh from links l join links n on n.went = l.came)
select 'mule_chain', account, since, since, max(until), array_sort(array_union(collect_set(came), collect_set(went)))
from chained group by account, since having bool_or(moving)
""",
)
KEPT = LATE + max(WINDOW, 2 * WITHIN)  # what a late event may still complete
ALERTS = f"""
select substr(sha2(concat_ws(' ', rule, subject, since), 256), 1, 16) as id, rule, subject, first, last, events, date(timestamp_millis(since)) as date
from ({" union all ".join(f"({r})" for r in RULES)})
"""


class Alerts:
    """The looks, one at a time, beside the stream's queries."""

    name = "gold"

    def __init__(self, spark, lake, checkpoint, files, every):
        self._spark, self._lake, self._checkpoint, self._files, self._every = spark, lake, checkpoint, files, every
        self._pool, self._running, self._due = ThreadPoolExecutor(1), None, 0.0
        self._next, self._silver, self._state, self._high_water = 0, 0, None, 0

    def begin(self):
        """Where the looks go on; a stream that had none so far begins at the oldest batch that was not put together. Raises Unfit without its memory."""
        last = newest_entry(self._lake, self.name)
        if last is None:
            self._silver = json.loads(self._lake.read(compacted_at("silver")) or '{"through": -1}')["through"] + 1
            return
        self._after(last)
        if not self._checkpoint.listing(self._state):
            raise Unfit(
                f"what the alerts remember, {self._state}, is not in its checkpoint. Declare the checkpoint that wrote this path, or a new path for both"
            )

    def _after(self, done):
        self._next, self._silver, self._state, self._high_water = done["batch"] + 1, done["silver"] + 1, done["state"], done["high_water"]

    def turn(self):
        """Begin a look when one is due. Returns what ended the one before, if anything did."""
        error = None
        if self._running and self._running.done():
            error, self._running = self._running.exception(), None
        if not self._running and time.monotonic() >= self._due:
            self._due = time.monotonic() + self._every
            self._running = self._pool.submit(self.catch_up)
        return error

    def end(self):
        """Wait for the look in hand, then look through what is left. Raises what ends either."""
        self._pool.shutdown()
        if self._running:
            self._running.result()
        self.catch_up()

    def catch_up(self):
        """Look through what is committed by now."""
        self._spark.sparkContext.setLocalProperty("spark.scheduler.pool", self.name)
        while batches := self._committed():
            self._look(batches)

    def _committed(self):
        """The entries of silver that were not looked through yet, the oldest first, about as many as a look takes."""
        found, events = [], 0
        while events < MOST and (text := self._lake.read(entry("silver", self._silver + len(found)))):
            found.append(json.loads(text))
            events += found[-1]["counts"]["silver"]
        return found

    def _look(self, batches):
        began, mine = int(time.time() * 1000), f"{self._next:020d}-{uuid.uuid4().hex[:8]}"
        high_water, state = max(self._high_water, *(e["high_water"] for e in batches)), f"{self.name}/{mine}/"
        recent, alerts = self._recent(batches).persist(), None
        try:
            recent.createOrReplaceTempView("recent")
            alerts = self._spark.sql(ALERTS).withColumn("batch", same_code(self._next)).coalesce(1).persist()
            found, files = alerts.count(), {}
            if found:
                files["alerts"] = self._files.write(alerts, f"alerts/batch={mine}/", "date")
            recent.where(recent.ts >= same_code(high_water - KEPT)).drop("fresh").write.parquet(self._checkpoint.base + state)
        finally:
            for rows in (alerts, recent):
                if rows:
                    rows.unpersist()
        counts = {"records": sum(e["counts"]["records"] for e in batches), "alerts": found}
        self._commit(batches, {"began": began, "files": files, "counts": counts, "high_water": high_water, "state": state})

    def _recent(self, batches):
        """What is of interest, of these batches and of those before."""
        if paths := [self._lake.base + f["path"] for e in batches for f in e["files"].get("silver", ())]:
            events = self._spark.read.schema(SILVER).parquet(*paths)
        else:  # createDataFrame would start Python's workers
            events = self._spark.range(0).selectExpr(f"from_json('', '{SILVER}') as event").select("event.*")
        events.createOrReplaceTempView("events")
        fresh = self._spark.sql(OF_INTEREST).selectExpr("*", "true as fresh")
        if self._state:
            fresh = fresh.unionByName(self._spark.read.schema(RECENT).parquet(self._checkpoint.base + self._state).selectExpr("*", "false as fresh"))
        return fresh.coalesce(2)

    def _commit(self, batches, made):
        offsets = {}
        for partition, (first, last) in (pair for e in batches for pair in e["offsets"].items()):
            offsets[partition] = [offsets.get(partition, [first])[0], last]
        done = {"format": FORMAT, "query": self.name, "batch": self._next, "silver": batches[-1]["batch"], "offsets": offsets, **made}
        if not self._lake.create(entry(self.name, self._next), json.dumps(done | {"committed": int(time.time() * 1000)})):
            raise Unfit(f"another driver has written look {self._next} of {self.name} meanwhile. Let one stream run: kubectl get sparkapplications")
        self._after(done)
        # Lower numbers alone: what is newer is another driver's, should this one have slept meanwhile; without it the stream would not start any more.
        for old in {path.split("/")[1] for path, _, _ in self._checkpoint.listing(self.name)}:
            if old < f"{done['batch']:020d}":
                self._checkpoint.remove(f"{self.name}/{old}")
