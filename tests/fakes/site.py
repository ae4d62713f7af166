"""A whole site in memory, as the clients of a command or a task."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from include.lake.lake import load_lake
from tests.fakes.guest import AGPL, ELF, FakeGuest
from tests.fakes.kafka import FakeKafka
from tests.fakes.kubernetes import FakeKeyPairs
from tests.fakes.minio import FakeMinio
from tests.fakes.proxmox import FakeProxmox
from tests.fakes.stream import FakeStreams


class FakeSite:
    """Nothing is there yet but the VM, and MinIO's program on the bastion. `locks` are the writers that took the lock, in their order."""

    def __init__(self) -> None:
        self.proxmox, self.host, self.minio = FakeProxmox(), FakeGuest(), FakeMinio()
        self.kubernetes = self.keypair = FakeKeyPairs()
        self.kafka, self.streams = FakeKafka(), FakeStreams()
        # One store for root and for who holds a pair.
        self.keypair.buckets, self.keypair.policies, self.keypair.users = self.minio.buckets, self.minio.policies, self.minio.users
        self.host.sources[str(load_lake().minio_binary.source)] = ("new", ELF, AGPL)
        self.host.locked = self._locked  # type: ignore[attr-defined]
        self.locks: list[str] = []
        self.closed = 0

    def __call__(self, part: str) -> Any:
        """A part's client."""
        return getattr(self, part)

    @contextmanager
    def _locked(self, who: str) -> Iterator[None]:
        self.locks.append(who)
        yield

    @property
    def writes(self) -> list[str]:
        """Every writing call, of all parts."""
        return [*self.proxmox.writes, *self.host.writes, *self.minio.writes, *self.kubernetes.writes, *self.kafka.writes, *self.streams.writes]

    def close(self) -> None:
        """End what is kept open."""
        self.closed += 1
