"""The task of payments_compact, without a lab: what it submits."""

from types import SimpleNamespace
from typing import Any

import pytest

from include.lake.spark import Phase, Standing
from include.operators import spark
from tests.dags.conftest import READING, STREAMING
from tests.fakes.declared import streaming
from tests.fakes.site import FakeSite

DAG = STREAMING.bag.dags["payments_compact"]
CONTEXT = {"ti": SimpleNamespace(dag_id="payments_compact", run_id="r", task_id="compact", map_index=-1, try_number=1)}


def test_it_runs_as_declared_and_is_there_only_with_payments() -> None:
    payments = streaming().spec.payments
    assert payments
    assert DAG.schedule == payments.compact == "15 * * * *"
    assert "payments_compact" not in READING.bag.dags


def test_its_job_comes_with_its_module_and_is_given_the_path(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    submitted: list[tuple[dict[str, Any], str, dict[str, str]]] = []
    applications = SimpleNamespace(
        submit=lambda *args: submitted.append(args), wait=lambda name: Standing(Phase.DONE, "COMPLETED", "", "d"), delete=lambda name, wait=30: None
    )
    site.connections = lambda name: SimpleNamespace(host="http://127.0.0.1:9000/")  # type: ignore[attr-defined]
    monkeypatch.setattr(spark, "clients", lambda say: site)
    monkeypatch.setattr(spark, "preflight", lambda *args: None)
    monkeypatch.setattr(spark, "keep_folder", lambda *args: None)
    monkeypatch.setattr(spark, "SparkApplications", lambda *args: applications)
    assert DAG.get_task("compact").execute(CONTEXT)["state"] == "COMPLETED"
    ((body, name, files),) = submitted
    assert name.startswith("compact-")
    assert body["spec"]["mainApplicationFile"].endswith("/payments_compact.py")
    assert body["spec"]["arguments"] == ["--path", "s3a://datalake/payments/"]
    assert set(files) == {"payments_compact.py", "payments_files.py", "payments_merge.py", "payments_store.py", "states.json"}
    assert body["spec"]["restartPolicy"] == {"type": "Never"}
