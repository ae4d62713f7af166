"""lake_backup and lake_restore: what runs after what, when, and with which params."""

import copy
from pathlib import Path

import pytest
import yaml
from airflow.exceptions import ParamValidationError

from include.lake.spec import LAKE_FILE
from tests.dags.conftest import ROOT, Reading


def test_a_backup_comes_before_anything_is_removed(reading: Reading) -> None:
    dag = reading.bag.dags["lake_backup"]
    assert [t.task_id for t in dag.topological_sort()] == ["back_up", "prune"]
    assert dag.get_task("prune").trigger_rule == "all_success", "a failed backup removes none"
    assert dag.schedule is None, "none is declared"
    assert dag.params.dump() == {"mode": "snapshot"}
    with pytest.raises(ParamValidationError):
        copy.deepcopy(dag.params)["mode"] = "fast"


def test_backups_follow_the_declared_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag

    file = tmp_path / "lake.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(LAKE_FILE.read_text()) | {"backup": {"schedule": "0 3 * * *"}}))
    monkeypatch.setenv("HOMELAKE_FILE", str(file))
    bag = DagBag(str(ROOT / "dags" / "lake_backup.py"))
    assert bag.import_errors == {}
    assert bag.dags["lake_backup"].schedule == "0 3 * * *"


def test_a_restore_is_proven_unless_it_is_not_wanted(reading: Reading) -> None:
    dag = reading.bag.dags["lake_restore"]
    assert [t.task_id for t in dag.topological_sort()] == ["restore", "verify"]
    assert dag.schedule is None
    assert dag.params.dump() == {"vmid": None, "address": None, "backup": None, "verify": True, "sample": 100}
    for name, value in (("vmid", 99), ("vmid", "110"), ("sample", 0), ("sample", 101), ("verify", "perhaps")):
        with pytest.raises(ParamValidationError):
            copy.deepcopy(dag.params)[name] = value
