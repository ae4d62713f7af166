"""The figures of lake_governance without a lab: thresholds, history, what cannot be measured."""

from datetime import UTC, datetime, timedelta

import pytest

from include.lake.errors import LakeError, Unreachable
from include.lake.forecast import HISTORY, Point, from_json, to_json
from include.lake.lake import build_lake
from include.lake.usage import Volume
from include.operators.governance import USAGE, OutOfReach
from tests.dags.governed import GIB, Run, Variables, fails, gone
from tests.dags.runs import LAKE
from tests.fakes.site import FakeSite


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


def test_a_volume_that_cannot_be_measured_fails_though_all_answer(lake: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake.host, "volume", gone(LakeError("measure", "the volume", "it is not mounted", "Mount it")))
    assert fails(Run()) == ["Unable to measure the volume: it is not mounted. Mount it."]


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
