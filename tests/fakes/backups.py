"""A Proxmox VE whose VMs are backed up and restored, their guests' networks, and the MinIO in each."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from include.lake.backup import Backup
from include.lake.equal import Version
from include.lake.errors import LakeError, Unreachable
from include.lake.guest_network import LOOK, NAMED, TAKE_ON
from include.lake.restore import START, unplugged
from include.lake.units import Size
from tests.fakes.base import Fake, writing

MAC, LAN = "bc:24:11:00:00:10", "/run/systemd/network/05-lan.network"
STATIC = "[Match]\nName=e*\n[Network]\nAddress=10.0.0.10/24\nGateway=10.0.0.2\n"
DHCP = "[Match]\nName=e*\n[Network]\nDHCP=yes\n"
NODE, STORAGE = "pve", "local"


@dataclass
class Machine:
    """A VM: its settings, whether it runs, its guest's files, the network file that its networkd took."""

    settings: dict[str, str]
    files: dict[str, str] = field(default_factory=lambda: {LAN: STATIC})
    running: bool = False
    taken_file: str = LAN
    machine_id: int = 1
    networkd: bool = True
    store: bool = False

    @property
    def mac(self) -> str:
        match = re.search(r"=([0-9A-Fa-f:]{17})", self.settings.get("net0", ""))
        return match[1].lower() if match else ""


@dataclass
class Work:
    """A task of Proxmox VE: it goes on whatever becomes of its caller, here when someone looks at it."""

    upid: str
    kind: str
    vmid: int
    end: Callable[[], None]
    error: str = ""
    over: bool = False


class FakeBackups(Fake):
    """VM 100 runs with MinIO at 10.0.0.10. `clock` is the node's, a second a call that writes. No two plugged-in VMs may ever have one address."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = 1_000_000
        settings = {"name": "datalake", "net0": f"virtio={MAC},bridge=vmbr0", "agent": "1", "digest": "0", "memory": "2048", "onboot": "1"}
        self.vms: dict[int, Machine] = {100: Machine(settings, running=True, store=True)}
        self.hidden: set[int] = set()
        self.kept: dict[str, tuple[Backup, dict[str, str], dict[str, str]]] = {}
        self.tasks: dict[str, Work] = {}
        self.elsewhere: set[str] = set()  # addresses of machines that are no VMs of this node
        self.leases: dict[int, str] = {}  # by machine id
        self.fail: dict[str, str] = {}  # kind of task → its error
        self.without_store: set[str] = set()

    # The world

    def network(self, vmid: int) -> list[str]:
        """The addresses of a VM, as far as its cable is in."""
        vm = self.vms[vmid]
        if not vm.running or unplugged(vm.settings["net0"]):
            return []
        text = vm.files.get(vm.taken_file, "")
        if "DHCP=yes" in text:
            return [self.leases.setdefault(vm.machine_id, f"10.0.0.{100 + len(self.leases)}")]
        return re.findall(r"^Address=([\d.]+)", text, re.M)

    def _judge(self) -> None:
        found = [a for vmid in self.vms for a in self.network(vmid)]
        assert len(found) == len(set(found)), f"two machines have one address: {found}"

    def start_task(self, kind: str, vmid: int, end: Callable[[], None]) -> str:
        self.clock += 10
        upid = f"UPID:{NODE}:00000001:{len(self.tasks):08X}:{self.clock:08X}:{kind}:{vmid}:homelake@pve!bootstrap:"
        self.tasks[upid] = Work(upid, kind, vmid, end)
        return upid

    def _finish(self, task: Work) -> None:
        if not task.over:
            task.over, task.error = True, self.fail.get(task.kind, "")
            self.clock += 10
            if not task.error:  # what a failed restore has begun of a VM stays, as Proxmox VE leaves it
                task.end()

    def _vm(self, vmid: int) -> Machine:
        if vmid not in self.vms or vmid in self.hidden:
            raise LakeError("use", "Proxmox VE", f"there is no VM {vmid}")
        return self.vms[vmid]

    # Backups

    def backups(self, node: str, storage: str, vmid: int) -> list[Backup]:
        return [b for b, _, _ in self.kept.values() if b.vmid == vmid and b.volid.startswith(f"{storage}:")]

    def running(self, node: str, vmid: int, kind: str) -> str | None:
        return next((t.upid for t in self.tasks.values() if not t.over and (t.kind, t.vmid) == (kind, vmid)), None)

    @writing
    def start_backup(self, node: str, vmid: int, storage: str, mode: str, notes: str) -> str:
        self._vm(vmid)
        if self.running(node, vmid, "vzdump"):
            raise LakeError("use", "Proxmox VE", f"VM {vmid} is locked (backup)")
        made = self.clock + 10
        return self.start_task("vzdump", vmid, lambda: self.keep(vmid, storage, made, notes))

    def keep(self, vmid: int, storage: str, made: int, notes: str = "", *, protected: bool = False) -> str:
        """There is a backup of that time."""
        volid, vm = f"{storage}:backup/vzdump-qemu-{vmid}-{made}.vma.zst", self.vms[vmid]
        self.kept[volid] = (Backup(volid, vmid, made, Size(1 << 20), notes, protected), dict(vm.settings), dict(vm.files))
        return volid

    @writing
    def remove_backup(self, node: str, volid: str) -> None:
        assert not self.kept[volid][0].protected
        del self.kept[volid]

    def follow(self, node: str, upid: str, say: Callable[[str], None]) -> None:
        task = self.tasks[upid]
        say(f"INFO: {task.kind}")
        self._finish(task)
        if task.error:
            raise LakeError("run", f"the Proxmox task {task.kind}", task.error)

    # VMs

    def taken(self, vmid: int) -> bool:
        return vmid in self.vms

    def settings(self, node: str, vmid: int) -> Mapping[str, str] | None:
        return dict(self.vms[vmid].settings) if vmid in self.vms and vmid not in self.hidden else None

    def archived(self, node: str, volid: str) -> Mapping[str, str]:
        return self.kept[volid][1]

    @writing
    def start_restore(self, node: str, vmid: int, volid: str, storage: str, settings: Mapping[str, str]) -> str:
        if vmid in self.vms:
            raise LakeError("use", "Proxmox VE", f"VM {vmid} already exists")
        _, saved, files = self.kept[volid]
        self.vms[vmid] = Machine({"memory": "128", "digest": "0"})  # all that Proxmox VE 8.4 writes until the disks are there: not even a lock
        mac = f"bc:24:11:00:01:{vmid % 100:02x}"

        def end() -> None:
            merged = saved | dict(settings)
            merged["net0"] = re.sub(r"^virtio(=[0-9A-Fa-f:]{17})?", f"virtio={mac.upper()}", merged["net0"])
            self.vms[vmid] = Machine(merged, dict(files), machine_id=1, networkd=self.vms[100].networkd)

        return self.start_task("qmrestore", vmid, end)

    @writing
    def change(self, node: str, vmid: int, settings: Mapping[str, str]) -> None:
        vm = self._vm(vmid)
        if "lock" in vm.settings:
            raise LakeError("use", "Proxmox VE", f"VM {vmid} is locked ({vm.settings['lock']})")
        vm.settings |= settings
        self._judge()

    def power_on(self, node: str, vmid: int) -> bool:
        if self._vm(vmid).running:
            return False
        self._start(vmid)
        return True

    @writing
    def _start(self, vmid: int) -> None:
        self.vms[vmid].running = True
        self._judge()

    # The guest

    def wait_agent(self, node: str, vmid: int) -> None:
        if not self._vm(vmid).running:
            raise Unreachable(f"the agent in VM {vmid}", "nothing within 900 s")

    def run(self, node: str, vmid: int, script: str, *args: str) -> str:
        vm = self._vm(vmid)
        self.wait_agent(node, vmid)
        if script == LOOK:
            lines = ["device=ens18"] if args[0] == vm.mac else []
            return "\n".join([*lines, *(["networkd=yes", f"file={vm.taken_file}"] if vm.networkd else [])])
        if script == NAMED:
            return "\n".join(p for p, text in vm.files.items() if p != args[0] and any(a in text for a in args[1:]))
        if script == START:
            self._start_store(vmid)
            return ""
        (self._take_on if script == TAKE_ON else self._as_another)(vm, *args)
        return ""

    @writing
    def _start_store(self, vmid: int) -> None:
        self.vms[vmid].store = True

    @writing
    def _take_on(self, vm: Machine, device: str, path: str) -> None:
        assert path in vm.files
        vm.taken_file = sorted(vm.files, key=lambda p: p.rpartition("/")[2])[0]
        self._judge()

    @writing
    def _as_another(self, vm: Machine, path: str) -> None:
        vm.files.pop(path, None)
        vm.taken_file = sorted(vm.files, key=lambda p: p.rpartition("/")[2])[0]
        vm.machine_id = self.clock

    def half__as_another(self, vm: Machine, path: str) -> None:
        vm.files.pop(path, None)

    def read(self, node: str, vmid: int, path: str) -> str:
        return self._vm(vmid).files[path]

    @writing
    def write(self, node: str, vmid: int, path: str, text: str) -> None:
        self._vm(vmid).files[path] = text

    def half_write(self, node: str, vmid: int, path: str, text: str) -> None:
        self._vm(vmid).files[path] = ""

    def wait_addresses(self, node: str, vmid: int, mac: str, wanted: str) -> list[str]:
        vm, found = self._vm(vmid), self.network(vmid)
        if vm.mac != mac or not found or wanted not in ("", *found):
            raise Unreachable(f"the address in VM {vmid}", "nothing within 180 s")
        return found

    # The network

    def own_addresses(self) -> frozenset[str]:
        return frozenset({"10.0.0.10"})

    def occupied(self, address: str) -> bool:
        return address in self.elsewhere or any(address in self.network(v) for v in self.vms)

    def serving(self, vmid: int, address: str) -> bool:
        return address not in self.without_store and address in self.network(vmid) and self.vms[vmid].store

    def wait_store(self, vmid: int, address: str) -> None:
        if not self.serving(vmid, address):
            raise Unreachable(f"MinIO at {address}", "nothing within 300 s")


class FakeStore:
    """The versions of a MinIO with their bodies. `unreadable` are listed and not to be had."""

    def __init__(self, bodies: Mapping[Version, bytes]) -> None:
        self.bodies = dict(bodies)
        self.unreadable: set[Version] = set()
        self.read: list[Version] = []
        self.empty: set[str] = set()

    def bucket_names(self) -> list[str]:
        return sorted({v.bucket for v in self.bodies} | self.empty)

    def versions(self, bucket: str) -> Iterator[Version]:
        return iter(sorted((v for v in self.bodies if v.bucket == bucket), key=lambda v: (v.key, -v.modified)))

    def digest(self, version: Version) -> str | None:
        import hashlib

        self.read.append(version)
        if version in self.unreadable or version not in self.bodies:
            return None
        return hashlib.sha256(self.bodies[version]).hexdigest()


def law_of(flow: Callable[[Any], Any], start: Callable[[], FakeBackups], done: Callable[[FakeBackups], None]) -> int:
    """The flow reaches its end from a start, and a second run writes nothing; so it does after a kill at every writing call. Returns how many there were."""
    from tests.fakes.base import Killed

    first = start()
    flow(first)
    done(first)
    writes = list(first.writes)
    for number in range(len(writes)):
        for when in ("before", "during", "after"):
            fake = start()
            fake.kill_at = (number, when)
            try:
                flow(fake)
            except Killed:
                pass
            else:
                raise AssertionError(f"not killed at {number}")
            fake.kill_at = None
            flow(fake)
            done(fake)
    return len(writes)
