"""lake_spark's job once more, deferrable: for the tests only."""

from datetime import datetime

from airflow.sdk import DAG

from include.lake.lake import load_lake
from include.lake.spark import Job
from include.operators.spark import LakeSparkOperator, states_file

lake = load_lake()

with DAG(dag_id="spark_deferrable", schedule=None, start_date=datetime(2026, 1, 1), catchup=False, tags=["test"]):
    LakeSparkOperator(
        task_id="spark_job",
        lake=lake,
        job=Job("infra_status.py"),
        arguments=["--output", "s3a://datalake/test-output/", "--states", states_file(), "--run", "{{ run_id }}"],
        states=[{"resource": "a/test", "status": "ok", "detail": "handed over by the DAG"}],
        deferrable=True,
    )
