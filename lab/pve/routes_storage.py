"""Calls about storages and volumes."""

from typing import Any

from lab.pve import archives
from lab.pve.errors import bad_parameters, failed
from lab.pve.properties import split_properties
from lab.pve.schema import STORAGE, TEXT, boolean, choice, formatted, integer, string, vm_id
from lab.pve.server import Call, route
from lab.pve.storage import CONTENT, TYPES, owner
from lab.pve.tasks import Task

STORAGES, CONTENTS = "/nodes/{node}/storage", "/nodes/{node}/storage/{storage}/content"
_SEE = ("Datastore.Audit", "Datastore.AllocateSpace")
_NEED_SEE = ("/storage/{storage}", *_SEE)
_KIND = formatted(r"images|rootdir|vztmpl|iso|backup|snippets|import|none", "invalid content type '{}'")


@route("GET", STORAGES, {"content": TEXT, "storage": STORAGE, "enabled": boolean, "target": TEXT, "format": boolean})
async def storages(call: Call) -> Any:
    """The storages the caller may see."""
    wanted, name = call.values.get("content", "").replace(";", ",").split(","), call.values.get("storage")
    if name and name not in CONTENT:
        raise bad_parameters({"storage": "No such storage."})
    rows = [call.vms.storages.status(s) for s in CONTENT if call.who.may(f"/storage/{s}", *_SEE) and name in (None, s)]
    rows = [r for r in rows if wanted == [""] or set(wanted) & set(str(r["content"]).split(","))]
    return [r | {"used_fraction": float(str(r["used"])) / float(str(r["total"]))} for r in rows]


def _definition(storage: str) -> dict[str, Any]:
    where = {"dir": {"path": "/var/lib/vz"}, "lvmthin": {"vgname": "pve", "thinpool": "data"}}[TYPES[storage]]
    return {"storage": storage, "type": TYPES[storage], "content": ",".join(sorted(CONTENT[storage])), "digest": "0" * 40, **where}


@route("GET", "/storage", {"type": choice(*sorted(set(TYPES.values())))})
async def definitions(call: Call) -> Any:
    """The storages' definitions."""
    rows = [_definition(s) for s in CONTENT if call.who.may(f"/storage/{s}", *_SEE)]
    return [r for r in rows if call.values.get("type") in (None, r["type"])]


@route("GET", "/storage/{storage}", need=("/storage/{storage}", "Datastore.Allocate"))
async def definition(call: Call) -> Any:
    """A storage's definition."""
    return _definition(call.vms.storages.check(call.path["storage"]))


@route("GET", STORAGES + "/{storage}", need=_NEED_SEE)
async def index(call: Call) -> Any:
    """The calls under a storage."""
    return [{"subdir": "content"}, {"subdir": "status"}]


@route("GET", STORAGES + "/{storage}/status", need=_NEED_SEE)
async def status(call: Call) -> Any:
    """How full a storage is."""
    if call.path["storage"] not in CONTENT:
        raise bad_parameters({"storage": "No such storage."})
    return {k: v for k, v in call.vms.storages.status(call.path["storage"]).items() if k != "storage"}


def _may_read(call: Call, volid: str) -> bool:
    storage, vmid = volid.partition(":")[0], owner(volid)
    if call.who.may(f"/storage/{storage}", "Datastore.Allocate"):
        return True
    if archive := archives.find(call.vms.storages, volid):
        return call.who.may(f"/storage/{storage}", "Datastore.AllocateSpace") and call.who.may(f"/vms/{archive.vmid}", "VM.Backup")
    if vmid is None:
        return call.who.may(f"/storage/{storage}", *_SEE)
    return call.who.may(f"/storage/{storage}", "Datastore.Audit") and call.who.may(f"/vms/{vmid}", "VM.Config.Disk")


@route("GET", CONTENTS, {"content": _KIND, "vmid": vm_id}, need=_NEED_SEE)
async def content(call: Call) -> Any:
    """The volumes of a storage that the caller may read."""
    storage, kind, vmid = call.path["storage"], call.values.get("content"), call.values.get("vmid")
    rows = await call.vms.storages.content(storage, kind, vmid)
    if "backup" in CONTENT[storage] and kind in (None, "backup"):
        rows += [a.row() for a in archives.listing(call.vms.storages.dump, storage, vmid)]
    return [r for r in sorted(rows, key=lambda r: str(r["volid"]).lower()) if _may_read(call, str(r["volid"]))]


@route("POST", CONTENTS, {"filename": TEXT, "size": string(r"\d+[MG]?"), "vmid": vm_id, "format": choice("raw", "qcow2", "subvol", "vmdk")},
       ("filename", "size", "vmid"), need=("/storage/{storage}", "Datastore.AllocateSpace"))  # fmt: skip
async def allocate(call: Call) -> Any:
    """Make a volume; its `size` is in KiB, or with M or G."""
    size, form = call.values["size"], call.values.get("format", "raw")
    if form != "raw":
        raise failed(f"unsupported format '{form}'")
    count = int(size.rstrip("MG")) * {"M": 2**20, "G": 2**30}.get(size[-1], 2**10)
    return await call.vms.storages.allocate(call.path["storage"], call.values["vmid"], count, call.values["filename"])


def _volid(call: Call) -> str:
    storage, volume = call.path["storage"], call.path["volume"]
    if ":" in volume and volume.partition(":")[0] != storage:
        raise bad_parameters({"volume": f"storage ID mismatch ({volume.partition(':')[0]} != {storage})"})
    return volume if ":" in volume else f"{storage}:{volume}"


@route("GET", CONTENTS + "/{volume}")
async def volume(call: Call) -> Any:
    """One volume's size and form."""
    volid = _volid(call)
    call.vms.storages.path(volid)
    if archive := archives.find(call.vms.storages, volid):
        may_backup(call, archive)
        row = archive.row()
        return {"path": f"/var/lib/vz/dump/{archive.path.name}", "size": row["size"], "used": row["size"], "format": archive.form,
                "notes": archive.notes, "protected": int(archive.protected)}  # fmt: skip
    if not _may_read(call, volid):
        call.who.need(f"/storage/{call.path['storage']}", "Datastore.Audit")
        call.who.need(f"/vms/{owner(volid)}", "VM.Config.Disk")
    disk = owner(volid) is not None
    path = f"/dev/pve/{volid.partition(':')[2]}" if disk else f"/var/lib/vz/{volid.partition(':')[2]}"
    form = "raw" if disk else volid.rpartition(".")[2]
    return {"path": path, "size": await call.vms.storages.size(volid), "used": call.vms.storages.path(volid).stat().st_blocks * 512, "format": form}


def may_backup(call: Call, archive: archives.Archive) -> None:
    """Raise unless the caller may use this backup."""
    if not call.who.may(f"/storage/{archive.storage}", "Datastore.Allocate"):
        call.who.need(f"/storage/{archive.storage}", "Datastore.AllocateSpace")
        call.who.need(f"/vms/{archive.vmid}", "VM.Backup")


@route("PUT", CONTENTS + "/{volume}", {"notes": TEXT, "protected": boolean})
async def annotate(call: Call) -> Any:
    """Write on a backup, or protect it."""
    archive = archives.find(call.vms.storages, _volid(call))
    if archive is None:
        raise failed(f"only backups support attribute '{next(iter(call.values), 'notes')}'")
    may_backup(call, archive)
    if "notes" in call.values:
        archive.set_notes(call.values["notes"])
    if "protected" in call.values:
        archive.protect(bool(call.values["protected"]))


@route("DELETE", CONTENTS + "/{volume}", {"delay": integer(1, 30)})
async def free(call: Call) -> Any:
    """Remove a volume, as a task."""
    volid = _volid(call)
    name, vmid = volid.partition(":")[2], owner(volid)
    call.vms.storages.path(volid)
    archive = archives.find(call.vms.storages, volid)
    if archive:
        call.who.need(f"/storage/{archive.storage}", "Datastore.AllocateSpace")
        call.who.need(f"/vms/{archive.vmid}", "VM.Backup")
    else:
        call.who.need(f"/storage/{call.path['storage']}", "Datastore.Allocate")

    async def work(task: Task) -> None:
        if archive:
            archive.remove()
            task.say(f"Removed volume '{volid}'")
            return
        if not call.vms.storages.path(volid).exists():
            raise failed(f"volume '{volid}' does not exist")
        if await call.vms.storages.clones(volid):
            raise failed(f"base volume '{volid}' is still in use by linked clones")
        if vmid in call.vms.files.ids() and vmid is not None and call.vms.running(vmid):
            settings = call.vms.files.read(vmid).current
            if volid in {split_properties(v, "file")[0] for v in settings.values()}:
                raise failed(f"lvremove 'pve/{name}' error: Logical volume pve/{name} in use.")
        call.vms.storages.free(volid)
        task.say(f"Removed volume '{volid}'")

    upid = call.task("imgdel", work, f"{vmid}@{call.path['storage']}" if vmid else call.path["storage"])
    if delay := call.values.get("delay"):
        done = await call.vms.tasks.wait(upid, delay)
        if done.exitstatus == "OK":
            return None
        if done.exitstatus is not None:
            raise failed(done.exitstatus)
    return upid
