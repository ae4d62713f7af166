"""Change a user's key pair while jobs run: a second pair beside the first, then the old one is revoked once no pod uses it. Root's as well."""

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param, chain

from include.lake.lake import load_lake
from include.operators.ensure import DeclarationOperator
from include.operators.rotation import NewKeyOperator, OldKeySensor, RotateRootOperator

lake = load_lake()

with DAG(
    dag_id="lake_rotate_keys",
    description="Another key pair for a user, in two phases, with jobs unharmed; root's credentials on request",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["homelake", "rotation"],
    default_args={
        "owner": "homelake",
        "retries": 1,
        "retry_delay": timedelta(seconds=20),
        "pool": "lake_writers",
        "digest": lake.spec.digest(),
    },
    params={
        "user": Param(
            lake.key_pair.user,
            type=["null", "string"],
            enum=[*(p.user for p in lake.key_pairs), None],
            title="User",
            description="Whose key pair is changed. Empty: nobody's.",
        ),
        "wait": Param(
            3600,
            type="integer",
            minimum=0,
            title="Wait",
            description="Seconds to wait until no pod uses the old key. 0: do not wait; the next run revokes it.",
        ),
        "root": Param(
            False,
            type="boolean",
            title="Root",
            description="Give MinIO the root credentials of the connection minio_admin. Change that connection first.",
        ),
    },
) as dag:
    declaration = DeclarationOperator(task_id="declaration")
    root = RotateRootOperator(task_id="root", lake=lake, execution_timeout=timedelta(minutes=30))
    new_key = NewKeyOperator(task_id="new_key", lake=lake, trigger_rule="none_failed")
    old_key = OldKeySensor(task_id="old_key", lake=lake)

    chain(declaration, root, new_key, old_key)
