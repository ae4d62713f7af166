"""A Kafka that asks for TLS and a password: topics, simulator, the stream in Spark, and the audit all log in by the one connection `kafka_default`."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.minio_server import minio_on_loopback
from bench.spark_home import QUICK
from bench.stream_site import StreamSite
from include.adapters.audit import run_audit
from include.adapters.kafka import Kafka, options
from include.adapters.kafka_java import login_files
from include.adapters.simulation import Simulation
from include.connections import Connection
from include.lake.errors import LakeError, Unreachable
from include.lake.lake import load_lake
from include.lake.resources.topic import TopicState
from include.lake.spec.streams import Payments
from include.lake.stream import KAFKA_MOUNT, PROPERTIES
from lab.kafka.secured import USER, SecuredBroker
from tests.conftest import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    with SecuredBroker(tmp_path_factory.mktemp("kafka")) as made:
        yield made


def connection(broker: SecuredBroker, mechanism: str = "SCRAM-SHA-512", **other: str) -> Connection:
    """`kafka_default`, as site.env makes it."""
    extra = {"bootstrap.servers": broker.secured, "security.protocol": "SASL_SSL", "sasl.mechanisms": mechanism, "sasl.username": USER,
             "sasl.password": broker.password, "ssl.ca.location": str(broker.ca)}  # fmt: skip
    return Connection("kafka_default", "kafka", extra=extra | other)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
def test_topics_are_made_by_either_mechanism(broker: SecuredBroker, mechanism: str) -> None:
    kafka, name = Kafka(connection(broker, mechanism)), mechanism.lower()
    kafka.make_topic(name, TopicState(2, None, frozenset()))
    found = kafka.topic(name)
    assert found is not None
    assert found.partitions == 2


def test_a_wrong_password_and_a_wrong_authority_are_told_apart_and_soon(broker: SecuredBroker, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(LakeError, match="Unable to log in to Kafka") as refused:
        Kafka(connection(broker, **{"sasl.password": "not-the-password"})).topic("any")
    assert "not-the-password" not in str(refused.value)
    other = tmp_path / "ca.pem"
    other.write_bytes(Path("/etc/ssl/certs/ca-certificates.crt").read_bytes())
    with pytest.raises(Unreachable, match=r"(?i)certificate"):
        Kafka(connection(broker, **{"ssl.ca.location": str(other)})).topic("any")
    with pytest.raises(Unreachable):
        Kafka(Connection("kafka_default", "kafka", extra={"bootstrap.servers": broker.secured})).topic("any")
    assert time.monotonic() - began < 45


def test_payments_go_from_the_simulator_through_spark_into_the_lake(broker: SecuredBroker, tmp_path: Path) -> None:
    login = connection(broker)
    simulation = Simulation(tmp_path / "simulator", root=ROOT)
    simulation.start(options(login), "payments", 3, 200, print)
    try:
        time.sleep(8)
    finally:
        simulation.stop()
    ends = Kafka(login).end_offsets("payments")
    assert ends
    assert sum(ends.values()) > 100
    files = tmp_path / "login"
    files.mkdir(mode=0o700)
    for name, content in login_files(login, options(login)):
        (files / name).write_text(content.reveal().replace(KAFKA_MOUNT, str(files)))
    with minio_on_loopback(load_lake(), print) as server:
        site = StreamSite(server, broker, java=QUICK)
        process = site.start("--once", f"--bootstrap={broker.secured}", f"--kafka-config={files / PROPERTIES}")
        assert process.wait(200) == 0, site.log.read_text()[-3000:]
        assert broker.password not in site.log.read_text()
        found = {**site.connections, "kafka_default": login}
        report = run_audit(Payments(topic="payments", path=site.path), found.__getitem__, print)
    assert report.failed == ()
    assert report.counts["records"] > 100
