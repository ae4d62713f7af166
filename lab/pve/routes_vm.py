"""Calls about VMs: lists, status, configuration, life, disks, copies, snapshots, the guest's agent."""

import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

from lab.pve import snapshots
from lab.pve.errors import ApiError, failed
from lab.pve.schema import TEXT, VOLUME_KEY, boolean, integer, string
from lab.pve.server import Call, route
from lab.pve.tasks import Task

VM = "/nodes/{node}/qemu/{vmid}"
Work = Callable[[Task], Awaitable[None]]


def _need(call: Call, *privileges: str) -> None:
    call.who.need(f"/vms/{call.vmid}", *privileges)
    call.vms.files.read(call.vmid)


def _task(call: Call, kind: str, work: Work, vmid: int | None = None) -> str:
    vmid = vmid or call.vmid

    async def locked(task: Task) -> None:
        async with call.vms.lock(vmid):
            await work(task)

    return call.vms.tasks.start(kind, vmid, call.who.token, locked)


@route("GET", "/nodes/{node}/qemu", {"full": boolean})
async def vms(call: Call) -> Any:
    """The VMs the caller may see."""
    return [await call.vms.status(i) for i in call.vms.files.ids() if call.who.may(f"/vms/{i}", "VM.Audit")]


@route("GET", VM)
async def vm_index(call: Call) -> Any:
    """What there is under a VM."""
    _need(call, "VM.Audit")
    return [{"subdir": d} for d in ("config", "pending", "status", "snapshot", "agent", "unlink", "resize", "clone")]


@route("GET", VM + "/status/current")
async def current(call: Call) -> Any:
    """A VM's standing."""
    _need(call, "VM.Audit")
    return await call.vms.status(call.vmid, full=True)


@route("GET", VM + "/status")
async def status_index(call: Call) -> Any:
    """The calls under status."""
    _need(call, "VM.Audit")
    return [{"subdir": d} for d in ("current", "start", "stop", "reset", "shutdown", "suspend", "resume", "reboot")]


@route("GET", VM + "/config", {"current": boolean, "snapshot": TEXT})
async def config(call: Call) -> Any:
    """A VM's configuration as it will be after its next start, or with `current` as it is."""
    _need(call, "VM.Audit")
    known = call.vms.files.read(call.vmid)
    if name := call.values.get("snapshot"):
        if name not in known.snapshots:
            raise failed(f"snapshot '{name}' does not exist")
        return _typed(known.snapshots[name])
    return _typed(known.current if call.values.get("current") else known.effective()) | {"digest": known.digest()}


def _typed(values: dict[str, str]) -> dict[str, Any]:
    numbers = ("cores", "sockets", "numa", "onboot", "balloon", "protection", "template", "vcpus", "acpi", "kvm", "tablet", "snaptime", "vmstate")
    return {k: int(v) if k in numbers else v for k, v in values.items()}


@route("GET", VM + "/pending")
async def pending(call: Call) -> Any:
    """Each setting with what waits for it."""
    _need(call, "VM.Audit")
    known = call.vms.files.read(call.vmid)
    rows: list[dict[str, Any]] = []
    for key in sorted({*known.current, *known.pending}):
        row: dict[str, Any] = {"key": key}
        if key in known.current:
            row["value"] = _typed({key: known.current[key]})[key]
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
    call.vms.may_change(call.who, call.vmid, {*values, *delete, *revert})
    disks = {n for n in delete if VOLUME_KEY.fullmatch(n)} if force else set()
    await call.vms.update(call.vmid, call.who, values, delete - disks, revert, digest)
    if disks:
        await call.vms.unlink(call.vmid, sorted(disks), force=True)


@route("PUT", VM + "/config", _CHANGE, config=True)
async def change(call: Call) -> Any:
    """Change the configuration, and answer when it is done."""
    call.vms.files.read(call.vmid)
    async with call.vms.lock(call.vmid):
        await _change(call, call.values)


@route("POST", VM + "/config", _CHANGE | {"background_delay": integer(1, 30)}, config=True)
async def change_later(call: Call) -> Any:
    """Change the configuration as a task."""
    known, values = call.vms.files.read(call.vmid), dict(call.values)
    names = {*values} - {"digest", "force", "skiplock", "background_delay", "delete", "revert"}
    call.vms.may_change(call.who, call.vmid, names | _names(values.get("delete", "")) | _names(values.get("revert", "")))
    if values.get("digest") and values["digest"] != known.digest():
        raise failed("detected modified configuration - file changed by other user? Try again.")

    async def work(task: Task) -> None:
        task.log.append("update VM " + str(call.vmid) + ": " + " ".join(f"-{k} {v}" for k, v in call.values.items() if k not in ("sshkeys", "cipassword")))
        await _change(call, dict(values))

    return _task(call, "qmconfig", work)


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
    call.vms.may_change(call.who, vmid, set(values))
    if vmid in call.vms.files.ids():
        raise failed(f"unable to create VM {vmid} - VM {vmid} already exists on node '{call.vms.settings.node}'")

    async def work(task: Task) -> None:
        await call.vms.create(vmid, call.who, values, task)
        if start:
            await call.vms.start(vmid)

    return _task(call, "qmcreate", work, vmid)


@route("DELETE", VM, {"purge": boolean, "destroy-unreferenced-disks": boolean, "skiplock": boolean})
async def destroy(call: Call) -> Any:
    """Remove a VM that does not run."""
    _need(call, "VM.Allocate")
    if call.vms.machine(call.vmid).pid():
        raise failed(f"VM {call.vmid} is running - destroy failed")

    async def work(task: Task) -> None:
        await call.vms.destroy(call.vmid, unreferenced=bool(call.values.get("destroy-unreferenced-disks")))

    return _task(call, "qmdestroy", work)


@route("POST", VM + "/clone", {"newid": integer(100, 999_999_999), "name": TEXT, "full": boolean, "storage": TEXT, "target": TEXT, "snapname": TEXT,
                               "description": TEXT, "pool": TEXT, "format": TEXT, "bwlimit": integer(0)}, ("newid",))  # fmt: skip
async def clone(call: Call) -> Any:
    """Copy a VM."""
    _need(call, "VM.Clone")
    newid, source = call.values["newid"], call.vms.files.read(call.vmid)
    call.who.need(f"/vms/{newid}", "VM.Allocate")
    if newid in call.vms.files.ids():
        raise failed(f"unable to create VM {newid}: config file already exists")
    full = bool(call.values.get("full", 0 if source.current.get("template") == "1" else 1))
    call.who.need(f"/storage/{call.values.get('storage', 'local-lvm')}", "Datastore.AllocateSpace")

    async def work(task: Task) -> None:
        await call.vms.clone(call.vmid, newid, call.values.get("name"), call.values.get("storage"), full=full, snapshot=call.values.get("snapname"))

    return _task(call, "qmclone", work)


@route("POST", VM + "/template")
async def template(call: Call) -> Any:
    """Make a stopped VM a template."""
    _need(call, "VM.Allocate")
    if call.vms.machine(call.vmid).pid():
        raise failed("you can't convert a VM to template if VM is running")

    async def work(task: Task) -> None:
        known = call.vms.files.read(call.vmid)
        known.current["template"] = "1"
        call.vms.files.write(call.vmid, known)

    return _task(call, "qmtemplate", work)


def _power(verb: str, parameters: dict[str, Any], kind: str) -> Callable[[Callable[[Call], Awaitable[None]]], Any]:
    """A call under `status/` that runs as a task."""

    def declare(act: Callable[[Call], Awaitable[None]]) -> Any:
        @route("POST", VM + f"/status/{verb}", parameters | {"skiplock": boolean, "timeout": integer(0)})
        async def handler(call: Call) -> Any:
            _need(call, "VM.PowerMgmt")
            running = call.vms.machine(call.vmid).pid() is not None
            if verb == "start" and running:
                raise failed(f"VM {call.vmid} already running")
            if verb in ("shutdown", "reboot", "reset", "suspend", "resume") and not running:
                raise failed(f"VM {call.vmid} not running")
            return _task(call, kind, lambda task: act(call))

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


@route("PUT", VM + "/resize", {"disk": TEXT, "size": string(r"\+?\d+(\.\d+)?[KMGT]?"), "digest": TEXT, "skiplock": boolean}, ("disk", "size"))
async def resize(call: Call) -> Any:
    """Grow a disk, as a task."""
    _need(call, "VM.Config.Disk")

    async def work(task: Task) -> None:
        await call.vms.resize(call.vmid, call.values["disk"], call.values["size"], call.values.get("digest"))

    return _task(call, "resize", work)


@route("PUT", VM + "/unlink", {"idlist": TEXT, "force": boolean}, ("idlist",))
async def unlink(call: Call) -> Any:
    """Take disks off a VM."""
    _need(call, "VM.Config.Disk")
    async with call.vms.lock(call.vmid):
        await call.vms.unlink(call.vmid, sorted(_names(call.values["idlist"])), force=bool(call.values.get("force")))


@route("GET", VM + "/snapshot")
async def snapshot_list(call: Call) -> Any:
    """A VM's snapshots."""
    _need(call, "VM.Audit")
    return snapshots.listing(call.vms, call.vmid)


@route("POST", VM + "/snapshot", {"snapname": string(r"[a-zA-Z][\w-]{1,39}"), "description": TEXT, "vmstate": boolean}, ("snapname",))
async def snapshot_create(call: Call) -> Any:
    """Take a snapshot."""
    _need(call, "VM.Snapshot")
    name = call.values["snapname"]
    if name == "current":
        raise ApiError(400, "unable to use snapshot name 'current' (reserved name)")

    async def work(task: Task) -> None:
        await snapshots.create(call.vms, call.vmid, name, call.values.get("description", ""), memory=bool(call.values.get("vmstate")))

    return _task(call, "qmsnapshot", work)


@route("GET", VM + "/snapshot/{snapname}/config")
async def snapshot_config(call: Call) -> Any:
    """What a snapshot holds."""
    _need(call, "VM.Snapshot", "VM.Snapshot.Rollback", "VM.Audit")
    known = call.vms.files.read(call.vmid).snapshots
    if call.path["snapname"] not in known:
        raise failed(f"snapshot '{call.path['snapname']}' does not exist")
    return _typed(known[call.path["snapname"]])


@route("POST", VM + "/snapshot/{snapname}/rollback", {"start": boolean})
async def snapshot_rollback(call: Call) -> Any:
    """Go back to a snapshot."""
    _need(call, "VM.Snapshot", "VM.Snapshot.Rollback")
    return _task(call, "qmrollback", lambda task: snapshots.rollback(call.vms, call.vmid, call.path["snapname"], start=bool(call.values.get("start"))))


@route("DELETE", VM + "/snapshot/{snapname}", {"force": boolean})
async def snapshot_delete(call: Call) -> Any:
    """Forget a snapshot."""
    _need(call, "VM.Snapshot")
    return _task(call, "qmdelsnapshot", lambda task: snapshots.delete(call.vms, call.vmid, call.path["snapname"]))


_AGENT = ("VM.Monitor",)


@route("POST", VM + "/agent/exec", {"command": TEXT, "input-data": TEXT}, ("command",))
async def agent_exec(call: Call) -> Any:
    """Start a program in the guest."""
    _need(call, *_AGENT)
    text = call.values["command"]
    words = json.loads(text) if text.startswith("[") else [text]
    arguments: dict[str, Any] = {"path": words[0], "arg": words[1:], "capture-output": True}
    if data := call.values.get("input-data"):
        arguments["input-data"] = base64.b64encode(data.encode()).decode()
    return await call.vms.machine(call.vmid).agent("guest-exec", arguments)


@route("GET", VM + "/agent/exec-status", {"pid": integer(1)}, ("pid",))
async def agent_exec_status(call: Call) -> Any:
    """How a program in the guest ended."""
    _need(call, *_AGENT)
    answer = await call.vms.machine(call.vmid).agent("guest-exec-status", {"pid": call.values["pid"]})
    for key in ("out-data", "err-data"):
        if key in answer:
            answer[key] = base64.b64decode(answer[key]).decode(errors="replace")
    return answer | {"exited": int(answer["exited"])}


@route("GET", VM + "/agent/file-read", {"file": TEXT}, ("file",))
async def agent_file_read(call: Call) -> Any:
    """Read a file of the guest (at most 16 MiB)."""
    _need(call, *_AGENT)
    machine = call.vms.machine(call.vmid)
    handle = await machine.agent("guest-file-open", {"path": call.values["file"], "mode": "rb"})
    try:
        answer = await machine.agent("guest-file-read", {"handle": handle, "count": 16 << 20})
    finally:
        await machine.agent("guest-file-close", {"handle": handle})
    content = base64.b64decode(answer["buf-b64"])
    return {"content": content.decode(errors="replace"), "bytes-read": len(content)}


@route("POST", VM + "/agent/file-write", {"file": TEXT, "content": TEXT, "encode": boolean}, ("file", "content"))
async def agent_file_write(call: Call) -> Any:
    """Write a file of the guest."""
    _need(call, *_AGENT)
    machine, text = call.vms.machine(call.vmid), call.values["content"]
    data = text if call.values.get("encode") == 0 else base64.b64encode(text.encode()).decode()
    handle = await machine.agent("guest-file-open", {"path": call.values["file"], "mode": "wb"})
    try:
        await machine.agent("guest-file-write", {"handle": handle, "buf-b64": data})
    finally:
        await machine.agent("guest-file-close", {"handle": handle})


_READ = {"network-get-interfaces", "get-osinfo", "get-fsinfo", "get-host-name", "get-time", "get-timezone", "get-users", "get-vcpus",
         "get-memory-blocks", "info"}  # fmt: skip
_WRITE = {"ping", "fsfreeze-freeze", "fsfreeze-thaw", "fsfreeze-status", "fstrim", "shutdown"}


async def _agent(call: Call, command: str) -> Any:
    _need(call, *_AGENT, "VM.Audit") if command in _READ else _need(call, *_AGENT)
    result = await call.vms.machine(call.vmid).agent(f"guest-{command}", timeout=5)
    return {"result": result}


@route("GET", VM + "/agent/{command}")
async def agent_get(call: Call) -> Any:
    """Ask the guest's agent."""
    if call.path["command"] not in _READ:
        raise ApiError(501, f"Method 'GET /nodes/{call.path['node']}/qemu/{call.vmid}/agent/{call.path['command']}' not implemented")
    return await _agent(call, call.path["command"])


@route("POST", VM + "/agent/{command}")
async def agent_post(call: Call) -> Any:
    """Tell the guest's agent."""
    if call.path["command"] not in _READ | _WRITE:
        raise ApiError(501, f"Method 'POST /nodes/{call.path['node']}/qemu/{call.vmid}/agent/{call.path['command']}' not implemented")
    return await _agent(call, call.path["command"])


@route("POST", VM + "/agent", {"command": TEXT}, ("command",))
async def agent_any(call: Call) -> Any:
    """Tell the guest's agent, the command as a parameter."""
    return await _agent(call, call.values["command"])
