"""Alerts of fraud: what silver has committed is looked through for what an account, a device, or money on its way should not do.

It follows silver's log, not Kafka: a look takes the batches that silver has committed since the last look, with what is still of interest of those
before, and commits alerts and what it has looked through by one entry, `_log/gold/LOOK.json`. What is still of interest lies in the checkpoint,
and the entry names it. So a look that was killed is made again over the same batches. The rules: docs/explanation/stream.md.
"""

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from payments_store import FORMAT, Unfit, compacted_at, entry

MINUTE = 60_000
WINDOW = 5 * MINUTE  # of event time, by which payments are put together; fixed, so that an alert's id does not depend on how batches were cut
LATE = 10 * MINUTE  # how far behind the newest event one still counts
FORGET = 90 * 24 * 60 * MINUTE  # a device that an account has not used for so long is a new one again
MOST = 1_000_000  # events in a look; more are taken by the next one
# Minor units for about a euro, for thresholds only. In another currency only declines count.
EURO = {"EUR": 100, "GBP": 86, "USD": 108, "CHF": 95, "JPY": 162, "KRW": 1480, "KWD": 330}
# Many cards at one device, with amounts below what anyone would notice. A family may have as many, but is seldom declined.
CARDS, SMALL, DECLINED = 5, 10, 3
# Large payments to several countries, from a device that the account has never used.
PAYMENTS, LARGE, TOTAL, LANDS = 3, 50, 500, 3
# Most of what came in goes out at once, and so again where it went to: one such step alone is everyday life.
WITHIN, SHARE, PASSED = 5 * MINUTE, 0.8, 300

SILVER = (
    "id string, account string, ts bigint, type string, status string, amount bigint, currency string, channel string, card string, device string, "
    "country string, postings array<struct<account string, amount bigint, currency string>>"
)
RECENT = "id string, account string, ts bigint, type string, status string, card string, device string, country string, euros double, payee string"
DEVICES = "account string, device string, first bigint, last bigint"
_MINOR = " ".join(f"when '{code}' then {minor}" for code, minor in EURO.items())
_PAYEE = "get(filter(postings, p -> p.amount > 0 and p.account like 'A%' and p.account <> account), 0).account"
OF_INTEREST = f"""
select id, account, ts, type, status, card, device, country, euros, payee from (
  select *, amount / case currency {_MINOR} end as euros, case when type = 'transfer' then {_PAYEE} end as payee from events)
where (type = 'purchase' and channel = 'online' and device is not null and (status = 'declined' or euros < {SMALL} or euros >= {LARGE}))
   or (type in ('transfer', 'withdrawal') and status = 'approved' and euros >= {PASSED})
"""
KNOWN = """
select account, device, min(first) as first, max(last) as last from (
  select account, device, first, last from devices union all select account, device, ts, ts from events where device is not null)
group by account, device
"""
# Each gives rule, account, device, window_start, window_end, events, and what was measured against which threshold.
RULES = (
    f"""
select 'card_testing' as rule, cast(null as string) as account, device, bucket as window_start, bucket + {WINDOW} as window_end,
  array_sort(collect_list(id)) as events, size(collect_set(case when status = 'declined' or euros < {SMALL} then card end)) as measured, {CARDS} as threshold
from (select *, ts - ts % {WINDOW} as bucket from recent where type = 'purchase')
group by device, bucket
having measured >= {CARDS} and size(collect_set(case when status = 'declined' then card end)) >= {DECLINED} and bool_or(fresh)
""",
    f"""
select 'account_takeover', account, device, bucket, bucket + {WINDOW}, array_sort(collect_list(id)), sum(euros) as measured, {TOTAL}
from (select *, ts - ts % {WINDOW} as bucket from recent where type = 'purchase' and euros >= {LARGE}) join known using (account, device)
where first >= bucket
group by account, device, bucket having count(*) >= {PAYMENTS} and measured >= {TOTAL} and count(distinct country) >= {LANDS} and bool_or(fresh)
""",
    f"""
with moved as (select * from recent where type <> 'purchase'),
links as (
  select came.id as came, went.id as went, went.account, came.ts as since, went.ts as until, came.euros, came.fresh or went.fresh as fresh
  from moved came join moved went on went.account = came.payee and went.ts > came.ts and went.ts <= came.ts + {WITHIN}
    and went.euros between {SHARE} * came.euros and came.euros),
chained as (
  select l.*, l.fresh or n.fresh as moving from links l join links n on n.came = l.went
  union all select l.*, l.fresh or n.fresh from links l join links n on n.went = l.came)
select 'mule_chain', account, cast(null as string), since, max(until), array_sort(array_union(array(came), collect_set(went))), max(euros) as measured, {PASSED}
from chained group by account, came, since having bool_or(moving)
""",
)
# An id is made of what does not change while an alert grows. The score is one half at the threshold, and goes towards one.
ALERTS = f"""
select substr(sha2(concat_ws(' ', rule, account, device, window_start), 256), 1, 16) as id, rule, account, device,
  window_start, window_end, events, round(measured / (measured + threshold), 3) as score, date(timestamp_millis(window_start)) as date
from ({" union all ".join(f"({r})" for r in RULES)})
"""


class Alerts:
    """The looks, one at a time, beside the stream's queries."""

    name = "gold"

    def __init__(self, spark, lake, checkpoint, every):
        self._spark, self._lake, self._checkpoint, self._every = spark, lake, checkpoint, every
        self._pool, self._running, self._due = ThreadPoolExecutor(1), None, 0.0
        self._next, self._state, self._silver, self._high_water = 0, None, 0, 0

    def begin(self):
        """Where the looks go on. Raises Unfit when the checkpoint has not what the log says."""
        newest = self._lake.newest(f"_log/{self.name}")
        if newest is None:
            before = json.loads(self._lake.read(compacted_at("silver")) or "null")
            numbers = [int(n[:20]) for n in self._lake.names("_log/silver") if n[:20].isdigit()]
            self._silver = min((n for n in numbers if not before or n > before["through"]), default=before["through"] + 1 if before else 0)
            return
        last = json.loads(self._lake.read(entry(self.name, newest)))
        self._next, self._state, self._silver, self._high_water = newest + 1, last["state"], last["silver"] + 1, last["high_water"]
        if not self._checkpoint.listing(self._state):
            raise Unfit(
                f"what the alerts remember, {self._state}, is not in the checkpoint. Declare the checkpoint that wrote this path, or a new path for both"
            )

    def turn(self):
        """Begin a look when one is due. Raises what ended the one before."""
        if self._running and self._running.done():
            self._running.result()
            self._running = None
        if not self._running and time.monotonic() >= self._due:
            self._due = time.monotonic() + self._every
            self._running = self._pool.submit(self.catch_up)

    def end(self):
        """Wait for the look in hand, and raise what ended it."""
        self._pool.shutdown()
        if self._running:
            self._running.result()

    def catch_up(self):
        """Look through what is committed by now."""
        self._spark.sparkContext.setLocalProperty("spark.scheduler.pool", self.name)
        more = True
        while more:
            batches, more = self._committed()
            if batches:
                self._look(batches)

    def _committed(self):
        """The entries of silver that were not looked through yet, the oldest first; and whether there are more than a look takes."""
        found, events = [], 0
        while events < MOST and (text := self._lake.read(entry("silver", self._silver + len(found)))):
            found.append(json.loads(text))
            events += found[-1]["counts"]["silver"]
        return found, events >= MOST

    def _look(self, batches):
        spark, mine = self._spark, f"{self._next:020d}-{uuid.uuid4().hex[:8]}"
        self._rows(SILVER, [self._lake.base + f["path"] for e in batches for f in e["files"].get("silver", ())]).createOrReplaceTempView("events")
        self._remembered("devices", DEVICES).createOrReplaceTempView("devices")
        known = spark.sql(KNOWN).persist()
        known.createOrReplaceTempView("known")
        recent = self._remembered("recent", RECENT).selectExpr("*", "false as fresh").unionByName(spark.sql(OF_INTEREST).selectExpr("*", "true as fresh"))
        recent = recent.coalesce(2).persist()
        recent.createOrReplaceTempView("recent")
        alerts = spark.sql(ALERTS).selectExpr("*", f"{self._next}L as batch").coalesce(1).persist()
        try:
            files, found, high_water = {}, alerts.count(), max([self._high_water, *(e["high_water"] for e in batches)])
            if found:
                alerts.write.partitionBy("date").parquet(f"{self._lake.base}alerts/batch={mine}/")
                files["alerts"] = [{"path": path, "bytes": size} for path, size, _ in self._lake.listing(f"alerts/batch={mine}")]
            state = f"{self.name}/{mine}/"
            recent.where(f"ts >= {high_water - LATE - WINDOW}").drop("fresh").write.parquet(f"{self._checkpoint.base}{state}recent")
            known.where(f"last >= {high_water - FORGET}").write.parquet(f"{self._checkpoint.base}{state}devices")
        finally:
            for one in (alerts, recent, known):
                one.unpersist()
        self._commit(
            batches,
            {"files": files, "counts": {"records": sum(e["counts"]["records"] for e in batches), "alerts": found}, "high_water": high_water, "state": state},
        )

    def _commit(self, batches, made):
        offsets = {}
        for partition, (first, last) in (pair for e in batches for pair in e["offsets"].items()):
            offsets[partition] = [offsets.get(partition, [first])[0], last]
        done = {"format": FORMAT, "query": self.name, "batch": self._next, "silver": batches[-1]["batch"], "offsets": offsets, **made}
        if not self._lake.create(entry(self.name, self._next), json.dumps(done | {"committed": int(time.time() * 1000)})):
            raise Unfit(f"another driver has written look {self._next} of {self.name} meanwhile. Let one stream run: kubectl get sparkapplications")
        self._next, self._state, self._silver, self._high_water = self._next + 1, made["state"], done["silver"] + 1, made["high_water"]
        for old in {path.split("/")[1] for path, _, _ in self._checkpoint.listing(self.name)} - {made["state"].split("/")[1]}:
            self._checkpoint.remove(f"{self.name}/{old}")

    def _rows(self, schema, paths):
        if paths:
            return self._spark.read.schema(schema).parquet(*paths)
        return self._spark.range(0).selectExpr(f"from_json('', '{schema}') as row").select("row.*")  # createDataFrame would start Python's workers

    def _remembered(self, name, schema):
        listed = self._checkpoint.listing(f"{self._state}{name}") if self._state else ()
        return self._rows(schema, [self._checkpoint.base + path for path, _, _ in listed if path.endswith(".parquet")])


def looked_through(lake):
    """The last batch of silver that was looked through; None before the first look."""
    newest = lake.newest("_log/gold")
    return None if newest is None else json.loads(lake.read(entry("gold", newest)))["silver"]
