"""Audit the payments in the lake: each record of Kafka there once, no gap in any account, every cent in two places. Reads only.

By itself a run audits the day it was an hour before it, and the days that got files in the last two hours. Its report is an event of the asset
`homelake/payments-audit`, clean or not.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param, chain

from include.lake.lake import load_lake
from include.operators.audit import AuditOperator, AuditVerdictOperator
from include.operators.notify import notifiers

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
        params={
            "day": Param(
                None,
                type=["null", "string"],
                format="date",
                title="Day",
                description="The day (UTC) to audit: events by their own time, records by Kafka's. Empty: the day it was an hour before the run, and those that got files lately.",
            ),
            "whole": Param(False, type="boolean", title="Whole", description="Audit the whole lake, whatever the day. It takes as long as the lake is large."),
        },
    ) as dag:
        audit = AuditOperator(task_id="audit", lake=lake, execution_timeout=timedelta(hours=1), whole_timeout=timedelta(hours=12))
        # An audit that was skipped has nothing to judge; of one that failed somebody is told.
        verdict = AuditVerdictOperator(task_id="verdict", trigger_rule="none_skipped", on_failure_callback=notifiers(lake))

        chain(audit, verdict)
