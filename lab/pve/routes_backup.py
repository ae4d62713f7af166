"""Calls that back VMs up."""

import re
from typing import Any

from lab.pve import archives, vzdump
from lab.pve.errors import bad_parameters, failed, not_covered
from lab.pve.routes_storage import may_backup
from lab.pve.schema import STORAGE, TEXT, Check, boolean, choice, integer, string
from lab.pve.server import Call, route
from lab.pve.tasks import Task

VZDUMP = "/nodes/{node}/vzdump"
_ROOT_ONLY = ("dumpdir", "script", "tmpdir")
_UNCOVERED = ("all", "pool", "exclude", "exclude-path", "fleecing", "performance", "stop", "job-id", "pbs-change-detection-mode", *_ROOT_ONLY)
# What changes nothing here: who is written to, and how hard the node may work.
_WITHOUT_EFFECT: dict[str, Check] = {"quiet": boolean, "stdexcludes": boolean, "mailto": TEXT, "mailnotification": choice("always", "failure"),
                                     "notification-mode": choice("auto", "legacy-sendmail", "notification-system"), "ionice": integer(0, 8),
                                     "lockwait": integer(0), "pigz": integer(), "zstd": integer()}  # fmt: skip
_RETENTION = ("keep-all", "keep-last", "keep-hourly", "keep-daily", "keep-weekly", "keep-monthly", "keep-yearly")


def _retention(value: object) -> dict[str, int]:
    """`keep-last=3,…` as numbers by name."""
    kept: dict[str, int] = {}
    for item in filter(None, str(TEXT(value)).split(",")):
        name, _, number = item.partition("=")
        if name not in _RETENTION:
            raise ValueError(f"invalid format - invalid key in comma-separated list property: {name}")
        if not number.isdecimal():
            raise ValueError(f"invalid format - type check ('integer') failed - got '{number}'")
        kept[name] = int(number)
    return kept


_PARAMETERS: dict[str, Check] = {
    **dict.fromkeys(_UNCOVERED, TEXT), **_WITHOUT_EFFECT, "vmid": string(r"\d+([,;\s]+\d+)*"), "storage": STORAGE,
    "mode": choice("snapshot", "suspend", "stop"), "compress": choice("0", "1", "gzip", "lzo", "zstd"), "bwlimit": integer(0),
    "notes-template": string(r"[\s\S]*", 1024), "protected": boolean, "remove": boolean, "prune-backups": _retention, "stopwait": integer(0),
}  # fmt: skip


@route("POST", VZDUMP, _PARAMETERS)
async def backup(call: Call) -> Any:
    """Back a VM up, as a task."""
    given, who = call.values, call.who
    for name in _ROOT_ONLY:
        if name in given and not who.root:
            raise bad_parameters({name: "Only root may set this option."})
    if any(given.get(name) for name in ("bwlimit", "performance", "ionice")):
        who.need("/", "Sys.Modify")
    if uncovered := [name for name in _UNCOVERED if name in given]:
        raise not_covered(f"'{uncovered[0]}' of a backup")
    ids = [int(n) for n in re.split(r"[,;\s]+", given.get("vmid", "")) if n]
    if not ids:
        raise failed("you must specify 'vmid', 'all' or 'pool'")
    if len(ids) > 1:
        raise not_covered("a backup of several VMs at once")
    who.need(f"/vms/{ids[0]}", "VM.Backup")
    storage = call.vms.storages.check(given.get("storage", "local"))
    who.need(f"/storage/{storage}", "Datastore.AllocateSpace")
    kept = given.get("prune-backups", {})
    if kept:
        who.need(f"/storage/{storage}", "Datastore.Allocate")
    if later := [name for name in kept if name not in ("keep-all", "keep-last")]:
        raise not_covered(f"'{later[0]}' of prune-backups")
    compress = given.get("compress", "0")
    archives.new(call.vms.storages, storage, ids[0], compress, 0)  # raises where this cannot be
    wanted = vzdump.Wanted(storage, given.get("mode", "snapshot"), compress, given.get("notes-template", ""), bool(given.get("protected")),
                           bool(given.get("remove", 1)), 0 if kept.get("keep-all") else kept.get("keep-last", 0), given.get("bwlimit", 0), given.get("stopwait", 10))  # fmt: skip

    async def work(task: Task) -> None:
        await vzdump.backup(call.vms, ids[0], wanted, task)

    return call.task("vzdump", work, ids[0])


@route("GET", VZDUMP + "/extractconfig", {"volume": TEXT}, ("volume",))
async def extract(call: Call) -> Any:
    """The configuration in a backup, as text."""
    archive = archives.find(call.vms.storages, call.values["volume"])
    if archive is None:
        raise failed(f"unable to parse volume filename '{call.values['volume']}'")
    may_backup(call, archive)
    return await archive.settings()
