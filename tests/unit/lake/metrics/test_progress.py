"""What tasks and stages have done, over sweeps that do not see everything."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from include.lake.metrics.progress import MOST_STAGES, Progress
from include.lake.metrics.samples import DriverFacts, QueryFact
from tests.unit.lake.metrics.made import executor, recorded_sweep, stage


def facts(*stages: object, executors: tuple[object, ...] = (), **more: object) -> DriverFacts:
    return DriverFacts(executors, stages, **more)  # type: ignore[arg-type]


def test_the_recorded_driver() -> None:
    first, told = (recorded_sweep(i).drivers["spark-jobs", "payments-stream-driver"] for i in (1, 2))
    progress = Progress()
    progress.update("d", first)
    progress.update("d", told)
    totals = progress.totals(over=False)
    both = {s.id: s for s in (*first.stages, *told.stages)}  # the second tells the latest alone, and of those that ran how they ended
    assert len(both) > len(told.stages)
    assert totals.input_rows == sum(s.input_rows for s in both.values())
    assert totals.output_bytes == sum(s.output_bytes for s in both.values()) > 0
    assert totals.input_bytes == sum(e.input_bytes for e in told.executors)
    assert totals.done == sum(e.done for e in told.executors)
    assert totals.running == 2
    assert totals.pending == sum(s.tasks - s.done - s.running for s in told.stages if s.status in ("active", "pending")) > 0
    shown = progress.stages(over=False)
    assert len(shown) == MOST_STAGES
    assert [s.status for s in shown[:5]] == ["active"] * 3 + ["pending"] * 2, "those that run, then those that wait"
    assert [s.id for s in shown[5:]] == sorted((s.id for s in shown[5:]), reverse=True)
    assert [q.name for q in progress.queries(over=False)] == ["bronze", "silver"]


def test_rows_of_stages_that_spark_tells_no_more_stay() -> None:
    progress = Progress()
    progress.update("d", facts(stage(1, output_rows=10), stage(2, output_rows=5)))
    progress.update("d", facts(stage(2, output_rows=5), stage(3, output_rows=1, status="active")))
    assert progress.totals(over=False).output_rows == 16
    progress.update("d", facts(stage(3, output_rows=2)))
    assert progress.totals(over=False).output_rows == 17


def test_a_stage_tried_again_is_counted_with_both_tries() -> None:
    progress = Progress()
    progress.update("d", facts(stage(1, input_rows=10, status="failed"), stage(1, attempt=1, input_rows=12)))
    assert progress.totals(over=False).input_rows == 22


def test_executors_that_spark_tells_no_more_stay_counted() -> None:
    progress = Progress()
    progress.update("d", facts(executors=(executor("1", done=5, input_bytes=10.0), executor("2", done=1))))
    progress.update("d", facts(executors=(executor("2", done=2),)))
    totals = progress.totals(over=False)
    assert (totals.done, totals.input_bytes) == (7, 10)


def test_a_streams_next_driver_adds_to_what_the_one_before_has_done() -> None:
    progress = Progress()
    progress.update("d1", facts(stage(1, output_rows=10, done=2), executors=(executor(done=4),)))
    progress.update("d2", facts(stage(1, output_rows=3, done=1), executors=(executor(done=1),)))
    assert (progress.totals(over=False).output_rows, progress.totals(over=False).done) == (13, 5)


def test_what_a_driver_that_does_not_answer_does_now_is_not_known_and_its_sums_stay() -> None:
    progress = Progress()
    progress.update("d", facts(stage(1, status="active", tasks=4, done=1, running=2), executors=(executor(running=2),), queries=(QueryFact("q", 7),)))
    before = progress.totals(over=False)
    assert (before.pending, before.running) == (1, 2)
    progress.update("d", DriverFacts(problem="Unable to read it: timed out."))
    assert progress.totals(over=False) == replace(before, pending=None, running=None)
    assert progress.queries(over=False) == (), "a rate of ten minutes ago is none"


def test_a_new_driver_begins_without_what_the_one_before_did_last() -> None:
    progress = Progress()
    progress.update(
        "d1", facts(stage(1, status="active", tasks=4, done=1, running=2, output_rows=9), executors=(executor(running=2),), queries=(QueryFact("q"),))
    )
    progress.update("d2", facts(executors=(executor(running=0),)))
    totals = progress.totals(over=False)
    assert (totals.pending, totals.running, totals.output_rows) == (0, 0, 9)
    assert progress.queries(over=False) == ()
    progress.silence()
    assert progress.totals(over=False).running is None


def test_in_an_application_that_is_over_nothing_runs_or_waits() -> None:
    progress = Progress()
    progress.update("d", facts(stage(1), stage(2, status="active", running=1, done=0), executors=(executor(running=1, done=9),), queries=(QueryFact("q"),)))
    totals = progress.totals(over=True)
    assert (totals.pending, totals.running, totals.done) == (0, 0, 9)
    assert [s.id for s in progress.stages(over=True)] == [1]
    assert progress.queries(over=True) == ()


def test_memory_of_what_was_counted_is_bounded_and_nothing_is_counted_twice() -> None:
    progress = Progress()
    for first in range(0, 12_000, 500):  # Spark tells the latest thousand
        progress.update("d", facts(*(stage(i, output_rows=1) for i in range(first, first + 1000))))
    assert progress.totals(over=False).output_rows == 12_500
    assert len(progress._driver.counted) <= 5000


answers = st.lists(st.tuples(st.sampled_from(["d1", "d2"]), st.lists(st.integers(0, 30)), st.lists(st.integers(1, 5)), st.floats(0, 1e9)))


@given(answers)
def test_sums_never_fall(steps: list[tuple[str, list[int], list[int], float]]) -> None:
    progress, before = Progress(), Progress().totals(over=False)
    for uid, stages, executors, amount in steps:
        told = tuple(stage(i, status="active" if i % 3 == 0 else "complete", output_rows=amount, shuffle_read=amount) for i in stages)
        progress.update(uid, facts(*told, executors=tuple(executor(str(e), done=int(amount), input_bytes=amount) for e in executors)))
        now = progress.totals(over=False)
        for name in ("done", "failed", "input_bytes", "input_rows", "output_bytes", "output_rows", "shuffle_read", "shuffle_written"):
            assert getattr(now, name) >= getattr(before, name)
        before = now
