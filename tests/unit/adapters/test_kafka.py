"""Kafka's connection as librdkafka gets it, and what its errors become."""

import time

import pytest
from confluent_kafka import KafkaError

from include.adapters.kafka import Kafka, options
from include.connections import Connection
from include.lake.errors import LakeError, Unreachable
from include.lake.secret import Secret


def connection(host: str = "", port: int | None = None, login: str = "", password: str = "", **extra: object) -> Connection:
    return Connection("kafka_default", "kafka", host, login, Secret(password), port, {k.replace("_", "."): v for k, v in extra.items()})


@pytest.mark.parametrize(
    ("made", "servers"),
    [
        (connection("k.example.org"), "k.example.org"),
        (connection("k.example.org", 9093), "k.example.org:9093"),
        (connection("a,b:9094", 9093), "a:9093,b:9094"),
        (connection("ignored", 1, bootstrap_servers="a:1,b:2"), "a:1,b:2"),
        (connection("k", 9092, bootstrap_servers=""), "k:9092"),
    ],
)
def test_where_it_is(made: Connection, servers: str) -> None:
    assert options(made)["bootstrap.servers"] == Kafka(made).servers == servers


def test_who_logs_in() -> None:
    own = options(connection("k", login="me", password="pw"))
    assert (own["sasl.username"], own["sasl.password"]) == ("me", "pw")
    both = options(connection("k", login="me", password="pw", sasl_username="other", sasl_password="theirs"))
    assert (both["sasl.username"], both["sasl.password"]) == ("other", "theirs")
    assert not {"sasl.username", "group.id", "error_cb"} & set(options(Connection("c", "kafka", "k", extra={"group.id": "g", "error_cb": "module.function"})))


def test_a_connection_that_does_not_say_where_is_told() -> None:
    with pytest.raises(LakeError, match=r"Unable to use the connection 'kafka_default': it does not say where Kafka is\. Set extra to .*KAFKA_BOOTSTRAP"):
        Kafka(connection(security_protocol="SSL"))


@pytest.mark.parametrize(
    ("extra", "cause"),
    [({"no_such_property": "x"}, 'No such configuration property: "no.such.property"'), ({"security_protocol": "NONSENSE"}, "security.protocol"),
     ({"security_protocol": "SSL", "ssl_ca_location": "/nowhere"}, "ssl.ca.location")],
)  # fmt: skip
def test_a_property_that_librdkafka_does_not_take_is_told(extra: dict[str, str], cause: str) -> None:
    with pytest.raises(LakeError) as caught:
        Kafka(connection("127.0.0.1", 9, **extra)).topic("x")
    assert cause in caught.value.cause
    assert "Correct its extra" in caught.value.remedy
    assert not isinstance(caught.value, Unreachable)


def test_nobody_there_is_told_soon_and_every_time_and_only_so(capfd: pytest.CaptureFixture[str]) -> None:
    kafka, began = Kafka(connection("127.0.0.1", 9, login="me", password="a-secret-of-enough")), time.monotonic()
    for _ in range(3):
        with pytest.raises(Unreachable) as caught:
            kafka.topic("x", ["retention.ms"])
        assert str(caught.value).startswith("Unable to reach Kafka at 127.0.0.1:9: connection refused. Check that a broker runs there")
        assert "kafka_default" in caught.value.remedy
    assert time.monotonic() - began < 5
    with pytest.raises(Unreachable, match="name or service not known"):
        Kafka(connection("nowhere.invalid", 9092)).topic("x")
    assert capfd.readouterr() == ("", "")
    assert "a-secret-of-enough" not in repr(vars(kafka)["_connection"])


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, LakeError, "me may not (TOPIC_AUTHORIZATION_FAILED). Give it Describe"),
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, LakeError, "me may not (CLUSTER_AUTHORIZATION_FAILED)"),
        (KafkaError.SASL_AUTHENTICATION_FAILED, LakeError, "Unable to log in to Kafka at k:1"),
        (KafkaError.REQUEST_TIMED_OUT, Unreachable, "Unable to reach Kafka at k:1"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, LakeError, "UNKNOWN_TOPIC_OR_PART"),
        (KafkaError._UNKNOWN_TOPIC, Unreachable, "Unable to reach Kafka at k:1"),
        (KafkaError._TIMED_OUT, Unreachable, "it does not answer as Kafka does within 10 s"),
    ],
)
def test_an_error_of_kafkas_says_what_it_means(code: int, kind: type[LakeError], text: str) -> None:
    kafka = Kafka(connection("k", 1, login="me", password="a-secret-of-enough"))
    error = kafka._told("topic x", KafkaError(code, "said of a-secret-of-enough."))
    assert type(error) is kind
    assert text in str(error)
    assert "a-secret-of-enough" not in str(error)
    assert error.remedy
