"""Append to the lake until a stop is found there, then count what was written. For the tests only.

    keeps_writing.py --output s3a://datalake/test-rotation/

Every batch is written by an executor, and looked for by the driver: both use their key pair all the time.
"""

import argparse
import sys
import time

ROWS, LIMIT = 10, 1500  # rows of a batch; seconds after which it ends by itself


def main() -> int:
    """Write, look for the stop, count. Returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", required=True)
    where = parser.parse_args().output
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.appName("keeps-writing").getOrCreate()
    path = spark._jvm.org.apache.hadoop.fs.Path
    stop = path(where.rstrip("/") + ".stop")
    files = stop.getFileSystem(spark._jsc.hadoopConfiguration())
    end, batches = time.monotonic() + LIMIT, 0
    while time.monotonic() < end and not files.exists(stop):
        began = time.monotonic()
        spark.range(batches * ROWS, (batches + 1) * ROWS, numPartitions=1).write.mode("append").parquet(where)
        batches += 1
        print(f"batch {batches} in {time.monotonic() - began:.1f} s", flush=True)
        time.sleep(0.5)
    found = spark.read.parquet(where)
    rows, different = found.count(), found.distinct().count()
    print(f"{batches} batches, {rows} rows, {different} of them different", flush=True)
    spark.stop()
    return 0 if rows == different == batches * ROWS else 1


if __name__ == "__main__":
    sys.exit(main())
