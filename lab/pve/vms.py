"""What can be done to a VM: its life, its configuration, its disks. Routes call this; nothing here knows HTTP."""

import asyncio
import contextlib
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.pve import boot
from lab.pve.auth import Who
from lab.pve.config import ConfigFiles, VmConfig
from lab.pve.errors import ApiError, bad_parameters, failed
from lab.pve.machine import Machine
from lab.pve.schema import DISK_KEY, VOLUME_KEY, config_parameter, join_properties, split_properties
from lab.pve.storage import Storages, qemu_img, size_bytes, size_text
from lab.pve.tasks import Task, Tasks

HOT = re.compile(r"name|description|tags|onboot|protection|startup|hotplug|template|boot|bootdisk|ipconfig\d+|ciuser|cipassword|sshkeys|"
                 r"nameserver|searchdomain|citype|ciupgrade|unused\d+|agent|ostype")  # fmt: skip
HOT_DRIVE = {"backup", "replicate", "mbps", "mbps_rd", "mbps_wr", "iops", "iops_rd", "iops_wr", "size", "shared"}


@dataclass(frozen=True)
class Settings:
    """The stand-in's configuration file."""

    node: str
    state: Path
    bridge: str
    accelerator: str


class Vms:
    """All VMs of the node."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.files = ConfigFiles(settings.state / "qemu-server", settings.node)
        self.storages = Storages(settings.state / "storage")
        self.tasks = Tasks(settings.state / "tasks", settings.node)
        self._machines: dict[int, Machine] = {}
        self._locks: dict[int, asyncio.Lock] = {}

    def machine(self, vmid: int) -> Machine:
        """The VM's process."""
        if vmid not in self._machines:
            self._machines[vmid] = Machine(vmid, self.settings.state / "run", self.settings.bridge)
        return self._machines[vmid]

    def lock(self, vmid: int) -> asyncio.Lock:
        """Held by whoever changes the VM."""
        return self._locks.setdefault(vmid, asyncio.Lock())

    # --- life ---------------------------------------------------------------------------------------------------------

    async def start(self, vmid: int, *, paused: bool = False) -> None:
        """Start a VM; what waited for it is applied first."""
        config, machine = self.files.read(vmid), self.machine(vmid)
        if machine.pid():
            raise failed(f"VM {vmid} already running")
        if config.current.get("template") == "1":
            raise failed("you can't start a vm if it's a template")
        if config.pending or config.delete:
            config.current, config.pending, config.delete = config.effective(), {}, set()
            self.files.write(vmid, config)
        nics = [(f"tap{vmid}i{k[3:]}", _mac(v)) for k, v in sorted(config.current.items()) if re.fullmatch(r"net\d+", k)]
        command = boot.command(str(vmid), config.current, machine.folder, self.settings.accelerator, nics, self.storages.path)
        await machine.start(command, [tap for tap, _ in nics])
        if not paused:
            await machine.qmp("cont")

    async def shutdown(self, vmid: int, timeout: float, *, force: bool) -> None:
        """Ask the guest to power off."""
        machine = self.machine(vmid)
        if not machine.pid():
            raise failed(f"VM {vmid} not running")
        await machine.qmp("system_powerdown")
        if not await machine.wait_gone(timeout):
            if not force:
                raise failed("VM quit/powerdown failed - got timeout")
            await machine.kill()

    async def reboot(self, vmid: int, timeout: float) -> None:
        """Shut down and start: what waited is applied."""
        await self.shutdown(vmid, timeout, force=False)
        await self.start(vmid)

    async def status(self, vmid: int, *, full: bool = False) -> dict[str, Any]:
        """A VM's standing, as lists and `status/current` show it."""
        config, machine = self.files.read(vmid), self.machine(vmid)
        pid, current = machine.pid(), config.current
        root = boot.disks(current).get("scsi0", ("", {}))[1].get("size", "0")
        answer: dict[str, Any] = {
            "vmid": vmid, "name": current.get("name", f"VM{vmid}"), "status": "running" if pid else "stopped",
            "cpus": int(current.get("cores", 1)) * int(current.get("sockets", 1)), "maxmem": int(current.get("memory", "512")) << 20,
            "maxdisk": size_bytes(root), "disk": 0, "cpu": 0, "mem": _rss(pid) if pid else 0, "uptime": machine.uptime(),
            "netin": 0, "netout": 0, "diskread": 0, "diskwrite": 0,
        }  # fmt: skip
        if pid:
            answer["pid"] = pid
        for key in ("tags", "template"):
            if key in current:
                answer[key] = int(current[key]) if key == "template" else current[key]
        if full:
            answer["qmpstatus"] = "stopped"
            if pid:
                with contextlib.suppress(ApiError):
                    answer["qmpstatus"] = (await machine.qmp("query-status"))["status"]
            answer |= {"ha": {"managed": 0}, "agent": 1} if current.get("agent", "0").startswith(("1", "enabled=1")) else {"ha": {"managed": 0}}
        return answer

    # --- configuration ------------------------------------------------------------------------------------------------

    def may_change(self, who: Who, vmid: int, names: set[str]) -> None:
        """Raise unless the caller may change these parameters."""
        for name in sorted(names):
            _, privilege = config_parameter(name) or (None, "VM.Config.Options")
            if privilege == "root":
                if not who.root:
                    raise ApiError(403, f"only root can set '{name}' config")
            else:
                who.need(f"/vms/{vmid}", privilege)

    async def update(self, vmid: int, who: Who, values: dict[str, Any], delete: set[str], revert: set[str], digest: str | None) -> None:
        """Change a VM's configuration; what a running VM cannot take on waits under pending."""
        config, machine = self.files.read(vmid), self.machine(vmid)
        if digest and digest != config.digest():
            raise failed("detected modified configuration - file changed by other user? Try again.")
        if overlap := delete.intersection(values):
            raise bad_parameters({next(iter(overlap)): "you can't use '-" + next(iter(overlap)) + "' and -delete at the same time"})
        for name in revert:
            config.pending.pop(name, None)
            config.delete.discard(name)
        running = machine.pid() is not None
        for name in sorted(delete):
            await self._delete(vmid, config, name, running=running)
        for name, value in values.items():
            config.delete.discard(name)
            if DISK_KEY.fullmatch(name):
                await self._set_disk(vmid, who, config, name, str(value), running=running)
            elif running and not HOT.fullmatch(name) and config.current.get(name) != str(value):
                config.pending[name] = str(value)
            else:
                config.pending.pop(name, None)
                config.current[name] = str(value)
        self.files.write(vmid, config)

    async def _set_disk(self, vmid: int, who: Who, config: VmConfig, slot: str, text: str, *, running: bool) -> None:
        volume, options = split_properties(text, "file")
        if volume == "none" or options.get("media") == "cdrom":
            config.current[slot] = text
            return
        old = config.current.get(slot)
        old_volume = split_properties(old, "file")[0] if old else None
        volume = await self._volume(vmid, who, volume, options)
        if old is not None and old_volume == volume:
            options.setdefault("size", split_properties(old, "file")[1].get("size", "0"))
            self._change_flags(config, slot, join_properties(volume, options), running=running)
            return
        if old is not None:
            await self._detach(vmid, config, slot, running=running)
        for key in [k for k, v in config.current.items() if k.startswith("unused") and v == volume]:
            del config.current[key]
        config.current[slot] = join_properties(volume, options)
        self.files.write(vmid, config)  # before it is plugged in: a killed stand-in must know of the volume
        if running:
            if not slot.startswith("scsi"):
                config.pending[slot] = config.current.pop(slot)
                return
            await self._plug(vmid, config, slot)

    async def _volume(self, vmid: int, who: Who, volume: str, options: dict[str, str]) -> str:
        storage, _, rest = volume.partition(":")
        self.storages.check(storage) if ":" in volume else None
        if ":" not in volume:
            raise failed(f"unable to parse volume ID '{volume}'")
        if source := options.pop("import-from", None):
            who.need(f"/storage/{storage}", "Datastore.AllocateSpace")
            volume = await self.storages.copy(self.storages.path(source), storage, vmid)
        elif re.fullmatch(r"\d+(\.\d+)?", rest):
            who.need(f"/storage/{storage}", "Datastore.AllocateSpace")
            if float(rest) <= 0:
                raise failed("unable to allocate a volume of size 0")
            volume = await self.storages.allocate(storage, vmid, int(float(rest) * 2**30))
        elif not (match := re.fullmatch(r"vm-(\d+)-disk-\d+", rest)) or int(match[1]) != vmid:
            who.need(f"/storage/{storage}", "Datastore.Allocate")
        options["size"] = size_text(await self.storages.size(volume))
        return volume

    @staticmethod
    def _change_flags(config: VmConfig, slot: str, new: str, *, running: bool) -> None:
        (_, was), (volume, now) = split_properties(config.current[slot], "file"), split_properties(new, "file")
        changed = {k for k in was.keys() | now.keys() if was.get(k) != now.get(k)}
        config.pending.pop(slot, None)
        if not running or changed <= HOT_DRIVE:
            config.current[slot] = new
        elif changed:
            config.pending[slot] = join_properties(volume, now)

    async def _plug(self, vmid: int, config: VmConfig, slot: str) -> None:
        machine, (volume, options) = self.machine(vmid), boot.disks(config.current)[slot]
        single = config.current.get("scsihw") == "virtio-scsi-single"
        try:
            await machine.qmp("blockdev-add", boot.block_node(slot, self.storages.path(volume), options))
            if single:
                await machine.qmp("device_add", boot.controller(slot))
            await machine.qmp("device_add", boot.disk_device(slot, options, single=single))
        except ApiError as error:
            config.pending[slot] = config.current.pop(slot)
            self.files.write(vmid, config)
            raise failed(f"hotplug problem - adding drive failed: {error.message}") from None

    async def _unplug(self, vmid: int, config: VmConfig, slot: str) -> None:
        machine = self.machine(vmid)
        present = {d["qdev"] for d in await machine.qmp("query-block") if d.get("qdev")}
        if slot in {p.rpartition("/")[2] for p in present}:
            await machine.qmp("device_del", {"id": slot})
            await self._until_gone(machine, slot)
        if config.current.get("scsihw") == "virtio-scsi-single":
            with contextlib.suppress(ApiError):
                await machine.qmp("device_del", {"id": f"virtioscsi{slot[4:]}"})
                await self._until_gone(machine, f"virtioscsi{slot[4:]}")
        for _ in range(50):
            if f"drive-{slot}" not in {n["node-name"] for n in await machine.qmp("query-named-block-nodes", {"flat": True})}:
                return
            with contextlib.suppress(ApiError):
                await machine.qmp("blockdev-del", {"node-name": f"drive-{slot}"})
            await asyncio.sleep(0.1)
        raise failed(f"hotplug problem - error unplugging drive '{slot}'")

    @staticmethod
    async def _until_gone(machine: Machine, device: str) -> None:
        for _ in range(150):
            found = await machine.qmp("qom-list", {"path": "/machine/peripheral"})
            if device not in {d["name"] for d in found}:
                return
            await asyncio.sleep(0.1)
        raise failed(f"error unplugging device '{device}': the guest did not let go of it")

    async def _detach(self, vmid: int, config: VmConfig, slot: str, *, running: bool) -> None:
        if running and slot.startswith("scsi"):
            await self._unplug(vmid, config, slot)
        volume = split_properties(config.current.pop(slot), "file")[0]
        number = next(n for n in range(256) if f"unused{n}" not in config.current)
        config.current[f"unused{number}"] = volume

    async def _delete(self, vmid: int, config: VmConfig, name: str, *, running: bool) -> None:
        if name in config.pending:
            value = config.pending.pop(name)
            if VOLUME_KEY.fullmatch(name) and name not in config.current:
                self.storages.free(split_properties(value, "file")[0])
        if name not in config.current:
            return
        if name.startswith("unused"):
            self.storages.free(config.current.pop(name))
        elif DISK_KEY.fullmatch(name):
            await self._detach(vmid, config, name, running=running)
        elif running and not HOT.fullmatch(name):
            config.delete.add(name)
        else:
            del config.current[name]

    async def unlink(self, vmid: int, names: list[str], *, force: bool) -> None:
        """Take disks off a VM; with `force` remove their volumes too."""
        config, running = self.files.read(vmid), self.machine(vmid).pid() is not None
        for name in names:
            if not VOLUME_KEY.fullmatch(name):
                raise bad_parameters({"idlist": f"invalid format - unable to parse drive id '{name}'"})
            volume = split_properties(config.current.get(name, ""), "file")[0]
            await self._delete(vmid, config, name, running=running)
            if force and volume:
                for key in [k for k, v in config.current.items() if k.startswith("unused") and v == volume]:
                    del config.current[key]
                self.storages.free(volume)
        self.files.write(vmid, config)

    async def resize(self, vmid: int, slot: str, text: str, digest: str | None) -> None:
        """Grow a disk to a size (`600G`) or by one (`+100G`); it never shrinks."""
        config, machine = self.files.read(vmid), self.machine(vmid)
        if digest and digest != config.digest():
            raise failed("detected modified configuration - file changed by other user? Try again.")
        if slot not in boot.disks(config.current):
            raise failed(f"disk '{slot}' does not exist")
        volume, options = boot.disks(config.current)[slot]
        now = await self.storages.size(volume)
        new = now + size_bytes(text[1:]) if text.startswith("+") else size_bytes(text)
        if new < now:
            raise failed("shrinking disks is not supported")
        if new > now:
            if machine.pid():
                await machine.qmp("block_resize", {"node-name": f"drive-{slot}", "size": new})
            else:
                await qemu_img("resize", "-q", self.storages.path(volume), str(new))
        config.current[slot] = join_properties(volume, options | {"size": size_text(new)})
        self.files.write(vmid, config)

    # --- creation and removal -----------------------------------------------------------------------------------------

    async def create(self, vmid: int, who: Who, values: dict[str, Any], task: Task) -> None:
        """Make a VM; if that fails nothing of it is left."""
        config = VmConfig()
        try:
            for name, value in values.items():
                if DISK_KEY.fullmatch(name):
                    await self._set_disk(vmid, who, config, name, str(value), running=False)
                    task.log.append(f"{name}: successfully created disk '{config.current[name]}'")
                else:
                    config.current[name] = _with_mac(str(value)) if re.fullmatch(r"net\d+", name) else str(value)
            config.current.setdefault("smbios1", f"uuid={secrets.token_hex(4)}-{secrets.token_hex(2)}-4{secrets.token_hex(2)[1:]}-"
                                                 f"a{secrets.token_hex(2)[1:]}-{secrets.token_hex(6)}")  # fmt: skip
            config.current.setdefault("meta", f"creation-qemu=7.2.0,ctime={int(time.time())}")
            self.files.write(vmid, config)
        except BaseException:
            for volume, _ in boot.disks(config.current).values():
                self.storages.free(volume)
            self.files.remove(vmid)
            raise

    async def destroy(self, vmid: int, *, unreferenced: bool) -> None:
        """Remove a stopped VM and its volumes."""
        config = self.files.read(vmid)
        if config.current.get("protection") == "1":
            raise failed(f"can't remove VM {vmid} - protection mode enabled")
        for section in (config.current, config.pending, *config.snapshots.values()):
            for key, value in section.items():
                if VOLUME_KEY.fullmatch(key):
                    self.storages.free(split_properties(value, "file")[0])
        if unreferenced:
            for volume in await self.storages.content("local-lvm", vmid=vmid):
                self.storages.free(str(volume["volid"]))
        self.files.remove(vmid)

    async def clone(self, vmid: int, newid: int, name: str | None, storage: str | None, *, full: bool, snapshot: str | None) -> None:
        """Copy a VM: its disks in full, or as overlays on a template's."""
        source = self.files.read(vmid)
        section = source.snapshots.get(snapshot, {}) if snapshot else source.current
        config = VmConfig({k: v for k, v in section.items() if not k.startswith("unused") and k not in ("template", "vmgenid", "parent", "snaptime")})
        if not full and section.get("template") != "1":
            raise failed("Linked clone feature is not supported for drive 'scsi0'")
        if self.machine(vmid).pid():
            await self.machine(vmid).qmp("stop")
        try:
            for slot, (volume, options) in boot.disks(section).items():
                copy = await self.storages.copy(self.storages.path(volume), storage or volume.partition(":")[0], newid, linked=not full)
                config.current[slot] = join_properties(copy, options)
        finally:
            if self.machine(vmid).pid():
                await self.machine(vmid).qmp("cont")
        for key in [k for k in config.current if re.fullmatch(r"net\d+", k)]:
            config.current[key] = re.sub(r"=[0-9A-Fa-f:]{17}", f"={_new_mac()}", config.current[key])
        config.current["name"] = name or f"Copy-of-VM-{section.get('name', vmid)}"
        self.files.write(newid, config)


def _mac(net: str) -> str:
    match = re.search(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}", net)
    return match[0] if match else _new_mac()


def _new_mac() -> str:
    return "BC:24:11:" + ":".join(f"{b:02X}" for b in secrets.token_bytes(3))


def _with_mac(net: str) -> str:
    return net if re.search(r"=[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}", net) else re.sub(r"^(model=)?([\w-]+)", rf"\2={_new_mac()}", net, count=1)


def _rss(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    return 0
