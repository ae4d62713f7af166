"""Kafka: one transaction an epoch, with the epoch's number in it. Who reads with `read_committed` sees whole epochs, each once."""

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from simulator.errors import SimulatorError
from simulator.events import DUPLICATE, Events
from simulator.ndjson import keys, label_values, values
from simulator.outputs.base import Batch, Encoder, counted
from simulator.outputs.pauses import Pauses
from simulator.outputs.place import Kept, kept_from, kept_text, resumed
from simulator.population import population
from simulator.schema import labels
from simulator.stream import Stream

_CHUNK = 10_000  # messages that are handed over at once
_QUEUED = 400_000  # messages that wait in memory at most
_PATIENCE = 30.0  # seconds
_TRIES = 5  # of one epoch
_UNSETTLED = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART)


@dataclass(frozen=True)
class KafkaEncoder:
    """The records' keys and values, their labels, and which of them are repetitions, with the epochs of their events."""

    def __call__(self, stream: Stream, epoch: int, records: Events) -> Batch:
        """Columns; they become messages where they are sent."""
        people = population(stream.seed, stream.accounts)
        made = values(stream.seed, people, records)
        rows = np.flatnonzero(records.extra == DUPLICATE)
        repeated = list(zip(rows.tolist(), ((records.ts[rows] - stream.begins(0)) // stream.epoch_ms).tolist(), strict=True))
        payload = (keys(stream.seed, people, records).cast(pa.binary()), made, label_values(labels(records)), repeated)
        return counted(stream, epoch, records, payload, made.nbytes)


class KafkaOutput:
    """A topic of events, one of labels, and one that says which epoch is next: `TOPIC`, `TOPIC.labels`, `TOPIC.progress`."""

    def __init__(self, bootstrap: str, topic: str, resume: bool, partitions: int = 6, config: dict[str, str] | None = None, file: str | None = None) -> None:
        self.topic, self.resume, self.partitions = topic, resume, partitions
        self.what = f"topic {topic} at {bootstrap}"
        self.encoder: Encoder = KafkaEncoder()
        self._config = {**(config or {}), "bootstrap.servers": bootstrap, "log_level": "0"}
        self._file = file  # where `config` comes from
        self._producer: Any = None
        self._errors: list[KafkaError] = []
        self._checked = False

    def kept(self) -> Stream | None:
        """The stream that is there."""
        found = self._read()
        return found.stream if found else None

    def begin(self, stream: Stream) -> int:
        """Make the topics that are missing, end what a killed simulator left open, and read which epoch is next.

        Looked at twice: what is to be refused must not end the simulator that runs, and only after its end it is known how far it came.
        """
        self._ensure()
        resumed(self._read(), self.resume, stream, self.what)
        self._fence()
        kept = self._read()
        self._stream, self._pauses = stream, Pauses(stream, kept.pauses, kept.at) if kept else Pauses(stream)
        return resumed(kept, self.resume, stream, self.what)

    def write(self, batch: Batch) -> None:
        """One transaction: records, labels, and the number of the next epoch."""
        for left in reversed(range(_TRIES)):
            try:
                self._producer.begin_transaction()
                self._pauses.begin(batch.epoch, round(time.time() * 1000))
                self._send(batch)
                self._commit()
                self._pauses.sent()
                return
            except KafkaException as error:
                cause = error.args[0]
                if cause.fatal() or not left:
                    fenced = cause.code() in (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH)
                    raise self._error("write", "another simulator writes it" if fenced else cause.str(), "Once Kafka is well, go on with --resume") from error
                self._abort()

    def close(self) -> None:
        """Leave no transaction open."""
        if self._producer is not None:
            with suppress(KafkaException):  # there is none, or Kafka is gone: the next one to begin ends it
                self._producer.abort_transaction(5)
            self._producer = None

    def _send(self, batch: Batch) -> None:
        who, what, labelled, repeated = batch.payload
        times = self._pauses.times(repeated)
        for at in range(0, len(who), _CHUNK):
            # The client takes messages one by one: here, and only here, each record is an object. A message's own time is that of the clock:
            # with times of sending in the past the topic's retention would remove them at once. Only what is repeated across a pause has its own.
            chunk = [{"key": k, "value": v} for k, v in zip(*(c.slice(at, _CHUNK).to_pylist() for c in (who, what)), strict=True)]
            begin = 0
            for row in [r - at for r in times if at <= r < at + len(chunk)]:
                self._hand(self.topic, chunk[begin:row])
                self._producer.produce(self.topic, **chunk[row], timestamp=times[at + row])  # in a batch librdkafka takes no time
                begin = row + 1
            self._hand(self.topic, chunk[begin:])
        self._hand(self.topic + ".labels", [{"value": v} for v in labelled.to_pylist()])
        self._hand(
            self.topic + ".progress", [{"key": self.topic.encode(), "value": kept_text(self._stream, batch.epoch + 1, pauses=self._pauses.record).encode()}]
        )

    def _hand(self, topic: str, messages: list[dict[str, Any]]) -> None:
        while messages and len(self._producer) > _QUEUED:
            self._producer.poll(0.02)
            if self._errors:
                raise KafkaException(self._errors.pop())
        if messages and self._producer.produce_batch(topic, messages) != len(messages):
            raise KafkaException(KafkaError(KafkaError._QUEUE_FULL, "the queue is full"))
        self._producer.poll(0)

    def _commit(self) -> None:
        until = time.monotonic() + _PATIENCE * 4
        while True:
            try:
                self._producer.commit_transaction(_PATIENCE)
                return
            except KafkaException as error:  # whether it was committed is not known yet: asking again is safe
                if not error.args[0].retriable() or time.monotonic() > until:
                    raise

    def _abort(self) -> None:
        try:
            self._producer.purge()
            self._producer.abort_transaction(_PATIENCE)
        except KafkaException as error:
            raise self._error("write", error.args[0].str(), "Once Kafka is well, go on with --resume") from error

    def _client(self, kind: Any, options: dict[str, Any]) -> Any:
        """A client of librdkafka's, whose constructor says of the user's properties which is wrong, each time by an error of another class."""
        try:
            return kind({**self._config, **options})
        except (KafkaException, AttributeError, TypeError, ValueError) as error:
            cause = error.args[0].str() if isinstance(error, KafkaException) else str(error)
            raise SimulatorError("use", self._file or self.what, cause, "Correct that; properties are named as librdkafka names them") from error

    def _fence(self) -> None:
        self._producer = self._client(Producer, {
            "transactional.id": f"simulator-{self.topic}", "transaction.timeout.ms": 120_000, "compression.type": "lz4", "linger.ms": 5,
            "batch.size": 1_000_000, "queue.buffering.max.messages": 2_000_000, "queue.buffering.max.kbytes": 2_097_151, "partitioner": "murmur2_random",
            "error_cb": self._failed,
        })  # fmt: skip
        try:
            self._producer.init_transactions(_PATIENCE)
        except KafkaException as error:
            raise self._error("write", error.args[0].str(), "Check that Kafka allows transactions") from error

    def _failed(self, error: KafkaError) -> None:
        if error.fatal():
            self._errors.append(error)

    def _error(self, verb: str, cause: str, remedy: str) -> SimulatorError:
        return SimulatorError(verb, self.what, cause, remedy)

    def _ensure(self) -> None:
        """The topics. One that is there is left as it is."""
        admin = self._client(AdminClient, {})
        there = self._topics(admin)
        wanted = [NewTopic(self.topic, self.partitions), NewTopic(self.topic + ".labels", 1),
                  NewTopic(self.topic + ".progress", 1, config={"cleanup.policy": "compact"})]  # fmt: skip
        missing = [t for t in wanted if t.topic not in there]
        for name, future in (admin.create_topics(missing) if missing else {}).items():
            try:
                future.result(_PATIENCE)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise SimulatorError("create", f"topic {name}", error.args[0].str(), "Create it by hand, or give the user the right to") from error

    def _topics(self, admin: Any) -> set[str]:
        try:
            return set(admin.list_topics(timeout=10).topics)
        except KafkaException as error:
            cause = error.args[0]
            text = "nothing answers there within 10 s" if cause.code() in (KafkaError._TRANSPORT, KafkaError._TIMED_OUT) else cause.str()
            raise self._error("reach", text, "Check the address, and --kafka-config when it wants TLS or a password") from error

    def _read(self) -> Kept | None:
        """The last committed record of progress. What stands in an open or aborted transaction is not seen."""
        consumer = self._client(Consumer, {"group.id": "simulator", "enable.auto.commit": False, "isolation.level": "read_committed",
                                           "enable.partition.eof": True, "auto.offset.reset": "earliest"})  # fmt: skip
        try:
            topic, found, back = self.topic + ".progress", None, 64
            if topic not in self._topics(consumer):
                return None
            low, high = _ends(consumer, TopicPartition(topic, 0))
            while found is None and low < high:
                begin = max(low, high - back)
                consumer.assign([TopicPartition(topic, 0, begin if begin > low else OFFSET_BEGINNING)])
                found = self._last(consumer)
                if begin == low:
                    break
                back *= 16  # only marks of transactions there, or of ones that were aborted: look further back
            return found
        except KafkaException as error:
            raise self._error("read", error.args[0].str(), "Check that the user may read it") from error
        finally:
            consumer.close()

    def _last(self, consumer: Any) -> Kept | None:
        found, until = None, time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            for message in consumer.consume(1000, timeout=1.0):
                if message.error() is None:
                    kind, at = message.timestamp()
                    found = replace(kept_from(message.value(), self.what), at=at if kind else None)
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    return found
                else:
                    raise KafkaException(message.error())
        raise self._error("read", "its record of progress did not come within 30 s", "Check Kafka")


def _ends(consumer: Any, partition: TopicPartition) -> tuple[int, int]:
    """The first and the next offset. A broker that has just made a topic, or has just come back, does not know for a moment who leads it."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            low, high = consumer.get_watermark_offsets(partition, timeout=_PATIENCE)
            return low, high
        except KafkaException as error:
            if error.args[0].code() not in _UNSETTLED or time.monotonic() > until:
                raise
            time.sleep(0.1)
