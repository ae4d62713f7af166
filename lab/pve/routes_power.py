"""Calls that start and stop VMs."""

from collections.abc import Awaitable, Callable
from typing import Any

from lab.pve.errors import failed
from lab.pve.schema import TEXT, boolean, integer
from lab.pve.server import VM, Call, route


def _power(verb: str, parameters: dict[str, Any], kind: str) -> Callable[[Callable[[Call], Awaitable[None]]], Any]:
    """A call under `status/` that runs as a task."""

    def declare(act: Callable[[Call], Awaitable[None]]) -> Any:
        @route("POST", VM + f"/status/{verb}", parameters | {"skiplock": boolean, "timeout": integer(0)})
        async def handler(call: Call) -> Any:
            call.need("VM.PowerMgmt")
            running = call.vms.machine(call.vmid).pid() is not None
            if verb == "start" and running:
                raise failed(f"VM {call.vmid} already running")
            if verb in ("shutdown", "reboot", "reset", "suspend", "resume") and not running:
                raise failed(f"VM {call.vmid} not running")
            return call.task(kind, lambda task: act(call))

        return handler

    return declare


@_power("start", {"forcecpu": TEXT, "machine": TEXT, "stateuri": TEXT}, "qmstart")
async def start(call: Call) -> None:
    """Start."""
    await call.vms.start(call.vmid)


@_power("stop", {"keepActive": boolean, "overrule-shutdown": boolean}, "qmstop")
async def stop(call: Call) -> None:
    """Pull the plug."""
    await call.vms.machine(call.vmid).kill()


@_power("shutdown", {"forceStop": boolean, "keepActive": boolean}, "qmshutdown")
async def shutdown(call: Call) -> None:
    """Ask the guest to power off."""
    await call.vms.shutdown(call.vmid, call.values.get("timeout", 180), force=bool(call.values.get("forceStop")))


@_power("reboot", {}, "qmreboot")
async def reboot(call: Call) -> None:
    """Shut down and start."""
    await call.vms.reboot(call.vmid, call.values.get("timeout", 180))


@_power("reset", {}, "qmreset")
async def reset(call: Call) -> None:
    """Press the reset button."""
    await call.vms.machine(call.vmid).qmp("system_reset")


@_power("suspend", {"todisk": boolean, "statestorage": TEXT}, "qmsuspend")
async def suspend(call: Call) -> None:
    """Hold the VM."""
    if call.values.get("todisk"):
        raise failed("suspend to disk is not covered by this stand-in")
    await call.vms.machine(call.vmid).qmp("stop")


@_power("resume", {"nocheck": boolean}, "qmresume")
async def resume(call: Call) -> None:
    """Let the VM go on."""
    await call.vms.machine(call.vmid).qmp("cont")
