"""A topic of Kafka: its partitions, its replication, and those of its settings that are declared."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from include.lake.errors import Refused
from include.lake.resource import WHOLE, Change, Plan, Resource

_KEPT = {"retention.ms": "by time", "retention.bytes": "by size"}  # -1: without limit


@dataclass(frozen=True)
class Setting:
    """One setting of a topic, as Kafka names and writes it: `retention.ms=604800000`."""

    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


@dataclass(frozen=True)
class TopicState:
    """A topic. `replication` (replicas of each partition) that is None is not managed, and so is every setting that is not in `config`."""

    partitions: int
    replication: int | None = None
    config: frozenset[Setting] = frozenset()


class TopicClient(Protocol):
    """What a topic needs of Kafka."""

    def topic(self, name: str, settings: Collection[str]) -> TopicState | None:
        """The topic, with these of its settings; None when Kafka says that there is no such topic."""

    def make_topic(self, name: str, state: TopicState) -> None:
        """Make it. One that is there already, as of a run that was killed, is left as it is."""

    def add_partitions(self, name: str, count: int) -> None:
        """Raise the number of its partitions to `count`."""

    def set_config(self, name: str, config: frozenset[Setting]) -> None:
        """Set these settings, and touch no other."""

    def remove_topic(self, name: str) -> None:
        """Delete it with every record; no error when there is none."""


@dataclass(frozen=True)
class Topic(Resource[TopicState, TopicClient]):
    """A topic. It is deleted only by name. Partitions are only added, and its replication is a matter of its creation."""

    part: ClassVar[str] = "kafka"
    name: str
    desired: TopicState | None

    @property
    def id(self) -> str:
        """`topic/payments`."""
        return f"topic/{self.name}"

    def observe(self, client: TopicClient) -> TopicState | None:
        """The topic there, with the settings that are declared, whether it has them from itself or from the broker."""
        return client.topic(self.name, sorted(s.name for s in self.desired.config) if self.desired else ())

    def danger(self, change: Change) -> str | None:
        """Its deletion; more partitions; less kept of the records."""
        if change.field == WHOLE:
            return "deletes the topic with every record in it"
        if change.field == "partitions" and isinstance(change.before, int) and isinstance(change.after, int) and change.after > change.before:
            return (
                f"adds partitions ({change.before} → {change.after}), which moves keys to other partitions: the records of a key are not in one order any more"
            )
        if change.field == "config" and isinstance(change.before, frozenset) and isinstance(change.after, frozenset):
            return " and ".join(_forgets(_values(change.before), _values(change.after))) or None
        return None

    def apply(self, todo: Plan, client: TopicClient) -> None:
        """Make it; else refuse what cannot be, then add partitions and set what differs."""
        if self.desired is None:
            client.remove_topic(self.name)
            return
        if todo.action == "create":
            client.make_topic(self.name, self.desired)
            return
        changes = {c.field: c for c in todo.changes}
        for change in todo.changes:
            self._refuse(change)
        if "partitions" in changes:
            client.add_partitions(self.name, self.desired.partitions)
        if "config" in changes:
            before = changes["config"].before
            assert isinstance(before, frozenset)
            client.set_config(self.name, self.desired.config - before)

    def _refuse(self, change: Change) -> None:
        """Raise Refused for what Kafka cannot do to a topic that is there."""
        if change.field == "replication":
            raise Refused("replicate", self.id, f"its partitions have {change.before} replicas and {change.after} are declared, and Kafka changes that only by "
                          "moving partitions", f"Move them with kafka-reassign-partitions, or declare replication: {change.before}")  # fmt: skip
        if change.field == "partitions" and isinstance(change.before, int) and isinstance(change.after, int) and change.after < change.before:
            raise Refused("shrink", self.id, f"it has {change.before} partitions and {change.after} are declared, and Kafka takes none away",
                          f"Declare partitions: {change.before}, or a topic of another name and copy the records")  # fmt: skip


def topic_state(partitions: int, replication: int | None, config: Mapping[str, str]) -> TopicState:
    """The state that a declaration means, with the values as Kafka gives them back."""
    return TopicState(partitions, replication, frozenset(Setting(n, _plain(v)) for n, v in config.items()))


def _plain(value: str) -> str:
    """A value as Kafka writes it: `true`, and lists without spaces."""
    text = ",".join(part.strip() for part in value.split(","))
    return text.lower() if text.lower() in ("true", "false") else text


def _values(config: frozenset[Setting]) -> dict[str, str]:
    return {s.name: s.value for s in config}


def _forgets(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What a change of the settings makes Kafka delete, as verb phrases."""
    found = [f"deletes records by a lower limit ({n}: {before[n]} → {after[n]})" for n in _KEPT if n in before and _lower(before[n], after.get(n, before[n]))]
    policies = [c.get("cleanup.policy") for c in (before, after)]
    if policies[0] is not None and policies[1] is not None and set(policies[1].split(",")) - set(policies[0].split(",")):
        found.append(f"deletes records by another cleanup.policy ({policies[0]} → {policies[1]})")
    return found


def _lower(before: str, after: str) -> bool:
    """Whether a limit is lower than before; a negative one is none."""
    try:
        old, new = int(before), int(after)
    except ValueError:
        return False
    return new >= 0 and (old < 0 or new < old)
