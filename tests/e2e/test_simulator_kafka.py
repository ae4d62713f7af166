"""The simulator on a real broker: killed, fenced, or with the broker gone, readers of what is committed see each record once."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from lab.kafka.broker import Broker
from simulator.ndjson import lines, values
from simulator.population import population
from simulator.stream import Stream
from tests.conftest import ROOT
from tests.unit.simulator.streams import all_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

OPTIONS = {"seed": 5, "rate": 300, "duration": 30, "accounts": 500, "late": 0.03, "duplicates": 0.02, "malformed": 0.02, "fraud": 0.05}
WHOLE = Stream(**OPTIONS)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("kafka")) as made:
        yield made


@pytest.fixture(scope="module")
def expected() -> list[bytes]:
    """Every value that must be in the topic."""
    return sorted(lines(values(WHOLE.seed, population(WHOLE.seed, WHOLE.accounts), all_of(WHOLE))).splitlines())


def simulate(broker: Broker, topic: str, *more: str) -> subprocess.Popen[bytes]:
    stream = [f"--{name}={value}" for name, value in OPTIONS.items()]
    command = [sys.executable, "-m", "simulator", "--kafka", broker.address, "--topic", topic, "--partitions=3", *stream, *more]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=str(ROOT)))


def ended(process: subprocess.Popen[bytes], within: float = 240) -> tuple[int, str]:
    _, said = process.communicate(timeout=within)
    return process.returncode, said.decode()


def committed(broker: Broker, topic: str) -> list[tuple[int, bytes | None, bytes]]:
    """All committed records: partition, key, value; each partition in its order."""
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "test", "isolation.level": "read_committed", "enable.partition.eof": True,
                         "auto.offset.reset": "earliest", "enable.auto.commit": False})  # fmt: skip
    try:
        left = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, p, 0) for p in left])
        found, until = [], time.monotonic() + 120
        while left:
            assert time.monotonic() < until
            for message in consumer.consume(5000, timeout=1):
                if message.error():
                    assert message.error().code() == KafkaError._PARTITION_EOF
                    left.discard(message.partition())
                else:
                    found.append((message.partition(), message.key(), message.value()))
        return found
    finally:
        consumer.close()


def wait_for(broker: Broker, topic: str, epoch: int, process: subprocess.Popen[bytes]) -> None:
    """Until that epoch is committed by the process."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert process.poll() is None, ended(process)
        try:
            if any(json.loads(v)["next"] > epoch for _, _, v in committed(broker, topic + ".progress")):
                return
        except KeyError:
            pass
        time.sleep(0.2)
    process.kill()
    raise AssertionError(f"epoch {epoch} did not come: {ended(process)}")


def test_killed_twice_and_resumed_each_record_is_there_once(broker: Broker, expected: list[bytes]) -> None:
    for epoch in (3, 11):
        process = simulate(broker, "killed", "--resume")
        wait_for(broker, "killed", epoch, process)
        process.kill()
        ended(process)
    assert len(committed(broker, "killed")) < len(expected)
    code, said = ended(simulate(broker, "killed", "--speed-up=max", "--resume", "--workers=2"))
    assert code == 0, said
    found = committed(broker, "killed")
    assert sorted(v for _, _, v in found) == expected
    # An account stays in one partition, under its own key.
    homes: dict[bytes | None, set[int]] = {}
    for partition, key, value in found:
        homes.setdefault(key, set()).add(partition)
        assert key
        assert not value.endswith(b"]}") or b'"account":"' + key + b'"' in value
    assert all(len(p) == 1 for p in homes.values())
    assert {p for ps in homes.values() for p in ps} == {0, 1, 2}
    events = all_of(WHOLE)
    assert len(committed(broker, "killed.labels")) == int(((events.pattern > 0) & (events.extra == 0)).sum())


def test_a_second_simulator_takes_over_and_the_first_is_told(broker: Broker, expected: list[bytes]) -> None:
    first = simulate(broker, "fenced")
    wait_for(broker, "fenced", 2, first)
    first.send_signal(signal.SIGSTOP)  # as a machine that hangs: however long the second takes, the first has epochs left
    second = simulate(broker, "fenced", "--speed-up=max", "--resume")
    assert ended(second)[0] == 0
    first.send_signal(signal.SIGCONT)
    code, said = ended(first)
    assert code == 1
    assert "another simulator writes it" in said
    assert sorted(v for _, _, v in committed(broker, "fenced")) == expected


def test_stopped_by_a_signal_it_ends_between_epochs(broker: Broker, expected: list[bytes]) -> None:
    process = simulate(broker, "stopped", "--speed-up=2")
    wait_for(broker, "stopped", 1, process)
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 143
    code, said = ended(simulate(broker, "stopped", "--speed-up=max"))
    assert (code, "it holds a stream already" in said) == (1, True)
    assert ended(simulate(broker, "stopped", "--speed-up=max", "--resume"))[0] == 0
    assert sorted(v for _, _, v in committed(broker, "stopped")) == expected


@pytest.mark.long
def test_the_broker_is_killed_and_comes_back(broker: Broker, expected: list[bytes], tmp_path: Path) -> None:
    process = simulate(broker, "power")
    wait_for(broker, "power", 3, process)
    broker.kill()
    time.sleep(2)
    broker.start()
    code, said = ended(process)
    if code:  # it may give up, never lie: what it has told as sent is there
        assert "--resume" in said
        code, said = ended(simulate(broker, "power", "--speed-up=max", "--resume"))
    assert code == 0, said
    assert sorted(v for _, _, v in committed(broker, "power")) == expected


def test_nobody_there_is_told_soon() -> None:
    nowhere = type("Nowhere", (), {"address": "127.0.0.1:9"})()
    began = time.monotonic()
    code, said = ended(simulate(nowhere, "none"))
    assert code == 1
    assert (
        said
        == "Unable to reach topic none at 127.0.0.1:9: nothing answers there within 10 s. Check the address, and --kafka-config when it wants TLS or a password.\n"
    )
    assert time.monotonic() - began < 60
