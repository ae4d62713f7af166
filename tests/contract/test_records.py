"""Kafka's committed records, counted on a real broker on loopback (no other part of the lab is needed). A fake would have no transactions."""

import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from include.adapters.records import Records
from include.connections import Connection
from include.lake.errors import LakeError
from lab.kafka.broker import Broker

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]
NAME = "audited"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Partition 0: 20 records, 7 of an aborted transaction, 5 of a committed one, 3 more. Partition 1: 4 records. Partition 2: none."""
    with Broker(tmp_path_factory.mktemp("kafka")) as made:
        admin = AdminClient({"bootstrap.servers": made.address})
        admin.create_topics([NewTopic(NAME, 3, 1)])[NAME].result()
        plain = Producer({"bootstrap.servers": made.address, "log_level": 0})
        whole = Producer({"bootstrap.servers": made.address, "transactional.id": "one", "log_level": 0})
        whole.init_transactions(60)
        send(plain, 0, 20)
        whole.begin_transaction()
        send(whole, 0, 7)
        whole.abort_transaction()
        whole.begin_transaction()
        send(whole, 0, 5)
        whole.commit_transaction()
        send(plain, 0, 3)
        send(plain, 1, 4)
        yield made


def send(producer: Producer, partition: int, count: int) -> None:
    for n in range(count):
        producer.produce(NAME, f"{n}", partition=partition)
    assert producer.flush(30) == 0


def records(broker: Broker) -> Records:
    return Records(Connection("kafka_default", "kafka", extra={"bootstrap.servers": broker.address}), NAME)


def test_committed_records_are_counted_between_offsets_and_soon(broker: Broker) -> None:
    counted, began = records(broker), time.monotonic()
    assert counted.first([0, 1, 2]) == {0: 0, 1: 0, 2: 0}
    assert counted.count({0: (0, 36), 1: (0, 3), 2: (0, -1)}) == {0: 28, 1: 4, 2: 0}, "20 + 7 aborted + 1 mark + 5 + 1 mark + 3 = 37 offsets"
    assert counted.count({0: (5, 27), 1: (2, 2)}) == {0: 15, 1: 1}, "from the 6th record to the mark of the aborted ones"
    assert counted.count({0: (0, 1_000_000)}) == {0: 28}, "a topic that has less than the lake"
    assert time.monotonic() - began < 20, "no call waits until nothing comes any more"


def test_records_are_found_and_counted_by_the_time_at_which_they_came(broker: Broker) -> None:
    found, later = records(broker), int(time.time() * 1000) + 3_600_000
    assert found.since([0, 1, 2], later - 7_200_000) == {0: 0, 1: 0, 2: None}
    assert found.since([0, 1, 2], later) == {0: None, 1: None, 2: None}
    assert found.count({0: (0, 36), 1: (0, 3)}, (later - 7_200_000, later)) == {0: 28, 1: 4}
    assert found.count({0: (0, 36), 1: (0, 3)}, (0, later - 7_200_000)) == {0: 0, 1: 0}


def test_what_is_committed_beyond_an_offset_is_found_with_its_time(broker: Broker) -> None:
    found, now = records(broker).unread({0: 20, 1: 4}), time.time() * 1000
    assert {p: row[:2] for p, row in found.items()} == {0: (28, 9)}, "what was aborted is nothing, and nothing is in partition 2"
    assert now - 300_000 < found[0][2] <= now
    assert {p: row[:2] for p, row in records(broker).unread({0: 34}).items()} == {0: (34, 3), 1: (0, 4)}, "of a partition that nobody has read: all"
    assert records(broker).unread({0: 37, 1: 4}) == {}


def test_what_retention_removes_is_not_counted_as_lost(broker: Broker) -> None:
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.delete_records([TopicPartition(NAME, 1, 3)])[TopicPartition(NAME, 1)].result()
    assert records(broker).first([1]) == {1: 3}
    assert records(broker).count({1: (3, 3)}) == {1: 1}
    with pytest.raises(
        LakeError, match=r"Unable to count the records of topic audited in Kafka at 127\.0\.0\.1:.* removed some of them meanwhile.* Run it again"
    ):
        records(broker).count({1: (0, 3)})


def test_a_topic_that_is_not_there_is_told(broker: Broker) -> None:
    with pytest.raises(LakeError, match=r"Unable to count the records of topic gone in Kafka at 127.0.0.1:\d+: .*\. Check the connection 'kafka_default'"):
        Records(Connection("kafka_default", "kafka", extra={"bootstrap.servers": broker.address}), "gone").first([0])
