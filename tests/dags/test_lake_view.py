"""What the page shows of the lake, made of what runs of lake_governance left."""

import json
from typing import Any

import pytest

from include.dashboard.lake_view import LakeView, Left, view
from include.lake.errors import Unreachable
from tests.dags.governed import GIB, Run, fails, fstab, gone, quota, user
from tests.dags.runs import LAKE
from tests.fakes.site import FakeSite


def shown(*runs: Run, ended: tuple[str, str] | None = ("r1", "success")) -> LakeView:
    """The view after these runs, the last of which is the newest."""
    left = {
        task: Left(f"r{number}", run.left(task), 1000.0 * number)
        for number, run in enumerate(runs, 1)
        for task in ("check", "repair", "figures")
        if run.left(task) is not None
    }
    seen = view("homelake", left, ended)
    assert json.loads(json.dumps(seen.as_json()))["name"] == "homelake"
    return seen


def resources(seen: LakeView) -> dict[str, Any]:
    return {r["id"]: r for r in seen.resources}


def test_a_lake_as_declared(lake: FakeSite) -> None:
    run = Run()
    run()
    seen = shown(run)
    assert (seen.checked, seen.run, seen.problems) == (1000.0, {"dag_id": "lake_governance", "run_id": "r1"}, ())
    assert [r["id"] for r in seen.resources] == [r.id for r in LAKE.resources()]
    assert {(r["status"], r["error"], *r["changes"]) for r in seen.resources} == {("ok", None)}
    levels = {level["name"]: level for level in seen.levels}
    assert levels["bucket/datalake"]["limit"] == 100 * GIB
    assert levels["bucket/datalake"].keys() == {"name", "used", "limit", "share", "mark", "per_day", "full", "note"}
    assert {b["name"] for b in seen.buckets} == {b.name for b in LAKE.spec.buckets}
    assert all(b.keys() == {"name", "objects", "bytes", "noncurrent", "noncurrent_bytes", "delete_markers"} for b in seen.buckets)
    assert [k["name"] for k in seen.keys] == [p.user for p in LAKE.key_pairs]


def test_drift_shows_field_by_field_and_as_repaired_once_it_is(lake: FakeSite) -> None:
    for change in (quota, user, fstab):
        change(lake)
    run = Run()
    fails(run)
    found = resources(shown(run))
    assert found["bucket/datalake"]["status"] == "changes"
    assert found["bucket/datalake"]["changes"] == [{"field": "quota", "before": "5 GiB", "after": "100 GiB"}]
    repaired = Run(remediate=True)
    repaired()
    assert {r["status"] for r in shown(repaired).resources} == {"ok"}
    # The older run's repairs are not the newer one's.
    quota(lake)
    again = Run()
    fails(again)
    assert resources(shown(repaired, again))["bucket/datalake"]["status"] == "changes"


def test_a_part_out_of_reach_is_told_once(lake: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        type(lake), "__call__", lambda self, part: gone(Unreachable("MinIO", "connection refused"))() if part == "minio" else getattr(self, part)
    )
    run = Run()
    with pytest.raises(Exception, match="Unable to reach MinIO"):
        run()
    seen = shown(run)
    away = [r for r in seen.resources if r["status"] == "unreachable"]
    assert away
    assert {r["error"] for r in away} == {"Unable to reach MinIO: connection refused."}
    assert [p for p in seen.problems if "connection refused" in p] == ["Unable to reach MinIO: connection refused."]


def test_before_the_first_run() -> None:
    assert shown(ended=None).problems == ("Unable to show the lake: lake_governance has not run yet. Trigger it.",)
    assert shown(ended=("r0", "failed")).problems == (
        "Unable to show the lake as it is now: the run r0 of lake_governance ended before its check did. Look at its log.",
    )


def test_a_run_that_failed_for_drift_is_no_problem_of_the_page(lake: FakeSite) -> None:
    quota(lake)
    run = Run()
    fails(run)
    assert shown(run, ended=("r1", "failed")).problems == ()


def test_a_newer_run_that_came_to_nothing_is_told_beside_the_older_view(lake: FakeSite) -> None:
    run = Run()
    run()
    seen = shown(run, ended=("r2", "failed"))
    assert seen.checked == 1000.0
    assert seen.problems == ("Unable to show the lake as it is now: the run r2 of lake_governance ended before its check did. Look at its log.",)


def test_figures_of_an_earlier_run_say_so(lake: FakeSite) -> None:
    old, new = Run(), Run()
    old()
    new()
    del new.context["ti"].xcom["figures", "return_value"]
    seen = shown(old, new)
    assert seen.run == {"dag_id": "lake_governance", "run_id": "r2"}
    assert seen.levels
    assert seen.problems == ("How full the lake is comes from the earlier run r1: the newer one has not measured it.",)
    del old.context["ti"].xcom["figures", "return_value"]
    assert shown(old, new).problems == ("Unable to show how full the lake is: the task figures of lake_governance left nothing. Look at its log.",)
