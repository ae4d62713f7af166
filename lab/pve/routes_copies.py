"""Calls that make, copy and remove VMs."""

from typing import Any

from lab.pve import change, copies
from lab.pve.errors import failed
from lab.pve.schema import TEXT, boolean, integer
from lab.pve.server import VM, Call, route
from lab.pve.tasks import Task


@route("POST", "/nodes/{node}/qemu",
       {"vmid": integer(100, 999_999_999), "start": boolean, "pool": TEXT, "storage": TEXT, "unique": boolean, "force": boolean}, ("vmid",),
       config=True)  # fmt: skip
async def create(call: Call) -> Any:
    """Make a VM."""
    values = dict(call.values)
    vmid, start = values.pop("vmid"), values.pop("start", 0)
    for ignored in ("pool", "storage", "unique", "force"):
        values.pop(ignored, None)
    call.who.need(f"/vms/{vmid}", "VM.Allocate")
    change.may_change(call.vms, call.who, vmid, set(values))
    if vmid in call.vms.files.ids():
        raise failed(f"unable to create VM {vmid} - VM {vmid} already exists on node '{call.vms.settings.node}'")

    async def work(task: Task) -> None:
        await copies.create(call.vms, vmid, call.who, values, task)
        if start:
            await call.vms.start(vmid)

    return call.task("qmcreate", work, vmid)


@route("DELETE", VM, {"purge": boolean, "destroy-unreferenced-disks": boolean, "skiplock": boolean})
async def destroy(call: Call) -> Any:
    """Remove a VM that does not run."""
    call.need("VM.Allocate")
    if call.vms.machine(call.vmid).pid():
        raise failed(f"VM {call.vmid} is running - destroy failed")

    async def work(task: Task) -> None:
        await copies.destroy(call.vms, call.vmid, unreferenced=bool(call.values.get("destroy-unreferenced-disks")))

    return call.task("qmdestroy", work)


@route("POST", VM + "/clone", {"newid": integer(100, 999_999_999), "name": TEXT, "full": boolean, "storage": TEXT, "target": TEXT, "snapname": TEXT,
                               "description": TEXT, "pool": TEXT, "format": TEXT, "bwlimit": integer(0)}, ("newid",))  # fmt: skip
async def clone(call: Call) -> Any:
    """Copy a VM."""
    call.need("VM.Clone")
    newid, source = call.values["newid"], call.vms.files.read(call.vmid)
    call.who.need(f"/vms/{newid}", "VM.Allocate")
    if newid in call.vms.files.ids():
        raise failed(f"unable to create VM {newid}: config file already exists")
    full = bool(call.values.get("full", 0 if source.current.get("template") == "1" else 1))
    call.who.need(f"/storage/{call.values.get('storage', 'local-lvm')}", "Datastore.AllocateSpace")

    async def work(task: Task) -> None:
        await copies.clone(call.vms, call.vmid, newid, call.values.get("name"), call.values.get("storage"), full=full, snapshot=call.values.get("snapname"))

    return call.task("qmclone", work)


@route("POST", VM + "/template")
async def template(call: Call) -> Any:
    """Make a stopped VM a template."""
    call.need("VM.Allocate")
    if call.vms.machine(call.vmid).pid():
        raise failed("you can't convert a VM to template if VM is running")

    async def work(task: Task) -> None:
        known = call.vms.files.read(call.vmid)
        known.current["template"] = "1"
        call.vms.files.write(call.vmid, known)

    return call.task("qmtemplate", work)
