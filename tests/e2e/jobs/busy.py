"""Shuffles and writes until it is told to stop, so that there is something to see; or eats memory until the kernel ends it."""

import sys
import time

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

output, seconds = sys.argv[1], float(sys.argv[2])
spark = SparkSession.builder.getOrCreate()


def eat(rows):
    held = []
    for _ in range(60):
        held.append(bytearray(b"x" * (64 << 20)))
    yield len(held)


if seconds <= 0:
    spark.sparkContext.parallelize(range(2), 1).mapPartitions(eat).collect()
end = time.time() + seconds
while time.time() < end:
    rows = spark.range(0, 4_000_000, numPartitions=8).withColumn("k", F.hash("id") % 1000).groupBy("k").agg(F.sum("id").alias("s"))
    rows.repartition(2).write.mode("overwrite").parquet(output)
spark.stop()
