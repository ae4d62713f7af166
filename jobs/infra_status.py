"""Write how the lake stands to the lake itself as Parquet, read it back, compare both ways.

    infra_status.py --output s3a://datalake/test-output/ --states states.json [--mode overwrite|append]

`states.json` is what the DAG observed: a list of {"resource", "status", "detail"}. The job adds what it sees itself.
It ends with a non-zero code when credentials are missing, or when what was read is not what was written.
"""

import argparse
import json
import os
import socket
import sys
from datetime import UTC, datetime

COLUMNS = "run string, observed_at string, resource string, status string, detail string"


def main() -> int:
    """Check the credentials, then write and read back. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True)
    parser.add_argument("--states", required=True)
    parser.add_argument("--mode", choices=("overwrite", "append"), default="overwrite")
    parser.add_argument("--run", default="manual", help="the name of this run, a column of the rows")
    args = parser.parse_args()

    # Before Spark is started: a JVM would take ten seconds to say less clearly what is missing.
    there = all(os.environ.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    print(f"DEBUG: Access Key exists: {there}", flush=True)
    if not there:
        print("Unable to reach the lake: AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is empty. Map both from the Kubernetes secret.", file=sys.stderr)
        return 2

    from pyspark.sql import SparkSession

    spark = SparkSession.builder.appName("infra-status").getOrCreate()
    try:
        return write_and_compare(spark, args)
    finally:
        spark.stop()


def write_and_compare(spark, args) -> int:
    """Write the rows, read them back, compare both ways. Returns the exit code."""
    with open(args.states, encoding="utf-8") as file:
        observed = json.load(file)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    own = [
        {"resource": "spark/driver", "status": "ok", "detail": f"Spark {spark.version} on {socket.gethostname()}"},
        {"resource": "spark/executors", "status": "ok", "detail": ", ".join(sorted(executors(spark)))},
    ]
    rows = [(args.run, now, str(r["resource"]), str(r["status"]), str(r.get("detail", ""))) for r in observed + own]
    written = spark.createDataFrame(rows, COLUMNS)

    written.coalesce(1).write.mode(args.mode).parquet(args.output)
    print("Write Success!", flush=True)

    back = spark.read.schema(COLUMNS).parquet(args.output)
    mine = back.where((back.run == args.run) & (back.observed_at == now))
    lost, extra = written.exceptAll(mine).count(), mine.exceptAll(written).count()
    strangers = back.count() - mine.count() if args.mode == "overwrite" else 0
    if lost or extra or strangers:
        print(f"Unable to verify {args.output}: {lost} rows lost, {extra} rows too many, {strangers} rows of other runs.", file=sys.stderr)
        return 1
    print("Read Success!", flush=True)
    mine.orderBy("resource").select("resource", "status", "detail").show(100, truncate=False)
    return 0


def executors(spark) -> set[str]:
    """The hosts on which a task really ran, asked by running one."""
    found = spark.sparkContext.parallelize(range(2), 2).map(lambda _: socket.gethostname()).collect()
    return set(found)


if __name__ == "__main__":
    sys.exit(main())
