"""The stream of payments: a SparkApplication that runs as declared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from include.lake.resource import WHOLE, Action, Change, Plan, Resource
from include.lake.secret import Secret
from include.lake.spark import Where
from include.lake.spec.streams import Payments
from include.lake.stream import FILES, Surroundings, digest_of, signed, stream_application

RUNNING, HALTED, FAILED, ENDED, INCOMPLETE, LEAVING = "running", "halted", "failed", "ended", "incomplete", "being removed"


@dataclass(frozen=True)
class StreamState:
    """`digest`: of what it was made from, empty when somebody else made it. `kafka`: the files of Kafka's log-in in its secret.

    `phase` is RUNNING also while the spark-operator starts it again, HALTED when that takes long, INCOMPLETE without the ConfigMap of its job. None: not
    managed, or not known yet.
    """

    digest: str | None
    phase: str | None = RUNNING
    kafka: frozenset[tuple[str, Secret]] | None = None


class StreamClient(Protocol):
    """What a stream needs of the cluster, and of the connections that say where it leads."""

    def surroundings(self, names: tuple[str, ...]) -> Surroundings:
        """Endpoint, Kafka, and these files of jobs/. Reads only."""

    def stream(self, namespace: str) -> StreamState | None:
        """The stream there; None when the cluster says that there is none."""

    def stop_stream(self, namespace: str) -> None:
        """End it at a batch boundary, and wait for that. One of which no driver runs is left as it is."""

    def remove_stream(self, namespace: str) -> None:
        """Remove the application with its pods, and wait until it is gone. Lake and checkpoint stay."""

    def write_kafka(self, namespace: str, files: frozenset[tuple[str, Secret]]) -> None:
        """Write the secret of Kafka's log-in."""

    def submit_stream(self, body: Mapping[str, Any], files: Mapping[str, str]) -> None:
        """Submit it, with these files beside its job. Refused while a micro batch writes to the same checkpoint."""


@dataclass(frozen=True)
class Stream(Resource[StreamState, StreamClient]):
    """The stream. It is changed by ending it at a batch boundary and submitting another, which goes on from the checkpoint."""

    part: ClassVar[str] = "streams"
    payments: Payments
    where: Where
    region: str
    desired: StreamState | None

    @property
    def id(self) -> str:
        """`stream/payments`."""
        return "stream/payments"

    def body(self, around: Surroundings) -> dict[str, Any]:
        """The SparkApplication as declared."""
        return signed(stream_application(self.payments, self.where, self.region, around), around.files)

    def want(self, client: StreamClient) -> StreamState | None:
        """With the digest of what it would be made from here and now."""
        if self.desired is None:
            return None
        around = client.surroundings(FILES)
        return StreamState(digest_of(self.body(around)), self.desired.phase, around.kafka or None)

    def observe(self, client: StreamClient) -> StreamState | None:
        """The stream there."""
        return client.stream(self.where.namespace)

    def danger(self, change: Change) -> str | None:
        """Taking the place of an application that Homelake did not make."""
        return "replaces a SparkApplication of that name that Homelake did not make" if change.field == "digest" and change.before == "" else None

    def foreign(self, observed: StreamState, client: StreamClient) -> str | None:
        """An application without Homelake's annotation."""
        return "the SparkApplication has no digest of Homelake's" if observed.digest == "" else None

    def apply(self, todo: Plan, client: StreamClient) -> None:
        """End what is there at a batch boundary; then submit it as declared."""
        if todo.action is not Action.CREATE:
            self.end(client)
        if self.desired is not None:
            around = client.surroundings(FILES)
            if around.kafka:
                client.write_kafka(self.where.namespace, around.kafka)
            client.submit_stream(self.body(around), around.files)

    def end(self, client: StreamClient) -> None:
        """End it at a batch boundary and remove it; none is no error."""
        client.stop_stream(self.where.namespace)
        client.remove_stream(self.where.namespace)

    def restart(self, client: StreamClient) -> None:
        """The same stream in other pods, as after its key pair was changed. One that is not there is not begun."""
        if self.observe(client) is not None:
            self.apply(Plan(self.id, Action.UPDATE, (Change(WHOLE, None, None),)), client)
