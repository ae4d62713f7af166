"""Looking writes nothing: every reading call of every client, told by the parts' own records on the lab, by the fakes' counts without one.

What is looked at is the lake itself, and things that are not there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from include.lake.errors import LakeError, Unreachable
from include.lake.lake import load_lake
from include.lake.resource import ensure
from include.lake.resources.keypair import Pair
from include.lake.secret import Secret, SecretRef
from tests.contract.real import Parts
from tests.e2e.records import recording
from tests.fakes.base import Fake as AnyFake
from tests.fakes.guest import AGPL, ELF, FakeGuest
from tests.fakes.kubernetes import FakeKeyPairs, FakeKubernetes
from tests.fakes.minio import FakeMinio
from tests.fakes.proxmox import FakeProxmox

LAKE = load_lake()
Rig = Any


class Fake:
    """A lake of fakes, made by the resources themselves."""

    def __init__(self) -> None:
        guest, kubernetes, store = FakeGuest(), FakeKubernetes(), FakeMinio()
        guest.sources[str(LAKE.minio_binary.source)] = ("ab" * 32, ELF, AGPL)
        self.parts: dict[str, AnyFake] = {"proxmox": FakeProxmox(), "host": guest, "minio": store, "kubernetes": kubernetes}
        for resource in LAKE.resources():
            # The pairs' client counts for itself and shares what the two hold: it is made once they hold it.
            client = self.parts.setdefault("keypair", FakeKeyPairs(kubernetes, store)) if resource.part == "keypair" else self.parts[resource.part]
            ensure(resource, client)

    def clear(self) -> None:
        pass

    def close(self) -> None:
        pass

    def __call__(self, part: str) -> Any:
        return self.parts[part]

    @contextmanager
    def unwritten(self) -> Iterator[None]:
        before = {name: list(part.writes) for name, part in self.parts.items()}
        yield
        assert {name: part.writes for name, part in self.parts.items()} == before


class Real:
    """The lake on the lab."""

    needs = "with_lake"

    def __init__(self, parts: Parts) -> None:
        self.lab, self.clients = parts.lab, parts.clients

    def clear(self) -> None:
        pass

    def close(self) -> None:
        pass

    def __call__(self, part: str) -> Any:
        return self.clients(part)

    @contextmanager
    def unwritten(self) -> Iterator[None]:
        self.clients("host").close()  # sudo records a connection's first command only
        with recording(self.lab) as records:
            yield
        assert records.proxmox, "the stand-in recorded nothing"
        assert records.minio, "MinIO recorded nothing"
        assert records.commands, "sudo recorded nothing"
        assert records.writes() == {}


def readings(rig: Rig) -> Iterator[tuple[str, Callable[[], Any], Callable[[], Any]]]:
    """Each reading call by its name: of what is there, and of what is not."""
    proxmox, host, minio, cluster, pairs = (rig(p) for p in ("proxmox", "host", "minio", "kubernetes", "keypair"))
    spec, key = LAKE.spec, LAKE.key_pair
    node, vmid, slot = spec.vm.node, spec.vm.vmid, spec.vm.disk.slot
    data, namespace, port = spec.filesystem.mount_point, spec.kubernetes.namespace, spec.minio.port
    yield "slot", lambda: proxmox.slot(node, vmid, slot), lambda: proxmox.slot(node, vmid, "scsi29")
    yield "device", lambda: host.device(slot), lambda: unreachable(lambda: host.device("scsi29"))
    yield "mount_facts", lambda: host.mount_facts(data).entry, lambda: host.mount_facts("/mnt/contract-nowhere").entry
    yield "account", lambda: host.account(spec.account, data), lambda: host.account("contract-nobody", "/mnt/contract-nowhere")
    yield "installed", lambda: host.installed("minio"), lambda: host.installed("contract-nothing")
    yield "try_out", lambda: "AGPL" in host.try_out("minio", host.installed("minio")), lambda: None
    yield "digest", lambda: host.digest(LAKE.minio_binary.source, host.machine()), lambda: None
    yield "made_from", lambda: host.made_from("minio", LAKE.minio_binary.source), lambda: host.made_from("contract-nothing", LAKE.minio_binary.source)
    yield "service", lambda: host.service("minio", port), lambda: host.service("contract-nothing", port)
    yield "secret of the connection", lambda: host.secret(SecretRef("minio_admin")), lambda: None
    yield "bucket", lambda: minio.bucket("datalake"), lambda: minio.bucket("contract-nowhere")
    yield "policy", lambda: minio.policy("spark-user"), lambda: minio.policy("contract-nothing")
    yield "user", lambda: minio.user("spark-user"), lambda: minio.user("contract-nobody")
    yield "counters", minio.counters, lambda: minio.counters().buckets.get("contract-nowhere")
    yield "quota", lambda: minio.quota("datalake"), lambda: minio.quota("contract-nowhere")
    yield "sample", lambda: minio.sample("datalake", 10), lambda: minio.sample("contract-nowhere", 10)
    yield "volume", lambda: host.volume(data).free, lambda: refused(lambda: host.volume("/mnt/contract-nowhere"))
    yield "namespace", lambda: cluster.namespace(namespace), lambda: cluster.namespace("contract-nowhere")
    yield "service_account", lambda: cluster.service_account(namespace, "spark-sa"), lambda: cluster.service_account(namespace, "contract-nobody")
    yield "secret", lambda: pairs.secret(namespace, "minio-s3-keys"), lambda: pairs.secret(namespace, "contract-nothing")
    yield "owner", lambda: pairs.owner(key.pair(pairs).access_key), lambda: pairs.owner("CONTRACTNOBODY")
    yield "accepts", lambda: pairs.accepts(key.pair(pairs)), lambda: pairs.accepts(Pair("CONTRACTNOBODY", Secret("nobody's secret"))) or None
    yield "new_pair", pairs.new_pair, lambda: pairs.given("contract-nobody")


def refused(call: Callable[[], Any]) -> None:
    with pytest.raises(LakeError, match="not mounted"):
        call()


def unreachable(call: Callable[[], Any]) -> None:
    with pytest.raises(Unreachable):
        call()


def test_looking_writes_nothing_and_finds_what_is_there(rig: Rig) -> None:
    with rig.unwritten():
        found = {name: (there(), nowhere()) for name, there, nowhere in readings(rig)}
    assert {name for name, (there, _) in found.items() if not there} == set()
    assert {name for name, (_, nowhere) in found.items() if nowhere is not None} == set()
