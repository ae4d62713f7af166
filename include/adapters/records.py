"""The committed records of a topic, counted by reading them: transaction markers take offsets, so offsets do not count them."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from include.connections import Connection
from include.lake.errors import LakeError

T = TypeVar("T")
QUIET = 30.0  # seconds without a record from Kafka, after which it is given up
AT_ONCE, SLICE = 10_000, 0.5  # records a call; and its seconds, which librdkafka waits out whenever there are fewer
TIMEOUT = 10  # seconds for a question about offsets


class Records:
    """A topic's committed records. Reads only."""

    def __init__(self, connection: Connection, topic: str) -> None:
        from include.adapters.kafka import options  # librdkafka is loaded by an audit only, not by who reads its DAG

        self._options, self._topic = options(connection), topic

    def _consumer(self) -> Any:
        from confluent_kafka import Consumer

        return Consumer({**self._options, "group.id": "homelake-audit", "enable.auto.commit": False, "isolation.level": "read_committed",
                         "enable.partition.eof": True, "auto.offset.reset": "error", "log_level": 0})  # fmt: skip

    def first(self, partitions: Sequence[int]) -> dict[int, int]:
        """The first offset that Kafka still has of each partition."""
        from confluent_kafka import TopicPartition

        return self._asked(lambda c: {p: int(c.get_watermark_offsets(TopicPartition(self._topic, p), timeout=TIMEOUT)[0]) for p in partitions})

    def since(self, partitions: Sequence[int], time_ms: int) -> dict[int, int | None]:
        """Of each partition the first offset whose record came at this time (Kafka's, ms) or after it; None when there is none."""
        from confluent_kafka import TopicPartition

        wanted = [TopicPartition(self._topic, p, time_ms) for p in partitions]
        found = self._asked(lambda c: c.offsets_for_times(wanted, timeout=TIMEOUT)) if wanted else []
        for problem in (t.error for t in found if t.error):
            raise self._error(problem.str())
        return {t.partition: int(t.offset) if t.offset >= 0 else None for t in found}

    def count(self, limits: Mapping[int, tuple[int, int]], within: tuple[int, int] | None = None) -> dict[int, int]:
        """How many committed records each partition holds from the first to the last of these offsets; `within`: that came from one time until
        before another (Kafka's, ms). Raises LakeError when not all can be read."""
        found = dict.fromkeys(limits, 0)

        def take(partition: int, message: Any) -> bool:
            inside: bool = message.offset() <= limits[partition][1]
            found[partition] += inside and (within is None or within[0] <= message.timestamp()[1] < within[1])
            return inside

        self._read({p: first for p, (first, last) in limits.items() if last >= first}, take)
        return found

    def unread(self, read: Mapping[int, int]) -> dict[int, tuple[int, int, int]]:
        """Of each partition of the topic that has committed records from these offsets on (of one that is not named: any at all): the offset of the
        first, how many offsets there are from it to the end, and when it came (Kafka's, ms)."""
        ends = self._asked(self._ends)
        found: dict[int, tuple[int, int, int]] = {}

        def take(partition: int, message: Any) -> bool:
            found[partition] = (message.offset(), ends[partition][1] - message.offset(), message.timestamp()[1])
            return False

        self._read({p: max(low, read.get(p, 0)) for p, (low, high) in ends.items() if high > max(low, read.get(p, 0))}, take)
        return found

    def _ends(self, consumer: Any) -> dict[int, tuple[int, int]]:
        from confluent_kafka import TopicPartition

        topic = consumer.list_topics(self._topic, timeout=TIMEOUT).topics[self._topic]
        if topic.error:
            raise self._error(topic.error.str())
        return {p: consumer.get_watermark_offsets(TopicPartition(self._topic, p), timeout=TIMEOUT) for p in topic.partitions}

    def _read(self, begins: Mapping[int, int], take: Callable[[int, Any], bool]) -> None:
        """Hand over the committed records of each partition from an offset on, until `take` wants no more of it or it ends."""
        from confluent_kafka import KafkaError, TopicPartition

        left, consumer = set(begins), self._consumer()
        try:
            consumer.assign([TopicPartition(self._topic, p, begins[p]) for p in left])
            heard = time.monotonic()
            while left:
                messages = consumer.consume(AT_ONCE, timeout=SLICE)
                if messages:
                    heard = time.monotonic()
                elif time.monotonic() - heard > QUIET:
                    raise self._error(f"no record came within {QUIET:.0f} s")
                for message in messages:
                    problem, partition = message.error(), message.partition()
                    if problem and problem.code() == KafkaError._AUTO_OFFSET_RESET:
                        raise self._error("Kafka removed some of them meanwhile, as its retention says", "Run it again")
                    if problem and problem.code() != KafkaError._PARTITION_EOF:
                        raise self._error(problem.str())
                    if partition in left and (problem or not take(partition, message)):
                        left.discard(partition)
                        consumer.incremental_unassign([TopicPartition(self._topic, partition)])
        finally:
            consumer.close()

    def _asked(self, question: Callable[[Any], T]) -> T:
        from confluent_kafka import KafkaException

        consumer = self._consumer()
        try:
            return question(consumer)
        except KafkaException as error:
            raise self._error(error.args[0].str()) from None
        finally:
            consumer.close()

    def _error(self, cause: str, remedy: str = "Check the connection 'kafka_default', and ./lake plan") -> LakeError:
        return LakeError("count", f"the records of topic {self._topic} in Kafka at {self._options['bootstrap.servers']}", cause, remedy)
