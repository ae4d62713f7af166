"""lake_governance without a lab: what it finds, announces, repairs, and fails for."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import AssetAlias
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.sdk.execution_time.context import OutletEventAccessors

from include.lake.errors import LakeError, Unreachable
from include.lake.forecast import HISTORY, Point, from_json, to_json
from include.lake.lake import build_lake
from include.lake.units import Size
from include.lake.usage import Volume
from include.operators import governance
from include.operators.governance import DRIFT, USAGE, CheckOperator, FiguresOperator, OutOfReach, RepairOperator, VerdictOperator
from tests.dags.conftest import READING
from tests.dags.runs import LAKE, TaskInstance, bootstrap
from tests.fakes.base import Killed
from tests.fakes.site import FakeSite

DAG = READING.bag.dags["lake_governance"]
GIB = 2**30


class Variables(dict[str, str]):
    """Airflow's variables."""

    def __init__(self) -> None:
        super().__init__()
        self.Variable = SimpleNamespace(get=lambda key, default=None: self.get(key, default), set=self._set)

    def _set(self, key: str, value: str, description: str) -> None:
        assert description
        self[key] = value


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Variables:
    made = Variables()
    monkeypatch.setattr(governance, "Variable", made.Variable)
    return made


@pytest.fixture
def lake(site: FakeSite, variables: Variables) -> FakeSite:
    """A lake as declared, counted."""
    bootstrap()
    site.minio.scan()
    return site


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


def gone(error: LakeError) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        raise error

    return call


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


# Figures


def fill(site: FakeSite, share: float) -> None:
    site.minio.versions["datalake"] = [("a", int(100 * GIB * share))]
    site.minio.scan()


@pytest.mark.parametrize(("share", "fail"), [(0.5, False), (0.85, False), (0.96, True)])
def test_a_full_quota_warns_then_fails(lake: FakeSite, share: float, fail: bool) -> None:
    fill(lake, share)
    run = Run()
    if fail:
        assert fails(run) == ["bucket/datalake is 96.0% full: 96 GiB of 100 GiB"]
    else:
        run()
    events = run.events(USAGE)
    assert [e["failures"] + e["warnings"] for e in events] == (
        [] if share < 0.8 else [[f"bucket/datalake is {share:.1%} full: {share * 100:.0f} GiB of 100 GiB"]]
    )


def test_a_full_volume_fails(lake: FakeSite) -> None:
    lake.host.fill = Volume(99 * GIB, GIB, 10, 10, 0, 0, None)
    assert fails(Run()) == ["volume is 99.0% full: 99 GiB of 100 GiB"]


def test_the_history_grows_by_a_point_a_run_and_gives_a_date(lake: FakeSite, variables: Variables) -> None:
    now = datetime.now(UTC)
    past = tuple(Point(int((now - timedelta(hours=h)).timestamp()), {"bucket/datalake": (50 * 24 - h) * GIB // 24}) for h in range(24, 0, -1))
    variables[HISTORY] = to_json(past)
    fill(lake, 0.5)
    run = Run()
    run()
    level = run.left("figures")["levels"][0]
    assert level["per_day"] == pytest.approx(GIB, rel=0.05)
    assert datetime.fromisoformat(level["full"]).date() - now.date() in (timedelta(days=49), timedelta(days=50), timedelta(days=51))
    kept = from_json(variables[HISTORY])
    assert len(kept) == len(past) + 1
    assert set(kept[-1].values) == {"bucket/datalake", "volume", "inodes"}


def test_a_first_run_says_that_there_is_not_enough_history(lake: FakeSite, variables: Variables) -> None:
    run = Run()
    run()
    assert {level["note"] for level in run.left("figures")["levels"]} == {"not enough history: 0.0 h of 6 h"}
    assert len(from_json(variables[HISTORY])) == 1


def test_a_history_that_cannot_be_read_is_begun_anew(lake: FakeSite, variables: Variables) -> None:
    variables[HISTORY] = "by hand"
    Run()()
    assert len(from_json(variables[HISTORY])) == 1


def test_figures_of_a_part_out_of_reach_are_no_zero(lake: FakeSite, variables: Variables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake.minio, "counters", gone(Unreachable("MinIO", "connection refused")))
    run = Run()
    assert fails(run, OutOfReach) == ["Unable to reach MinIO: connection refused."]
    assert set(from_json(variables[HISTORY])[-1].values) == {"volume", "inodes"}


def test_a_contradiction_is_told(lake: FakeSite) -> None:
    run = Run()
    run()
    assert run.left("figures")["contradictions"] == []
    forgetting = LAKE.spec.model_copy(update={"buckets": (LAKE.spec.buckets[0].model_copy(update={"lifecycle": ()}),)})
    run = Run(lake=build_lake(forgetting), remediate=True)
    run()
    (text,) = run.left("figures")["contradictions"]
    assert text.startswith("buckets[0].quota: what is overwritten or deleted in datalake is kept")
    assert run.events(USAGE) == [], "it is told, and is no threshold"


# The DAG


def test_its_tasks_stand_in_this_order_and_the_last_always_judges() -> None:
    assert [t.task_id for t in DAG.topological_sort()] == ["declaration", "check", "repair", "figures", "verdict"]
    assert {t.task_id for t in DAG.tasks if t.trigger_rule == "all_done"} == {"figures", "verdict"}
    assert DAG.get_task("repair").pool == "lake_writers"
    assert DAG.schedule == LAKE.spec.governance.schedule
    assert DAG.params.dump() == {"remediate": False}
    assert {t.task_id: [o.name for o in t.outlets] for t in DAG.tasks if t.outlets} == {"check": ["homelake/drift"], "figures": ["homelake/usage"]}
    assert not DAG.get_task("verdict").on_failure_callback, "nobody is told unless it is declared"
