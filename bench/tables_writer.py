"""One Spark that writes a stream of micro batches into a table, by whichever log the table has. Started by bench.tables; speaks as bench.spark_writer does.

- `{"stream": SINK, "of": "file:///…", "to": "s3a://…", "table": "…", "checkpoint": "s3a://…"}`: take each file of the folder as one batch. The answer has
  the seconds of each batch, from its trigger to its end

Every sink gets the columns of the stream's bronze table, divided by date.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "jobs"))

import spark_writer
from payments_files import ParquetFiles
from payments_log import Query
from payments_store import Store
from payments_stream import Payments

BRONZE = "partition int, offset bigint, timestamp bigint, key string, value binary, date date"


class Counted(Query):
    """The stream's own log, for a source that is no Kafka: each batch takes one offset more."""

    def _ends(self, number, topic):
        return {"0": number + 1}


def own_log(spark, rows, request):
    """What jobs/payments_stream.py does with a batch of bronze, commit and all."""
    lake = Store(spark, request["to"])
    query = Counted("bronze", lake, Store(spark, request["checkpoint"]), 60)
    query.begin()
    return rows.writeStream.foreachBatch(Payments(spark, ParquetFiles(spark, lake), SimpleNamespace(topic="files")).bronze(query))


def received(rows):
    """The columns of bronze, as Payments.bronze makes them."""
    from pyspark.sql import functions as f

    return rows.select("partition", "offset", f.unix_millis("timestamp").alias("timestamp"), "key", "value", f.to_date("timestamp").alias("date"))


def file_sink(spark, rows, request):
    """Spark's Parquet sink, with its `_spark_metadata`."""
    return received(rows).writeStream.format("parquet").option("path", request["to"]).partitionBy("date")


def delta(spark, rows, request):
    """Delta Lake's sink."""
    return received(rows).writeStream.format("delta").option("path", request["to"]).partitionBy("date")


def nothing(spark, rows, request):
    """No table: what a batch costs anyway."""
    return received(rows).writeStream.format("noop")


def iceberg(spark, rows, request):
    """Iceberg's sink; its table is there before the stream begins."""
    spark.sql(f"create table if not exists {request['table']} ({BRONZE}) using iceberg partitioned by (date)")
    return received(rows).writeStream.format("iceberg").option("fanout-enabled", "true")


SINKS = {"nothing": nothing, "own log": own_log, "file sink": file_sink, "delta": delta, "iceberg": iceberg}


def respond(spark, request):
    """Write a stream to its end."""
    try:
        source = request["of"]
        rows = spark.readStream.schema(spark.read.parquet(source).schema).option("maxFilesPerTrigger", "1").parquet(source)
        place = f"{request['checkpoint']}bronze"
        writer = SINKS[request["stream"]](spark, rows, request).option("checkpointLocation", place).trigger(availableNow=True)
        query = writer.toTable(request["table"]) if request["stream"] == "iceberg" else writer.start()
        query.awaitTermination()
        return {"seconds": [p["durationMs"]["triggerExecution"] / 1000 for p in query.recentProgress if p["numInputRows"]]}
    except Exception as error:
        return {"error": " ".join(str(error).split())[:2000]}


if __name__ == "__main__":
    spark_writer.main(respond)
