"""`./lake remove`: take down what Homelake made, in the reverse order. The data stay unless they are named."""

import argparse
import json
import sys
import time
from collections.abc import Iterator

from include.adapters.clients import Clients
from include.commands.ask import ask
from include.lake.errors import LakeError
from include.lake.lake import Lake, load_lake
from include.lake.remove import Removal, look, refuse, remove, scope
from include.settings import command_line_connections


def take_down(args: argparse.Namespace) -> int:
    """Take down what Homelake made, after showing it. Buckets, filesystem and disk stay unless --data names them; the VM always stays."""
    lake, clients = load_lake(args.file), Clients(command_line_connections(), _say)
    name = lake.spec.name
    if args.yes and args.yes != name:
        raise LakeError("remove", f"the lake {args.yes}", f"the lake that is declared is {name}", f"Run it with --yes {name}")
    try:
        removal = look(lake, scope(lake, args.data), clients)
        if not args.json:
            print(*(f"{line}\n" for line in _plan(lake, removal)), sep="", end="", flush=True)
        refuse(lake, removal, clients)
        gone = list[str]()
        if removal.goes or removal.noted:
            if removal.goes and not args.yes:
                ask("remove", f"the lake {name}", f"Type the lake's name, {name}, to go on: ", name, f"--yes {name}")
            with clients.host.locked("./lake remove"):
                refuse(lake, removal, clients)  # once more: now nobody else writes
                gone = list(_take(lake, removal, clients, quiet=args.json))
    finally:
        clients.close()
    print(json.dumps({"removed": gone, "stays": removal.stays}, indent=2) if args.json else _told(lake, gone, removal))
    return 0


def _take(lake: Lake, removal: Removal, clients: Clients, *, quiet: bool) -> Iterator[str]:
    began = time.monotonic()
    for resource in remove(lake, removal, clients):
        if not quiet:
            print(f"- {resource}  ({time.monotonic() - began:.1f} s)", flush=True)
        began = time.monotonic()
        yield resource


def _plan(lake: Lake, removal: Removal) -> Iterator[str]:
    disk = {lake.vm_disk.id, lake.filesystem.id}
    for resource in removal.goes:
        with_it = f"  with {', '.join(removal.scope.covered)}" if resource.id in disk and removal.scope.covered else ""
        yield f"- {resource.id}{with_it}"
    for name, why in removal.stays.items():
        yield f"= {name}  stays: {why}"
    if removal.goes:
        yield f"Removes {len(removal.goes)}, {len(removal.stays)} stay. VM {lake.spec.vm.vmid} itself is never removed."


def _told(lake: Lake, gone: list[str], removal: Removal) -> str:
    if gone:
        return f"Removed {len(gone)}."
    return f"There is nothing left of {lake.spec.name}" + (" but what stays." if removal.stays else ".")


def _say(text: str) -> None:
    print(f"  … {text}", file=sys.stderr, flush=True)
