"""The life of a VM: started, shut down, rebooted."""

import re

from lab.pve import apply, boot, disks, hotplug
from lab.pve.errors import ApiError, failed
from lab.pve.properties import split_properties
from lab.pve.tasks import Task
from lab.pve.vms import Vms

SHUTDOWN_TIMEOUT = 60  # seconds


async def start(vms: Vms, vmid: int, *, paused: bool = False) -> None:
    """Start a VM; what waited for it is applied first."""
    config, machine = vms.files.read(vmid), vms.machine(vmid)
    if config.current.get("template") == "1":
        raise failed("you can't start a vm if it's a template")
    if machine.pid():
        raise failed(f"VM {vmid} already running")
    if config.pending or config.delete:
        apply.cold(vms, None, vmid, config)
        vms.files.write(vmid, config)
    if what := boot.uncovered(config.current):
        raise failed(f"{what} is not covered by this stand-in")
    await disks.renew_cloudinit(vms, vmid, config)
    nics = boot.nics(vmid, config.current)
    command = boot.command(str(vmid), config.current, machine.folder, vms.settings.accelerator, nics, vms.storages.path)
    await machine.start(command, {nic.tap: nic.bridge for nic in nics if nic.tap})
    for nic in nics:
        if split_properties(config.current[nic.id], "")[1].get("link_down") == "1":
            await hotplug.set_link(machine, nic.id, up=False)
    if not paused:
        await machine.qmp("cont")


def start_task(vms: Vms, vmid: int, user: str) -> str:
    """Start a VM in a task of its own: the one that made it, or took it back, ends without it. Returns the UPID."""

    async def work(task: Task) -> None:
        async with vms.locked(vmid):
            vms.files.read(vmid).check_lock()
            await start(vms, vmid)

    return vms.tasks.start("qmstart", vmid, user, work)


async def shutdown(vms: Vms, vmid: int, timeout: float | None, *, force: bool = False) -> None:
    """Ask the guest to power off; with `force` end the machine when it does not within `timeout` seconds."""
    config, machine = vms.files.read(vmid), vms.machine(vmid)
    if timeout is None:
        down = re.search(r"(?:^|,)down=(\d+)", config.current.get("startup", ""))
        timeout = float(down[1]) if down else SHUTDOWN_TIMEOUT
    if not machine.pid():
        return
    await machine.qmp("system_powerdown")
    if not await machine.wait_gone(timeout):
        if not force:
            raise failed("VM quit/powerdown failed - got timeout")
        await machine.kill()
    after_stop(vms, vmid)


async def stop(vms: Vms, vmid: int) -> None:
    """Pull the plug."""
    if vms.running(vmid):
        await vms.machine(vmid).kill()
        after_stop(vms, vmid)


def after_stop(vms: Vms, vmid: int) -> None:
    """Apply what waited, for a VM that the API has stopped. One that went down by itself takes it on at its next start."""
    config = vms.files.read(vmid)
    if config.pending or config.delete:
        apply.cold(vms, None, vmid, config)
        vms.files.write(vmid, config)


async def reboot(vms: Vms, vmid: int, timeout: float | None) -> None:
    """Shut down and start: what waited is applied."""
    if vms.running(vmid):
        await shutdown(vms, vmid, timeout)
        await start(vms, vmid)


async def paused(vms: Vms, vmid: int) -> bool:
    """Whether the VM is held. One that cannot tell, as while it starts, is not."""
    machine = vms.machine(vmid)
    if machine.pid() is None:
        return False
    try:
        return (await machine.qmp("query-status"))["status"] in ("paused", "prelaunch", "suspended")
    except ApiError:
        return False
