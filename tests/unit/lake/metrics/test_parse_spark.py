"""A driver's answers, as they were recorded from Spark 4.1.1."""

import pytest

from include.lake.metrics import parse_spark
from include.lake.metrics.parse import UNREADABLE
from tests.unit.conftest import recorded
from tests.unit.lake.metrics.made import document

PAGE = recorded("metrics/prometheus-1.txt")


def test_executors_and_the_driver() -> None:
    found = {e.id: e for e in parse_spark.executors(document("allexecutors-1"))}
    one = found["1"]
    assert (one.active, one.cores, one.heap, one.off_heap, one.running, one.done, one.failed) == (True, 1, 373137632, 181722744, 2, 112, 0)
    assert (one.input_bytes, one.shuffle_read, one.shuffle_written, one.removed) == (24995504, 2360343, 2659890, "")
    assert one.gc_seconds == 1.184, "the JVM's own count, not the tasks' 1.026"
    assert (one.spark_off_heap, one.direct, one.mapped) == (0, 2586903, 0), "nothing is a figure, too"
    assert (found["driver"].heap, found["driver"].gc_seconds) == (142200800, 2.492)


def test_an_executor_without_a_heartbeat_yet_tells_no_heap() -> None:
    [new] = parse_spark.executors([{"id": "2", "isActive": False, "totalGCTime": 5, "removeReason": "Executor killed by driver."}])
    assert (new.heap, new.off_heap, new.gc_seconds, new.removed) == (None, None, 0.005, "Executor killed by driver.")
    assert (new.spark_off_heap, new.direct, new.mapped) == (None, None, None)


def test_stages() -> None:
    found = parse_spark.stages(document("stages-1"))
    assert {s.status for s in found} >= {"active", "pending", "complete", "skipped"}
    assert len({(s.id, s.attempt) for s in found}) == len(found)
    assert sum(s.output_rows for s in found) > 0
    assert all(s.done <= s.tasks for s in found)
    read = next(s for s in document("stages-1") if s["inputBytes"])
    fact = next(s for s in found if s.id == read["stageId"])
    assert (fact.input_bytes, fact.input_rows, fact.shuffle_written) == (read["inputBytes"], read["inputRecords"], read["shuffleWriteBytes"])


def test_streaming_queries() -> None:
    at = 1795730948.0
    bronze, silver = parse_spark.queries(PAGE, at)
    assert (bronze.name, bronze.input_rate, bronze.processing_rate, bronze.batch_seconds) == ("bronze", 100.10306622004639, 70.1960430029813, 11.037)
    assert bronze.watermark_delay is None, "a watermark of 0 is none"
    assert (silver.name, silver.batch_seconds) == ("silver", 18.839)
    assert silver.watermark_delay == pytest.approx(at - 1795730808.051)
    assert (silver.batch, silver.behind) == (None, None), "this page does not say"


def test_a_batch_job_has_no_queries() -> None:
    assert parse_spark.queries(recorded("metrics/batch/prometheus-1.txt"), 0) == ()


def test_a_query_before_its_first_batch_and_an_application_with_its_own_namespace() -> None:
    page = 'metrics_spark_af31_driver_spark_streaming_my_query_inputRate_total_Value{type="gauges"} NaN\nmetrics_spark_af31_driver_spark_streaming_my_query_latency_Value{type="gauges"} 0\n'  # fmt: skip
    [query] = parse_spark.queries(page, 0)
    assert (query.name, query.input_rate, query.batch_seconds) == ("my_query", None, 0)


@pytest.mark.parametrize("odd", [[{}], [None], ["x"], [{"id": 1}], [{"stageId": "x", "attemptId": 0, "status": "ACTIVE", "numTasks": 1}]])
def test_what_is_no_such_answer_raises_what_the_sources_expect(odd: list[dict[str, object]]) -> None:
    for function in (parse_spark.executors, parse_spark.stages):
        with pytest.raises(UNREADABLE):
            function(odd)
