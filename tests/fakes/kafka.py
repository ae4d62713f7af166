"""A Kafka in memory: its topics."""

from collections.abc import Collection
from dataclasses import replace

from include.lake.errors import LakeError
from include.lake.resources.topic import Setting, TopicState
from tests.fakes.base import Fake, writing

DEFAULTS = {
    "retention.ms": "604800000",
    "retention.bytes": "-1",
    "cleanup.policy": "delete",
    "unclean.leader.election.enable": "false",
    "message.timestamp.type": "CreateTime",
}


class FakeKafka(Fake):
    """One broker. A topic's `config` holds what was set; the rest is the broker's own."""

    servers = "127.0.0.1:9092"

    def __init__(self) -> None:
        super().__init__()
        self.topics: dict[str, TopicState] = {}
        self.made: dict[str, int] = {}  # how often each was

    def topic(self, name: str, settings: Collection[str] = ()) -> TopicState | None:
        state = self.topics.get(name)
        if state is None:
            return None
        values = DEFAULTS | {s.name: s.value for s in state.config}
        return replace(state, config=frozenset(Setting(s, values[s]) for s in settings if s in values))

    def topic_id(self, name: str) -> str | None:
        return f"{name}-{self.made.get(name, 1)}" if name in self.topics else None

    def _check(self, name: str, config: frozenset[Setting]) -> None:
        if unknown := sorted(s.name for s in config if s.name not in DEFAULTS):
            raise LakeError(
                "use", f"topic {name} in Kafka", f"Unknown topic config name: {unknown[0]} (INVALID_CONFIG)", "Correct it in lake.yaml (kafka.topics)"
            )

    def _there(self, name: str) -> TopicState:
        if name not in self.topics:
            raise LakeError("use", f"topic {name} in Kafka", "Unknown topic or partition (UNKNOWN_TOPIC_OR_PART)", "Correct it in lake.yaml (kafka.topics)")
        return self.topics[name]

    @writing
    def make_topic(self, name: str, state: TopicState) -> None:
        self._check(name, state.config)
        if (state.replication or 1) > 1:
            raise LakeError(
                "use", f"topic {name} in Kafka", "only 1 broker(s) are registered (INVALID_REPLICATION_FACTOR)", "Declare what the cluster has brokers for"
            )
        self.made[name] = self.made.get(name, 0) + (name not in self.topics)
        self.topics.setdefault(name, replace(state, replication=1))

    @writing
    def add_partitions(self, name: str, count: int) -> None:
        if self._there(name).partitions >= count:
            raise LakeError("use", f"topic {name} in Kafka", f"{count} would not be an increase (INVALID_PARTITIONS)", "Declare more")
        self.topics[name] = replace(self.topics[name], partitions=count)

    @writing
    def set_config(self, name: str, config: frozenset[Setting]) -> None:
        state = self._there(name)
        self._check(name, config)
        kept = {s for s in state.config if s.name not in {new.name for new in config}}
        self.topics[name] = replace(state, config=frozenset(kept | config))

    @writing
    def remove_topic(self, name: str) -> None:
        self.topics.pop(name, None)

    def end_offsets(self, name: str) -> dict[int, int] | None:
        state = self.topics.get(name)
        return None if state is None else dict.fromkeys(range(state.partitions), 0)
