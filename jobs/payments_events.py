"""What is an event, and which record is the first to bring one. Used by payments_stream.py beside it.

What `left_out` asks is Spark 4.1's own, not of its public interface: another Spark needs tests/e2e/test_stream_faults.py to pass first.
"""

POSTINGS = "array<struct<account string, amount bigint, currency string>>"
EVENT = (
    "id string, account string, seq bigint, ts bigint, type string, status string, reason string, amount bigint, currency string, channel string, "
    f"card string, device string, merchant string, mcc int, country string, ref string, postings {POSTINGS}"
)
REQUIRED = ("id", "account", "seq", "ts", "type", "status", "amount", "currency", "channel", "postings")
# The audit has both too (include/lake/audit.py). A time of seconds or microseconds is beyond them: taken, it would make every later event a late one.
TIMES = 946_684_800_000, 4_102_444_799_999  # the years 2000 to 2099; absolute, since simulated time may be of any day
MOST = 10**15  # minor units: a minute's sum stays a bigint
DROPPED = "numRowsDroppedByWatermark"


def judged(records):
    """Each record as an event, or with the cause why it is none."""
    from pyspark.sql import functions as f

    known = f.from_json(f.col("value").cast("string"), f"{EVENT}, broken string", {"columnNameOfCorruptRecord": "broken"})
    lacking = f.concat_ws(", ", *[f.when(f.col(f"event.{n}").isNull(), f.lit(n)) for n in REQUIRED])
    cause = (
        f.when(f.col("value").isNull(), f.lit("it is empty"))
        .when(~f.expr("is_valid_utf8(value)"), f.lit("it is not UTF-8"))
        .when(f.col("event").isNull() | f.col("event.broken").isNotNull(), f.lit("it is not the JSON of an event"))
        .when(lacking != "", f.concat(f.lit("it lacks "), lacking))
        .when(f.col("event.amount") <= 0, f.lit("its amount is not above 0"))
        .when(f.col("event.amount") > MOST, f.lit("its amount is above 10^15"))
        .when(~f.col("event.ts").between(*TIMES), f.lit("its time is not in the years 2000 to 2099"))
        .when(~f.col("key").eqNullSafe(f.col("event.account")), f.lit("its key is not its account"))
    )
    return records.withColumn("event", known).withColumn("cause", cause)


def once(judged, within):
    """Without what came before within so many seconds of Kafka's time, and without what is older than Spark remembers: `left_out` counts that.

    What is no event is never a duplicate.
    """
    from pyspark.sql import functions as f

    place = f.concat_ws("-", f.expr("cast(X'FF' as string)"), "partition", "offset")  # a byte that no text has in UTF-8, so no event's id is like it
    own = f.when(f.col("cause").isNull(), f.col("event.id")).otherwise(place)
    return judged.withColumn("own", own).withWatermark("timestamp", f"{within} seconds").dropDuplicatesWithinWatermark(["own"])


def left_out(spark, name):
    """How many records of the batch in hand the query of this name left out as too old to be compared; known once its rows were read."""
    running = next(q for q in spark.streams.active if q.name == name)
    return _dropped(running._jsq.streamingQuery().lastExecution().executedPlan())


def _dropped(plan):
    metrics, below = plan.metrics(), plan.children()
    mine = metrics.apply(DROPPED).value() if metrics.contains(DROPPED) else 0
    return mine + sum(_dropped(below.apply(i)) for i in range(below.size()))


def too_old(judged, until):
    """Those of the records that were left out, for the dead letters: by Kafka's time not after `until` (ms)."""
    from pyspark.sql import functions as f

    cause = f.coalesce("cause", f.lit("its time in Kafka is more than duplicates_within behind what was read before"))
    return judged.where(f.unix_millis("timestamp") <= until).withColumn("cause", cause)
