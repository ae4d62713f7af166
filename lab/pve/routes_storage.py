"""Calls about storages and volumes."""

import re
import urllib.parse
from typing import Any

from lab.pve.errors import failed
from lab.pve.schema import TEXT, boolean, choice, integer, string
from lab.pve.server import Call, route
from lab.pve.storage import CONTENT, size_bytes

_SEE = ("Datastore.Audit", "Datastore.AllocateSpace")


@route("GET", "/nodes/{node}/storage", {"content": TEXT, "storage": TEXT, "enabled": boolean, "target": TEXT, "format": boolean})
async def storages(call: Call) -> Any:
    """The storages the caller may see."""
    rows = [call.vms.storages.status(s) for s in CONTENT if call.who.may(f"/storage/{s}", *_SEE)]
    wanted, name = call.values.get("content"), call.values.get("storage")
    return [r for r in rows if (not wanted or wanted in str(r["content"]).split(",")) and (not name or r["storage"] == name)]


@route("GET", "/storage")
async def storage_index(call: Call) -> Any:
    """The storages' definitions."""
    rows = [call.vms.storages.status(s) for s in CONTENT if call.who.may(f"/storage/{s}", *_SEE)]
    return [{k: r[k] for k in ("storage", "type", "content", "shared")} | {"digest": ""} for r in rows]


@route("GET", "/nodes/{node}/storage/{storage}/status")
async def storage_status(call: Call) -> Any:
    """How full a storage is."""
    call.who.need(f"/storage/{call.path['storage']}", *_SEE)
    status = call.vms.storages.status(call.path["storage"])
    return {k: v for k, v in status.items() if k not in ("storage", "used_fraction")}


@route("GET", "/nodes/{node}/storage/{storage}/content", {"content": TEXT, "vmid": integer(100)})
async def content(call: Call) -> Any:
    """The volumes of a storage."""
    call.who.need(f"/storage/{call.path['storage']}", *_SEE)
    rows = await call.vms.storages.content(call.path["storage"], call.values.get("content"), call.values.get("vmid"))
    if call.who.may(f"/storage/{call.path['storage']}", "Datastore.Allocate"):
        return rows
    return [r for r in rows if "vmid" not in r or call.who.may(f"/vms/{r['vmid']}", "VM.Config.Disk")]


@route("POST", "/nodes/{node}/storage/{storage}/content",
       {"filename": TEXT, "size": string(r"\d+[MG]?"), "vmid": integer(100), "format": choice("raw", "qcow2", "subvol")},
       ("filename", "size", "vmid"))  # fmt: skip
async def allocate(call: Call) -> Any:
    """Make a volume."""
    storage = call.path["storage"]
    call.who.need(f"/storage/{storage}", "Datastore.AllocateSpace")
    size = call.values["size"]
    return await call.vms.storages.allocate(storage, call.values["vmid"], size_bytes(size) if size[-1] in "MG" else int(size) * 1024)


def _volid(call: Call) -> str:
    volume = urllib.parse.unquote(call.path["volume"])
    return volume if ":" in volume else f"{call.path['storage']}:{volume}"


@route("GET", "/nodes/{node}/storage/{storage}/content/{volume}")
async def volume(call: Call) -> Any:
    """One volume's size and form."""
    call.who.need(f"/storage/{call.path['storage']}", *_SEE)
    volid = _volid(call)
    return {"path": f"/dev/{volid.replace(':', '/')}", "size": await call.vms.storages.size(volid), "used": 0, "format": "raw"}


@route("DELETE", "/nodes/{node}/storage/{storage}/content/{volume}", {"delay": integer(1, 30)})
async def free(call: Call) -> Any:
    """Remove a volume that no VM uses."""
    call.who.need(f"/storage/{call.path['storage']}", "Datastore.Allocate", "Datastore.AllocateSpace")
    volid = _volid(call)
    match = re.search(r"vm-(\d+)-", volid)
    if match and int(match[1]) in call.vms.files.ids() and volid in call.vms.files.read(int(match[1])).text():
        raise failed(f"Cannot remove image, a guest with VMID '{match[1]}' exists!")

    async def work(task: object) -> None:
        call.vms.storages.free(volid)

    return call.vms.tasks.start("imgdel", volid.partition(":")[2], call.who.token, work)
