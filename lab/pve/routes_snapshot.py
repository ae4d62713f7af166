"""Calls about snapshots."""

from typing import Any

from lab.pve import snapshots
from lab.pve.errors import ApiError, failed
from lab.pve.routes_vm import typed
from lab.pve.schema import TEXT, boolean, string
from lab.pve.server import VM, Call, route
from lab.pve.tasks import Task


@route("GET", VM + "/snapshot")
async def snapshot_list(call: Call) -> Any:
    """A VM's snapshots."""
    call.need("VM.Audit")
    return snapshots.listing(call.vms, call.vmid)


@route("POST", VM + "/snapshot", {"snapname": string(r"[a-zA-Z][\w-]{1,39}"), "description": TEXT, "vmstate": boolean}, ("snapname",))
async def snapshot_create(call: Call) -> Any:
    """Take a snapshot."""
    call.need("VM.Snapshot")
    name = call.values["snapname"]
    if name == "current":
        raise ApiError(400, "unable to use snapshot name 'current' (reserved name)")

    async def work(task: Task) -> None:
        await snapshots.create(call.vms, call.vmid, name, call.values.get("description", ""), memory=bool(call.values.get("vmstate")))

    return call.task("qmsnapshot", work)


@route("GET", VM + "/snapshot/{snapname}/config")
async def snapshot_config(call: Call) -> Any:
    """What a snapshot holds."""
    call.need("VM.Snapshot", "VM.Snapshot.Rollback", "VM.Audit")
    known = call.vms.files.read(call.vmid).snapshots
    if call.path["snapname"] not in known:
        raise failed(f"snapshot '{call.path['snapname']}' does not exist")
    return typed(known[call.path["snapname"]])


@route("POST", VM + "/snapshot/{snapname}/rollback", {"start": boolean})
async def snapshot_rollback(call: Call) -> Any:
    """Go back to a snapshot."""
    call.need("VM.Snapshot", "VM.Snapshot.Rollback")
    return call.task("qmrollback", lambda task: snapshots.rollback(call.vms, call.vmid, call.path["snapname"], start=bool(call.values.get("start"))))


@route("DELETE", VM + "/snapshot/{snapname}", {"force": boolean})
async def snapshot_delete(call: Call) -> Any:
    """Forget a snapshot."""
    call.need("VM.Snapshot")
    return call.task("qmdelsnapshot", lambda task: snapshots.delete(call.vms, call.vmid, call.path["snapname"]))
