"""Restore a backup to a new VM at another address, beside the original, and prove that every object is byte-equal."""

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param, chain

from include.lake.lake import load_lake
from include.operators.backup import ProveOperator, RestoreOperator

lake = load_lake()

with DAG(
    dag_id="lake_restore",
    description="A backup brought back beside the original, and compared with it byte for byte",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["homelake", "backup"],
    default_args={"owner": "homelake", "retries": 1, "retry_delay": timedelta(seconds=60)},
    params={
        "vmid": Param(None, type=["null", "integer"], minimum=100, title="VMID", description="The new VM's id, which must be free."),
        "address": Param(None, type=["null", "string"], title="Address", description="The new VM's address: 192.0.2.30/24, or dhcp."),
        "backup": Param(None, type=["null", "string"], title="Backup", description="The backup's volume id. Empty: Homelake's newest."),
        "verify": Param(True, type="boolean", title="Verify", description="Compare every object version with the original's."),
        "sample": Param(100, type="number", exclusiveMinimum=0, maximum=100, title="Sample", description="Percent of the bodies to compare."),
    },
) as dag:
    restore = RestoreOperator(task_id="restore", lake=lake, execution_timeout=timedelta(hours=24))
    verify = ProveOperator(task_id="verify", restored=restore.output, execution_timeout=timedelta(hours=24))

    chain(restore, verify)
