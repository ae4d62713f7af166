"""Write 1,000 rows with payments_files where the first attempt of one task fails after it has begun a file. Prints what it was told and what is there."""

import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3] / "jobs"))
from payments_files import ParquetFiles, observed
from payments_store import Store, same_code
from pyspark.sql import SparkSession
from pyspark.sql import functions as f
from pyspark.taskcontext import TaskContext

base = Path(sys.argv[1])
spark = SparkSession.builder.getOrCreate()


@f.udf("long")
def breaks(n: int) -> int:
    """The number itself; at 900 the first attempt ends in an error."""
    context = TaskContext.get()
    if n == 900 and context and context.attemptNumber() == 0:
        raise ValueError("the first attempt fails")
    return n


store = Store(spark, base.as_uri())
rows = spark.range(0, 1000, 1, 2).select(
    breaks("id").alias("n"), f.when(f.col("id") < 600, "early").otherwise("late").alias("date"), same_code(7).alias("batch")
)
rows = rows.observe("counts", f.count("*"), f.max("n"))
files = ParquetFiles(spark, store).write(rows, "t/one/", "date")
whole = ParquetFiles(spark, store).write(rows.drop("date"), "t/whole/")  # the failing attempt has begun its file by then


def read(files: list[dict[str, object]]) -> list[int]:
    """The rows of these files."""
    return sorted(r.n for file in files for r in spark.read.parquet(f"{store.base}{file['path']}").collect())


there = sorted(str(p.relative_to(base)) for p in base.rglob("*.parquet"))
empty = ParquetFiles(spark, store).write(spark.range(0).select("id", f.lit("x").alias("date")), "t/none/", "date")
schema = spark.read.parquet(store.base + files[0]["path"]).schema.simpleString()
told = {"files": files, "whole": whole, "read": [read(files), read(whole)], "there": there, "empty": empty, "observed": observed(rows, "counts")}
print(json.dumps(told | {"schema": schema}))
