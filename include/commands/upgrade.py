"""`./lake upgrade`: another program in MinIO's place, proven, with the way back."""

import argparse
import json
import sys
from collections.abc import Iterator

from include.adapters.clients import Clients
from include.adapters.upgrade import snapshot_name, take_snapshot, upgrade_of
from include.commands.ask import ask
from include.lake.lake import Lake, load_lake
from include.lake.upgrade import Standing, Upgrade, short
from include.settings import command_line_connections


def upgrade(args: argparse.Namespace) -> int:
    """Put the declared MinIO in place, prove that the lake works with it, and put the one before back when it does not."""
    lake, clients = load_lake(args.file), Clients(command_line_connections(), _say)
    try:
        work = upgrade_of(lake, clients, _say)
        standing = work.look()
        snapshot = snapshot_name() if args.snapshot and standing.installed != standing.wanted and not standing.trial else ""
        if standing.todo:
            if not args.json:
                print(*_plan(lake, standing, snapshot), sep="\n", flush=True)
            if not args.yes:
                ask("upgrade", work.binary.id, "Go on? Only 'yes' does: ", "yes", "--yes")
            with clients.host.locked("./lake upgrade"):
                _do(lake, clients, work, snapshot)
        after = work.look()
    finally:
        clients.close()
    done = {"before": standing.installed, "after": after.installed, "changed": standing.todo, "snapshot": snapshot or None}
    print(json.dumps(done, indent=2) if args.json else _told(after, standing, snapshot))
    return 0


def _do(lake: Lake, clients: Clients, work: Upgrade, snapshot: str) -> None:
    work.settle()
    if not work.look().todo:
        return
    sha256 = work.prepare()
    if snapshot:
        take_snapshot(lake, clients, snapshot, _say)
    work.exchange(sha256)


def _plan(lake: Lake, standing: Standing, snapshot: str) -> Iterator[str]:
    yield f"~ {lake.minio_binary.id}"
    yield f"    program: {standing}"
    yield f"    declared: {lake.minio_binary.source}"
    yield f"    snapshot of VM {lake.spec.vm.vmid}: {snapshot or 'none (--snapshot takes one)'}"
    yield "MinIO is restarted once, and once more if the new program fails and the one before comes back."


def _told(after: Standing, before: Standing, snapshot: str) -> str:
    if not before.todo:
        return f"Nothing to do: {after}."
    kept = f" The snapshot {snapshot} stays; delete it in Proxmox VE once you do not want it any more." if snapshot else ""
    return f"Upgraded: {short(before.installed)} → {short(after.installed)}, proven.{kept}" if before.installed != after.installed else f"Done: {after}.{kept}"


def _say(text: str) -> None:
    print(f"  … {text}", file=sys.stderr, flush=True)
