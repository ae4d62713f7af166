"""The stream as a SparkApplication: its arguments, what restarts it, and what makes it another."""

import json
from dataclasses import replace
from typing import Any

import pytest

from include.lake.errors import LakeError, Refused
from include.lake.lake import load_lake
from include.lake.resource import ensure, plan
from include.lake.resources.stream import RUNNING, Stream
from include.lake.rotation import refers
from include.lake.s3a import PREFIX
from include.lake.secret import Secret
from include.lake.spark import STREAM
from include.lake.stream import FILES, arguments, digest_of, misfit, signed, stream_application
from include.lake.units import Seconds
from tests.fakes.declared import streaming
from tests.fakes.stream import Application, FakeStreams

LAKE = streaming()
assert LAKE.stream and LAKE.spec.payments
OURS, PAYMENTS = LAKE.stream, LAKE.spec.payments
LOGIN = frozenset({("client.properties", Secret('sasl.jaas.config=…password="hunter2"'))})


def body(fake: FakeStreams | None = None, stream: Stream = OURS, *, once: bool = False) -> dict[str, Any]:
    around = (fake or FakeStreams()).surroundings(FILES)
    return stream_application(stream.payments, stream.where, stream.region, around, once=once)


def test_a_lake_without_payments_has_no_stream_and_no_lake_needs_one_to_be_whole() -> None:
    assert load_lake().stream is None
    assert OURS.id not in [r.id for r in LAKE.resources()]


def test_the_job_gets_what_is_declared() -> None:
    words = arguments(PAYMENTS, FakeStreams().surroundings(FILES))
    assert words == (
        "--bootstrap", "10.0.0.2:9092", "--topic", "payments", "--path", "s3a://datalake/payments/", "--checkpoint", "s3a://checkpoints/payments/",
        "--trigger", "2", "--duplicates-within", "900", "--late-after", "60", "--max-records", "100000",
    )  # fmt: skip
    assert body(once=True)["spec"]["arguments"] == [*words, "--once"]
    odd = PAYMENTS.model_copy(update={"path": "s3a://datalake/p", "checkpoint": "s3a://checkpoints/c", "trigger": Seconds.parse("500 ms")})
    given = arguments(odd, FakeStreams().surroundings(FILES))
    assert [given[given.index(f"--{n}") + 1] for n in ("path", "checkpoint", "trigger")] == ["s3a://datalake/p/", "s3a://checkpoints/c/", "0.5"]


def test_no_digit_of_a_duration_is_lost_on_the_way() -> None:
    long = PAYMENTS.model_copy(update={"duplicates_within": Seconds.parse("40 d"), "late_after": Seconds.parse("1234567.125 s")})
    given = arguments(long, FakeStreams().surroundings(FILES))
    assert [given[given.index(f"--{n}") + 1] for n in ("duplicates-within", "late-after")] == ["3456000", "1234567.125"]
    made_for = {"format": 1, "topic": "payments", "path": "s3a://datalake/payments/", "duplicates_within": 3_456_001}
    assert "duplicates_within 3456001 s (now 3456000 s)" in (misfit(long, json.dumps(made_for)) or "")


@pytest.mark.parametrize(
    ("made_for", "said"),
    [({}, ""), ({"format": 9, "further": 1}, ""), ({"duplicates_within": 900.0}, ""), ({"topic": "other"}, "topic 'other' (now 'payments')"),
     ({"path": "s3a://datalake/old/"}, "path 's3a://datalake/old/' (now 's3a://datalake/payments/')"),
     ({"topic": "other", "duplicates_within": 60}, "topic 'other' (now 'payments'), duplicates_within 60 s (now 900 s)")],
)  # fmt: skip
def test_a_checkpoint_of_another_stream_is_known_before(made_for: dict[str, Any], said: str) -> None:
    text = json.dumps({"format": 1, "topic": "payments", "path": "s3a://datalake/payments/", "duplicates_within": 900} | made_for)
    problem = misfit(PAYMENTS, text) or ""
    assert problem.partition(" was made for ")[2].partition(". ")[0] == said


@pytest.mark.parametrize(("theirs", "now", "differs"), [("a", "b", True), ("a", "a", False), (None, "b", False), ("a", None, False)])
def test_a_topic_that_was_made_again_is_told_where_both_ids_are_known(theirs: str | None, now: str | None, differs: bool) -> None:
    made_for = {"format": 1, "topic": "payments", "path": "s3a://datalake/payments/", "duplicates_within": 900} | ({"topic_id": theirs} if theirs else {})
    problem = misfit(PAYMENTS, json.dumps(made_for), now)
    assert ("was made for topic_id 'a' (now 'b')" in (problem or "")) is differs is (problem is not None)


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"topic": "payments"}', '{"duplicates_within": "soon"}', "3"])
def test_what_only_the_driver_can_tell_is_left_to_it(text: str) -> None:
    assert misfit(PAYMENTS, text) is None


def test_one_that_runs_on_is_restarted_and_kept_and_a_micro_batch_is_neither() -> None:
    runs, once = body(), body(once=True)
    assert runs["spec"]["restartPolicy"]["type"] == "OnFailure"
    assert runs["spec"]["restartPolicy"]["onFailureRetryInterval"] == 10
    assert "timeToLiveSeconds" not in runs["spec"]
    assert (once["spec"]["restartPolicy"], once["spec"]["timeToLiveSeconds"]) == ({"type": "Never"}, 86_400)
    assert [b["metadata"]["labels"][STREAM] for b in (runs, once)] == ["true", "once"]
    assert runs["spec"]["sparkConf"][f"{PREFIX}endpoint"] == "http://10.0.0.10:9000"
    assert runs["spec"]["driver"]["memory"] == runs["spec"]["executor"]["memory"] == PAYMENTS.memory


def test_kafkas_log_in_is_mounted_and_never_stands_in_the_application() -> None:
    fake = FakeStreams()
    fake.needs_login = LOGIN
    whole = OURS.body(fake.surroundings(FILES))
    assert whole["spec"]["arguments"][-2:] == ["--kafka-config", "/opt/homelake/kafka/client.properties"]
    assert {v["name"] for v in whole["spec"]["volumes"]} == {"kafka", "job"}
    for role in ("driver", "executor"):
        assert {m["name"]: m["mountPath"] for m in whole["spec"][role]["volumeMounts"]}["kafka"] == "/opt/homelake/kafka"
    assert refers({"spec": {"volumes": whole["spec"]["volumes"]}}, "payments-kafka")
    assert "hunter2" not in str(whole)
    fake.needs_login = frozenset({("client.properties", Secret("another"))})
    assert digest_of(OURS.body(fake.surroundings(FILES))) == digest_of(whole), "a digest of a secret would be a way to guess it"


def _changed(name: str) -> tuple[Stream, FakeStreams]:
    fake, stream = FakeStreams(), OURS
    if name in ("endpoint", "bootstrap", "job"):
        setattr(fake, name, "http://another")
    elif name in ("image", "secret"):
        stream = replace(OURS, where=replace(OURS.where, **{name: "another"}))
    elif name == "region":
        stream = replace(OURS, region="another")
    else:
        stream = replace(OURS, payments=PAYMENTS.model_copy(update={name: {"memory": "2g", "topic": "t", "trigger": Seconds.parse("9 s")}.get(name, 7)}))
    return stream, fake


@pytest.mark.parametrize("name", ["endpoint", "bootstrap", "job", "image", "secret", "region", "memory", "topic", "trigger", "executors", "max_records"])
def test_whatever_it_is_made_from_makes_it_another(name: str) -> None:
    fake = FakeStreams()
    ensure(OURS, fake)
    other, changed = _changed(name)
    changed.application = fake.application
    todo, _ = plan(other, changed)
    assert todo.fields() == {"digest"}


def test_what_does_not_concern_the_job_leaves_it_alone() -> None:
    fake = FakeStreams()
    ensure(OURS, fake)
    other = replace(OURS, payments=PAYMENTS.model_copy(update={"compact": None, "audit": "0 0 * * *"}))
    assert not plan(other, fake)[0]
    assert digest_of(signed(body(), {})) != digest_of(signed(body(), {"a": "b"})), "the job's text counts"


def test_another_log_in_restarts_it_and_is_not_shown() -> None:
    fake = FakeStreams()
    fake.needs_login = LOGIN
    ensure(OURS, fake)
    fake.needs_login = frozenset({("client.properties", Secret('password="hunter3"'))})
    outcome = ensure(OURS, fake)
    assert outcome.plan.fields() == {"kafka"}
    assert "hunter" not in str(outcome.as_dict())
    assert fake.kafka == fake.needs_login
    assert len(fake.started) == 2


def test_a_restart_ends_it_at_a_boundary_and_begins_the_same_again_but_nothing_that_was_not_there() -> None:
    fake = FakeStreams()
    OURS.restart(fake)
    assert not fake.writes
    ensure(OURS, fake)
    OURS.restart(fake)
    assert fake.writes == ["submit_stream", "stop_stream", "remove_stream", "submit_stream"]
    assert fake.cut == 0
    assert not plan(OURS, fake)[0]


def test_one_that_does_not_come_to_a_boundary_is_not_removed() -> None:
    fake = FakeStreams()
    fake.application, fake.stuck = Application("old"), "its driver still runs 120 s after it was asked to end"
    for stream in (OURS, replace(OURS, desired=None)):
        with pytest.raises(LakeError, match="still runs 120 s"):
            ensure(stream, fake)
    assert fake.application == Application("old", RUNNING)


def test_somebody_elses_application_is_never_removed() -> None:
    fake = FakeStreams()
    fake.application = Application("")
    with pytest.raises(Refused, match="Homelake deletes what it made"):
        ensure(replace(OURS, desired=None), fake, force={OURS.id})
    with pytest.raises(Refused, match="that Homelake did not make"):
        ensure(OURS, fake)
    assert not fake.writes
