"""Backups of VMs: every disk as of one moment, while the VM runs on; a stopped VM stays stopped."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from lab.pve import archives, boot, power
from lab.pve.config import VmConfig
from lab.pve.errors import ApiError, failed
from lab.pve.machine import Machine
from lab.pve.properties import agent_enabled, split_properties
from lab.pve.storage import qemu_img
from lab.pve.tasks import Task
from lab.pve.vms import Vms

FREEZE = 120  # seconds for the guest to write out and hold its filesystems; an emulated one takes its time
_COPIES, _JOB = ".qcow2", "backup-"


@dataclass(frozen=True)
class Wanted:
    """What a backup is to be. `keep` of the VM's backups stay when `remove` is set (0: all)."""

    storage: str
    mode: str = "snapshot"
    compress: str = "0"
    notes: str = ""
    protected: bool = False
    remove: bool = True
    keep: int = 0
    bwlimit: int = 0  # KiB/s
    stopwait: int = 10  # minutes


async def backup(vms: Vms, vmid: int, wanted: Wanted, task: Task) -> None:
    """Back a VM up, and say so in the task's log in the real one's words. Raises `job errors` when it failed."""
    began, start = time.time(), len(task.log)

    def say(text: str, level: str = "INFO") -> None:
        task.say(f"{level}: {text}")

    say(f"starting new backup job: vzdump {vmid} --storage {wanted.storage} --mode {wanted.mode} --compress {wanted.compress} --remove {int(wanted.remove)}")
    say(f"Starting Backup of VM {vmid} (qemu)")
    say(f"Backup started at {_stamp(began)}")
    try:
        archive = await _make(vms, vmid, wanted, began, task)
    except Exception as error:
        say(f"Backup of VM {vmid} failed - {error}", "ERROR")
        say(f"Failed at {_stamp(time.time())}")
        say("Backup job finished with errors")
        raise failed("job errors") from None
    took = int(time.time() - began)
    say(f"Finished Backup of VM {vmid} ({took // 3600:02}:{took // 60 % 60:02}:{took % 60:02})")
    say(f"Backup finished at {_stamp(time.time())}")
    archive.keep_log(task.log[start:])
    say("Backup job finished successfully")


def _stamp(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))


async def _make(vms: Vms, vmid: int, wanted: Wanted, began: float, task: Task) -> archives.Archive:
    if vmid not in vms.files.ids():
        raise failed(f"unable to find VM '{vmid}'")
    async with vms.marked(vmid, "backup"):
        config = vms.files.read(vmid)
        config.current.pop("lock", None)
        chosen = _chosen(vms, vmid, config, task)
        mode = wanted.mode if vms.running(vmid) else "stop"
        task.say(f"INFO: backup mode: {mode}")
        archive = archives.new(vms.storages, wanted.storage, vmid, wanted.compress, began)
        if archive.path.exists():
            raise failed(f"unable to create '{archive.path.name}': it is there already")
        folder = archive.path.with_name(archive.path.name + ".tmp")
        try:
            folder.mkdir(mode=0o700)
            task.say(f"INFO: creating vzdump archive '/var/lib/vz/dump/{archive.path.name}'")
            (folder / archives.SETTINGS).write_text(VmConfig(config.current).text())
            if vms.running(vmid):
                await _copy_live(vms, vmid, config, chosen, folder, replace(wanted, mode=mode), task)
            else:
                for slot, volume in chosen.items():
                    await qemu_img("convert", "-O", "qcow2", vms.storages.path(volume), folder / f"drive-{slot}{_COPIES}")
            await archive.pack(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    task.say(f"INFO: archive file size: {archive.path.stat().st_size / 2**20:.0f}MB")
    if wanted.notes:
        task.say("INFO: adding notes to backup")
        archive.set_notes(_filled(wanted.notes, vmid, config, vms))
    if wanted.protected:
        task.say("INFO: marking backup as protected")
        archive.protect(True)
    if wanted.remove and wanted.keep:
        task.say(f"INFO: prune older backups with retention: keep-last={wanted.keep}")
        gone = archives.prune(archive, wanted.keep)
        for volid in gone:
            task.say(f"INFO: removing backup '{volid}'")
        task.say(f"INFO: pruned {len(gone)} backup(s) not covered by keep-retention policy")
    return archive


def _chosen(vms: Vms, vmid: int, config: VmConfig, task: Task) -> dict[str, str]:
    """The disks that are in backups: slot → volume."""
    task.say(f"INFO: status = {'running' if vms.running(vmid) else 'stopped'}")
    task.say(f"INFO: VM Name: {config.current.get('name', f'VM {vmid}')}")
    chosen = {}
    for slot, (volume, options) in boot.disks(config.current).items():
        if options.get("backup", "1") == "1":
            chosen[slot] = volume
            task.say(f"INFO: include disk '{slot}' '{volume}' {options.get('size', '')}".rstrip())
        else:
            task.say(f"INFO: exclude disk '{slot}' '{volume}' (backup=no)")
    if config.snapshots:
        task.say("INFO: snapshots found (not included into backup)")
    if config.pending or config.delete:
        task.say("INFO: pending configuration changes found (not included into backup)")
    return chosen


def _filled(template: str, vmid: int, config: VmConfig, vms: Vms) -> str:
    text = template.replace("\\n", "\n").replace("\\\\", "\\")
    values = {"vmid": str(vmid), "guestname": config.current.get("name", f"VM {vmid}"), "node": vms.settings.node, "cluster": "standalone node"}
    for name, value in values.items():
        text = text.replace("{{" + name + "}}", value)
    return text


async def _copy_live(vms: Vms, vmid: int, config: VmConfig, chosen: dict[str, str], folder: Path, wanted: Wanted, task: Task) -> None:
    """Copy the disks of a running VM. What it writes meanwhile goes to its disks, and what was there to the copies first."""
    machine, targets, actions = vms.machine(vmid), list[dict[str, object]](), list[dict[str, object]]()
    await _end_jobs(machine)
    for slot, volume in chosen.items():
        copy, name = folder / f"drive-{slot}{_COPIES}", f"{_JOB}{slot}"
        size, base = await vms.storages.info(volume)
        await qemu_img("create", "-q", "-f", "qcow2", copy, str(size))
        targets.append({"node-name": name, "driver": "qcow2", "file": {"driver": "file", "filename": str(copy)}})
        # What an image without a base never allocated reads as zeroes: of 500 sparse GiB only what is in use is gone through.
        # (`drive-backup` would make a full one of it.)
        data = {"device": f"drive-{slot}", "job-id": name, "target": name, "sync": "full" if base else "top", "auto-dismiss": False}
        actions.append({"type": "blockdev-backup", "data": data | ({"speed": wanted.bwlimit * 1024} if wanted.bwlimit else {})})
    try:
        async with _held(vms, vmid, config, wanted, task):
            for target in targets:
                await machine.qmp("blockdev-add", target)
            await machine.qmp("transaction", {"actions": actions})
        task.say("INFO: started backup task")
        await _follow(machine, [f"{_JOB}{slot}" for slot in chosen], task)
    finally:
        await _end_jobs(machine)


@asynccontextmanager
async def _held(vms: Vms, vmid: int, config: VmConfig, wanted: Wanted, task: Task) -> AsyncIterator[None]:
    """Bring the guest into the state in which the moment of the backup may fall, and let it go on afterwards."""
    machine = vms.machine(vmid)
    if wanted.mode == "snapshot":
        frozen = await _freeze(machine, config, task)
        try:
            yield
        finally:
            if frozen:
                task.say("INFO: issuing guest-agent 'fs-thaw' command")
                await _thaw(machine, task)
        return
    if wanted.mode == "stop":
        task.say("INFO: stopping virtual guest")
        await power.shutdown(vms, vmid, wanted.stopwait * 60, force=True)
        await power.start(vms, vmid, paused=True)
    else:
        task.say("INFO: suspending guest")
        await machine.qmp("stop")
    try:
        yield
    finally:
        task.say("INFO: resuming VM again")
        await machine.qmp("cont")


async def _freeze(machine: Machine, config: VmConfig, task: Task) -> bool:
    """Ask the guest to write everything out and hold still; whether it must be let go again."""
    agent = config.current.get("agent", "0")
    if not agent_enabled(agent):
        return False
    if split_properties(agent, "enabled")[1].get("freeze-fs-on-backup", "1") not in ("1", "on", "yes", "true"):
        task.say("INFO: skipping guest-agent 'fs-freeze', disabled in VM options")
        return False
    try:
        await machine.agent("guest-ping")
    except ApiError:
        task.say("INFO: skipping guest-agent 'fs-freeze', agent configured but not running?")
        return False
    task.say("INFO: issuing guest-agent 'fs-freeze' command")
    try:
        await machine.agent("guest-fsfreeze-freeze", timeout=FREEZE)
    except ApiError as error:
        task.say(f"ERROR: {error}")
    return True


async def _thaw(machine: Machine, task: Task) -> None:
    try:
        await machine.agent("guest-fsfreeze-thaw", timeout=FREEZE)
    except ApiError as error:
        task.say(f"ERROR: {error}")


async def _follow(machine: Machine, names: list[str], task: Task) -> None:
    """Wait for the jobs' end, and tell how far they are. Raises with the error of one that failed."""
    began, told = time.monotonic(), -1
    while True:
        jobs = [j for j in await machine.qmp("query-jobs") if j["id"] in names]
        done, total = sum(j["current-progress"] for j in jobs), max(1, sum(j["total-progress"] for j in jobs))
        over = all(j["status"] == "concluded" for j in jobs)
        percent, took = 100 if over else min(99, done * 100 // total), max(1, int(time.monotonic() - began))
        if percent >= told + 5 or over:
            told = percent
            task.say(f"INFO: {percent:3}% ({done / 2**20:.1f} MiB of {total / 2**20:.1f} MiB) in {took}s, read: {done / 2**20 / took:.1f} MiB/s")
        if over:
            if wrong := [j["error"] for j in jobs if j.get("error")]:
                raise failed("; ".join(wrong))
            if len(jobs) < len(names):
                raise failed("the backup job is gone")
            task.say(f"INFO: transferred {done / 2**30:.2f} GiB in {took} seconds ({done / 2**20 / took:.1f} MiB/s)")
            return
        await asyncio.sleep(0.2)


async def _end_jobs(machine: Machine) -> None:
    """End what is left of a backup, this one or one of a stand-in that was killed, and forget it."""
    with suppress(ApiError):
        for _ in range(100):
            left = [j for j in await machine.qmp("query-jobs") if j["id"].startswith(_JOB)]
            for job in left:
                with suppress(ApiError):
                    if job["status"] == "concluded":
                        await machine.qmp("job-dismiss", {"id": job["id"]})
                    elif job["status"] != "aborting":
                        await machine.qmp("job-cancel", {"id": job["id"]})
            if not left:
                break
            await asyncio.sleep(0.1)
        for node in await machine.qmp("query-named-block-nodes", {"flat": True}):
            if node["node-name"].startswith(_JOB):
                await machine.qmp("blockdev-del", {"node-name": node["node-name"]})
