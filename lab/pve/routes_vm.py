"""Calls about VMs: lists, status, configuration, disks."""

from typing import Any

from lab.pve import change, disks
from lab.pve.errors import failed
from lab.pve.schema import TEXT, VOLUME_KEY, boolean, integer, string
from lab.pve.server import VM, Call, route
from lab.pve.tasks import Task


@route("GET", "/nodes/{node}/qemu", {"full": boolean})
async def vms(call: Call) -> Any:
    """The VMs the caller may see."""
    return [await call.vms.status(i) for i in call.vms.files.ids() if call.who.may(f"/vms/{i}", "VM.Audit")]


@route("GET", VM)
async def vm_index(call: Call) -> Any:
    """What there is under a VM."""
    call.need("VM.Audit")
    return [{"subdir": d} for d in ("config", "pending", "status", "snapshot", "agent", "unlink", "resize", "clone")]


@route("GET", VM + "/status/current")
async def current(call: Call) -> Any:
    """A VM's standing."""
    call.need("VM.Audit")
    return await call.vms.status(call.vmid, full=True)


@route("GET", VM + "/status")
async def status_index(call: Call) -> Any:
    """The calls under status."""
    call.need("VM.Audit")
    return [{"subdir": d} for d in ("current", "start", "stop", "reset", "shutdown", "suspend", "resume", "reboot")]


@route("GET", VM + "/config", {"current": boolean, "snapshot": TEXT})
async def config(call: Call) -> Any:
    """A VM's configuration as it will be after its next start, or with `current` as it is."""
    call.need("VM.Audit")
    known = call.vms.files.read(call.vmid)
    if name := call.values.get("snapshot"):
        if name not in known.snapshots:
            raise failed(f"snapshot '{name}' does not exist")
        return typed(known.snapshots[name])
    return typed(known.current if call.values.get("current") else known.effective()) | {"digest": known.digest()}


def typed(values: dict[str, str]) -> dict[str, Any]:
    """A configuration's values as the API shows them: some are numbers."""
    numbers = ("cores", "sockets", "numa", "onboot", "balloon", "protection", "template", "vcpus", "acpi", "kvm", "tablet", "snaptime", "vmstate")
    return {k: int(v) if k in numbers else v for k, v in values.items()}


@route("GET", VM + "/pending")
async def pending(call: Call) -> Any:
    """Each setting with what waits for it."""
    call.need("VM.Audit")
    known = call.vms.files.read(call.vmid)
    rows: list[dict[str, Any]] = []
    for key in sorted({*known.current, *known.pending}):
        row: dict[str, Any] = {"key": key}
        if key in known.current:
            row["value"] = typed({key: known.current[key]})[key]
        if key in known.pending:
            row["pending"] = known.pending[key]
        if key in known.delete:
            row["delete"] = 1
        rows.append(row)
    return [*rows, {"key": "digest", "value": known.digest()}]


_CHANGE = {"delete": TEXT, "revert": TEXT, "digest": string(r".{0,64}"), "force": boolean, "skiplock": boolean}


def _names(text: str) -> set[str]:
    return {n for n in text.replace(";", ",").replace(" ", ",").split(",") if n}


async def _change(call: Call, values: dict[str, Any]) -> None:
    delete, revert = _names(values.pop("delete", "")), _names(values.pop("revert", ""))
    digest, force = values.pop("digest", None), values.pop("force", 0)
    values.pop("skiplock", None), values.pop("background_delay", None)
    if not values and not delete and not revert:
        raise failed("no options specified")
    change.may_change(call.vms, call.who, call.vmid, {*values, *delete, *revert})
    disks = {n for n in delete if VOLUME_KEY.fullmatch(n)} if force else set()
    await change.update(call.vms, call.vmid, call.who, values, delete - disks, revert, digest)
    if disks:
        await change.unlink(call.vms, call.vmid, sorted(disks), force=True)


@route("PUT", VM + "/config", _CHANGE, config=True)
async def change_now(call: Call) -> Any:
    """Change the configuration, and answer when it is done."""
    call.vms.files.read(call.vmid)
    async with call.vms.lock(call.vmid):
        await _change(call, call.values)


@route("POST", VM + "/config", _CHANGE | {"background_delay": integer(1, 30)}, config=True)
async def change_later(call: Call) -> Any:
    """Change the configuration as a task."""
    known, values = call.vms.files.read(call.vmid), dict(call.values)
    names = {*values} - {"digest", "force", "skiplock", "background_delay", "delete", "revert"}
    change.may_change(call.vms, call.who, call.vmid, names | _names(values.get("delete", "")) | _names(values.get("revert", "")))
    if values.get("digest") and values["digest"] != known.digest():
        raise failed("detected modified configuration - file changed by other user? Try again.")

    async def work(task: Task) -> None:
        task.log.append("update VM " + str(call.vmid) + ": " + " ".join(f"-{k} {v}" for k, v in call.values.items() if k not in ("sshkeys", "cipassword")))
        await _change(call, dict(values))

    return call.task("qmconfig", work)


@route("PUT", VM + "/resize", {"disk": TEXT, "size": string(r"\+?\d+(\.\d+)?[KMGT]?"), "digest": TEXT, "skiplock": boolean}, ("disk", "size"))
async def resize(call: Call) -> Any:
    """Grow a disk, as a task."""
    call.need("VM.Config.Disk")

    async def work(task: Task) -> None:
        await disks.resize(call.vms, call.vmid, call.values["disk"], call.values["size"], call.values.get("digest"))

    return call.task("resize", work)


@route("PUT", VM + "/unlink", {"idlist": TEXT, "force": boolean}, ("idlist",))
async def unlink(call: Call) -> Any:
    """Take disks off a VM."""
    call.need("VM.Config.Disk")
    async with call.vms.lock(call.vmid):
        await change.unlink(call.vms, call.vmid, sorted(_names(call.values["idlist"])), force=bool(call.values.get("force")))
