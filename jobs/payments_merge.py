"""The rows of some of the stream's files, put into few by Spark. Used by payments_compact.py beside it."""

from payments_files import ParquetFiles

ORDER = {"bronze": ("partition", "offset"), "silver": ("account", "seq"), "dead": ("partition", "offset"), "figures": ("minute",), "alerts": ("id",)}
# Columns that the stream writes as required: what is read may be null to Spark, and a reader must not find two schemas in one table.
NEVER_NULL = {"silver": {"batch": "coalesce(batch, 0L)"}, "dead": {"batch": "coalesce(batch, 0L)"},
              "figures": {n: f"coalesce({n}, 0L)" for n in ("events", "late", "batch")},
              "alerts": {"rule": "coalesce(rule, '')", "events": "coalesce(transform(events, e -> coalesce(e, '')), array(''))",
                         "batch": "coalesce(batch, 0L)"}}  # fmt: skip


def merger(spark, lake):
    """Spark's part: the rows of some files, written in their order to as many files as wanted."""
    from pyspark.sql import functions as f

    files = ParquetFiles(spark, lake)

    def merge(table, paths, folder, parts):
        rows = spark.read.parquet(*[lake.base + p for p in paths])
        if table == "figures":
            sums = [f.sum(n).alias(n) for n in ("events", "amount", "late")]
            rows = rows.groupBy("minute", "currency", "type", "status").agg(*sums, f.max("batch").alias("batch"))
        elif table == "alerts":  # of an alert that has grown the newest row counts
            rows = rows.groupBy("id").agg(*[f.max_by(n, "batch").alias(n) for n in rows.columns if n != "id"])
        for name, value in NEVER_NULL.get(table, {}).items():
            rows = rows.withColumn(name, f.expr(value))
        order = ORDER[table]
        rows = rows.repartitionByRange(parts, *order) if parts > 1 else rows.repartition(1)
        return files.write(rows.sortWithinPartitions(*order), folder)

    return merge
