"""The commands of `./lake` with their arguments, and what `--help` says of each."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from include.parsing import Parser, day, port, rate, seconds, share

EPILOG = """examples:
  ./lake lab up                     build and start the home lab in a box (first time about 15 minutes)
  ./lake plan                       what it would take to make the lake as include/lake.yaml declares it
  ./lake apply                      do it, after showing it
  ./lake airflow dags test lake_bootstrap
  ./lake airflow standalone         Airflow with its UI on http://127.0.0.1:8080

exit codes: 0 nothing to do, or done; 2 there are changes (plan, status); 1 an error; rotate keys: 2 while pods use the old key; usage: 2 from warn_at on;
stream status: 2 when it does not run as declared
"""
DONE = "0 done, or nothing to do; 1 an error"
# Of each command: its exit codes, and examples.
MORE: dict[str, tuple[str, tuple[str, ...]]] = {
    "plan": ("0 the lake is as declared; 2 there are changes; 1 an error, or a part could not be reached", ("plan", "plan bucket/datalake --json")),
    "apply": (f"{DONE}, or it was not approved", ("apply", "apply --yes bucket/datalake --force bucket/datalake")),
    "upgrade": (DONE, ("upgrade --snapshot",)),
    "rotate": ("0 done; 2 pods still use the old key: run it again to finish; 1 an error", ("rotate keys --user spark-user --wait 600", "rotate root")),
    "backup": (DONE, ("backup", "backup --list")),
    "restore": (DONE, ("restore --vmid 110 --address 192.0.2.30/24", "restore --vmid 110 --address dhcp --verify --sample 5%")),
    "remove": (DONE, ("remove", "remove --data bucket/datalake --yes homelake")),
    "status": ("0 the lake is as declared; 2 there are changes; 1 an error, or a part could not be reached", ("status", "status --json")),
    "usage": ("0 all below warn_at; 2 something is over it; 1 something is over fail_at, or an error", ("usage", "usage --forecast")),
    "audit": ("0 nothing is wrong; 1 a check finds something, or an error", ("audit", "audit --day 2026-05-01")),
    "stream": (f"{DONE}; status: 2 when it does not run as declared", ("stream start --simulate --rate 50", "stream files silver")),
    "history": ("130 ended by Ctrl-C; 1 an error", ("history", "history --port 0")),
    "top": ("0 ended, or printed; 1 an error, or the cluster told of no job and there are problems", ("top", "top --json")),
    "exporter": ("0 ended by Ctrl-C; 1 an error", ("exporter", "exporter --listen 192.0.2.5:9109")),
    "doctor": ("0 nothing is missing; 1 something is, or an error", ("doctor", "doctor --probe-pod")),
    "connections": ("0 printed; 1 an error", ("connections --names", "connections")),
}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command and its arguments. What the command does not have is told with its own usage, not with that of all."""
    args, unknown = parser().parse_known_args(argv)
    if unknown:
        args.parser.unknown(unknown)
    return args


def _epilog(name: str) -> str:
    codes, examples = MORE[name]
    return "\n".join(["examples:", *(f"  ./lake {words}" for words in examples), "", f"exit codes: {codes}"])


class _Commands:
    """The commands below a parser, as they are added."""

    def __init__(self, parser: Parser) -> None:
        self.below = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")

    def add(self, name: str, run: Callable[[argparse.Namespace], int], text: str, *, spec: bool = True, data: bool = True) -> Parser:
        said = " ".join((run.__doc__ or text).split("\n\n")[0].split())
        command: Parser = self.below.add_parser(name, help=text, description=said, epilog=_epilog(name))
        command.set_defaults(run=run, parser=command)
        if spec:
            command.add_argument("--file", type=Path, help="the declaration (the one HOMELAKE_FILE names, else include/lake.yaml)")
        if spec and data:
            command.add_argument("--json", action="store_true", help="print JSON")
        return command


def parser() -> Parser:
    """The whole command line. What the commands need is imported here: `--help` of the lab and of Airflow does without."""
    whole = Parser(prog="./lake", description="A data lake that builds, checks and runs itself.", epilog=EPILOG)
    commands = _Commands(whole)
    _make(commands)
    _save(commands)
    _take_down_and_look(commands)
    _payments(commands)
    _live(commands)
    _site(commands)
    commands.below.add_parser("airflow", help="run Airflow's own command with the project's environment", add_help=False)
    commands.below.add_parser("lab", help="the home lab in a box: up, down, destroy, status, doctor, env, ssh, reset", add_help=False)
    return whole


def _make(commands: _Commands) -> None:
    from include.commands import lake, rotate, upgrade

    only: dict[str, Any] = {"metavar": "RESOURCE", "nargs": "*", "help": "only these, as bucket/datalake"}
    commands.add("plan", lake.plan, "show what it would take to make the lake as declared").add_argument("only", **only)
    apply = commands.add("apply", lake.apply, "make the lake as declared")
    apply.add_argument("only", **only)
    apply.add_argument("--yes", action="store_true", help="do not ask")
    apply.add_argument("--force", metavar="RESOURCE", action="append", default=[], help="allow a change of this resource that may lose data")
    other = commands.add("upgrade", upgrade.upgrade, "put the declared MinIO in place, with the way back when it fails")
    other.add_argument("--yes", action="store_true", help="do not ask")
    other.add_argument("--snapshot", action="store_true", help="take a snapshot of the VM first; it stays until you delete it")
    change = commands.add("rotate", rotate.rotate, "another key pair for a user, or other credentials for root, with jobs unharmed")
    change.add_argument("what", choices=("keys", "root"), help="keys: a user's pair, in two phases; root: MinIO's root credentials, to those of the connection")
    change.add_argument("--user", default="", help="whose pair (the Spark jobs' user when it is left out)")
    change.add_argument("--wait", metavar="SECONDS", type=seconds, help="how long to wait until no pod uses the old key (300)")


def _save(commands: _Commands) -> None:
    from include.commands import backup

    save = commands.add("backup", backup.backup, "back the lake's VM up, its data disk included")
    modes = "hold the disks still while the VM runs (snapshot), or suspend or stop it for a moment"
    save.add_argument("--mode", choices=("snapshot", "suspend", "stop"), default="snapshot", help=modes)
    save.add_argument("--list", action="store_true", help="only list the backups of the lake's VM")
    back = commands.add("restore", backup.restore, "bring a backup back as another VM at another address, beside the original")
    back.add_argument("--vmid", type=int, required=True, help="the new VM's id, which must be free")
    back.add_argument("--address", required=True, help="the new VM's address, as 192.0.2.30/24; or dhcp")
    back.add_argument("--backup", metavar="VOLID", default="", help="which backup (Homelake's newest when it is left out)")
    back.add_argument("--verify", action="store_true", help="compare every object version with the original's, byte for byte")
    back.add_argument("--sample", metavar="PERCENT", type=share, help="with --verify: compare the bodies of only so many of them, as 5%%")


def _take_down_and_look(commands: _Commands) -> None:
    from include.commands import lake, remove, usage

    down = commands.add("remove", remove.take_down, "take down what Homelake made; the data stay unless they are named")
    named = "delete these data as well: bucket/NAME, topic/NAME, filesystem/SLOT or vm-disk/VMID/SLOT"
    down.add_argument("--data", metavar="RESOURCE", action="append", default=[], help=named)
    down.add_argument("--yes", metavar="NAME", help="do not ask; NAME is the lake's name")
    commands.add("status", lake.status, "say in one line for each resource how it stands")
    full = commands.add("usage", usage.usage, "say how full buckets and volume are")
    full.add_argument("--forecast", action="store_true", help="also how fast they grow and when they are full, from the history that lake_governance keeps in Airflow")  # fmt: skip


def _payments(commands: _Commands) -> None:
    from include.commands import audit, stream
    from include.lake.stream_log import TABLES

    held = commands.add("audit", audit.run, "hold the payments in the lake against Kafka, and against themselves")
    one = "only this day (UTC): events by their own time, records by Kafka's; nothing else is read than what they are held against"
    held.add_argument("--day", metavar="YYYY-MM-DD", type=day, help=one)
    flow = commands.add("stream", stream.stream, "the stream of payments from Kafka into the lake: declare, start, status, stop, files")
    flow.description = "\n".join(line.strip() for line in (stream.stream.__doc__ or "").strip().splitlines())
    flow.add_argument("what", choices=("declare", "start", "status", "stop", "files"), help="see above")
    flow.add_argument("table", nargs="?", help=f"of files: {', '.join(TABLES)}")
    flow.add_argument("--simulate", action="store_true", help="of start, in the lab: invented payments into its Kafka, which go on where they were")
    flow.add_argument("--rate", metavar="N", type=rate, help="of start --simulate: payments a second (200, or those of the stream that is there)")


def _live(commands: _Commands) -> None:
    from include.commands import exporter, history, top

    records = commands.add("history", history.history, "Spark's history server on the jobs' records in the lake")
    records.add_argument("--port", type=port, default=18080, help="on 127.0.0.1 (18080)")
    live = commands.add("top", top.top, "what Spark jobs use, live in the terminal")
    live.add_argument("--once", action="store_true", help="print one table and end")
    scraped = commands.add("exporter", exporter.exporter, "the same figures for a Prometheus, without Airflow", data=False)
    scraped.add_argument("--listen", metavar="ADDRESS:PORT", default="127.0.0.1:9109", help="where to serve /metrics (127.0.0.1:9109)")
    for command in (live, scraped):
        command.add_argument("--all-namespaces", action="store_true", help="of the whole cluster, not of the declared namespace alone")


def _site(commands: _Commands) -> None:
    from include.commands import lake

    doctor = commands.add("doctor", lake.doctor, "look at a real site before a bootstrap: connections, privileges, cluster")
    doctor.add_argument("--probe-pod", action="store_true", help="start one short-lived pod, to see whether pods reach MinIO")
    known = commands.add("connections", lake.print_connections, "print AIRFLOW_CONN_… lines, secrets included, for Astro's .env", spec=False)
    known.add_argument("--names", action="store_true", help="only what each connection leads to, without secrets")
