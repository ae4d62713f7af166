"""Keep the stream of payments running as declared. Each run looks, and changes nothing when it runs; pause the DAG to let it rest."""

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param

from include.lake.lake import load_lake
from include.operators.stream import StreamOperator

lake = load_lake()

if lake.spec.payments:
    with DAG(
        dag_id="payments_stream",
        description="The stream of payments from Kafka into the lake, kept running",
        doc_md=__doc__,
        schedule=None if lake.spec.payments.micro_batch else "*/10 * * * *",  # a checkpoint has one writer
        start_date=datetime(2026, 1, 1),
        catchup=False,
        max_active_runs=1,
        tags=["homelake", "payments"],
        default_args={"owner": "homelake", "retries": 1, "retry_delay": timedelta(seconds=30)},
        params={
            "action": Param(
                "run",
                enum=["run", "stop"],
                title="Action",
                description="Let it run as declared, or end it at a batch boundary. The next run by schedule lets it run again.",
            ),
        },
    ) as dag:
        StreamOperator(task_id="stream", lake=lake, execution_timeout=timedelta(minutes=20))
