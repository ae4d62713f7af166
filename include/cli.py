"""`./lake`: plan, apply and watch a lake from the command line; start its Airflow; run the home lab."""

import argparse
import os
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import NoReturn

from include.lake.errors import LakeError

EPILOG = """examples:
  ./lake lab up                     build and start the home lab in a box (first time about 15 minutes)
  ./lake plan                       what it would take to make the lake as include/lake.yaml declares it
  ./lake apply                      do it, after showing it
  ./lake airflow dags test lake_bootstrap
  ./lake airflow standalone         Airflow with its UI on http://127.0.0.1:8080

exit codes: 0 nothing to do, or done; 2 there are changes (plan, status); 1 an error; rotate keys: 2 while pods use the old key; usage: 2 from warn_at on;
stream status: 2 when it does not run as declared
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit code is returned."""
    argv = sys.argv[1:] if argv is None else argv
    # These two take their own arguments, `--help` among them.
    if argv[:1] == ["lab"]:
        os.execv(sys.executable, [sys.executable, "-m", "lab", *argv[1:]])
    try:
        if argv[:1] == ["airflow"]:
            from include.run_airflow import run_airflow

            return run_airflow(argv[1:])
        args = _parser().parse_args(argv)
        return int(args.run(args))
    except LakeError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. What was done stays; run again to go on.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


class _Parser(argparse.ArgumentParser):
    """A wrong argument is an error, 1: argparse's own 2 would say that there are changes."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(1, f"Unable to run {self.prog}: {message}. See {self.prog} --help.\n")


def _seconds(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return int(text)


def _share(text: str) -> float:
    from include.lake.units import Percent

    try:
        return Percent.parse(text.rstrip("% ") + " %")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return rate


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day, as 2026-05-01") from None


def _stream_options(command: argparse.ArgumentParser) -> None:
    from include.commands.stream import stream

    lines = [line.strip() for line in (stream.__doc__ or "").strip().splitlines()]
    command.formatter_class, command.description = argparse.RawDescriptionHelpFormatter, "\n".join(lines)
    command.add_argument("what", choices=("declare", "start", "status", "stop", "files"), help="see above")
    command.add_argument("table", nargs="?", help="of files: bronze, silver, dead or figures")
    command.add_argument("--simulate", action="store_true", help="of start, in the lab: invented payments into its Kafka, which go on where they were")
    command.add_argument("--rate", metavar="N", type=_rate, help="of start --simulate: payments a second (200, or those of the stream that is there)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="./lake", description="A data lake that builds, checks and runs itself.", epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    from include.commands import audit as a
    from include.commands import backup as b
    from include.commands import lake as c
    from include.commands import rotate as r
    from include.commands import stream as s
    from include.commands import upgrade as u
    from include.commands.remove import take_down
    from include.commands.usage import usage as say_usage

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str, *, spec: bool = True, data: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=(run.__doc__ or text).split("\n\n")[0])
        command.set_defaults(run=run)
        if spec:
            command.add_argument("--file", type=Path, help="the declaration (the one HOMELAKE_FILE names, else include/lake.yaml)")
        if spec and data:
            command.add_argument("--json", action="store_true", help="print JSON")
        return command

    only = {"metavar": "RESOURCE", "nargs": "*", "help": "only these, as bucket/datalake"}
    add("plan", c.plan, "show what it would take to make the lake as declared").add_argument("only", **only)  # type: ignore[arg-type]
    apply = add("apply", c.apply, "make the lake as declared")
    apply.add_argument("only", **only)  # type: ignore[arg-type]
    apply.add_argument("--yes", action="store_true", help="do not ask")
    apply.add_argument("--force", metavar="RESOURCE", action="append", default=[], help="allow a change of this resource that may lose data")
    upgrade = add("upgrade", u.upgrade, "put the declared MinIO in place, with the way back when it fails")
    upgrade.add_argument("--yes", action="store_true", help="do not ask")
    upgrade.add_argument("--snapshot", action="store_true", help="take a snapshot of the VM first; it stays until you delete it")
    change = add("rotate", r.rotate, "another key pair for a user, or other credentials for root, with jobs unharmed")
    change.add_argument("what", choices=("keys", "root"), help="keys: a user's pair, in two phases; root: MinIO's root credentials, to those of the connection")
    change.add_argument("--user", default="", help="whose pair (the Spark jobs' user when it is left out)")
    change.add_argument("--wait", metavar="SECONDS", type=_seconds, help="how long to wait until no pod uses the old key (300)")
    save = add("backup", b.backup, "back the lake's VM up, its data disk included")
    save.add_argument(
        "--mode",
        choices=("snapshot", "suspend", "stop"),
        default="snapshot",
        help="hold the disks still while the VM runs (snapshot), or suspend or stop it for a moment",
    )
    save.add_argument("--list", action="store_true", help="only list the backups of the lake's VM")
    back = add("restore", b.restore, "bring a backup back as another VM at another address, beside the original")
    back.add_argument("--vmid", type=int, required=True, help="the new VM's id, which must be free")
    back.add_argument("--address", required=True, help="the new VM's address, as 192.0.2.30/24; or dhcp")
    back.add_argument("--backup", metavar="VOLID", default="", help="which backup (Homelake's newest when it is left out)")
    back.add_argument("--verify", action="store_true", help="compare every object version with the original's, byte for byte")
    back.add_argument("--sample", metavar="PERCENT", type=_share, default=1.0, help="compare the bodies of only so many of them, as 5%%")
    down = add("remove", take_down, "take down what Homelake made; the data stay unless they are named")
    down.add_argument(
        "--data",
        metavar="RESOURCE",
        action="append",
        default=[],
        help="delete these data as well: bucket/NAME, topic/NAME, filesystem/SLOT or vm-disk/VMID/SLOT",
    )
    down.add_argument("--yes", metavar="NAME", help="do not ask; NAME is the lake's name")
    add("status", c.status, "say in one line for each resource how it stands")
    add("usage", say_usage, "say how full buckets and volume are").add_argument("--forecast", action="store_true",
        help="also how fast they grow and when they are full, from the history that lake_governance keeps in Airflow")  # fmt: skip
    add("audit", a.run, "hold the payments in the lake against Kafka, and against themselves").add_argument(
        "--day", metavar="YYYY-MM-DD", type=_day, help="of the events only those of this day (event time, UTC); records are always all of them")  # fmt: skip
    _stream_options(add("stream", s.stream, "the stream of payments from Kafka into the lake: declare, start, status, stop, files"))
    from include.commands.history import history

    add("history", history, "Spark's history server on the jobs' records in the lake").add_argument(
        "--port", type=int, default=18080, help="on 127.0.0.1 (18080)"
    )
    from include.commands.exporter import exporter
    from include.commands.top import top

    live = add("top", top, "what Spark jobs use, live in the terminal")
    live.add_argument("--once", action="store_true", help="print one table and end")
    scraped = add("exporter", exporter, "the same figures for a Prometheus, without Airflow", data=False)
    scraped.add_argument("--listen", metavar="ADDRESS:PORT", default="127.0.0.1:9109", help="where to serve /metrics (127.0.0.1:9109)")
    for command in (live, scraped):
        command.add_argument("--all-namespaces", action="store_true", help="of the whole cluster, not of the declared namespace alone")
    doctor = add("doctor", c.doctor, "look at a real site before a bootstrap: connections, privileges, cluster")
    doctor.add_argument("--probe-pod", action="store_true", help="start one short-lived pod, to see whether pods reach MinIO")
    connections = add("connections", c.print_connections, "print AIRFLOW_CONN_… lines, secrets included, for Astro's .env", spec=False)
    connections.add_argument("--names", action="store_true", help="only what each connection leads to, without secrets")
    commands.add_parser("airflow", help="run Airflow's own command with the project's environment", add_help=False)
    commands.add_parser("lab", help="the home lab in a box: up, down, destroy, status, doctor, env, ssh, reset", add_help=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
