"""One Spark with one configuration, that writes on request: a line of JSON in, a line of JSON out. Started by bench.s3a; `main` by bench.tables_writer too.

- `{"make": "small"|"large", "to": "file:///…"}`: make the data once
- `{"write": "file:///…", "to": "s3a://…", "mode": "…"}`: copy it; the answer has the seconds, or the error
- `{"read": "s3a://…"}`: read every byte of it
- `{"count": "s3a://…"}`: count its rows
"""

import json
import os
import sys
import time


def main(respond=None) -> None:
    """Serve requests until standard input ends; `respond(spark, request)` does what one asks (default: `answer`)."""
    from pyspark.sql import SparkSession

    # Spark's JVM may print what it likes; the answers have a way of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    conf = json.loads(os.environ["BENCH_SPARK_CONF"])
    builder = SparkSession.builder.master("local[2]").appName("bench")
    for key, value in conf.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    jvm = spark._jvm
    hadoop, java = jvm.org.apache.hadoop.util.VersionInfo.getVersion(), jvm.System.getProperty("java.version")
    print(json.dumps({"spark": spark.version, "hadoop": hadoop, "java": java}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps((respond or answer)(spark, json.loads(line))), file=answers, flush=True)
    spark.stop()


def answer(spark, request) -> dict:
    """Do what a request asks."""
    try:
        if "make" in request:
            data(spark, request["make"]).write.mode("overwrite").option("compression", "none").parquet(request["to"])
            return {}
        if "count" in request:
            return {"rows": spark.read.parquet(request["count"]).count()}
        if "read" in request:
            began = time.monotonic()
            spark.read.parquet(request["read"]).write.format("noop").mode("overwrite").save()
            return {"seconds": time.monotonic() - began}
        source = spark.read.parquet(request["write"])
        if request.get("files"):
            source = source.repartition(request["files"]).cache()
            source.count()
        began = time.monotonic()
        source.write.mode(request.get("mode", "errorifexists")).option("compression", "none").parquet(request["to"])
        seconds = time.monotonic() - began
        source.unpersist()
        return {"seconds": seconds}
    except Exception as error:
        return {"error": " ".join(str(error).split())[:2000]}


def data(spark, kind: str):
    """Incompressible rows. `small`: one file, to be dealt over 200 of 32 KiB; `large`: 4 files of 128 MiB, in rows of 64 KiB."""
    from pyspark.sql import functions as f

    if kind == "small":
        return spark.range(0, 200 * 2048, 1, 1).select(f.xxhash64("id").alias("a"), f.xxhash64("id", f.lit(1)).alias("b"))
    hashes = f.transform(f.sequence(f.lit(1), f.lit(1024)), lambda i: f.sha2(f.concat_ws("-", "id", i), 256))
    return spark.range(0, 4 * 2048, 1, 4).select(f.array_join(hashes, "").alias("blob"))


if __name__ == "__main__":
    main()
