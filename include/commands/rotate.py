"""`./lake rotate`: another key pair for a user, in two phases, and other credentials for root."""

import argparse
import json
import sys
import time

from include.adapters.clients import Clients
from include.adapters.rotation import as_root
from include.adapters.stream_run import ours, renew
from include.lake.errors import LakeError
from include.lake.lake import Lake, load_lake
from include.lake.root import root_rotation_of
from include.lake.rotation import KeyRotation, Report, rotation_of
from include.settings import command_line_connections

LOOK, TELL = 5, 30  # seconds between two looks, and between two lines of progress


def rotate(args: argparse.Namespace) -> int:
    """Change a user's key pair while jobs run, or root's credentials. Exits 2 while pods still use the old key: run it again to finish."""
    if args.what == "root" and (args.user or args.wait is not None):
        raise LakeError("rotate", "root's credentials", "--user and --wait are of `rotate keys`", "Leave them out")
    lake, clients = load_lake(args.file), Clients(command_line_connections(), _say)
    try:
        if args.what == "root":
            with clients.host.locked("./lake rotate root"):
                root_rotation_of(lake).rotate(clients.host, clients.keypair, as_root(clients), _say)
            print(json.dumps({"rotated": "root"}) if args.json else "Rotated: root's credentials are those of the connection 'minio_admin'.")
            return 0
        rotation = rotation_of(lake, args.user)
        with clients.host.locked("./lake rotate keys"):
            rotation.begin(clients.keypair, _say)
        report = _finish(lake, rotation, clients, 300 if args.wait is None else args.wait)
    finally:
        clients.close()
    print(json.dumps(report.as_dict(), indent=2) if args.json else "\n".join([*report.lines(ours(lake)), _last(report)]))
    return 2 if report.old else 0


def _finish(lake: Lake, rotation: KeyRotation, clients: Clients, wait: int) -> Report:
    """Look until nothing uses the old key, for so many seconds. The writers' lock is held only to revoke it."""
    deadline, told = time.monotonic() + wait, 0.0
    while True:
        report = rotation.look(clients.keypair)
        if renew(lake, clients, "./lake rotate keys", _say, report.due):
            continue
        if not report.old or report.clear or (rest := deadline - time.monotonic()) <= 0:
            break
        if time.monotonic() - told > TELL:
            told = time.monotonic()
            _say(f"waiting {rest:.0f} s at most: {_reason(report)}")
        time.sleep(min(LOOK, rest))
    if not report.clear:
        return report
    with clients.host.locked("./lake rotate keys"):
        return rotation.finish(clients.keypair)


def _reason(report: Report) -> str:
    pods = ", ".join(p.name for p in report.waiting)
    return f"the old key is used by {pods}" if pods else f"every node has the new key in {report.settles} s"


def _last(report: Report) -> str:
    return "Not finished: both keys are valid, and jobs run on. Run ./lake rotate keys again later to revoke the old one." if report.old else "Rotated."


def _say(text: str) -> None:
    print(f"  … {text}", file=sys.stderr, flush=True)
