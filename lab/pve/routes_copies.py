"""Calls that make, copy and remove VMs."""

from typing import Any

from lab.pve import archives, change, copies, power
from lab.pve import restore as restoring
from lab.pve.config import parse
from lab.pve.errors import ApiError, bad_parameters, failed, not_covered
from lab.pve.formats import DNS_NAME
from lab.pve.options import option
from lab.pve.properties import DRIVE_KEY
from lab.pve.routes_storage import may_backup
from lab.pve.schema import SNAPSHOT, STORAGE, TEXT, Check, boolean, choice, integer, vm_id
from lab.pve.server import VM, VM_PATH, Call, route
from lab.pve.tasks import Task

_CREATE: dict[str, Check] = {"vmid": vm_id, "start": boolean, "pool": TEXT, "storage": STORAGE, "unique": boolean, "force": boolean, "archive": TEXT,
                             "bwlimit": integer(0), "live-restore": boolean, "import-working-storage": STORAGE}  # fmt: skip


@route("POST", "/nodes/{node}/qemu", _CREATE, ("vmid",), config=True)
async def create(call: Call) -> Any:
    """Make a VM."""
    given, vmid, storage = call.values, call.values["vmid"], call.values.get("storage")
    if missing := [name for name in ("force", "unique") if name in given and "archive" not in given]:
        raise bad_parameters({"archive": f"missing property - '{missing[0]}' requires this property"})
    if "archive" in given:
        return await _restore(call)
    if "pool" in given:
        raise failed(f"pool '{given['pool']}' does not exist")
    if storage:
        call.who.need(f"/storage/{storage}", "Datastore.AllocateSpace")
        call.vms.storages.check(storage, images=True)
    values = change.normalized({k: str(v) for k, v in given.items() if k not in _CREATE and option(k)})
    copies.may_create(call.vms, call.who, vmid, values, storage)
    try:
        copies.reserve(call.vms, vmid, "create")
    except ApiError as error:
        raise failed(f"unable to create VM {vmid} - {error.message}") from None

    async def work(task: Task) -> None:
        await copies.create(call.vms, vmid, values, storage, task)
        if given.get("start"):
            task.say("Execute autostart")
            power.start_task(call.vms, vmid, call.who.token)

    return call.task("qmcreate", work, vmid)


async def _restore(call: Call) -> str:
    """Make a VM from a backup. Settings given beside it win over those in it."""
    given, vmid, storage = call.values, call.values["vmid"], call.values.get("storage")
    for name in ("live-restore", "bwlimit", "pool"):
        if given.get(name):
            raise not_covered(f"'{name}' of a restore")
    values = change.normalized({k: str(v) for k, v in given.items() if k not in _CREATE and option(k)})
    if wrong := [name for name in values if DRIVE_KEY.fullmatch(name)]:
        raise bad_parameters(dict.fromkeys(wrong, "option conflicts with option 'archive'"))
    if storage:
        call.who.need(f"/storage/{storage}", "Datastore.AllocateSpace")
        call.vms.storages.check(storage, images=True)
    copies.may_create(call.vms, call.who, vmid, values, storage)
    archive = archives.find(call.vms.storages, given["archive"])
    if archive is None:
        raise failed(f"unable to restore VM {vmid} - '{given['archive']}' is not a backup")
    may_backup(call, archive)
    saved = parse(await archive.settings()).current
    for net in [v for k, v in saved.items() if k.startswith("net")]:
        change.may_bridge(call.who, net)
    if vmid in call.vms.files.ids() and given.get("force"):
        raise not_covered("restore over a VM that exists ('force')")
    try:
        copies.reserve(call.vms, vmid, "create")
    except ApiError as error:
        raise failed(f"unable to restore VM {vmid} - {error.message}") from None

    async def work(task: Task) -> None:
        await restoring.restore(call.vms, vmid, archive, values, storage, task, unique=bool(given.get("unique")))
        if given.get("start"):
            task.say("Execute autostart")
            power.start_task(call.vms, vmid, call.who.token)

    return call.task("qmrestore", work, vmid)


@route("DELETE", VM, {"purge": boolean, "destroy-unreferenced-disks": boolean, "skiplock": boolean}, need=(VM_PATH, "VM.Allocate"))
async def destroy(call: Call) -> Any:
    """Remove a VM that does not run."""
    if call.values.get("skiplock") and not call.who.root:
        raise bad_parameters({"skiplock": "Only root may use this option."})
    await copies.may_destroy(call.vms, call.vmid)

    async def work(task: Task) -> None:
        given = call.values
        await copies.destroy(call.vms, call.vmid, unreferenced=bool(given.get("destroy-unreferenced-disks")), skiplock=bool(given.get("skiplock")))

    return call.task("qmdestroy", work)


@route("POST", VM + "/clone", {"newid": vm_id, "name": DNS_NAME, "full": boolean, "storage": STORAGE, "target": TEXT, "snapname": SNAPSHOT, "description": TEXT,
                               "pool": TEXT, "format": choice("raw", "qcow2", "vmdk"), "bwlimit": integer(0)},
       ("newid",), need=(VM_PATH, "VM.Clone"))  # fmt: skip
async def clone(call: Call) -> Any:
    """Copy a VM."""
    newid, target = call.values["newid"], call.values.get("target", call.vms.settings.node)
    call.who.need(f"/vms/{newid}", "VM.Allocate")
    if "pool" in call.values:
        raise failed(f"pool '{call.values['pool']}' does not exist")
    if target not in ("localhost", call.vms.settings.node):
        raise failed(f"no such cluster node '{target}'")
    copies.clone_source(call.vms, call.who, call.vmid, call.values)
    if newid in call.vms.files.ids():
        raise failed(f"unable to create VM {newid}: config file already exists")
    copies.reserve(call.vms, newid, "clone")

    async def work(task: Task) -> None:
        await copies.clone(call.vms, call.who, call.vmid, newid, call.values)

    return call.task("qmclone", work)


def _drive_name(value: object) -> str:
    text = str(TEXT(value))
    if not DRIVE_KEY.fullmatch(text):
        raise ValueError(f"value '{text}' does not have a value in the enumeration")
    return text


@route("POST", VM + "/template", {"disk": _drive_name}, need=(VM_PATH, "VM.Allocate"))
async def template(call: Call) -> Any:
    """Make a stopped VM a template."""
    copies.may_template(call.vms, call.vmid, call.values.get("disk"))

    async def work(task: Task) -> None:
        await copies.template(call.vms, call.vmid, call.values.get("disk"))

    return call.task("qmtemplate", work)
