"""A task's context and a site in memory, for the tests of the operators."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from include.lake.lake import load_lake
from include.operators.ensure import EnsureOperator
from tests.dags.conftest import READING

LAKE = load_lake()
DIGEST = LAKE.spec.digest()


class TaskInstance:
    """What an operator uses of its task instance."""

    def __init__(self, digest: str | None = DIGEST) -> None:
        self.xcom: dict[tuple[str, str], Any] = {("declaration", "digest"): digest} if digest else {}
        self.dag_id, self.run_id, self.task_id, self.try_number = "lake_bootstrap", "manual__2026-01-01", "x", 1

    def xcom_pull(self, task_ids: str | list[str], key: str = "return_value") -> Any:
        return [self.xcom.get((t, key)) for t in task_ids] if isinstance(task_ids, list) else self.xcom.get((task_ids, key))

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcom["declaration", key] = value


def context(digest: str | None = DIGEST, *, check: bool = False, force: tuple[str, ...] = ()) -> dict[str, Any]:
    run = SimpleNamespace(start_date=datetime(2026, 1, 2, tzinfo=UTC))
    return {"ti": TaskInstance(digest), "params": {"check": check, "force": list(force)}, "dag_run": run}


BOOTSTRAP = [t for t in READING.bag.dags["lake_bootstrap"].topological_sort() if isinstance(t, EnsureOperator)]


def bootstrap(**params: Any) -> list[dict[str, Any]]:
    """Every ensuring task of lake_bootstrap, in its order, as one run."""
    now, rows = context(**params), list[dict[str, Any]]()
    for task in BOOTSTRAP:
        now["ti"].xcom[task.task_id, "return_value"] = task.execute(now)
        rows += now["ti"].xcom[task.task_id, "return_value"]
    return rows
