"""The tasks of lake_upgrade_minio on a site in memory: in their order, in check mode, killed in between, and when the new program fails."""

from typing import Any

import pytest
from airflow.exceptions import ParamValidationError
from airflow.sdk.exceptions import AirflowFailException

from include.adapters import proof
from tests.dags.conftest import READING, Reading
from tests.dags.runs import LAKE, bootstrap, context
from tests.fakes.base import Killed
from tests.fakes.guest import AGPL, ELF
from tests.fakes.site import FakeSite
from tests.fakes.tenant import FakeTenant

ALLOWED = {f"{call} datalake" for call in ("put", "get", "list", "multipart", "delete")}
TASKS = {t: READING.bag.dags["lake_upgrade_minio"].get_task(t) for t in ("prepare", "snapshot", "exchange")}


@pytest.fixture
def lake(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> FakeSite:
    """A lake that runs the program `new`, and is to be upgraded to `newer`."""
    monkeypatch.setattr(proof, "TenantS3", lambda server, pair: FakeTenant(ALLOWED))
    monkeypatch.setattr(proof, "PATIENCE", 0)
    bootstrap()
    site.host.sources[str(LAKE.minio_binary.source)] = ("newer", ELF, AGPL)
    site.host.origins["new"] = "another declaration"
    site.locks.clear()
    return site


def run(task: str, **params: Any) -> dict[str, Any]:
    now = context()
    now["params"] = {"check": False, "snapshot": False, **params}
    return dict(TASKS[task].execute(now))


def test_the_tasks_stand_in_their_order(reading: Reading) -> None:
    dag = reading.bag.dags["lake_upgrade_minio"]
    assert [t.task_id for t in dag.topological_sort()] == ["declaration", *TASKS]
    assert dag.schedule is None
    assert dag.params.dump() == {"snapshot": False, "check": False}
    assert {t.digest for t in dag.tasks} == {LAKE.spec.digest()}
    assert {t.pool for t in dag.tasks} == {"lake_writers"}
    with pytest.raises(ParamValidationError):
        dag.params["snapshot"] = "perhaps"
    dag.params["snapshot"] = False


def test_a_whole_run(lake: FakeSite) -> None:
    assert run("prepare", snapshot=True) == {"before": "new", "todo": True, "prepared": "newer"}
    assert lake.host.links["minio"] == "new"
    (name,) = {run("snapshot", snapshot=True)["snapshot"]}
    assert list(lake.proxmox.taken) == [name]
    assert run("exchange", snapshot=True) == {"before": "new", "todo": True, "after": "newer"}
    assert lake.locks == [f"Airflow lake_upgrade_minio.{t}" for t in TASKS]
    before = list(lake.writes)
    assert [run(t, snapshot=True) for t in TASKS] == [{"before": "newer", "todo": False}] * 3
    assert lake.writes == before


def test_no_snapshot_unless_asked_for(lake: FakeSite) -> None:
    run("prepare")
    assert run("snapshot") == {"before": "new", "todo": True, "snapshot": None}
    assert not lake.proxmox.taken


def test_check_mode_changes_nothing(lake: FakeSite) -> None:
    before = list(lake.writes)
    assert [run(t, check=True, snapshot=True) for t in TASKS] == [{"before": "new", "todo": True}] * 3
    assert lake.writes == before
    assert not lake.locks


def test_a_program_that_does_not_start_fails_the_task_for_good_and_the_old_one_is_back(lake: FakeSite) -> None:
    lake.host.broken = {"newer"}
    run("prepare")
    with pytest.raises(AirflowFailException, match=r"(?s)it does not start.*is back in place, serves, and was proven"):
        run("exchange")
    assert lake.host.links["minio"] == "new"
    assert lake.host.services["minio"].serving


def test_a_killed_exchange_is_finished_by_the_next_run(lake: FakeSite) -> None:
    run("prepare")
    lake.host.kill_at = (len(lake.host.writes) + 2, "after")  # put in place, not restarted
    with pytest.raises(Killed):
        run("exchange")
    lake.host.kill_at = None
    assert lake.host.notes
    assert run("snapshot", snapshot=True)["snapshot"] is None, "what has begun is no state to go back to"
    assert run("prepare") == {"before": "newer", "todo": True, "prepared": None}
    assert not lake.host.notes
    assert run("exchange") == {"before": "newer", "todo": False}
