"""What is unread in a topic, from a consumer in memory; tests/contract/test_records.py asks a real broker."""

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from include.adapters.records import Records
from include.connections import Connection
from include.lake.errors import LakeError


class Consumer:
    """Partition 0: records at 5 and 7 to 9, a mark at 6 and 10. Partition 1: a mark alone. Partition 2: nothing any more. Partition 3: one record."""

    ends = {0: (5, 11), 1: (0, 1), 2: (4, 4), 3: (0, 1)}
    records = {0: (5, 7, 8, 9), 1: (), 2: (), 3: (0,)}
    error: Any = None

    def __init__(self) -> None:
        self.queue: list[Any] = []

    def list_topics(self, topic: str, timeout: float) -> Any:
        return SimpleNamespace(topics={topic: SimpleNamespace(error=self.error, partitions=dict.fromkeys(self.ends))})

    def get_watermark_offsets(self, at: TopicPartition, timeout: float) -> tuple[int, int]:
        return self.ends[at.partition]

    def assign(self, wanted: list[TopicPartition]) -> None:
        for at in wanted:
            assert at.offset >= self.ends[at.partition][0], "Kafka has nothing there any more"
            self.queue += [self._message(at.partition, n) for n in self.records[at.partition] if n >= at.offset]
            self.queue.append(self._message(at.partition, -1, KafkaError(KafkaError._PARTITION_EOF)))

    def _message(self, partition: int, offset: int, error: KafkaError | None = None) -> Any:
        return SimpleNamespace(partition=lambda: partition, offset=lambda: offset, error=lambda: error, timestamp=lambda: (1, 1000 + offset))

    def consume(self, n: int, timeout: float) -> list[Any]:
        taken, self.queue = self.queue, []
        return taken

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> Records:
    monkeypatch.setattr(Records, "_consumer", lambda self: Consumer())
    return Records(Connection("kafka_default", "kafka", extra={"bootstrap.servers": "127.0.0.1:9"}), "payments")


def test_it_is_the_first_committed_record_from_where_was_read_to_and_marks_are_none(records: Records) -> None:
    assert records.unread({0: 6, 1: 0, 2: 4}) == {0: (7, 4, 1007), 3: (0, 1, 1000)}
    assert records.unread({0: 10, 1: 0, 2: 0, 3: 1}) == {}
    assert records.unread({0: 2, 3: 1}) == {0: (5, 6, 1005)}, "Kafka has removed what was before"


def test_a_topic_that_is_not_there_is_told(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Consumer, "error", KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    with pytest.raises(LakeError, match="Unable to count the records of topic payments"):
        records.unread({})


def test_counting_stops_at_the_last_offset_and_at_the_end(records: Records) -> None:
    assert records.count({0: (5, 8), 1: (0, 5), 3: (1, 0)}) == {0: 3, 1: 0, 3: 0}
    assert records.count({0: (5, 99)}, (1007, 1009)) == {0: 2}
