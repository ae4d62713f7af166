"""A run of lake_governance on a site in memory, and what somebody may have changed there by hand."""

import json
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import AssetAlias
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.sdk.execution_time.context import OutletEventAccessors

from include.lake.units import Size
from include.operators.governance import CheckOperator, FiguresOperator, RepairOperator, VerdictOperator
from tests.dags.runs import LAKE, TaskInstance
from tests.fakes.site import FakeSite

GIB = 2**30


class Variables(dict[str, str]):
    """Airflow's variables."""

    def __init__(self) -> None:
        super().__init__()
        self.Variable = SimpleNamespace(get=lambda key, default=None: self.get(key, default), set=self._set)

    def _set(self, key: str, value: str, description: str) -> None:
        assert description
        self[key] = value


class Run:
    """One run of the DAG, task by task, with what each left."""

    def __init__(self, *, remediate: bool = False, lake: Any = LAKE) -> None:
        self.context: dict[str, Any] = {"ti": TaskInstance(None), "params": {"remediate": remediate}, "dag_run": SimpleNamespace(run_id="r1"),
                                        "outlet_events": OutletEventAccessors()}  # fmt: skip
        self.tasks = [
            CheckOperator(task_id="check", lake=lake, again=0),
            RepairOperator(task_id="repair", lake=lake),
            FiguresOperator(task_id="figures", lake=lake),
        ]
        self.skipped: list[str] = []

    def __call__(self) -> str:
        """All of it; what `verdict` says, or raises."""
        for task in self.tasks:
            try:
                self.context["ti"].xcom[task.task_id, "return_value"] = json.loads(json.dumps(task.execute(self.context)))
            except AirflowSkipException:
                self.skipped.append(task.task_id)
        return str(VerdictOperator(task_id="verdict").execute(self.context))

    def left(self, task: str) -> Any:
        return self.context["ti"].xcom.get((task, "return_value"))

    def events(self, asset: Any) -> list[dict[str, Any]]:
        return [e.extra for e in self.context["outlet_events"][AssetAlias(asset.name)].asset_alias_events if e.dest_asset_key.name == asset.name]


def fails(run: Run, kind: type[Exception] = AirflowFailException) -> list[str]:
    with pytest.raises(kind) as caught:
        run()
    assert type(caught.value) is kind
    return str(caught.value).splitlines()


# By hand


def quota(site: FakeSite) -> None:
    site.minio.buckets["datalake"] = replace(site.minio.buckets["datalake"], quota=Size(5 * GIB))


def user(site: FakeSite) -> None:
    site.minio.users["spark-user"] = replace(site.minio.users["spark-user"], enabled=False)


def fstab(site: FakeSite) -> None:
    target = LAKE.mount.target
    site.host.fstab[target] = (*site.host.fstab[target][:2], "defaults")


def gone(error: Exception) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        raise error

    return call
