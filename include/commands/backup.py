"""`./lake backup` and `./lake restore`: the lake's VM saved, and brought back beside the original, with the proof that nothing is missing."""

import argparse
import json
import sys
from datetime import datetime

from include.adapters.clients import Clients
from include.adapters.restored import prove
from include.adapters.restored import restore as restore_vm
from include.lake.backup import Backup, Keeping
from include.lake.errors import LakeError
from include.lake.lake import load_lake
from include.settings import command_line_connections


def backup(args: argparse.Namespace) -> int:
    """Back the lake's VM up with Proxmox VE's vzdump, its data disk included, and remove Homelake's own backups beyond backup.keep."""
    lake, clients = load_lake(args.file), Clients(command_line_connections(), _say)
    keeping = Keeping.of(lake.spec)
    try:
        if args.list:
            found = sorted(clients.backups.backups(keeping.node, keeping.storage, keeping.vmid), key=lambda b: b.made)
            print(json.dumps([b.as_dict() for b in found], indent=2) if args.json else "\n".join(map(_line, found)) or "There is no backup yet.")
            return 0
        made = keeping.back_up(clients.backups, args.mode, _say)
        removed = keeping.prune(clients.backups, _say)
    finally:
        clients.close()
    print(json.dumps(made.as_dict() | {"removed": removed}, indent=2) if args.json else f"Backed up: {_line(made)}")
    return 0


def _line(backup: Backup) -> str:
    whose = f"lake {backup.lake}, declaration {backup.declaration}" if backup.lake else "not made by Homelake"
    return f"{backup.volid}  {datetime.fromtimestamp(backup.made):%F %T}  {backup.size / 2**20:.0f} MiB  {whose}{', protected' if backup.protected else ''}"


def restore(args: argparse.Namespace) -> int:
    """Restore a backup to a new VM at another address; the original is only read. Run again, it goes on where it was stopped."""
    if args.sample is not None and not args.verify:
        raise LakeError("restore", "a backup", "--sample says how much --verify compares, and --verify is not given", "Add --verify, or leave --sample out")
    lake, clients = load_lake(args.file), Clients(command_line_connections(), _say)
    try:
        done = restore_vm(lake, clients, args.vmid, args.address, args.backup, _say).as_dict()
        report = prove(clients, done, _say, 1.0 if args.sample is None else args.sample) if args.verify else None
    finally:
        clients.close()
    if args.json:
        print(json.dumps(done | {"proof": report.as_dict() if report else None}, indent=2))
        return 0
    print(f"Restored: VM {done['vmid']} answers at {done['address']}, from {done['backup']}.")
    print(f"Proven: {report}." if report else "Not compared with the original: --verify does that.")
    return 0


def _say(text: str) -> None:
    print(f"  … {text}", file=sys.stderr, flush=True)
