"""Kafka's topics, through librdkafka's admin client. Where Kafka is and who logs in: the connection `kafka_default`."""

import logging
import re
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import Any, TypeVar

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec, ResourceType

from include.adapters.network import network_cause
from include.connections import Connection
from include.lake.errors import LakeError, Unreachable
from include.lake.resources.topic import Setting, TopicState

T = TypeVar("T")
TIMEOUT = 10.0  # seconds for a call, its connection included
_SLICE = 0.05  # seconds between two looks at whether a broker has said why it will not answer
_SECRET = ("password", "secret", "key.pem", "jaas")  # in the name of an option whose value is one
_REFUSED = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}
_LOGIN = {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError.UNSUPPORTED_SASL_MECHANISM}
_TELLING = (*_LOGIN, KafkaError._SSL, KafkaError._RESOLVE, KafkaError._TRANSPORT)  # more telling ones first
_FINAL = {*_LOGIN, KafkaError._ALL_BROKERS_DOWN}  # one broker of several may be away; after these, waiting is of no use
_REPLICAS = {KafkaError.INVALID_REPLICATION_FACTOR, KafkaError.INVALID_PARTITIONS}
_AWAY = {KafkaError.REQUEST_TIMED_OUT, KafkaError.NOT_CONTROLLER, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NETWORK_EXCEPTION,
         KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.BROKER_NOT_AVAILABLE}  # fmt: skip
_quiet = logging.getLogger("include.adapters.kafka.librdkafka")  # its lines say on stderr what the errors say here
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False


class Kafka:
    """A Kafka cluster, as the account of a connection sees it. Raises LakeError, and Unreachable when it does not answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._options = options(connection)
        self.servers = str(self._options["bootstrap.servers"])
        self._client: AdminClient | None = None
        self._said: list[KafkaError] = []

    def topic(self, name: str, settings: Collection[str] = ()) -> TopicState | None:
        """The topic, with these of its settings; None when the broker says that there is no such topic."""
        found = self._described(name)
        if found is None:
            return None
        config = self._config(name) if settings else {}
        if config is None:
            return None  # gone in between
        least = min(len(p.replicas) for p in found.partitions)
        return TopicState(len(found.partitions), least, frozenset(Setting(s, config[s]) for s in settings if s in config))

    def topic_id(self, name: str) -> str | None:
        """Kafka's own id of the topic, as its Java client writes it: another once it is made again. None without the topic, and from a broker that gives none."""
        found = self._described(name)
        told = str(found.topic_id).replace("+", "-").replace("/", "_") if found is not None and found.topic_id else ""
        return told if told.strip("A") else None

    def make_topic(self, name: str, state: TopicState) -> None:
        """Make it, with the broker's own replication when none is declared; one that is there already is left as it is."""
        new = NewTopic(name, num_partitions=state.partitions, replication_factor=state.replication or -1, config={s.name: s.value for s in state.config})
        self._call(f"topic {name}", lambda c, wait: c.create_topics([new], **wait)[name], {KafkaError.TOPIC_ALREADY_EXISTS})
        self._settle(lambda: self._described(name) is not None)

    def add_partitions(self, name: str, count: int) -> None:
        """Raise the number of its partitions to `count`."""
        self._call(f"topic {name}", lambda c, wait: c.create_partitions([NewPartitions(name, count)], **wait)[name])
        self._settle(lambda: (found := self._described(name)) is not None and len(found.partitions) == count)

    def set_config(self, name: str, config: frozenset[Setting]) -> None:
        """Set these settings, and touch no other."""
        entries = [ConfigEntry(s.name, s.value, incremental_operation=AlterConfigOpType.SET) for s in sorted(config, key=str)]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        self._call(f"topic {name}", lambda c, wait: c.incremental_alter_configs([resource], request_timeout=TIMEOUT)[resource])
        self._settle(lambda: config <= {Setting(n, v) for n, v in (self._config(name) or {}).items()})

    def remove_topic(self, name: str) -> None:
        """Delete it with every record; no error when there is none."""
        self._call(f"topic {name}", lambda c, wait: c.delete_topics([name], **wait)[name], {KafkaError.UNKNOWN_TOPIC_OR_PART})
        self._settle(lambda: self._described(name) is None)

    def end_offsets(self, name: str) -> dict[int, int] | None:
        """Behind the last committed record of each partition: the offset that a reader of what is committed comes to. None without such a topic."""
        found = self._described(name)
        if found is None:
            return None
        ends = {}
        for partition in found.partitions:
            at = TopicPartition(name, partition.id)
            result = self._call(f"topic {name}", lambda c, wait, at=at: c.list_offsets({at: OffsetSpec.latest()}, request_timeout=TIMEOUT,
                                isolation_level=IsolationLevel.READ_COMMITTED)[at])  # type: ignore[misc]  # fmt: skip
            ends[int(partition.id)] = int(result.offset)  # type: ignore[union-attr]
        return ends

    def close(self) -> None:
        """End the connections. The next call makes new ones."""
        client, self._client = self._client, None
        if client is not None:
            # Here and now: left to the collector of garbage it may end in librdkafka's own thread, which aborts the process.
            client.__exit__(None, None, None)

    def _described(self, name: str) -> Any:
        """A topic's description. Asking for its metadata by name in another way could make the broker create it."""
        return self._call(f"topic {name}", lambda c, wait: c.describe_topics(TopicCollection([name]), request_timeout=TIMEOUT)[name],
                          {KafkaError.UNKNOWN_TOPIC_OR_PART})  # fmt: skip

    def _config(self, name: str) -> dict[str, str] | None:
        resource = ConfigResource(ResourceType.TOPIC, name)
        found = self._call(f"the settings of topic {name}", lambda c, wait: c.describe_configs([resource], request_timeout=TIMEOUT)[resource],
                           {KafkaError.UNKNOWN_TOPIC_OR_PART})  # fmt: skip
        return None if found is None else {n: str(e.value) for n, e in found.items() if e.value is not None}

    def _call(self, what: str, ask: Callable[[AdminClient, Mapping[str, float]], "Future[T]"], none: Collection[int] = ()) -> T | None:
        """The answer; None when it is one of these error codes, which must come from the broker itself."""
        try:
            if self._client is not None:
                self._client.poll(0)  # what happened since the last call is not this one's
            self._said.clear()
            client = self._admin()
            return self._answer(client, ask(client, {"operation_timeout": TIMEOUT, "request_timeout": TIMEOUT}))
        except KafkaException as error:
            code = error.args[0].code()
            if code in none:
                return None
            raise self._told(what, error.args[0]) from None
        except (ValueError, TypeError) as error:  # librdkafka's own check of an argument, before any call
            raise LakeError("use", f"{what} in Kafka", self._without_secrets(str(error)), "Correct it in lake.yaml") from None

    def _answer(self, client: AdminClient, asked: "Future[T]") -> T:
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                return asked.result(_SLICE)
            except NotYet:
                client.poll(0)  # calls error_cb
                if any(e.code() in _FINAL for e in self._said) or time.monotonic() > deadline:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None

    def _why(self) -> KafkaError | None:
        """The most telling of what was said of failed connections."""
        said = list(self._said)
        return next((e for code in _TELLING for e in said if e.code() == code), None)

    def _admin(self) -> AdminClient:
        if self._client is None:
            try:
                self._client = AdminClient(dict(self._options) | {"error_cb": self._said.append, "logger": _quiet, "log_level": 0})
            except (KafkaException, ValueError, TypeError) as error:
                cause = error.args[0].str() if isinstance(error, KafkaException) else str(error)
                raise LakeError("use", f"the connection {self._connection.id!r}", self._without_secrets(cause),
                                "Correct its extra: the properties of librdkafka, as bootstrap.servers and security.protocol") from None  # fmt: skip
        return self._client

    def _settle(self, done: Callable[[], bool]) -> None:
        """Wait until the brokers show a change; for how it ends the second look of the resource's law is there."""
        deadline = time.monotonic() + TIMEOUT
        while not done() and time.monotonic() < deadline:
            time.sleep(_SLICE)

    def _told(self, what: str, error: KafkaError) -> LakeError:
        code, place = error.code(), f"Kafka at {self.servers}"
        if code < 0 or code in _AWAY or code in _LOGIN:  # librdkafka's own codes are negative: nothing came from a broker
            self.close()  # the next call begins anew: a client tells only once why it cannot connect
            why = self._why() or error
            if why.code() in _LOGIN:
                return LakeError("log in to", place, self._without_secrets(_cause(why)),
                                 f"Check sasl.mechanisms, sasl.username and sasl.password in extra of the connection {self._connection.id!r}")  # fmt: skip
            return Unreachable(place, self._without_secrets(_cause(why)),
                               f"Check that a broker runs there, that its advertised.listeners can be reached from here, and bootstrap.servers, security.protocol "
                               f"and ssl.ca.location in extra of the connection {self._connection.id!r}")  # fmt: skip
        if code in _REFUSED:
            user = self._options.get("sasl.username") or "this account"
            return LakeError("use", f"{what} in {place}", f"{user} may not ({error.name()})",
                             "Give it Describe, DescribeConfigs, Create, Alter and AlterConfigs on the topic (kafka-acls --add)")  # fmt: skip
        remedy = "Declare what the cluster has brokers for (kafka.topics in lake.yaml)" if code in _REPLICAS else "Correct it in lake.yaml (kafka.topics)"
        return LakeError("use", f"{what} in {place}", self._without_secrets(f"{error.str().rstrip('. ')} ({error.name()})"), remedy)

    def _without_secrets(self, text: str) -> str:
        for name, value in self._options.items():
            if any(part in name for part in _SECRET) and str(value):
                text = text.replace(str(value), "(secret)")
        return (text.splitlines() or [""])[0][:300]


def options(connection: Connection) -> dict[str, str | int | float | bool]:
    """The properties that librdkafka gets: those of extra; host, port, login and password of the connection where extra says nothing.

    Raises LakeError when none of them says where Kafka is.
    """
    given = {k: v for k, v in connection.extra.items() if v not in (None, "") and not k.endswith("_cb") and isinstance(v, (str, int, float, bool))}
    given.pop("group.id", None)  # a consumer's
    host = ",".join(h if ":" in h or not connection.port else f"{h}:{connection.port}" for h in connection.host.split(",") if h)
    if not given.get("bootstrap.servers") and not host:
        raise LakeError("use", f"the connection {connection.id!r}", "it does not say where Kafka is",
                        'Set extra to {"bootstrap.servers": "HOST:9092"}, or KAFKA_BOOTSTRAP in site.env')  # fmt: skip
    login: dict[str, Any] = {"sasl.username": connection.login, "sasl.password": connection.password.reveal()} if connection.login else {}
    return {"bootstrap.servers": host, "socket.connection.setup.timeout.ms": int(max(TIMEOUT, 1) * 1000), **login, **given}


def _cause(error: KafkaError) -> str:
    if error.code() == KafkaError._TIMED_OUT:
        return f"it does not answer as Kafka does within {TIMEOUT:g} s"
    text = re.sub(r"^\S+/\S+: | \(after \d+ms in state \w+[^)]*\)", "", str(error.str() or error.name()))
    return network_cause(Exception(text))
