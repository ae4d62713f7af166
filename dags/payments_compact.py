"""Put the small files of the payments together, and remove what they have replaced since an hour. The stream runs on beside it."""

from datetime import datetime, timedelta

from airflow.sdk import DAG

from include.lake.lake import load_lake
from include.lake.stream import payments_job
from include.operators.spark import LakeSparkOperator

lake = load_lake()

if lake.spec.payments:
    with DAG(
        dag_id="payments_compact",
        description="The small files of the payments in the lake, put together",
        doc_md=__doc__,
        schedule=lake.spec.payments.compact,
        start_date=datetime(2026, 1, 1),
        catchup=False,
        max_active_runs=1,
        tags=["homelake", "payments"],
        default_args={"owner": "homelake", "retries": 1, "retry_delay": timedelta(minutes=2)},
    ) as dag:
        LakeSparkOperator(
            task_id="compact",
            lake=lake,
            job=payments_job(lake.spec.payments, "payments_compact.py", modules=("payments_files.py", "payments_merge.py", "payments_store.py")),
            arguments=["--path", lake.spec.payments.path],
            execution_timeout=timedelta(hours=2),
        )
