"""Make the lake as include/lake.yaml declares it: from the VM's disk to the Kubernetes secret. Run it again at any time."""

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param, TaskGroup, chain

from include.lake.contradictions import contradictions
from include.lake.lake import load_lake
from include.operators.ensure import DeclarationOperator, EnsureOnMinioOperator, EnsureOnProxmoxOperator, EnsureOperator
from include.operators.verify import VerifyOperator

lake = load_lake()

with DAG(
    dag_id="lake_bootstrap",
    description="Make the lake as declared; a second run changes nothing",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["homelake", "bootstrap"],
    default_args={
        "owner": "homelake",
        "retries": 1,
        "retry_delay": timedelta(seconds=20),
        "pool": "lake_writers",
        "digest": lake.spec.digest(),
    },
    params={
        "check": Param(False, type="boolean", title="Check only", description="Report what would change, and change nothing."),
        "force": Param(
            None,
            type=["null", "array"],
            items={"type": "string"},
            title="Force",
            description="Names of resources whose change may lose data, one a line: bucket/datalake.",
        ),
    },
) as dag:
    declaration = DeclarationOperator(task_id="declaration", warnings=contradictions(lake.spec))
    vm_disk = EnsureOnProxmoxOperator(task_id="vm_disk", ensures=lake.vm_disk)
    filesystem = EnsureOperator(task_id="filesystem", ensures=lake.filesystem)
    mount = EnsureOperator(task_id="mount", ensures=lake.mount)
    account = EnsureOperator(task_id="account", ensures=lake.account)
    minio_binary = EnsureOperator(task_id="minio_binary", ensures=lake.minio_binary, execution_timeout=timedelta(minutes=30))
    minio_service = EnsureOnMinioOperator(task_id="minio_service", ensures=lake.minio_service, console_port=lake.spec.minio.console_port)
    governance = EnsureOnMinioOperator(task_id="governance", ensures=lake.buckets, console_port=lake.spec.minio.console_port)
    iam = EnsureOnMinioOperator(task_id="iam", ensures=lake.iam, console_port=lake.spec.minio.console_port)
    with TaskGroup("kubernetes") as kubernetes:
        namespace = EnsureOperator(task_id="namespace", ensures=lake.namespace)
        service_account = EnsureOperator(task_id="service_account", ensures=lake.service_account)
        secret = EnsureOperator(task_id="secret", ensures=lake.key_pairs)
        chain(namespace, service_account, secret)
    bucket = lake.spec.spark.bucket
    verify = VerifyOperator(task_id="verify", key_pair=lake.key_pair, bucket=bucket, prefix=lake.probe_prefix, keeps=lake.keeps(bucket))

    if lake.topics:
        chain(declaration, EnsureOperator(task_id="topics", ensures=lake.topics), verify)
    chain(declaration, vm_disk, filesystem, mount, account, minio_binary, minio_service, governance, iam, kubernetes, verify)
