"""Is the lake as declared, and has it room? Drift of any resource, usage against quota and volume, and what will be full when."""

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param, chain

from include.lake.lake import load_lake
from include.operators.ensure import DeclarationOperator
from include.operators.governance import CheckOperator, FiguresOperator, RepairOperator, VerdictOperator
from include.operators.notify import notifiers

lake = load_lake()

with DAG(
    dag_id="lake_governance",
    description="Report drift and usage; with remediate, repair what loses no data",
    doc_md=__doc__,
    schedule=lake.spec.governance.schedule,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["homelake", "governance"],
    default_args={"owner": "homelake", "retries": 1, "retry_delay": timedelta(seconds=20), "digest": lake.spec.digest()},
    params={"remediate": Param(False, type="boolean", title="Remediate", description="Repair what differs, unless that may lose data.")},
) as dag:
    declaration = DeclarationOperator(task_id="declaration")
    check = CheckOperator(task_id="check", lake=lake)
    repair = RepairOperator(task_id="repair", lake=lake, pool="lake_writers")
    figures = FiguresOperator(task_id="figures", lake=lake, trigger_rule="all_done")
    verdict = VerdictOperator(task_id="verdict", trigger_rule="all_done", on_failure_callback=notifiers(lake))

    chain(declaration, check, repair, figures, verdict)
