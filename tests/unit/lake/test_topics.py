"""The topics of a declaration: laid out, bootstrapped, checked, kept by a removal, looked at by doctor."""

from pathlib import Path
from typing import Any

import pytest

from include.declare import unmarked
from include.doctor import look
from include.doctor_kafka import kafka
from include.lake.errors import LakeError, Unreachable
from include.lake.lake import Lake, load_lake
from include.lake.remove import look as look_at
from include.lake.remove import refuse, remove, scope
from include.lake.resource import ensure, plan
from include.lake.resources.topic import Setting, Topic, TopicState, topic_state
from include.lake.spec import LAKE_FILE
from include.lake.survey import Status, survey
from tests.fakes.site import FakeSite


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """The shipped lake with its stream."""
    file = tmp_path / "lake.yaml"
    file.write_text(unmarked(LAKE_FILE.read_text()))
    return load_lake(file)


@pytest.fixture
def site(lake: Lake) -> FakeSite:
    site = FakeSite()
    for resource in lake.resources():
        ensure(resource, site(resource.part))
    return site


def test_a_lake_without_kafka_has_no_topics(tmp_path: Path) -> None:
    file = tmp_path / "lake.yaml"
    file.write_text("\n".join(line for line in LAKE_FILE.read_text().splitlines() if not line.lstrip().startswith("#|")))
    without = load_lake(file)
    assert without.topics == ()
    assert "kafka" not in {r.part for r in without.resources()}
    assert list(kafka(without, FakeSite())) == []  # type: ignore[arg-type]


def test_topics_stand_at_the_end_with_what_is_declared(lake: Lake) -> None:
    assert lake.resources()[-3:] == lake.topics
    by_name = {t.name: t.desired for t in lake.topics}
    assert by_name["payments"] == TopicState(6, None, frozenset({Setting("retention.ms", "604800000")}))
    assert by_name["payments.progress"] == TopicState(1, None, frozenset({Setting("cleanup.policy", "compact")}))


def test_values_are_written_as_kafka_gives_them_back() -> None:
    config = {"cleanup.policy": "compact, delete", "preallocate": "TRUE", "retention.ms": " -1", "compression.type": "producer"}
    assert {str(s) for s in topic_state(1, None, config).config} == {
        "cleanup.policy=compact,delete",
        "preallocate=true",
        "retention.ms=-1",
        "compression.type=producer",
    }


def test_a_plan_shows_only_what_is_declared(site: FakeSite) -> None:
    todo, _ = plan(Topic("payments", topic_state(7, None, {"retention.ms": "1"})), site.kafka)
    assert [str(c) for c in todo.changes] == ["partitions: 6 → 7", "config: retention.ms=604800000 → retention.ms=1"]


def test_kafka_out_of_reach_hides_nothing_of_the_others(lake: Lake, site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*args: Any) -> Any:
        raise Unreachable("Kafka at nowhere", "connection refused")

    monkeypatch.setattr(site.kafka, "topic", gone)
    found = {f.resource_id: f.status for f in survey(lake.resources(), site)}
    assert {r for r, status in found.items() if status is Status.UNREACHABLE} == {t.id for t in lake.topics}
    assert set(found.values()) == {Status.UNREACHABLE, Status.OK}
    (finding,) = look(kafka(lake, site))  # type: ignore[arg-type]
    assert finding.problem.startswith("connection refused")
    assert finding.remedy


def test_a_removal_keeps_topics_but_those_that_are_named(lake: Lake, site: FakeSite) -> None:
    for data, left in (((), {"payments", "payments.labels", "payments.progress"}), (("topic/payments.labels",), {"payments", "payments.progress"})):
        removal = look_at(lake, scope(lake, data), site)
        assert removal.stays["topic/payments"] == "data; --data topic/payments would delete it"
        refuse(lake, removal, site)
        assert {i for i in remove(lake, removal, site) if i.startswith("topic/")} == set(data)
        assert set(site.kafka.topics) == left
        for resource in lake.resources() if not data else ():
            ensure(resource, site(resource.part))
    with pytest.raises(LakeError, match=r"it is no data of this lake.*topic/payments"):
        scope(lake, ["topic/other"])


def test_doctor_says_what_is_missing_and_who_may_not(lake: Lake, site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    (finding,) = look(kafka(lake, site))  # type: ignore[arg-type]
    assert (finding.problem, finding.what) == ("", "kafka_default: Kafka at 127.0.0.1:9092, where the account may look at 3 declared topics")
    del site.kafka.topics["payments"]
    (finding,) = look(kafka(lake, site))  # type: ignore[arg-type]
    assert not finding.problem
    assert finding.what.endswith("not there yet, lake_bootstrap makes them: payments")

    def denied(*args: Any) -> Any:
        raise LakeError("use", "topic payments in Kafka", "me may not (TOPIC_AUTHORIZATION_FAILED)", "Give it Describe")

    monkeypatch.setattr(site.kafka, "topic", denied)
    (finding,) = look(kafka(lake, site))  # type: ignore[arg-type]
    assert (finding.what, finding.remedy) == ("kafka_default", "Give it Describe")
