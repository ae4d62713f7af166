"""lake_bootstrap with topics declared and without: one more task, beside the others."""

from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

from include.declare import unmarked
from include.lake.spec import LAKE_FILE
from include.operators.ensure import EnsureOperator
from tests.dags.conftest import ROOT


@pytest.mark.parametrize("declared", [True, False])
def test_topics_are_ensured_where_they_are_declared(declared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = "\n".join(line for line in LAKE_FILE.read_text().splitlines() if not line.lstrip().startswith("#|"))
    file = tmp_path / "lake.yaml"
    file.write_text(unmarked(LAKE_FILE.read_text()) if declared else shipped)
    monkeypatch.setenv("HOMELAKE_FILE", str(file))
    dag = DagBag(str(ROOT / "dags" / "lake_bootstrap.py")).dags["lake_bootstrap"]
    assert ("topics" in dag.task_ids) is declared
    if declared:
        task = dag.get_task("topics")
        assert isinstance(task, EnsureOperator)
        assert [r.id for r in task.ensures] == ["topic/payments", "topic/payments.labels", "topic/payments.progress"]
        assert (task.upstream_task_ids, task.downstream_task_ids) == ({"declaration"}, {"verify"})
