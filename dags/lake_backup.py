"""Back the lake's VM up, its data disk included, while it runs; then remove Homelake's own backups beyond those that are kept."""

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param, chain

from include.lake.lake import load_lake
from include.operators.backup import BackUpOperator, PruneBackupsOperator

lake = load_lake()

with DAG(
    dag_id="lake_backup",
    description="Back the lake's VM up; only Homelake's own backups are ever removed",
    doc_md=__doc__,
    schedule=lake.spec.backup.schedule,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["homelake", "backup"],
    default_args={"owner": "homelake", "retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "mode": Param(
            "snapshot",
            enum=["snapshot", "suspend", "stop"],
            title="Mode",
            description="How the disks are held still: snapshot while the VM runs, suspend it for a moment, or stop it for one.",
        )
    },
) as dag:
    back_up = BackUpOperator(task_id="back_up", lake=lake, execution_timeout=timedelta(hours=24))
    prune = PruneBackupsOperator(task_id="prune", lake=lake)

    chain(back_up, prune)
