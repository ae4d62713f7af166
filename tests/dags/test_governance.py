"""lake_governance without a lab: what it finds, announces, repairs, and fails for."""

import copy
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.lake.errors import LakeError, Unreachable
from include.lake.lake import build_lake
from include.operators.governance import DRIFT, USAGE, OutOfReach, VerdictOperator
from tests.dags.conftest import READING
from tests.dags.governed import GIB, Run, fails, fstab, gone, quota, user
from tests.dags.runs import LAKE
from tests.fakes.base import Killed
from tests.fakes.site import FakeSite

DAG = READING.bag.dags["lake_governance"]


# The whole


def test_a_lake_as_declared_is_told_so_and_announces_nothing(lake: FakeSite) -> None:
    before, run = list(lake.writes), Run()
    assert run() == "The lake is as declared, and has room."
    assert run.events(DRIFT) == run.events(USAGE) == []
    assert run.skipped == ["repair"]
    assert {row["status"] for row in run.left("check")} == {"ok"}
    assert [row["resource"] for row in run.left("check")] == [r.id for r in LAKE.resources()]
    assert lake.writes == before
    assert len(lake.locks) == len({r.id for r in LAKE.resources()}), "only the bootstrap's"


def test_several_kinds_of_drift_are_found_in_one_run_field_by_field(lake: FakeSite) -> None:
    for change in (quota, user, fstab):
        change(lake)
    before, run = list(lake.writes), Run()
    said = fails(run)
    assert said[:3] == [
        f"mount/mnt/minio_data is not as declared: options: defaults → {LAKE.mount.want(lake.host).options}.",  # type: ignore[union-attr]
        "bucket/datalake is not as declared: quota: 5 GiB → 100 GiB.",
        "user/spark-user is not as declared: enabled: no → yes.",
    ]
    assert said[3:] == ["Run lake_governance with remediate, or ./lake apply."]
    (event,) = run.events(DRIFT)
    assert (event["lake"], event["run"], event["declaration"]) == ("homelake", "r1", LAKE.spec.digest())
    assert {r["resource"]: [(c["field"], c["before"], c["after"]) for c in r["changes"]] for r in event["resources"]}["bucket/datalake"] == [
        ("quota", "5 GiB", "100 GiB")
    ]
    assert json.loads(json.dumps(event)) == event
    assert lake.writes == before, "a check changes nothing"


def test_with_remediate_it_is_repaired_under_the_writers_lock(lake: FakeSite) -> None:
    for change in (quota, user, fstab):
        change(lake)
    locks, run = len(lake.locks), Run(remediate=True)
    assert run() == "The lake is as declared, and has room."
    assert len(lake.locks) == locks + 1
    repaired = {row["resource"]: [c["field"] for c in row["changes"]] for row in run.left("repair") if row["repaired"] and row["changes"]}
    assert repaired == {"mount/mnt/minio_data": ["options"], "bucket/datalake": ["quota"], "user/spark-user": ["enabled"]}
    assert len(run.events(DRIFT)) == 1, "what was repaired was drift all the same"
    assert Run()() == "The lake is as declared, and has room."


def test_with_remediate_and_no_drift_nobody_is_locked_out(lake: FakeSite) -> None:
    locks, run = len(lake.locks), Run(remediate=True)
    run()
    assert (run.left("repair"), len(lake.locks)) == ([], locks)


def test_what_may_lose_data_is_told_and_not_done(lake: FakeSite) -> None:
    spec = LAKE.spec.model_copy(update={"buckets": (LAKE.spec.buckets[0].model_copy(update={"object_lock": False, "versioning": False}),)})
    lake.minio.buckets["datalake"] = replace(lake.minio.buckets["datalake"], object_lock=False)
    user(lake)
    run = Run(remediate=True, lake=build_lake(spec))
    said = fails(run)
    assert "bucket/datalake is not as declared: versioning: yes → no." in said
    assert any("run again with force naming bucket/datalake" in line for line in said)
    assert lake.minio.buckets["datalake"].versioning
    assert lake.minio.users["spark-user"].enabled, "one that is left stops no other"


def test_one_that_cannot_be_repaired_stops_no_other(lake: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    quota(lake)
    user(lake)
    monkeypatch.setattr(lake.minio, "set_quota", gone(LakeError("set", "the quota", "the disk is full", "Make room")))
    said = fails(Run(remediate=True))
    assert said == ["bucket/datalake is not as declared: quota: 5 GiB → 100 GiB.", "Unable to set the quota: the disk is full. Make room."]
    assert lake.minio.users["spark-user"].enabled


def test_a_stopped_service_is_started_and_what_is_in_it_looked_at(lake: FakeSite) -> None:
    lake.host.services["minio"] = replace(lake.host.services["minio"], serving=False)
    quota(lake)
    said = fails(Run())
    assert said[0].startswith("service/minio is not as declared: serving: no → yes")
    assert said[1] == "Not known until those are repaired: bucket/datalake, policy/spark-user, user/spark-user, keypair/spark-user."
    assert Run(remediate=True)() == "The lake is as declared, and has room."
    assert lake.minio.buckets["datalake"].quota == 100 * GIB


def test_what_needs_something_that_could_not_be_repaired_is_not_tried(lake: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.host.services["minio"] = replace(lake.host.services["minio"], serving=False)
    monkeypatch.setattr(lake.host, "restart", gone(LakeError("start", "minio", "it loops", "Read its journal")))
    monkeypatch.setattr(lake.minio, "bucket", gone(AssertionError("it is not to be asked")))
    run = Run(remediate=True)
    said = fails(run)
    assert "Unable to start minio: it loops. Read its journal." in said
    assert "Unable to repair bucket/datalake: it needs service/minio." in said
    assert not [line for line in said if line.startswith("Not known until")]


def test_what_is_refused_is_told_and_never_repaired(lake: FakeSite) -> None:
    """Another filesystem on the disk."""
    signatures, state = lake.host.disks["scsi1"]
    lake.host.disks["scsi1"] = (signatures, replace(state, uuid="another"))  # type: ignore[type-var]
    before, run = list(lake.writes), Run(remediate=True)
    assert any(line.startswith("Unable to format filesystem/scsi1: ") for line in fails(run))
    assert {r["resource"]: r["status"] for r in run.events(DRIFT)[0]["resources"]}["filesystem/scsi1"] == "refused"
    assert lake.writes == before


def test_what_stands_on_something_repaired_is_looked_at_again(lake: FakeSite) -> None:
    """A program that was replaced by hand: once it is back, the service still runs the other one."""
    link = next(iter(lake.host.links))
    lake.host.links[link], lake.host.by_hand["f" * 64] = "f" * 64, "something else"
    run = Run(remediate=True)
    assert run() == "The lake is as declared, and has room."
    assert [row["resource"] for row in run.left("repair")][:2] == ["binary/minio", "service/minio"]


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_repair_killed_at_any_call_is_completed_by_the_next_run(lake: FakeSite, when: str) -> None:
    for change in (quota, user, fstab):
        change(lake)
    parts = {"host": lake.host, "minio": lake.minio}
    untouched = {name: copy.deepcopy(part.__dict__) for name, part in parts.items()}
    for name, part in parts.items():
        number = 0
        while True:
            for other, fake in parts.items():
                fake.__dict__.update(copy.deepcopy({k: v for k, v in untouched[other].items() if k not in ("locked",)}))
                fake.writes.clear()
            lake.keypair.buckets, lake.keypair.policies, lake.keypair.users = lake.minio.buckets, lake.minio.policies, lake.minio.users
            part.kill_at = (number, when)
            try:
                Run(remediate=True)()
            except Killed:
                part.kill_at = None
                assert Run(remediate=True)() == "The lake is as declared, and has room."
                number += 1
                continue
            break
        assert number >= 1, name


# Out of reach


def test_a_part_out_of_reach_is_an_error_of_its_own_and_hides_no_drift(lake: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    quota(lake)
    error = Unreachable("Kubernetes", "connection refused", "Start it")
    monkeypatch.setattr(lake, "kubernetes", SimpleNamespace(namespace=gone(error), service_account=gone(error)))
    run = Run()
    said = fails(run, OutOfReach)
    assert said == ["Unable to reach Kubernetes: connection refused. Start it.", "bucket/datalake is not as declared: quota: 5 GiB → 100 GiB.",
                    "Run lake_governance with remediate, or ./lake apply."]  # fmt: skip
    (event,) = run.events(DRIFT)
    assert {r["resource"]: r["status"] for r in event["resources"]} == {
        "bucket/datalake": "changes", "namespace/spark-jobs": "unreachable", "service-account/spark-jobs/spark-sa": "unreachable"}  # fmt: skip
    assert fails(Run(remediate=True), OutOfReach) == said[:1], "the rest is repaired"
    assert lake.minio.buckets["datalake"].quota == 100 * GIB


def test_a_part_that_answers_the_second_time_was_never_away(lake: FakeSite) -> None:
    calls, real = [], lake.minio.policy

    def at_first(name: str) -> Any:
        calls.append(name)
        if len(calls) == 1:
            raise Unreachable("MinIO", "timed out")
        return real(name)

    lake.minio.policy = at_first  # type: ignore[method-assign]
    run = Run()
    assert run() == "The lake is as declared, and has room."
    assert run.events(DRIFT) == []


def test_without_the_lock_nothing_is_repaired(lake: FakeSite) -> None:
    quota(lake)
    lake.host.locked = gone(Unreachable("the lake alone", "another writer works on it"))  # type: ignore[attr-defined]
    run, before = Run(remediate=True), list(lake.writes)
    with pytest.raises(Exception, match="another writer works on it"):
        run()
    assert lake.writes == before
    assert "bucket/datalake is not as declared: quota: 5 GiB → 100 GiB." in _verdict(run)


def _verdict(run: Run) -> str:
    """What the last task says when the one before it has failed."""
    run.context["ti"].xcom["figures", "return_value"] = run.tasks[2].execute(run.context)
    with pytest.raises(AirflowFailException) as caught:
        VerdictOperator(task_id="verdict").execute(run.context)
    return str(caught.value)


def test_a_task_that_did_not_finish_is_no_lake_as_declared() -> None:
    run = Run()
    with pytest.raises(AirflowFailException) as caught:
        VerdictOperator(task_id="verdict").execute(run.context)
    assert "the task check did not finish" in str(caught.value)
    assert "the task figures did not finish" in str(caught.value)


# The DAG


def test_its_tasks_stand_in_this_order_and_the_last_always_judges() -> None:
    assert [t.task_id for t in DAG.topological_sort()] == ["declaration", "check", "repair", "figures", "verdict"]
    assert {t.task_id for t in DAG.tasks if t.trigger_rule == "all_done"} == {"figures", "verdict"}
    assert DAG.get_task("repair").pool == "lake_writers"
    assert DAG.schedule == LAKE.spec.governance.schedule
    assert DAG.params.dump() == {"remediate": False}
    assert {t.task_id: [o.name for o in t.outlets] for t in DAG.tasks if t.outlets} == {"check": ["homelake/drift"], "figures": ["homelake/usage"]}
    assert not DAG.get_task("verdict").on_failure_callback, "nobody is told unless it is declared"
