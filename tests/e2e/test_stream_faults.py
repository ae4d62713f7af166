"""The stream on a real Kafka, a real MinIO and a real Spark (of one process), with faults on purpose. What must be in the lake is known beforehand, to the last byte, from the simulator's options.

What Kubernetes adds (executors of their own, restarts by the operator) is tests/e2e/test_stream.py's.
"""

import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from bench.spark_home import QUICK
from bench.stream_site import StreamSite, stream_site
from include.adapters.kafka import Kafka
from include.adapters.minio import MinioServer
from include.connections import Connection
from include.lake.resources.topic import TopicState
from include.lake.secret import Secret
from simulator.ndjson import lines, values
from simulator.population import population
from simulator.stream import Stream
from tests.unit.simulator.streams import all_of, true_events

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SHAPE = {"rate": 400, "accounts": 500, "late": 0.03, "duplicates": 0.03, "malformed": 0.02, "fraud": 0.05}
SLOWLY = "--speed-up=0.15"  # 20 seconds take more than two minutes: a stream that runs is fed, however long its starts take


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamSite]:
    with stream_site(print, tmp_path_factory.mktemp("kafka"), QUICK) as made:
        yield made


@dataclass
class Story:
    """One stream of its own, from its own topic to its own path."""

    site: StreamSite
    stream: Stream

    def simulate(self, *options: str) -> "subprocess.Popen[bytes]":
        epoch = self.stream.epoch_ms / 1000
        given = SHAPE | {"seed": self.stream.seed, "epoch": epoch, "duration": self.stream.duration * epoch}
        return self.site.simulate("--partitions=3", *(f"--{k}={v}" for k, v in given.items()), *options)

    def start(self, *options: str) -> "subprocess.Popen[bytes]":
        return self.site.start("--trigger=1", "--late-after=10", "--max-records=2000", f"--stop-file={self.stop}", *options)

    @property
    def stop(self) -> Path:
        return self.site.server.folder / f"stop-{self.site.prefix}"

    def ended(self, process: "subprocess.Popen[bytes]", seconds: float = 120) -> tuple[int, str]:
        process.wait(seconds)
        return process.returncode, self.site.log.read_text()

    def stopped(self, process: "subprocess.Popen[bytes]") -> None:
        self.stop.touch()
        code, said = self.ended(process)
        self.stop.unlink()
        assert (code, "ended at a batch boundary" in said) == (0, True), said[-3000:]

    def goes_on(self, process: "subprocess.Popen[bytes]") -> bool:
        """Whether it commits again after a fault, while it is fed. Else it has ended, and not for good."""
        before, deadline = self.site.batches(), time.monotonic() + 120
        while process.poll() is None:
            now = self.site.batches()
            if all(now[q] > n for q, n in before.items()):
                return True
            assert time.monotonic() < deadline, (before, now)
            time.sleep(0.2)
        assert process.returncode == 3, self.site.log.read_text()[-3000:]
        return False

    def rest(self, source: "subprocess.Popen[bytes]") -> None:
        """Send at once what a simulator would still send."""
        source.kill()
        source.wait()
        assert self.simulate("--speed-up=max").wait(120) == 0

    def confirm(self) -> None:
        """Take what is left, then hold the lake against what the simulator has made: each record once, none too many."""
        code, said = self.ended(self.start("--once"))
        assert code == 0, said[-3000:]
        records = all_of(self.stream)
        sent = Counter(lines(values(self.stream.seed, population(self.stream.seed, self.stream.accounts), records)).splitlines())
        bronze = self.site.table("bronze")
        assert Counter(bronze["value"].to_pylist()) == sent
        places = list(zip(bronze["partition"].to_pylist(), bronze["offset"].to_pylist(), strict=True))
        assert len(set(places)) == len(places)
        events = true_events(records)
        silver = self.site.table("silver")
        assert sorted(silver["id"].to_pylist()) == sorted(f"{i:016x}" for i in events.id.tolist())
        assert Counter(zip(silver["account"].to_pylist(), silver["seq"].to_pylist(), strict=True)).most_common(1)[0][1] == 1
        assert sum(silver["amount"].to_pylist()) == int(events.amount.sum())
        dead = self.site.table("dead")
        assert len(dead) == int((records.extra == 2).sum())
        assert len(silver) + len(dead) < len(bronze), "duplicates are in bronze only"
        figures = self.site.table("figures")
        assert (sum(figures["events"].to_pylist()), sum(figures["amount"].to_pylist())) == (len(silver), sum(silver["amount"].to_pylist()))
        assert sum(figures["late"].to_pylist()) == sum(silver["late"].to_pylist()) > 0
        report = self.site.audit()
        assert report.failed == ()
        assert (report.counts["records"], report.counts["events"], report.counts["dead"]) == (len(bronze), len(silver), len(dead))
        assert (report.counts["ahead"], report.counts["open"]) == (0, 0)


@pytest.fixture
def story(site: StreamSite, request: pytest.FixtureRequest) -> Iterator[Story]:
    name = f"t{abs(hash(request.node.name)) % 10_000_000}"
    mine = site.beside(name, topic=name)
    yield Story(mine, Stream(seed=len(request.node.name), duration=80, epoch_ms=250, **SHAPE))  # type: ignore[arg-type]
    mine.close()


@pytest.mark.long
def test_killed_again_and_again_each_record_is_there_once(story: Story) -> None:
    """The stream at three moments of a batch, the simulator once; then a stop in order."""
    source = story.simulate(SLOWLY)
    time.sleep(3)
    for pause in (0.1, 0.45, 0.8):
        process = story.start()
        story.site.wait(process, 1)
        time.sleep(pause)
        story.site.kill(process)
        if pause == 0.1:  # later, on a slow machine, it may have ended by itself
            assert source.poll() is None, "the simulator had ended, so it was not killed"
            source.kill()
            source.wait()
            source = story.simulate(SLOWLY)
    source.kill()
    source.wait()
    source = story.simulate("--speed-up=1")
    process = story.start()
    story.site.wait(process, 1)
    story.stopped(process)
    assert source.wait(120) == 0
    story.confirm()


@pytest.mark.long
def test_kafka_is_killed_and_comes_back(story: Story) -> None:
    source = story.simulate(SLOWLY)
    time.sleep(3)
    process = story.start()
    story.site.wait(process, 2)
    story.site.broker.kill()
    time.sleep(2)
    story.site.broker.start()
    time.sleep(2)
    if source.poll() is not None:  # it may give up, and goes on where it was
        source = story.simulate(SLOWLY)
    if story.goes_on(process):
        story.stopped(process)
    story.rest(source)
    story.confirm()


@pytest.mark.long
def test_minio_is_killed_within_a_batch_and_comes_back(story: Story) -> None:
    source = story.simulate(SLOWLY)
    time.sleep(3)
    process = story.start()
    story.site.wait(process, 2)
    story.site.server.restart(after=2)
    if story.goes_on(process):
        story.stopped(process)
    story.rest(source)
    story.confirm()


@pytest.mark.long
def test_the_quota_is_used_up_and_raised(story: Story) -> None:
    server = story.site.server
    admin = MinioServer(Connection("minio_admin", "minio", server.endpoint, server.access, Secret(server.secret), None, {"region": server.region})).admin()
    assert story.simulate("--speed-up=max").wait(120) == 0
    admin.bucket_quota_set(server.bucket, 1000)  # less than any file, so MinIO needs no count of what is there
    try:
        code, said = story.ended(story.start())
    finally:
        admin.bucket_quota_clear(server.bucket)
    assert code == 3, said[-3000:]
    assert "Unable to go on with the stream of" in said
    assert "the bucket's quota is used up. Raise it" in said
    story.confirm()


def test_what_is_no_event_goes_to_the_dead_letters_with_its_cause(story: Story) -> None:
    assert story.simulate("--speed-up=max").wait(120) == 0
    good = b'{"id":"00000000000000aa","account":"A1","seq":1,"ts":1777626000000,"type":"purchase","status":"approved","amount":5,"currency":"EUR","channel":"pos","postings":[]}'
    poison: dict[str, tuple[bytes | None, bytes | None]] = {
        "it is empty": (b"A1", None),
        "it is not UTF-8": (b"A1", b"\xff\xfe" * 1000),
        "it is not the JSON of an event": (b"A1", b"[" * 100_000),
        "it lacks id, account, seq, ts, type, status, amount, currency, channel, postings": (b"A1", b"{}"),
        "its amount is not above 0": (b"A1", good.replace(b'"amount":5', b'"amount":-5')),
        "its amount is above 10^15": (b"A1", good.replace(b'"amount":5', b'"amount":9223372036854775807')),
        "its time is not in the years 2000 to 2099": (b"A1", good.replace(b"1777626000000", b"9223372036854775807")),
        "its key is not its account": (None, good),
    }
    producer = Producer({"bootstrap.servers": story.site.broker.address})
    for key, value in poison.values():
        producer.produce(story.site.topic, value, key)
    assert producer.flush(30) == 0
    code, said = story.ended(story.start("--once"))
    assert code == 0, said[-3000:]
    dead = story.site.table("dead").to_pylist()
    causes = Counter(d["cause"] for d in dead)
    mine = {c: [d for d in dead if d["cause"] == c and (d["key"], d["value"]) == (k and k.decode(), v)] for c, (k, v) in poison.items()}
    assert {c: len(found) for c, found in mine.items()} == dict.fromkeys(poison, 1), causes
    assert sum(causes.values()) == int((all_of(story.stream).extra == 2).sum()) + len(poison)
    assert "00000000000000aa" not in story.site.table("silver")["id"].to_pylist()
    assert story.site.entries("silver")[-1]["high_water"] == max(story.site.table("silver")["ts"].to_pylist())
    report = story.site.audit()
    assert (report.failed, report.counts["dead"]) == ((), len(dead))


@pytest.mark.long
def test_what_spark_no_longer_remembers_is_a_dead_letter_and_not_lost(story: Story) -> None:
    """Two records that Kafka has with a time of an hour ago, and one with that of now, whose id is as a place in Kafka: that of a dead letter."""
    assert story.simulate("--speed-up=max").wait(120) == 0
    assert story.ended(story.start("--once"))[0] == 0
    dead, silver = story.site.table("dead"), story.site.table("silver")
    new = f"{dead['partition'][0]}-{dead['offset'][0]}"
    form = (
        '{"id":"%s","account":"A1","seq":1,"ts":1777626000000,"type":"purchase","status":"approved","amount":5,"currency":"EUR","channel":"pos","postings":[]}'
    )
    now = int(time.time() * 1000)
    producer = Producer({"bootstrap.servers": story.site.broker.address})
    for value, at in ((form % "old", now - 3_600_000), ("{", now - 3_600_000), (form % new, now)):
        producer.produce(story.site.topic, value.encode(), b"A1", timestamp=at)
    assert producer.flush(30) == 0
    code, said = story.ended(story.start("--once"))
    assert code == 0, said[-3000:]
    ids = story.site.table("silver")["id"].to_pylist()
    assert len(ids) == len(silver) + 1
    assert (new in ids, "old" in ids) == (True, False)
    told = {d["value"].decode(): d["cause"] for d in story.site.table("dead").to_pylist()[len(dead) :]}
    assert told == {
        form % "old": "its time in Kafka is more than duplicates_within behind what was read before",
        "{": "it is not the JSON of an event",
    }
    counts = story.site.entries("silver")[-1]["counts"]
    assert (counts["records"], counts["silver"], counts["dead"]) == (3, 1, 2)
    assert story.site.audit().failed == ()


@pytest.mark.long
def test_a_checkpoint_that_is_not_its_own_is_refused_and_nothing_is_written(story: Story) -> None:
    assert story.simulate("--speed-up=max").wait(120) == 0
    assert story.ended(story.start("--once"))[0] == 0
    server = story.site.server

    def kept() -> Any:
        return {o["Key"]: o["ETag"] for o in server.s3.list_objects_v2(Bucket=server.bucket, Prefix=f"{story.site.prefix}/")["Contents"]}

    before = kept()
    code, said = story.ended(story.start("--once", "--duplicates-within=60"))
    assert (code, "was made for duplicates_within 900 (now 60)" in said) == (2, True), said[-2000:]
    kafka = Kafka(story.site.connections["kafka_default"])
    made_for = json.loads(server.s3.get_object(Bucket="checkpoints", Key=f"{story.site.prefix}/homelake.json")["Body"].read())
    assert made_for["topic_id"] == kafka.topic_id(story.site.topic)
    story.site.checkpoint = f"s3a://checkpoints/{story.site.prefix}-other/"
    code, said = story.ended(story.start("--once"))
    assert code == 2, said[-2000:]
    assert re.search(r"its checkpoint has no batch, and the lake's log of bronze goes to \d+: they do not belong together", said), said[-2000:]
    assert kept() == before
    assert story.site.audit().failed == ()
    story.site.checkpoint = f"s3a://checkpoints/{story.site.prefix}/"
    kafka.remove_topic(story.site.topic)
    kafka.make_topic(story.site.topic, TopicState(3))
    code, said = story.ended(story.start("--once"))
    assert (code, f"was made for topic_id '{made_for['topic_id']}' (now " in said) == (2, True), said[-2000:]
    assert kept() == before


@pytest.mark.long
def test_of_two_streams_one_is_stopped(story: Story) -> None:
    source = story.simulate(SLOWLY)
    time.sleep(3)
    first = story.start()
    story.site.wait(first, 1)
    os.killpg(first.pid, signal.SIGSTOP)  # a machine that hangs, and another driver takes its place
    second = story.start()
    story.site.wait(second, 2)
    os.killpg(first.pid, signal.SIGCONT)
    code, said = story.ended(first)
    assert code in (2, 3), said[-3000:]
    assert "meanwhile" in said or "CONCURRENT" in said.upper(), said[-3000:]
    if second.poll() is None:
        story.stopped(second)
    story.rest(source)
    story.confirm()
