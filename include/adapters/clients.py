"""The clients of a lake's parts, each made when it is first asked for and then kept."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from include.adapters.backups import Backups
from include.adapters.host import Host
from include.adapters.keypair import KeyPairs
from include.adapters.kubernetes import Kubernetes
from include.adapters.minio import MinioServer
from include.adapters.proxmox import Proxmox
from include.adapters.stream import Streams
from include.connections import Connections

if TYPE_CHECKING:
    from include.adapters.kafka import Kafka


class Clients:
    """Call it with a part's name (`proxmox`, `host`, `minio`, `kubernetes`, `keypair`, `kafka`, `streams`) to get its client."""

    def __init__(self, connections: Connections, say: Callable[[str], None] = print) -> None:
        self.connections, self.say = connections, say

    def __call__(self, part: str) -> Any:
        """A part's client."""
        return getattr(self, part)

    @cached_property
    def proxmox(self) -> Proxmox:
        """The Proxmox VE API."""
        return Proxmox(self.connections("proxmox"))

    @cached_property
    def host(self) -> Host:
        """The lake's VM."""
        return Host(self.connections, self.say)

    @cached_property
    def minio(self) -> MinioServer:
        """MinIO, as root."""
        server = MinioServer(self.connections("minio_admin"))
        server.say = self.say
        return server

    @cached_property
    def kubernetes(self) -> Kubernetes:
        """The cluster of the Spark jobs."""
        return Kubernetes(self.connections("kubernetes_default"))

    @cached_property
    def keypair(self) -> KeyPairs:
        """Kubernetes and MinIO together."""
        return KeyPairs(self.connections, self.kubernetes, self.minio)

    @cached_property
    def kafka(self) -> "Kafka":
        """The Kafka whose topics are declared."""
        from include.adapters.kafka import Kafka  # librdkafka is loaded only where there is a topic

        return Kafka(self.connections("kafka_default"))

    @cached_property
    def streams(self) -> Streams:
        """The stream of payments in the cluster."""
        return Streams(self.connections, self.kubernetes, self.say)

    @cached_property
    def backups(self) -> Backups:
        """Backups of the lake's VM, and VMs restored from them."""
        return Backups(self.proxmox, self.connections)

    def close(self) -> None:
        """End what is kept open."""
        for part in ("host", "kafka"):
            if part in self.__dict__:
                self(part).close()
