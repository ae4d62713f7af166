"""A topic on both sides: the fake, and a real broker on loopback (no other part of the lab is needed)."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from confluent_kafka import Producer

from include.adapters.kafka import Kafka
from include.connections import Connection
from include.lake.errors import LakeError, Refused
from include.lake.resource import ensure, plan
from include.lake.resources.topic import Setting, Topic, TopicState, topic_state
from include.lake.secret import Secret
from lab.kafka.broker import Broker
from tests.contract.calls import READING, WRITING, told
from tests.fakes.kafka import FakeKafka

pytestmark = pytest.mark.timeout(300)
NAME = "contract.topic"
DAY = "86400000"


class Fake:
    """A new fake for each test."""

    def clear(self) -> None:
        self.client = FakeKafka()

    def close(self) -> None:
        pass

    def set_by_hand(self, name: str, value: str) -> None:
        """A setting that is not declared."""
        self.client.set_config(NAME, frozenset({Setting(name, value)}))


class Real:
    """The broker, with a topic that goes after each test."""

    needs = "broker"

    def __init__(self, broker: Broker) -> None:
        self.broker, self.client = broker, client(broker)

    def clear(self) -> None:
        self.client.remove_topic(NAME)

    def close(self) -> None:
        pass

    def set_by_hand(self, name: str, value: str) -> None:
        self.client.set_config(NAME, frozenset({Setting(name, value)}))


Rig = Fake | Real


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("kafka")) as made:
        yield made


def client(broker: Broker, **extra: str) -> Kafka:
    more = {name.replace("_", "."): value for name, value in extra.items()}
    return Kafka(Connection("kafka_default", "kafka", password=Secret(""), extra={"bootstrap.servers": broker.address, **more}))


def topic(partitions: int = 2, replication: int | None = None, **config: str) -> Topic:
    return Topic(NAME, topic_state(partitions, replication, {n.replace("_", "."): v for n, v in config.items()}))


def test_what_is_not_there_is_absent(rig: Rig) -> None:
    assert rig.client.topic(NAME, ["retention.ms"]) is None
    assert rig.client.end_offsets(NAME) is None
    assert rig.client.topic_id(NAME) is None
    assert rig.client.topic(NAME) is None, "asking made it"
    rig.client.remove_topic(NAME)
    for write in (lambda: rig.client.add_partitions(NAME, 3), lambda: rig.client.set_config(NAME, frozenset({Setting("retention.ms", DAY)}))):
        assert "UNKNOWN_TOPIC_OR_PART" in str(told(write, retry=False))


@pytest.mark.parametrize(
    ("start", "wanted", "force", "fields"),
    [
        (None, topic(), False, {"partitions", "config"}),
        (None, topic(replication=1, retention_ms=DAY), False, {"partitions", "replication", "config"}),
        (topic(), topic(), False, set()),
        (topic(), topic(retention_ms="604800000"), False, set()),  # the broker's own is what is declared
        (topic(), topic(cleanup_policy=" compact , delete"), True, {"config"}),
        (topic(retention_ms=DAY), topic(retention_ms="-1"), False, {"config"}),
        (topic(retention_ms=DAY), topic(retention_ms="1000"), True, {"config"}),
        (topic(retention_ms=DAY), topic(3, retention_ms="172800000"), True, {"partitions", "config"}),
        (topic(), topic(unclean_leader_election_enable="TRUE"), False, {"config"}),
    ],
)
def test_the_law_holds(rig: Rig, start: Topic | None, wanted: Topic, force: bool, fields: set[str]) -> None:
    if start:
        ensure(start, rig.client)
    if force:
        with pytest.raises(Refused, match=f"force naming topic/{NAME}"):
            ensure(wanted, rig.client)
    assert ensure(wanted, rig.client, force={wanted.id} if force else ()).plan.fields() == fields
    assert wanted.desired
    todo, state = plan(wanted, rig.client)
    assert not todo.changes
    assert state == replace(wanted.desired, replication=1)
    assert not ensure(wanted, rig.client).applied


def test_only_what_is_declared_is_compared_and_touched(rig: Rig) -> None:
    ensure(topic(retention_ms=DAY), rig.client)
    rig.set_by_hand("retention.bytes", "1000000")
    assert not plan(topic(retention_ms=DAY), rig.client)[0]
    ensure(topic(retention_ms="172800000"), rig.client)
    assert rig.client.topic(NAME, ["retention.bytes", "retention.ms", "no.such.setting"]) == TopicState(
        2, 1, frozenset({Setting("retention.bytes", "1000000"), Setting("retention.ms", "172800000")})
    )


def test_what_kafka_cannot_do_is_refused_with_what_to_do(rig: Rig) -> None:
    ensure(topic(3), rig.client)
    for wanted, cause, remedy in (
        (topic(2, retention_ms="900000000"), "it has 3 partitions and 2 are declared", "Declare partitions: 3"),
        (topic(3, 2), "its partitions have 1 replicas and 2 are declared", "kafka-reassign-partitions"),
    ):
        with pytest.raises(Refused, match=cause) as caught:
            ensure(wanted, rig.client, force={wanted.id})
        assert remedy in caught.value.remedy
    assert rig.client.topic(NAME, ["retention.ms"]) == TopicState(3, 1, frozenset({Setting("retention.ms", "604800000")}))


@pytest.mark.parametrize(("wanted", "cause"), [(topic(1, 3), "INVALID_REPLICATION_FACTOR"), (topic(no_such_setting="1"), "INVALID_CONFIG")])
def test_what_the_broker_does_not_take_is_told_and_not_made(rig: Rig, wanted: Topic, cause: str) -> None:
    assert cause in str(told(lambda: ensure(wanted, rig.client), retry=False))
    assert rig.client.topic(NAME) is None


def test_it_is_made_once(rig: Rig) -> None:
    for partitions in (2, 5):
        rig.client.make_topic(NAME, TopicState(partitions))
    assert rig.client.topic(NAME) == TopicState(2, 1)
    assert rig.client.end_offsets(NAME) == {0: 0, 1: 0}
    with pytest.raises(LakeError, match="would not be an increase"):
        rig.client.add_partitions(NAME, 1)


def test_its_id_stays_until_it_is_made_again(rig: Rig) -> None:
    rig.client.make_topic(NAME, TopicState(1))
    first = rig.client.topic_id(NAME)
    rig.client.add_partitions(NAME, 2)
    assert (rig.client.topic_id(NAME), bool(first)) == (first, True)
    rig.client.remove_topic(NAME)
    rig.client.make_topic(NAME, TopicState(1))
    assert rig.client.topic_id(NAME) not in (first, None)


def test_it_goes_only_by_name(rig: Rig) -> None:
    ensure(topic(), rig.client)
    gone = Topic(NAME, None)
    with pytest.raises(Refused, match="deletes the topic with every record in it"):
        ensure(gone, rig.client)
    assert rig.client.topic(NAME)
    assert ensure(gone, rig.client, force={gone.id}).applied
    assert rig.client.topic(NAME) is None
    assert not ensure(gone, rig.client).plan


# The broker only


@pytest.mark.lab
def test_the_end_is_that_of_what_is_committed(broker: Broker) -> None:
    kafka = client(broker)
    kafka.make_topic("contract.end", TopicState(2))
    producer = Producer({"bootstrap.servers": broker.address, "transactional.id": "contract", "log_level": 0})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce("contract.end", b"a", partition=0)
    producer.flush(30)
    assert kafka.end_offsets("contract.end") == {0: 0, 1: 0}, "not committed yet"
    producer.commit_transaction(30)
    deadline = time.monotonic() + 30
    while kafka.end_offsets("contract.end") != {0: 2, 1: 0}:  # the record, and the mark of its transaction, which comes a moment after the commit
        assert time.monotonic() < deadline, kafka.end_offsets("contract.end")
        time.sleep(0.05)
    kafka.remove_topic("contract.end")


@pytest.mark.lab
def test_a_broker_of_several_that_is_away_does_not_matter(broker: Broker) -> None:
    kafka = client(broker, bootstrap_servers=f"127.0.0.1:9,nowhere.invalid:9092,{broker.address}")
    assert kafka.topic(NAME) is None


@pytest.mark.lab
@pytest.mark.parametrize(
    ("protocol", "retry", "cause"),
    [("SASL_PLAINTEXT", False, "log in to"), ("SSL", True, "connecting to a PLAINTEXT broker listener|SSL connection closed by peer")],
)
def test_who_is_not_let_in_is_told_and_no_secret_is_said(broker: Broker, protocol: str, retry: bool, cause: str, capfd: pytest.CaptureFixture[str]) -> None:
    login = {"sasl_mechanisms": "PLAIN", "sasl_username": "me", "sasl_password": "a-secret-of-enough"}
    kafka = client(broker, security_protocol=protocol, **login)
    for call in (*READING["kafka"].values(), *WRITING["kafka"].values()):
        error = str(told(lambda call=call: call(kafka), retry=retry))  # type: ignore[misc]
        assert re.search(cause, error), error
        assert broker.address in error
        assert "a-secret-of-enough" not in error
    assert capfd.readouterr() == ("", "")


@pytest.mark.lab
def test_a_broker_that_dies_is_out_of_reach_and_then_there_again(broker: Broker) -> None:
    kafka = client(broker)
    kafka.make_topic("contract.dies", TopicState(1))
    broker.kill()
    assert "connection refused" in str(told(lambda: kafka.topic("contract.dies"), retry=True))
    broker.start()
    assert kafka.topic("contract.dies") == TopicState(1, 1)
    kafka.remove_topic("contract.dies")
