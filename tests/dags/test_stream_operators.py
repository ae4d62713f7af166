"""The tasks of payments_stream and payments_micro_batch, without a lab."""

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.exceptions import AirflowException
from airflow.sdk.exceptions import AirflowFailException

from include.adapters import stream_run
from include.connections import from_environment
from include.lake.errors import LakeError, Unreachable
from include.lake.resource import ensure
from include.lake.secret import Secret
from include.lake.spark import STREAM, Phase, Standing
from include.lake.stream import FILES, Halt
from include.operators import spark
from tests.dags.conftest import STREAMING
from tests.fakes.declared import streaming
from tests.fakes.site import FakeSite
from tests.fakes.stream import Application

LAKE = streaming()
assert LAKE.stream
TASK = STREAMING.bag.dags["payments_stream"].get_task("stream")
BATCH = STREAMING.bag.dags["payments_micro_batch"].get_task("micro_batch")


class Starts:
    """What was looked at before a start, and how the starts end."""

    def __init__(self) -> None:
        self.problems: dict[str, list[str]] = {}
        self.examined: list[tuple[str, str]] = []
        self.seen: list[float] = []
        self.error: LakeError | None = None

    def examine(self, kubernetes: Any, minio: Any, body: Any, bucket: str, prefix: str) -> list[str]:
        self.examined.append((bucket, prefix))
        return self.problems.get(bucket, [])

    def see_start(self, streams: Any, namespace: str, say: Any, seconds: float = 600) -> None:
        self.seen.append(seconds)
        if self.error:
            raise self.error


@pytest.fixture
def starts(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> Starts:
    starts = Starts()
    monkeypatch.setattr(stream_run, "examine", starts.examine)
    monkeypatch.setattr(stream_run, "see_start", starts.see_start)
    for topic in LAKE.topics:
        ensure(topic, site.kafka)
    return starts


def run(action: str = "run") -> dict[str, Any]:
    result: dict[str, Any] = TASK.execute({"params": {"action": action}, "ti": SimpleNamespace(xcom_pull=lambda **options: None)})
    return result


def test_it_is_begun_once_and_then_only_looked_at(site: FakeSite, starts: Starts) -> None:
    assert run()["action"] == "create"
    assert starts.examined == [("datalake", ""), ("checkpoints", "")]
    assert site.locks == ["Airflow payments_stream.stream"]
    before = list(site.writes)
    assert run()["applied"] is False
    assert (site.writes, len(starts.examined), starts.seen) == (before, 2, [600])
    assert site.locks == ["Airflow payments_stream.stream"], "who only looks locks nobody out"


def test_everything_that_would_fail_it_is_told_before_it_is_started(site: FakeSite, starts: Starts) -> None:
    starts.problems = {"datalake": ["the webhook is off", "no pair"], "checkpoints": ["the webhook is off", "there is no bucket checkpoints"]}
    site.kafka.topics.pop("payments")
    with pytest.raises(AirflowFailException) as caught:
        run()
    lines = str(caught.value).splitlines()
    assert lines[0] == "Unable to start stream/payments: 4 problems found before it was started"
    assert lines[1:] == ["- the webhook is off", "- no pair", "- there is no bucket checkpoints",
                         "- there is no topic payments in Kafka at 127.0.0.1:9092. Declare it (kafka.topics) and run lake_bootstrap."]  # fmt: skip
    assert site.streams.application is None
    assert not site.locks


def test_one_that_failed_is_begun_anew(site: FakeSite, starts: Starts) -> None:
    run()
    assert site.streams.application
    site.streams.application.phase = "failed"
    assert run()["changes"] == [{"field": "phase", "before": "failed", "after": "running"}]
    assert len(site.streams.started) == 2


def test_one_that_does_not_run_fails_the_task_with_its_own_words(site: FakeSite, starts: Starts) -> None:
    starts.error = LakeError("run", "stream/payments", "its checkpoint was made for another topic")
    with pytest.raises(AirflowFailException, match="its checkpoint was made for another topic"):
        run()


def test_one_that_the_operator_starts_again_and_again_is_looked_at_longer(site: FakeSite, starts: Starts) -> None:
    run()
    site.streams.tries = (7, 3600.0)
    run()
    assert starts.seen == [600], "once, long ago"
    site.streams.tries = (7, 15.0)
    starts.error = LakeError("run", "stream/payments", "the lake's disk is full")
    with pytest.raises(AirflowFailException, match="the lake's disk is full"):
        run()
    assert starts.seen[-1] == stream_run.UNSETTLED


def test_one_that_stands_still_is_submitted_again_with_what_its_driver_said(site: FakeSite, starts: Starts, monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    assert site.streams.application
    site.streams.halt, site.streams.tries = Halt("FAILING", "Kafka does not answer", 712, 98), (84, 742.0)
    said: list[str] = []
    monkeypatch.setattr(TASK.log, "info", lambda text, *args: said.append(text % args if args else text))
    starts.error = LakeError("run", "stream/payments", "Kafka does not answer")
    with pytest.raises(AirflowFailException):  # for less than a minute: looked at, and left to the operator
        run()
    assert len(site.streams.started) == 1
    site.streams.application.phase, starts.error = "halted", None
    assert run()["changes"] == [{"field": "phase", "before": "halted", "after": "running"}]
    assert (len(site.streams.started), site.streams.cut) == (2, 0)
    assert any("has not run for 712 s: Kafka does not answer. It is submitted again" in text for text in said)


def test_it_is_ended_on_request_and_ending_needs_nothing_else(site: FakeSite, starts: Starts) -> None:
    run()
    starts.problems = {"datalake": ["anything"]}
    assert run("stop")["action"] == "delete"
    assert site.streams.application is None
    assert site.streams.cut == 0
    assert run("stop")["action"] == "none"


def test_a_cluster_out_of_reach_is_tried_again(site: FakeSite, starts: Starts, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(namespace: str) -> None:
        raise Unreachable("Kubernetes", "connection refused")

    monkeypatch.setattr(site.streams, "stream", away)
    with pytest.raises(AirflowException) as caught:
        run()
    assert not isinstance(caught.value, AirflowFailException)


@pytest.fixture
def submitted(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], str, dict[str, str]]]:
    done: list[tuple[dict[str, Any], str, dict[str, str]]] = []
    applications = SimpleNamespace(
        submit=lambda *args: done.append(args), wait=lambda name: Standing(Phase.DONE, "COMPLETED", "", "d"), delete=lambda name, wait=30: None
    )
    site.connections = from_environment({})  # type: ignore[attr-defined]
    monkeypatch.setattr(spark, "clients", lambda say: site)
    monkeypatch.setattr(spark, "preflight", lambda *args: None)
    monkeypatch.setattr(spark, "keep_folder", lambda *args: None)
    monkeypatch.setattr(spark, "SparkApplications", lambda *args: applications)
    return done


CONTEXT = {"ti": SimpleNamespace(dag_id="payments_micro_batch", run_id="r", task_id="micro_batch", map_index=-1, try_number=1)}


def test_a_micro_batch_is_the_streams_job_that_ends(site: FakeSite, submitted: list[Any]) -> None:
    site.streams.needs_login = frozenset({("client.properties", Secret("x"))})
    assert BATCH.execute(CONTEXT)["state"] == "COMPLETED"
    ((body, name, files),) = submitted
    assert name.startswith("micro-batch-")
    assert body["spec"]["arguments"][-1] == "--once"
    assert body["metadata"]["labels"][STREAM] == "once"
    assert body["spec"]["restartPolicy"] == {"type": "Never"}
    assert set(files) == {*FILES, "states.json"}
    assert site.streams.kafka == site.streams.needs_login


def test_a_micro_batch_does_not_begin_beside_the_stream(site: FakeSite, submitted: list[Any]) -> None:
    site.streams.application = Application("any")
    with pytest.raises(AirflowFailException, match=r"Unable to start the micro batch: the stream payments-stream is there \(RUNNING\) and writes to the same"):
        BATCH.execute(CONTEXT)
    assert not submitted
    site.streams.application.phase = "ended"
    BATCH.execute(CONTEXT)
    assert submitted


def test_a_micro_batch_does_not_begin_beside_another(site: FakeSite, submitted: list[Any]) -> None:
    """As one of another run whose worker was killed. One that this very try has submitted before is gone on with."""
    site.streams.micro_batches = ["micro-batch-of-another-run"]
    with pytest.raises(AirflowFailException, match=r"Unable to start the micro batch: micro-batch-of-another-run writes to the same checkpoint\. Wait"):
        BATCH.execute(CONTEXT)
    assert not submitted
    site.streams.micro_batches = [spark.job_name(CONTEXT["ti"])]
    BATCH.execute(CONTEXT)
    assert submitted
