"""Calls that start and stop VMs."""

from collections.abc import Awaitable, Callable
from typing import Any

from lab.pve import power
from lab.pve.errors import bad_parameters, failed
from lab.pve.schema import STORAGE, TEXT, Check, boolean, integer
from lab.pve.server import VM, VM_PATH, Call, route
from lab.pve.tasks import Task

_TIMEOUT: dict[str, Check] = {"timeout": integer(0)}
_ROOT_ONLY: dict[str, Check] = {"skiplock": boolean, "keepActive": boolean, "migratedfrom": TEXT, "stateuri": TEXT, "migration_type": TEXT,
                                "migration_network": TEXT, "targetstorage": TEXT, "force-cpu": TEXT, "nocheck": boolean}  # fmt: skip
_NEED_RUNNING = ("reset", "reboot", "suspend", "resume")


def _known(call: Call) -> None:
    """Raise when there is no such VM, in the words in which the real one looks for its process."""
    if call.vmid not in call.vms.files.ids():
        raise failed(f"unable to find configuration file for VM {call.vmid} on node '{call.vms.settings.node}'")


def _power(verb: str, kind: str, parameters: dict[str, Check], root_only: tuple[str, ...]) -> Callable[[Callable[[Call, Task], Awaitable[None]]], Any]:
    """A call under `status/` that runs as a task. The parameters in `root_only` are refused to everybody else."""

    def declare(act: Callable[[Call, Task], Awaitable[None]]) -> Any:
        @route("POST", f"{VM}/status/{verb}", parameters | {n: _ROOT_ONLY[n] for n in root_only}, need=(VM_PATH, "VM.PowerMgmt"))
        async def handler(call: Call) -> Any:
            for name in root_only:
                if call.values.get(name) and not call.who.root:
                    raise bad_parameters({name: "Only root may use this option."})
            if verb in _NEED_RUNNING:
                _known(call)
                if not call.vms.running(call.vmid):
                    raise failed(f"VM {call.vmid} not running")
            there = call.vmid in call.vms.files.ids()
            if there and verb in ("shutdown", "reboot") and not call.values.get("forceStop") and await power.paused(call.vms, call.vmid):
                raise failed("VM is paused - cannot shutdown")

            async def work(task: Task) -> None:
                if verb != "start":
                    _known(call)
                if call.values.get("overrule-shutdown") and (ended := call.vms.tasks.abort("qmshutdown", call.vmid)):
                    task.say(f"overruled qmshutdown tasks: {', '.join(ended)}")
                async with call.vms.locked(call.vmid):
                    if not call.values.get("skiplock"):
                        call.vms.files.read(call.vmid).check_lock()
                    await act(call, task)

            return call.task(kind if not call.values.get("todisk") else "qmsuspend", work)

        return handler

    return declare


_START = ("skiplock", "migratedfrom", "stateuri", "migration_type", "migration_network", "targetstorage", "force-cpu")


@_power("start", "qmstart", _TIMEOUT | {"machine": TEXT}, _START)
async def start(call: Call, task: Task) -> None:
    """Start."""
    await power.start(call.vms, call.vmid)


@_power("stop", "qmstop", _TIMEOUT | {"overrule-shutdown": boolean}, ("skiplock", "keepActive", "migratedfrom"))
async def stop(call: Call, task: Task) -> None:
    """Pull the plug."""
    await power.stop(call.vms, call.vmid)


@_power("shutdown", "qmshutdown", _TIMEOUT | {"forceStop": boolean}, ("skiplock", "keepActive"))
async def shutdown(call: Call, task: Task) -> None:
    """Ask the guest to power off."""
    if await power.paused(call.vms, call.vmid):
        task.say("VM is paused - stop instead of shutdown")
        await power.stop(call.vms, call.vmid)
    await power.shutdown(call.vms, call.vmid, call.values.get("timeout"), force=bool(call.values.get("forceStop")))


@_power("reboot", "qmreboot", _TIMEOUT, ())
async def reboot(call: Call, task: Task) -> None:
    """Shut down and start."""
    await power.reboot(call.vms, call.vmid, call.values.get("timeout"))


@_power("reset", "qmreset", {}, ("skiplock",))
async def reset(call: Call, task: Task) -> None:
    """Press the reset button."""
    await call.vms.machine(call.vmid).qmp("system_reset")


@_power("suspend", "qmpause", {"todisk": boolean, "statestorage": STORAGE}, ("skiplock",))
async def suspend(call: Call, task: Task) -> None:
    """Hold the VM."""
    if call.values.get("todisk"):
        raise failed("suspend to disk is not covered by this stand-in")
    await call.vms.machine(call.vmid).qmp("stop")


@_power("resume", "qmresume", {}, ("skiplock", "nocheck"))
async def resume(call: Call, task: Task) -> None:
    """Let the VM go on."""
    await call.vms.machine(call.vmid).qmp("cont")
