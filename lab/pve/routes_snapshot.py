"""Calls about snapshots."""

from typing import Any

from lab.pve import power, snapshots
from lab.pve.errors import failed
from lab.pve.options import typed
from lab.pve.schema import SNAPSHOT, TEXT, boolean
from lab.pve.server import VM, VM_PATH, Call, route
from lab.pve.tasks import Task

_SNAPSHOT = (VM_PATH, "VM.Snapshot")


@route("GET", VM + "/snapshot", need=(VM_PATH, "VM.Audit"))
async def listing(call: Call) -> Any:
    """A VM's snapshots."""
    return snapshots.listing(call.vms, call.vmid)


@route("POST", VM + "/snapshot", {"snapname": SNAPSHOT, "description": TEXT, "vmstate": boolean}, ("snapname",), need=_SNAPSHOT)
async def create(call: Call) -> Any:
    """Take a snapshot."""
    name = call.values["snapname"]
    if name == "current" or name.lower() == "pending":
        raise failed(f"unable to use snapshot name '{name.lower()}' (reserved name)")
    call.vms.files.read(call.vmid)

    async def work(task: Task) -> None:
        await snapshots.create(call.vms, call.vmid, name, call.values.get("description"), memory=bool(call.values.get("vmstate")))

    return call.task("qmsnapshot", work)


@route("GET", VM + "/snapshot/{snapname}")
async def index(call: Call) -> Any:
    """The calls under a snapshot."""
    return [{"cmd": "rollback"}, {"cmd": "config"}]


@route("GET", VM + "/snapshot/{snapname}/config", need=(VM_PATH, "VM.Snapshot", "VM.Snapshot.Rollback", "VM.Audit"))
async def config(call: Call) -> Any:
    """What a snapshot holds."""
    return typed(call.vms.files.read(call.vmid).section(call.path["snapname"]))


@route("PUT", VM + "/snapshot/{snapname}/config", {"description": TEXT}, need=_SNAPSHOT)
async def describe(call: Call) -> Any:
    """Change a snapshot's description."""
    if "description" in call.values:
        await snapshots.describe(call.vms, call.vmid, call.path["snapname"], call.values["description"])


@route("POST", VM + "/snapshot/{snapname}/rollback", {"start": boolean}, need=(VM_PATH, "VM.Snapshot", "VM.Snapshot.Rollback"))
async def rollback(call: Call) -> Any:
    """Go back to a snapshot; with `start` the VM then runs, whether memory was saved or not."""

    async def work(task: Task) -> None:
        await snapshots.rollback(call.vms, call.vmid, call.path["snapname"], task)
        if call.values.get("start") and not call.vms.running(call.vmid):
            power.start_task(call.vms, call.vmid, call.who.token)

    return call.task("qmrollback", work)


@route("DELETE", VM + "/snapshot/{snapname}", {"force": boolean}, need=_SNAPSHOT)
async def delete(call: Call) -> Any:
    """Forget a snapshot."""

    async def work(task: Task) -> None:
        await snapshots.delete(call.vms, call.vmid, call.path["snapname"])

    return call.task("qmdelsnapshot", work)
