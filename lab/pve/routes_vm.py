"""Calls about VMs: lists, status, configuration, disks."""

from typing import Any

from lab.pve import change, disks
from lab.pve.change import Change
from lab.pve.errors import bad_parameters, failed
from lab.pve.options import typed
from lab.pve.properties import DRIVE_KEY
from lab.pve.schema import SNAPSHOT, STORAGE, Check, boolean, integer, names, string
from lab.pve.server import VM, VM_PATH, Call, route
from lab.pve.tasks import Task

CONFIGURE = ("VM.Config.Disk", "VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Memory", "VM.Config.Network", "VM.Config.HWType", "VM.Config.Options",
             "VM.Config.Cloudinit")  # fmt: skip
AUDIT = (VM_PATH, "VM.Audit")


@route("GET", "/nodes/{node}/qemu", {"full": boolean})
async def vms(call: Call) -> Any:
    """The VMs the caller may see."""
    return [await call.vms.status(i, full=bool(call.values.get("full"))) for i in call.vms.files.ids() if call.who.may(f"/vms/{i}", "VM.Audit")]


@route("GET", VM)
async def vm_index(call: Call) -> Any:
    """What there is under a VM."""
    return [{"subdir": d} for d in ("config", "pending", "status", "unlink", "resize", "agent", "snapshot", "clone", "template")]


@route("GET", VM + "/status/current", need=AUDIT)
async def current(call: Call) -> Any:
    """A VM's standing."""
    return await call.vms.status(call.vmid, full=True)


@route("GET", VM + "/status")
async def status_index(call: Call) -> Any:
    """The calls under status."""
    call.vms.files.read(call.vmid)
    return [{"subdir": d} for d in ("current", "start", "stop", "reset", "shutdown", "suspend", "reboot")]


@route("GET", VM + "/config", {"current": boolean, "snapshot": SNAPSHOT}, need=AUDIT)
async def config(call: Call) -> Any:
    """A VM's configuration as it will be after its next start, or with `current` as it is, or with `snapshot` as it was."""
    known, snapshot = call.vms.files.read(call.vmid), call.values.get("snapshot")
    if snapshot and call.values.get("current"):
        raise bad_parameters(dict.fromkeys(("snapshot", "current"), "cannot use 'snapshot' parameter with 'current'"))
    if snapshot:
        return typed(known.section(snapshot)) | {"digest": known.digest()}
    return typed(known.current if call.values.get("current") else known.effective()) | {"digest": known.digest()}


@route("GET", VM + "/pending", need=AUDIT)
async def pending(call: Call) -> Any:
    """Each setting with what waits for it; `delete` is 2 where volumes go with it."""
    known = call.vms.files.read(call.vmid)
    now, later = typed(known.current), typed(known.pending)
    rows = []
    for key in sorted({*now, *later}):
        row: dict[str, Any] = {"key": key}
        row |= {"value": now[key]} if key in now else {}
        row |= {"pending": later[key]} if key in later else {}
        row |= {"delete": 2 if known.delete[key] else 1} if key in known.delete else {}
        rows.append(row)
    return [*rows, {"key": "digest", "value": known.digest()}]


_CHANGE: dict[str, Check] = {"delete": names, "revert": names, "digest": string(maximum=40), "force": boolean, "skiplock": boolean,
                             "import-working-storage": STORAGE}  # fmt: skip


def _change(call: Call) -> Change:
    values = {k: v for k, v in call.values.items() if k not in _CHANGE and k != "background_delay"}
    if "force" in call.values and "delete" not in call.values:
        raise bad_parameters({"delete": "missing property - 'force' requires this property"})
    wanted = Change(change.normalized({k: str(v) for k, v in values.items()}), call.values.get("delete", []), call.values.get("revert", []),
                    bool(call.values.get("force")), call.values.get("digest"), bool(call.values.get("skiplock")))  # fmt: skip
    change.may_change(call.vms, call.who, call.vmid, wanted)
    return wanted


@route("PUT", VM + "/config", _CHANGE, need=(VM_PATH, *CONFIGURE), config=True)
async def change_now(call: Call) -> Any:
    """Change the configuration, and answer when it is done."""
    wanted = _change(call)
    async with call.vms.locked(call.vmid):
        await change.update(call.vms, call.who, call.vmid, wanted)


@route("POST", VM + "/config", _CHANGE | {"background_delay": integer(1, 30)}, need=(VM_PATH, *CONFIGURE), config=True)
async def change_later(call: Call) -> Any:
    """Change the configuration as a task; null when that ends within `background_delay` seconds."""
    wanted = _change(call)
    change.may_now(call.vms.files.read(call.vmid), wanted)

    async def work(task: Task) -> None:
        shown = {k: "<hidden>" if k == "cipassword" else v for k, v in sorted(call.values.items())}
        task.say(f"update VM {call.vmid}: " + " ".join(f"-{k} {','.join(v) if isinstance(v, list) else v}" for k, v in shown.items()))
        async with call.vms.locked(call.vmid):
            await change.update(call.vms, call.who, call.vmid, wanted, task)

    upid = call.task("qmconfig", work)
    if delay := call.values.get("background_delay"):
        done = await call.vms.tasks.wait(upid, delay)
        if done.exitstatus == "OK":
            return None
        if done.exitstatus is not None:
            raise failed(f"failed to update VM {call.vmid}: {done.exitstatus}")
    return upid


def _drive_name(value: object) -> str:
    text = string()(value)
    if not DRIVE_KEY.fullmatch(text):
        raise ValueError(f"value '{text}' does not have a value in the enumeration 'ide0 … tpmstate0'")
    return str(text)


@route("PUT", VM + "/resize", {"disk": _drive_name, "size": string(r"\+?\d+(\.\d+)?[KMGT]?"), "digest": string(maximum=40), "skiplock": boolean},
       ("disk", "size"), need=(VM_PATH, "VM.Config.Disk"))  # fmt: skip
async def resize(call: Call) -> Any:
    """Grow a disk, as a task."""
    if call.values.get("skiplock") and not call.who.root:
        raise bad_parameters({"skiplock": "Only root may use this option."})

    async def work(task: Task) -> None:
        async with call.vms.locked(call.vmid):
            if not call.values.get("skiplock"):
                call.vms.files.read(call.vmid).check_lock()
            await disks.resize(call.vms, call.who, call.vmid, call.values["disk"], call.values["size"], call.values.get("digest"))

    return call.task("resize", work)


@route("PUT", VM + "/unlink", {"idlist": names, "force": boolean}, ("idlist",), need=(VM_PATH, "VM.Config.Disk"))
async def unlink(call: Call) -> Any:
    """Take disks off a VM; with `force` remove their volumes too."""
    wanted = Change({}, call.values["idlist"], force=bool(call.values.get("force")))
    change.may_change(call.vms, call.who, call.vmid, wanted)
    async with call.vms.locked(call.vmid):
        await change.update(call.vms, call.who, call.vmid, wanted)
