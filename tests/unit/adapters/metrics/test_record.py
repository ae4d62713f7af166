"""What a job used goes to the lake when it ends, well or not, and nothing of that fails the job."""

from typing import Any

import pytest

from include.adapters.metrics import record
from include.adapters.metrics.collector import Collector
from include.adapters.metrics.record import Recording, recorded
from include.lake.errors import Unreachable
from include.lake.metrics.fold import Sweep
from tests.unit.lake.metrics.made import recorded_sweep

NAME, NAMESPACE = "payments-stream", "spark-jobs"


class Played:
    """The recorded sweeps: the first while the job runs, the second at its end."""

    def __init__(self) -> None:
        self.asked = 0

    def gather(self) -> Sweep:
        self.asked += 1
        return recorded_sweep(min(self.asked, 2))

    def log(self, namespace: str, pod: str, lines: int) -> str:
        return ""


class Kept:
    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.written = error, list[tuple[Any, Any]]()

    def write(self, application: Any, series: Any) -> str:
        if self.error:
            raise self.error
        self.written.append((application, series))
        return "_homelake/jobs/x.parquet"


def run(kept: Kept, fails: bool = False) -> tuple[Played, list[str]]:
    source, said = Played(), list[str]()
    collector = Collector(source, watched=60, unwatched=60)
    with recorded(Recording(collector, lambda: kept, NAMESPACE, NAME, said.append)):  # type: ignore[arg-type,return-value]
        collector.wait(0, 10)
        if fails:
            raise RuntimeError("the job failed")
    return source, said


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "AGAIN", 0)


@pytest.mark.parametrize("fails", [False, True])
def test_a_job_is_kept_with_its_course(fails: bool) -> None:
    kept = Kept()
    if fails:
        with pytest.raises(RuntimeError, match="the job failed"):
            run(kept, fails=True)
    else:
        source, said = run(kept)
        assert source.asked == 1 + record.TRIES, "once while it ran, and at its end until it is told to be over"
        assert said == ["what it used is kept in the lake: _homelake/jobs/x.parquet"]
    ((application, series),) = kept.written
    assert application.name == NAME
    assert len(series["total"]["at"]) == 2
    assert (application.phase, application.ended) == ("running", None), "so it was told, and nobody gave it up"
    assert {p.name for p in application.pods} < set(series)


def test_one_that_was_given_up_is_kept_as_failed_and_over() -> None:
    kept, source = Kept(), Played()
    recording = Recording(Collector(source, watched=60, unwatched=60), lambda: kept, NAMESPACE, NAME, print)  # type: ignore[arg-type,return-value]
    recording.keep("its image cannot be pulled")
    ((application, _),) = kept.written
    assert (application.phase, application.error) == ("failed", "its image cannot be pulled")
    assert application.ended
    assert source.asked == 1


def test_a_fault_of_ours_fails_no_job() -> None:
    _, said = run(Kept(ValueError("Invalid endpoint")))
    assert said == ["what it used is not kept: ValueError: Invalid endpoint"]


def test_a_lake_out_of_reach_fails_no_job() -> None:
    _, said = run(Kept(Unreachable("S3", "connection refused", "Check it")))
    assert said == ["what it used is not kept: Unable to reach S3: connection refused. Check it."]


def test_a_recording_that_is_stopped_keeps_nothing_and_one_of_a_job_that_is_gone_says_so() -> None:
    source, kept = Played(), Kept()
    collector = Collector(source, watched=60, unwatched=60)
    stopped = Recording(collector, lambda: kept, NAMESPACE, NAME, print)  # type: ignore[arg-type,return-value]
    stopped.start()
    collector.wait(0, 10)
    stopped.stop()
    assert (source.asked, kept.written) == (1, [])
    assert Recording(collector, lambda: kept, NAMESPACE, "another", print).keep() == ""  # type: ignore[arg-type,return-value]
    assert kept.written == []
    assert Recording(collector, lambda: kept, NAMESPACE, NAME, print).keep() == "_homelake/jobs/x.parquet"  # type: ignore[arg-type,return-value]
