"""Audit the payments in the lake: each record of Kafka there once, no gap in any account, every cent in two places. Reads only."""

from datetime import datetime, timedelta

from airflow.sdk import DAG

from include.lake.lake import load_lake
from include.operators.audit import AuditOperator

lake = load_lake()

if lake.spec.payments:
    with DAG(
        dag_id="payments_audit",
        description="The payments in the lake against Kafka, and against themselves",
        doc_md=__doc__,
        schedule=lake.spec.payments.audit,
        start_date=datetime(2026, 1, 1),
        catchup=False,
        max_active_runs=1,
        tags=["homelake", "payments"],
        default_args={"owner": "homelake", "retries": 1, "retry_delay": timedelta(minutes=2)},
    ) as dag:
        AuditOperator(task_id="audit", lake=lake, execution_timeout=timedelta(minutes=30))
