"""The life of a VM: started, shut down, rebooted."""

import re

from lab.pve import apply, boot, hotplug
from lab.pve.errors import failed
from lab.pve.properties import split_properties
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
    nics = boot.nics(vmid, config.current)
    command = boot.command(str(vmid), config.current, machine.folder, vms.settings.accelerator, nics, vms.storages.path)
    await machine.start(command, {nic.tap: nic.bridge for nic in nics if nic.tap})
    for nic in nics:
        if split_properties(config.current[nic.id], "")[1].get("link_down") == "1":
            await hotplug.set_link(machine, nic.id, up=False)
    if not paused:
        await machine.qmp("cont")


async def shutdown(vms: Vms, vmid: int, timeout: float | None, *, force: bool = False) -> None:
    """Ask the guest to power off; with `force` end the machine when it does not within `timeout` seconds."""
    config, machine = vms.files.read(vmid), vms.machine(vmid)
    if timeout is None:
        down = re.search(r"(?:^|,)down=(\d+)", config.current.get("startup", ""))
        timeout = float(down[1]) if down else SHUTDOWN_TIMEOUT
    if machine.pid():
        await machine.qmp("system_powerdown")
    if not await machine.wait_gone(timeout):
        if not force:
            raise failed("VM quit/powerdown failed - got timeout")
        await machine.kill()


async def reboot(vms: Vms, vmid: int, timeout: float | None) -> None:
    """Shut down and start: what waited is applied."""
    if vms.running(vmid):
        await shutdown(vms, vmid, timeout)
        await start(vms, vmid)


async def paused(vms: Vms, vmid: int) -> bool:
    """Whether the VM is held."""
    machine = vms.machine(vmid)
    return machine.pid() is not None and (await machine.qmp("query-status"))["status"] in ("paused", "prelaunch", "suspended")
