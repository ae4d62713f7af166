"""What the way to Kafka makes of a broker's answers."""

import time
from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from simulator.errors import SimulatorError
from simulator.events import DUPLICATE
from simulator.outputs import kafka
from simulator.outputs.pauses import Pauses
from simulator.outputs.place import Kept, kept_from, kept_text
from simulator.stream import Stream

from .streams import SMALL, epochs_of, replace


class Answers:
    """A consumer whose broker answers with these, one after the other."""

    def __init__(self, *answers: int | tuple[int, int]) -> None:
        self.answers = list(answers)

    def get_watermark_offsets(self, partition: TopicPartition, timeout: float) -> tuple[int, int]:
        answer = self.answers.pop(0)
        if isinstance(answer, int):
            raise KafkaException(KafkaError(answer))
        return answer


def test_a_topic_whose_leader_is_not_known_yet_is_asked_again() -> None:
    consumer = Answers(KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART, (3, 8))
    assert kafka._ends(consumer, TopicPartition("payments.progress", 0)) == (3, 8)


def test_but_not_for_ever_and_not_after_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Answers(KafkaError.TOPIC_AUTHORIZATION_FAILED, (0, 0))
    with pytest.raises(KafkaException):
        kafka._ends(refused, TopicPartition("payments.progress", 0))
    assert len(refused.answers) == 1
    monkeypatch.setattr(kafka, "_PATIENCE", 0.25)
    with pytest.raises(KafkaException):
        kafka._ends(Answers(*[KafkaError.NOT_LEADER_FOR_PARTITION] * 20), TopicPartition("payments.progress", 0))


class Written(kafka.KafkaOutput):
    """A topic that another simulator is writing: after each look it is an epoch further, until that one is fenced off."""

    def __init__(self, stream: Stream, resume: bool) -> None:
        super().__init__("k:9092", "payments", resume)
        self.there, self.next, self.fenced = stream, 7, False

    def _ensure(self) -> None:
        pass

    def _fence(self) -> None:
        self.fenced = True

    def _read(self) -> Kept:
        self.next += not self.fenced
        return Kept(self.there, self.next, {})


@pytest.mark.parametrize(("resume", "asked", "cause"), [
    (False, Stream(rate=200), "it holds a stream already"),
    (True, Stream(rate=500), r"it holds another stream \(rate 200 → 500\)"),
])  # fmt: skip
def test_one_that_is_refused_leaves_the_one_that_runs(resume: bool, asked: Stream, cause: str) -> None:
    topic = Written(Stream(rate=200), resume)
    with pytest.raises(SimulatorError, match=cause):
        topic.begin(asked)
    assert not topic.fenced


def test_one_that_takes_over_goes_on_from_where_the_other_came_to() -> None:
    topic = Written(Stream(), resume=True)
    assert topic.begin(Stream()) == topic.next
    assert topic.fenced


@pytest.mark.parametrize(("config", "cause"), [
    ({"sasl.mechansim": "PLAIN"}, 'No such configuration property: "sasl.mechansim"'),
    ({"security.protocol": "ssl", "ssl.ca.location": "/nosuch.pem"}, "ssl.ca.location failed"),
    ({"error_cb": "x"}, "expected error_cb property as a callable"),
    ({"default.topic.config": "x"}, "no attribute"),
])  # fmt: skip
@pytest.mark.parametrize("begin", [kafka.KafkaOutput.kept, kafka.KafkaOutput._ensure, kafka.KafkaOutput._fence])
def test_a_wrong_property_is_told_with_the_file_that_it_is_in(config: dict[str, str], cause: str, begin: Callable[[kafka.KafkaOutput], object]) -> None:
    output = kafka.KafkaOutput("127.0.0.1:9", "payments", False, config=config, file="kafka.conf")
    if begin is kafka.KafkaOutput._fence and "error_cb" in config:
        return  # the producer has one of its own
    with pytest.raises(SimulatorError, match=rf"Unable to use kafka\.conf: .*{cause}"):
        begin(output)


class Sent:
    """A producer that keeps what it is given: topic, value and the time that was asked for."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes, int | None]] = []

    def __len__(self) -> int:
        return 0

    def poll(self, timeout: float) -> None:
        pass

    def begin_transaction(self) -> None:
        self.messages.clear()

    def commit_transaction(self, timeout: float) -> None:
        pass

    def produce_batch(self, topic: str, messages: list[dict[str, bytes]]) -> int:
        assert all("timestamp" not in m for m in messages), "librdkafka takes no times there"
        self.messages += [(topic, m["value"], None) for m in messages]
        return len(messages)

    def produce(self, topic: str, value: bytes, key: bytes, timestamp: int) -> None:
        self.messages.append((topic, value, timestamp))


class Paused(Written):
    """A topic that only this simulator writes."""

    def __init__(self, stream: Stream, sent: Sent, kept: Kept | None) -> None:
        super().__init__(stream, resume=True)
        self.sent, self.kept_before = sent, kept

    def _fence(self) -> None:
        self._producer = self.sent

    def _read(self) -> Kept | None:  # type: ignore[override]
        return self.kept_before


def test_a_repetition_of_what_was_sent_before_a_pause_carries_the_time_from_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pauses, one while it runs and one between two runs. All else carries the clock's time, in the order of the stream."""
    stream = replace(SMALL, epoch_ms=60_000, rate=3.0, duration=9, late=0.2, duplicates=0.3)
    records = epochs_of(stream)
    clock, sent, repeated = 1_800_000_000.0, Sent(), 0
    kept: Kept | None = None
    monkeypatch.setattr(kafka, "_CHUNK", 50)
    monkeypatch.setattr(time, "time", lambda: clock)
    pauses = {3: clock + 3 * 50 - 50, 6: clock + 6 * 50 + 3600 - 50}
    for epoch, mine in enumerate(records):
        clock += {3: 3600, 6: 7200}.get(epoch, 0)
        if epoch in (0, 5, 6):
            output = Paused(stream, sent, kept)
            output.begin(stream)
        batch = kafka.KafkaEncoder()(stream, epoch, mine)
        output.write(batch)
        written = next(v for t, v, _ in sent.messages if t == "payments.progress")
        kept = replace(kept_from(written, "k"), at=round(clock * 1000))
        assert [v for t, v, _ in sent.messages if t == "payments"] == batch.payload[1].to_pylist()
        times = [at for t, _, at in sent.messages if t == "payments"]
        for row, at in enumerate(times):
            own = (int(mine.ts[row]) - stream.start * 1000) // 60_000
            before = [when for pause, when in pauses.items() if own < pause <= epoch] if mine.extra[row] == DUPLICATE else []
            assert at == (round(before[0] * 1000) if before else None), (epoch, row, own)
            repeated += bool(before)
        clock += 50
    assert repeated > 20


def test_a_pause_is_forgotten_when_nothing_from_before_it_can_come() -> None:
    pauses = Pauses(Stream(), ((5, 1000), (1300, 900_000)), 1_000_000)
    pauses.begin(1400, 1_059_000)
    assert pauses.record == ((1300, 900_000),)
    pauses.begin(1400, 1_061_000)  # tried again: the same epoch, and now it is a pause
    pauses.begin(1400, 1_099_000)
    assert pauses.record == ((1300, 900_000), (1400, 1_000_000))
    assert kept_from(kept_text(Stream(), 7, pauses=pauses.record), "k") == Kept(Stream(), 7, {}, pauses.record)
    assert "pauses" not in kept_text(Stream(), 7)
