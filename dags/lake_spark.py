"""A Spark job on the lake: how the lake stands is written to it as Parquet, read back, compared; then seen through S3."""

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param, chain

from include.lake.lake import load_lake
from include.lake.spark import Job
from include.operators.spark import LakeSparkOperator, states_file
from include.operators.status import CheckOutputOperator, ObserveOperator

lake = load_lake()
output = lake.spec.spark.output

with DAG(
    dag_id="lake_spark",
    description="A Spark job writes to the lake and reads it back",
    doc_md=__doc__,
    schedule=lake.spec.spark.schedule,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["homelake", "spark"],
    default_args={"owner": "homelake", "retries": 1, "retry_delay": timedelta(seconds=30)},
    params={"mode": Param("overwrite", enum=["overwrite", "append"], title="Write mode", description="Replace what is there, or add to it.")},
) as dag:
    observe = ObserveOperator(task_id="observe", lake=lake)
    spark_job = LakeSparkOperator(
        task_id="spark_job",
        lake=lake,
        job=Job("infra_status.py"),
        arguments=["--output", output, "--states", states_file(), "--mode", "{{ params.mode }}", "--run", "{{ run_id }}"],
        states=observe.output,
        execution_timeout=timedelta(minutes=30),
    )
    check_output = CheckOutputOperator(task_id="check_output", path=output)

    chain(observe, spark_job, check_output)
