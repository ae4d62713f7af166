"""Take what has come into Kafka since the last time into the lake, then end: instead of the stream, where minutes of delay do no harm."""

from datetime import datetime, timedelta

from airflow.sdk import DAG

from include.lake.lake import load_lake
from include.operators.stream import MicroBatchOperator

lake = load_lake()

if lake.spec.payments:
    with DAG(
        dag_id="payments_micro_batch",
        description="What has come into Kafka, taken into the lake at once",
        doc_md=__doc__,
        schedule=lake.spec.payments.micro_batch,
        start_date=datetime(2026, 1, 1),
        catchup=False,
        max_active_runs=1,
        tags=["homelake", "payments"],
        default_args={"owner": "homelake", "retries": 1, "retry_delay": timedelta(seconds=30)},
    ) as dag:
        MicroBatchOperator(task_id="micro_batch", lake=lake, execution_timeout=timedelta(hours=6))
