"""Put the declared MinIO in the place of another, prove that the lake works with it, and go back by itself when it does not."""

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param, chain

from include.lake.lake import load_lake
from include.operators.ensure import DeclarationOperator
from include.operators.upgrade import ExchangeOperator, PrepareUpgradeOperator, SnapshotOperator

lake = load_lake()

with DAG(
    dag_id="lake_upgrade_minio",
    description="Another MinIO: checked before, proven after, and the one before comes back when it fails",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["homelake", "upgrade"],
    default_args={
        "owner": "homelake",
        "retries": 1,
        "retry_delay": timedelta(seconds=20),
        "pool": "lake_writers",
        "digest": lake.spec.digest(),
    },
    params={
        "snapshot": Param(False, type="boolean", title="Snapshot", description="Take a snapshot of the VM first. It stays until you delete it."),
        "check": Param(False, type="boolean", title="Check only", description="Say what would be done, and change nothing."),
    },
) as dag:
    declaration = DeclarationOperator(task_id="declaration")
    prepare = PrepareUpgradeOperator(task_id="prepare", lake=lake, execution_timeout=timedelta(minutes=30))
    snapshot = SnapshotOperator(task_id="snapshot", lake=lake)
    exchange = ExchangeOperator(task_id="exchange", lake=lake, execution_timeout=timedelta(minutes=30))

    chain(declaration, prepare, snapshot, exchange)
