"""The tasks of lake_rotate_keys, without a lab."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException, AirflowSkipException

from include.lake.resource import ensure
from include.lake.rotation import PREVIOUS, PodUse
from include.lake.secret import Secret
from include.operators import rotation
from tests.dags.conftest import READING, Reading
from tests.dags.runs import LAKE, TaskInstance
from tests.fakes.root import FakeRoot
from tests.fakes.site import FakeSite

PAIR = LAKE.key_pair
SECRET = (PAIR.namespace, PAIR.name)
DAG = READING.bag.dags["lake_rotate_keys"]


class Run(TaskInstance):
    """A run of the DAG; `first` is when its waiting task was first put off."""

    def __init__(self, **params: Any) -> None:
        super().__init__()
        self.first: datetime | None = None
        self.context = {"ti": self, "params": {**DAG.params.dump(), **params}}

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        return self.first

    def task(self, name: str) -> Any:
        return DAG.get_task(name).execute(self.context)


@pytest.fixture
def lake(site: FakeSite) -> FakeSite:
    """A converged lake."""
    for resource in LAKE.resources():
        ensure(resource, site(resource.part))
    return site


def test_both_phases_in_one_run(lake: FakeSite) -> None:
    old, run = PAIR.pair(lake.keypair), Run()
    with pytest.raises(AirflowSkipException, match="root's credentials are left alone"):
        run.task("root")
    began = run.task("new_key")
    new = PAIR.pair(lake.keypair)
    assert new != old
    assert lake.keypair.accepts(old)
    with pytest.raises(AirflowRescheduleException):
        run.task("old_key")
    lake.keypair.now += timedelta(seconds=60)
    ended = run.task("old_key")
    assert not lake.keypair.accepts(old)
    assert (began["old"], ended["revoked"]) == (ended["revoked"], began["old"])
    assert lake.locks == ["Airflow lake_rotate_keys.new_key", "Airflow lake_rotate_keys.old_key"]
    for pair in (old, new):
        assert pair.access_key not in json.dumps([began, ended])
        assert pair.secret_key.reveal() not in json.dumps([began, ended])


def test_a_task_that_is_run_again_begins_nothing_anew(lake: FakeSite) -> None:
    run = Run()
    run.task("new_key")
    made, new = lake.keypair.made, PAIR.pair(lake.keypair)
    run.task("new_key")  # as after a kill: its retry
    lake.keypair.now += timedelta(seconds=60)
    run.task("old_key")
    assert run.task("old_key")["old"] == ""
    assert (lake.keypair.made, PAIR.pair(lake.keypair)) == (made, new)


def test_waiting_keeps_no_worker_and_ends_with_the_pods_names(lake: FakeSite) -> None:
    run = Run(wait=600)
    lake.keypair.pods[SECRET] = [PodUse("payments-driver", lake.keypair.now, "payments", stream=True)]
    run.task("new_key")
    lake.keypair.now += timedelta(hours=1)
    with pytest.raises(AirflowRescheduleException) as later:
        run.task("old_key")
    assert 20 < (later.value.reschedule_date - datetime.now(UTC)).total_seconds() <= 30
    run.first = datetime.now(UTC) - timedelta(seconds=590)
    with pytest.raises(AirflowRescheduleException):
        run.task("old_key")
    run.first = datetime.now(UTC) - timedelta(seconds=601)
    with pytest.raises(
        AirflowFailException, match=r"within 600 s: pods still use it .*payments-driver.*restart the SparkApplication: payments.*Trigger the DAG again"
    ):
        run.task("old_key")
    assert PREVIOUS in lake.keypair.secrets[SECRET]
    assert DAG.get_task("old_key").reschedule


def test_without_waiting_the_next_run_finishes(lake: FakeSite) -> None:
    run = Run(wait=0)
    run.task("new_key")
    new = PAIR.pair(lake.keypair)
    with pytest.raises(AirflowSkipException, match="the next run finishes"):
        run.task("old_key")
    lake.keypair.now += timedelta(days=1)
    run = Run(wait=0)
    run.task("new_key")
    assert run.task("old_key")["revoked"]
    assert PAIR.pair(lake.keypair) == new


def test_root_on_request_and_nobodys_keys(lake: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "as_root", lambda parts: lambda credentials: FakeRoot(lake.host, lake.keypair, credentials))
    run, before = Run(root=True, user=None), PAIR.pair(lake.keypair)
    with pytest.raises(AirflowFailException, match="Change the connection 'minio_admin' first"):
        run.task("root")
    lake.host.credentials = Secret("root:another-password")
    assert run.task("root") is None
    assert lake.host.running["minio"] == Secret("root:another-password")
    with pytest.raises(AirflowSkipException, match="the param user is empty"):
        run.task("new_key")
    assert PAIR.pair(lake.keypair) == before


def test_another_declaration_is_refused(lake: FakeSite) -> None:
    run = Run()
    run.xcom["declaration", "digest"] = "another"
    for name in ("root", "new_key", "old_key"):
        with pytest.raises(AirflowFailException, match="was changed since it began"):
            run.task(name)
    assert not lake.locks


def test_the_dag(reading: Reading) -> None:
    dag = reading.bag.dags["lake_rotate_keys"]
    assert [t.task_id for t in dag.topological_sort()] == ["declaration", "root", "new_key", "old_key"]
    assert dag.schedule is None
    assert dag.params.dump() == {"user": "spark-user", "wait": 3600, "root": False}
    assert dag.params.get_param("user").schema["enum"] == ["spark-user", None]
    assert {t.pool for t in dag.tasks} == {"lake_writers"}
    assert dag.get_task("new_key").trigger_rule == "none_failed", "root is skipped as a rule"
    assert {t.digest for t in dag.tasks} == {LAKE.spec.digest()}
