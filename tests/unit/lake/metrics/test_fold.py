"""Sweeps made snapshots: the recorded ones, and lives of applications made on the spot."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.lake.metrics.applications import GONE_KEPT, origin, together
from include.lake.metrics.fold import Fold, Sweep
from include.lake.metrics.samples import DriverFacts, EventFact
from include.lake.metrics.view import ApplicationView, Bounds, Origin, Snapshot
from tests.unit.lake.metrics.made import GIB, T0, app, executor, pod, recorded_sweep, stage, sweep, use


def fold(*sweeps: Sweep) -> Snapshot:
    memory = Fold()
    return [memory.fold(s, interval=2) for s in sweeps][-1]


def one(snapshot: Snapshot, name: str = "job") -> ApplicationView:
    return next(a for a in snapshot.applications if a.name == name)


def test_the_recorded_stream() -> None:
    first, second = recorded_sweep(1), recorded_sweep(2)
    snapshot = fold(first, second)
    stream = one(snapshot, "payments-stream")
    assert (stream.phase, stream.stream, stream.main, stream.problem) == ("running", True, "payments_stream.py", "")
    assert stream.paths == ("s3a://datalake/payments/", "s3a://checkpoints/payments/")
    assert stream.bounds == Bounds(0.5, None, 2 * 1433 * 2**20, 2 * 1433 * 2**20)
    assert [p.role for p in stream.pods] == ["driver", "executor"]
    uses = {u.pod: u for u in second.uses}
    for view in stream.pods:
        assert view.now is not None
        told = uses[view.name]
        assert (view.now.at, view.now.cpu, view.now.memory) == (told.at, told.cpu, told.memory), "the kubelet's own figures and moment"
        assert view.now.received is not None and view.now.received > 0
        assert view.now.gc is not None and 0 <= view.now.gc < 0.1
    driver = stream.pods[0].now
    before = next(u for u in first.uses if u.pod == "payments-stream-driver")
    assert driver is not None and driver.sent == pytest.approx((uses["payments-stream-driver"].sent or 0) / 31 - (before.sent or 0) / 31), (
        "the network's own 31 s"
    )
    assert stream.now is not None
    assert stream.now.cpu == pytest.approx(sum(u.cpu or 0 for u in second.uses if u.pod.startswith("payments")))
    assert stream.now.at == max(p.now.at for p in stream.pods if p.now)
    assert stream.churn.started == 1
    assert 0 < stream.waste.core_seconds_used < 1.2 * stream.waste.core_seconds_requested
    json.dumps(snapshot.as_json(), allow_nan=False)


def test_a_node_whose_clock_is_behind_loses_no_figures_when_an_executor_comes() -> None:
    memory = Fold()
    driver, first, second = pod("driver"), pod("1"), pod("2")
    told = {("jobs", "job-driver"): DriverFacts(tuple(executor(id) for id in ("driver", "1", "2")))}
    for n in range(30):
        at = T0 + 10 * n
        measured = tuple(use(p, at - 120, cpu=1.0, memory=5) for p in (driver, first, *([second] if n > 16 else ())))
        seen = (driver, first) if n < 15 else (driver, first, second)
        job = one(memory.fold(sweep(at, *seen, uses=measured, drivers=told), interval=2))
        assert job.now is not None
        assert (job.now.at, job.now.cpu) == (at - 120, 3 if n > 16 else 2)
    assert len(memory.series("jobs", "job")["total"]) == 30


def test_the_recorded_job_whose_executor_finds_no_place() -> None:
    job = one(fold(recorded_sweep(1)), "busy-1")
    assert (job.phase, job.churn.started) == ("running", 0)
    waiting = next(p for p in job.pods if p.role == "executor")
    assert (waiting.phase, waiting.reason, waiting.now) == ("Pending", "Unschedulable", None)
    assert job.events[0].reason == "FailedScheduling", "newest first"
    assert job.bounds.cpu_request == 2


def test_the_recorded_job_that_ran_out_of_memory() -> None:
    snapshot = fold(recorded_sweep(1, "batch/", "busy-2-driver"), recorded_sweep(2, "batch/", "busy-2-driver"))
    oom = one(snapshot, "oom-1")
    assert (oom.phase, oom.state, oom.now) == ("failed", "FAILED", None)
    assert (oom.churn.started, oom.churn.out_of_memory, oom.churn.lost) == (1, 1, 0)
    assert oom.error == "driver container failed with ExitCode: 1, Reason: Error"
    done, running = one(snapshot, "busy-1"), one(snapshot, "busy-2")
    assert (done.phase, done.churn.lost, done.churn.out_of_memory, done.now) == ("done", 0, 0, None)
    assert done.waste.core_seconds_requested == 145 + 32, "a core each, driver and executor, from their start to their end"
    assert running.totals.done > 0
    assert running.now is not None
    assert running.totals.output_rows >= 0


@settings(max_examples=20)
@given(st.lists(st.sampled_from([1, 2]), min_size=1, max_size=6))
def test_the_same_sweeps_make_the_same_snapshots(order: list[int]) -> None:
    a, b = Fold(), Fold()
    for which in order:
        s = recorded_sweep(which)
        shuffled = replace(
            s,
            applications=s.applications[::-1] if s.applications else None,
            pods=s.pods[::-1] if s.pods else None,
            uses=s.uses[::-1],
            events=(s.events or ())[::-1],
        )
        assert a.fold(s, interval=2) == b.fold(shuffled, interval=2), "whatever order the sources tell things in"


def test_a_source_that_does_not_answer_is_not_one_that_has_nothing() -> None:
    driver, one_exec = pod("driver"), pod("1")
    memory = Fold()
    memory.fold(sweep(T0 + 10, driver, one_exec), interval=2)
    silent = memory.fold(Sweep(T0 + 60, problems=("Unable to reach Kubernetes: timed out.",)), interval=2)
    job = one(silent)
    assert (job.phase, [p.phase for p in job.pods], job.churn.lost) == ("running", ["Running", "Running"], 0)
    assert silent.problems == ("Unable to reach Kubernetes: timed out.",)


def test_an_executor_that_was_killed_is_lost_and_remembered_when_its_pod_is_gone() -> None:
    driver, memory = pod("driver"), Fold()
    memory.fold(sweep(T0 + 10, driver, pod("1"), pod("2")), interval=2)
    killed = pod("1", phase="Failed", reason="Error", exit_code=137, ended=T0 + 20)
    memory.fold(sweep(T0 + 22, driver, killed, pod("2")), interval=2)
    memory.fold(sweep(T0 + 40, driver, pod("2"), pod("3")), interval=2)
    job = one(memory.fold(sweep(T0 + 60, driver, pod("2"), pod("3")), interval=2))
    assert (job.churn.started, job.churn.lost, job.churn.out_of_memory) == (3, 1, 0)
    gone = next(p for p in job.pods if p.executor == "1")
    assert (gone.phase, gone.exit_code, gone.ended) == ("Failed", 137, T0 + 20)


def test_running_out_of_memory_is_remembered_when_the_pod_is_gone() -> None:
    driver, memory = pod("driver"), Fold()
    memory.fold(sweep(T0 + 10, driver, pod("1", phase="Failed", reason="OOMKilled", exit_code=137, ended=T0 + 9)), interval=2)
    for at in range(20, 4000, 20):  # others come and go, more than are kept
        memory.fold(sweep(T0 + at, driver, pod(str(at))), interval=2)
    job = one(memory.fold(sweep(T0 + 4000, driver), interval=2))
    assert (job.churn.started, job.churn.out_of_memory, job.churn.out_of_memory_at) == (200, 1, T0 + 9)
    assert len(job.pods) <= GONE_KEPT + 3
    assert job.churn.lost == 199, "the last is not yet decided"


def test_an_executor_that_vanished_as_its_application_ended_is_not_lost() -> None:
    memory = Fold()
    memory.fold(sweep(T0 + 10, pod("driver"), pod("1")), interval=2)
    memory.fold(sweep(T0 + 50, pod("driver")), interval=2)
    over = pod("driver", phase="Succeeded", exit_code=0, ended=T0 + 52)
    job = one(memory.fold(sweep(T0 + 90, over, apps=(app(state="COMPLETED", ended=T0 + 53),)), interval=2))
    assert (job.phase, job.churn.lost) == ("done", 0)


def test_figures_of_the_application_are_its_living_pods_together() -> None:
    driver, a, b = pod("driver"), pod("1"), pod("2")
    uses = (use(driver, T0 + 100, cpu=0.5, memory=10), use(a, T0 + 104, cpu=1.0), use(b, T0 + 20, cpu=9.0))
    told = DriverFacts(executors=(executor("driver", running=0), executor("1", running=2)))
    job = one(fold(sweep(T0 + 105, driver, a, b, uses=uses, drivers={("jobs", "job-driver"): told})))
    assert job.now is not None
    assert (job.now.at, job.now.cpu, job.now.memory, job.now.tasks) == (T0 + 104, 1.5, 10, 2), "the third's figures are too old to be added"


def test_a_job_that_is_over_keeps_its_bounds_and_shows_no_figures() -> None:
    driver, memory = pod("driver"), Fold()
    memory.fold(sweep(T0 + 10, driver, pod("1"), uses=(use(driver, T0 + 9, cpu=1),)), interval=2)
    ends = [pod("driver", phase="Succeeded", ended=T0 + 20), pod("1", phase="Succeeded", ended=T0 + 19)]
    job = one(memory.fold(sweep(T0 + 30, *ends, apps=(app(state="COMPLETED", ended=T0 + 20),)), interval=2))
    assert (job.now, job.bounds.cpu_request, job.bounds.memory_limit) == (None, 2, 2 * GIB)
    assert job.waste.core_seconds_requested == 18 + 17
    assert len(memory.series("jobs", "job")["total"]) == 1


def test_where_one_pod_has_no_limit_there_is_none_for_all() -> None:
    assert together([pod(cpu_limit=1.0), pod("2")]) == Bounds(2, None, 2 * GIB, 2 * GIB)
    assert together([pod(cpu_limit=1.0), pod("2", cpu_limit=2.0)]).cpu_limit == 3


def test_a_driver_that_tells_nothing_is_a_problem_while_the_application_runs() -> None:
    silent = {("jobs", "job-driver"): DriverFacts(problem="Unable to read it: timed out.")}
    assert one(fold(sweep(T0 + 10, pod("driver"), drivers=silent))).problem == "Unable to read it: timed out."
    over = app(state="COMPLETED", ended=T0 + 9)
    assert one(fold(sweep(T0 + 10, pod("driver", phase="Succeeded", ended=T0 + 9), apps=(over,), drivers=silent))).problem == ""


def test_an_application_of_the_same_name_begins_anew() -> None:
    memory = Fold()
    old = pod("driver")
    memory.fold(sweep(T0 + 10, old, uses=(use(old, T0 + 10, cpu=1, cpu_seconds=8),)), interval=2)
    again = app(uid="uid-2", created=T0 + 100)
    new = pod("driver", uid="uid-new", created=T0 + 101, started=T0 + 102)
    snapshot = memory.fold(sweep(T0 + 110, old, new, apps=(again,), uses=(use(new, T0 + 109, cpu=0.5, cpu_seconds=1),)), interval=2)
    assert [(a.uid, a.waste.core_seconds_used, [p.started for p in a.pods]) for a in snapshot.applications] == [("uid-2", 1, [T0 + 102])]
    assert memory.series("jobs", "job")["total"].column("cpu") == [0.5]


def test_a_streams_next_driver_of_the_same_name_goes_on() -> None:
    memory = Fold()
    old, new = pod("driver"), pod("driver", uid="uid-new", created=T0 + 50, started=T0 + 51)
    memory.fold(
        sweep(T0 + 10, old, uses=(use(old, T0 + 10, cpu_seconds=8),), drivers={("jobs", "job-driver"): DriverFacts(stages=(stage(output_rows=5),))}), interval=2
    )
    snapshot = memory.fold(sweep(T0 + 60, new, uses=(use(new, T0 + 60, cpu_seconds=3),), drivers={("jobs", "job-driver"): DriverFacts(stages=(stage(output_rows=2),))}), interval=2)  # fmt: skip
    job = one(snapshot)
    assert (job.waste.core_seconds_used, job.totals.output_rows) == (11, 7)
    assert [(p.name, p.phase, p.reason) for p in job.pods] == [("job-driver", "Unknown", "Deleted"), ("job-driver", "Running", "")]
    assert [p["uid"] for p in snapshot.as_json()["applications"][0]["pods"]] == [old.uid, "uid-new"], "of one name the newest is the last"
    assert memory.series("jobs", "job")["job-driver"].column("at") == [T0 + 60], "a name's course is its newest pod's"


def test_ended_applications_keep_their_series_up_to_a_number() -> None:
    memory = Fold(ended_kept=2)
    names = [f"job-{i}" for i in range(4)]
    drivers = [pod("driver", name) for name in names]
    running = tuple(app(name) for name in names)
    memory.fold(sweep(T0 + 10, *drivers, apps=running, uses=tuple(use(d, T0 + 9, cpu=1) for d in drivers)), interval=2)
    ended = tuple(app(name, state="COMPLETED", ended=T0 + 20 + i) for i, name in enumerate(names))
    snapshot = memory.fold(sweep(T0 + 30, *drivers, apps=ended), interval=2)
    assert len(snapshot.applications) == 4, "all that the API server has are shown"
    assert [len(memory.series("jobs", name)["total"]) for name in names] == [0, 0, 1, 1], "the latest keep their course"
    gone = memory.fold(sweep(T0 + 40, apps=()), interval=2)
    assert gone.applications == ()
    assert [len(memory.series("jobs", name)) for name in names] == [0, 0, 2, 2], "and keep it when the API server has them no more"
    assert memory.pods("jobs", "job-3") == {}, "of what is gone there is no log"


def test_one_that_vanished_while_it_ran_is_over() -> None:
    memory = Fold()
    memory.fold(sweep(T0 + 10, pod("driver"), uses=(use(pod("driver"), T0 + 9, cpu=1),)), interval=2)
    assert memory.fold(sweep(T0 + 20, apps=()), interval=2).applications == ()
    assert len(memory.series("jobs", "job")["total"]) == 1


def test_a_stream_that_was_removed_has_ended_with_its_course() -> None:
    memory, stream = Fold(), app(stream=True)
    driver = pod("driver")
    memory.fold(sweep(T0 + 10, driver, apps=(stream,), uses=(use(driver, T0 + 9, cpu=1),)), interval=2)
    assert memory.ended() == ()
    again = replace(stream, uid="its-successor", created=T0 + 19)
    memory.fold(sweep(T0 + 20, apps=(again,)), interval=2)
    ((ended, series),) = memory.ended()
    assert (ended.uid, ended.phase, ended.ended, ended.now) == (stream.uid, "done", T0 + 20, None), "by being removed"
    assert [(p.phase, p.reason, p.ended) for p in ended.pods] == [("Unknown", "Deleted", T0 + 20)]
    assert series["total"].column("cpu") == [1]
    memory.fold(sweep(T0 + 30, apps=(again,)), interval=2)
    assert memory.ended() == (), "told once"


def test_a_stream_that_was_removed_for_an_error_has_failed() -> None:
    memory, driver = Fold(), pod("driver")
    memory.fold(sweep(T0 + 10, driver, apps=(app(stream=True, state="FAILING", error="ExitCode: 2"),), uses=(use(driver, T0 + 9, cpu=1),)), interval=2)
    memory.fold(sweep(T0 + 20, apps=()), interval=2)
    assert [(e.application.phase, e.application.error) for e in memory.ended()] == [("failed", "ExitCode: 2")]


def test_what_has_ended_is_told_in_the_end_it_had_and_not_without_a_course() -> None:
    memory, driver = Fold(), pod("driver")
    memory.fold(sweep(T0 + 10, driver, apps=(app(), app("old", state="COMPLETED", ended=T0)), uses=(use(driver, T0 + 9, cpu=1),)), interval=2)
    assert memory.ended() == (), "of one that was over before there is no course"
    memory.fold(Sweep(T0 + 15), interval=2)
    assert memory.ended() == (), "a cluster that does not answer has removed nothing"
    memory.fold(sweep(T0 + 20, driver, apps=(app(state="FAILED", error="no such file", ended=T0 + 18),)), interval=2)
    assert [(e.application.phase, e.application.error, e.application.ended) for e in memory.ended()] == [("failed", "no such file", T0 + 18)]
    memory.fold(sweep(T0 + 30, apps=()), interval=2)
    assert memory.ended() == ()


def test_warnings_are_ten_at_most_and_outlive_the_api_server() -> None:
    def warning(i: int, subject: str = "job-exec-1") -> EventFact:
        return EventFact("jobs", subject, T0 + i, "Unhealthy", f"message {i}")

    memory = Fold()
    events = (*tuple(warning(i) for i in range(15)), warning(99, "somebody-else"), replace(warning(98), namespace="elsewhere"))
    job = one(memory.fold(sweep(T0 + 20, pod("1"), events=events), interval=2))
    assert [e.message for e in job.events] == [f"message {i}" for i in range(14, 4, -1)]
    later = one(memory.fold(sweep(T0 + 22, pod("1"), events=(replace(warning(14), at=T0 + 21),)), interval=2))
    assert [(e.message, e.at) for e in later.events[:2]] == [("message 14", T0 + 21), ("message 13", T0 + 13)]
    assert len(later.events) == 10


@pytest.mark.parametrize(
    ("annotations", "found"),
    [
        ({"dag-id": "d", "run-id": "r", "task-id": "t", "try-number": "2"}, Origin("d", "r", "t", 2)),
        ({"dag-id": "d", "run-id": "r", "task-id": "t"}, Origin("d", "r", "t", 1)),
        ({"dag-id": "d", "run-id": "r", "task-id": "t", "try-number": "x"}, Origin("d", "r", "t", 1)),
        ({"dag-id": "d"}, None),
        ({}, None),
    ],
)
def test_the_origin(annotations: dict[str, str], found: Origin | None) -> None:
    assert origin({f"homelake/{k}": v for k, v in annotations.items()}) == found


def test_paths_are_named_once_each() -> None:
    fact = app(arguments=("--from=s3a://lake/a/", "s3a://lake/b", '["s3a://lake/a/", "s3a://lake/c"]', "hdfs://x"))
    assert one(fold(sweep(T0, apps=(fact,)))).paths == ("s3a://lake/a/", "s3a://lake/b", "s3a://lake/c")


@pytest.mark.parametrize(("state", "phase"), [("", "waiting"), ("SUBMITTED", "waiting"), ("RUNNING", "running"), ("COMPLETED", "done"), ("FAILED", "failed"), ("UNKNOWN", "lost"), ("NEW_WORD", "lost")])  # fmt: skip
def test_phases(state: str, phase: str) -> None:
    assert one(fold(sweep(T0, apps=(app(state=state),)))).phase == phase


pods = st.builds(
    lambda e, phase, ended, uid: pod(e, uid=f"{e}-{uid}", phase=phase, ended=T0 + ended if phase in ("Succeeded", "Failed") else None),
    st.sampled_from(["driver", "1", "2", "3"]), st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]), st.floats(0, 500), st.integers(1, 3),
)  # fmt: skip


@given(
    st.lists(
        st.tuples(st.none() | st.lists(pods, max_size=6), st.sampled_from(["RUNNING", "COMPLETED", "FAILED", "UNKNOWN", "PENDING_RERUN"]), st.floats(0.1, 60))
    )
)
def test_whatever_pods_do_sums_only_grow_and_snapshots_are_made(steps: list[tuple[Any, str, float]]) -> None:
    memory, at, before = Fold(), T0, None
    for listed, state, gap in steps:
        at += gap
        own = {p.uid: p for p in listed or ()}.values()
        uses = tuple(use(p, at, cpu=1.0, cpu_seconds=gap, memory=gap) for p in own)
        s = Sweep(at, applications=(app(state=state),), pods=None if listed is None else tuple(own), uses=uses)
        job = one(memory.fold(s, interval=2))
        if before is not None:
            for name in ("started", "lost", "out_of_memory"):
                assert getattr(job.churn, name) >= getattr(before.churn, name)
            for name in ("core_seconds_requested", "core_seconds_used", "byte_seconds_requested", "byte_seconds_used"):
                assert getattr(job.waste, name) >= getattr(before.waste, name)
        assert job.churn.lost <= job.churn.started or any(p.started for p in job.pods)
        before = job
