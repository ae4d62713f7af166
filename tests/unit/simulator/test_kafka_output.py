"""What the way to Kafka makes of a broker's answers."""

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from simulator.outputs import kafka


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
