"""The commands of `./lake` that concern the lake itself."""

import argparse
import json
import sys
import time
from typing import Any

from include.adapters.clients import Clients
from include.connections import Connection, from_environment, without_login
from include.lake.contradictions import contradictions
from include.lake.errors import LakeError
from include.lake.lake import Lake, load_lake
from include.lake.resource import Outcome, Resource, ensure
from include.lake.spec import LakeSpec
from include.lake.survey import Finding, Status, survey
from include.render import MARKS, lines_of, plan_lines, summary
from include.settings import airflow_environment, command_line_connections, connections, site_facts


def plan(args: argparse.Namespace) -> int:
    """Show what it would take to make the lake as declared. Reads only. Exits 0 (nothing to do), 2 (changes), 1 (error)."""
    lake, findings, lacking = _look(args)
    if args.json:
        print(json.dumps([f.as_dict() for f in findings], indent=2, ensure_ascii=False))
    else:
        for finding in findings:
            print(*lines_of(finding), sep="\n", end="\n" if finding.status is not Status.OK else "")
        print(summary(findings))
    warn(lake.spec)
    if lacking:
        print(lacking, file=sys.stderr)
    return _code(findings)


def warn(spec: LakeSpec) -> None:
    """Say on standard error what the declaration says against itself: no error, since each part of it can be made."""
    for contradiction in contradictions(spec):
        print(f"Contradiction in {contradiction}", file=sys.stderr)


def status(args: argparse.Namespace) -> int:
    """Say in one line for each resource how it stands. Exits as plan does."""
    _, findings, _ = _look(args)
    if args.json:
        print(json.dumps({f.resource_id: str(f.status) for f in findings}, indent=2))
    else:
        for f in findings:
            print(f"{f.resource_id:34} {f.error or (', '.join(sorted(f.plan.fields())) + ' differs' if f.plan else f.status)}")
    return _code(findings)


def apply(args: argparse.Namespace) -> int:
    """Make the lake as declared, after showing what that means. A second run changes nothing."""
    lake, clients = load_lake(args.file), Clients(command_line_connections(), _say)
    chosen = _choose(lake.resources(), args.only)
    try:
        findings = survey(chosen, clients)
        warn(lake.spec)
        _approve(findings, args, _lacking(lake, findings, clients))
        # Nothing to change: nobody is locked out, and nothing is looked at twice.
        outcomes = _make(chosen, clients, args) if _code(findings) else [Outcome(f.plan, applied=False) for f in findings]
    finally:
        clients.close()
    changed = sum(o.applied for o in outcomes)
    print(
        json.dumps([o.as_dict() for o in outcomes], indent=2, ensure_ascii=False)
        if args.json
        else f"Applied: {changed} changed, {len(outcomes) - changed} as declared."
    )
    return 0


def _make(chosen: tuple[Resource[Any, Any], ...], clients: Clients, args: argparse.Namespace) -> list[Outcome]:
    outcomes = []
    with clients.host.locked("./lake apply"):
        for resource in chosen:
            began = time.monotonic()
            outcome = ensure(resource, clients(resource.part), force=args.force)
            outcomes.append(outcome)
            if not args.json and (outcome.applied or outcome.plan.pending):
                took = f"({time.monotonic() - began:.1f} s)"
                print(f"{MARKS.get(outcome.plan.action, '…')} {resource.id}  {took}", *plan_lines(outcome.plan), sep="\n", flush=True)
    return outcomes


def _approve(findings: list[Finding], args: argparse.Namespace, lacking: LakeError | None) -> None:
    if not args.json:
        for finding in findings:
            print(*lines_of(finding), sep="\n", end="\n" if finding.status is not Status.OK else "")
        print(summary(findings), flush=True)
    if lacking:
        raise lacking  # before the disk is made, and not after
    if _code(findings) == 0 or args.yes:
        return
    if not sys.stdin.isatty():
        raise LakeError("apply", "the plan", "nobody is there to approve it", "Run it with --yes")
    print("Apply it? Only 'yes' goes on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != "yes":
        raise LakeError("apply", "the plan", "it was not approved")


def print_connections(args: argparse.Namespace) -> int:
    """Print the connections of the site in use as AIRFLOW_CONN_… lines, secrets included (Astro's .env takes them)."""
    facts = site_facts()
    find = from_environment(airflow_environment(facts))  # what the environment gives wins here as well
    for name in connections(facts):
        connection = find(name)
        if args.names:
            print(f"{name:20} {connection.type:12} {_place(connection)}")
        else:
            quoted = connection.as_json().replace("'", "\\u0027")  # JSON's own escape, so that the quotes around it hold
            print(f"AIRFLOW_CONN_{name.upper()}='{quoted}'")
    return 0


def _place(connection: Connection) -> str:
    keys = ("endpoint_url", "kube_config_path", "bootstrap.servers")
    return without_login(connection.host or next((place for key in keys if (place := connection.option(key))), ""))


def doctor(args: argparse.Namespace) -> int:
    """Look at a real site before a bootstrap, and say what to do about what is missing. Reads only, unless --probe-pod is given."""
    from include.doctor import examine

    lake, clients = load_lake(args.file), Clients(command_line_connections(), _say)
    try:
        findings = list(examine(lake, clients, probe_pod=args.probe_pod))
    finally:
        clients.close()
    if args.json:
        print(json.dumps([{"what": f.what, "problem": f.problem, "remedy": f.remedy if f.problem else ""} for f in findings], indent=2, ensure_ascii=False))
    else:
        for f in findings:
            print(f"✗ {f.what}: {f.problem}. {f.remedy}" if f.problem else f"✓ {f.what}")
    return 1 if any(f.problem for f in findings) else 0


def _look(args: argparse.Namespace) -> tuple[Lake, list[Finding], LakeError | None]:
    """The lake as its file declares it at this moment, which is read once, how it stands, and what is lacking here to make it so."""
    lake, clients = load_lake(args.file), Clients(command_line_connections(), _say)
    try:
        findings = survey(_choose(lake.resources(), getattr(args, "only", [])), clients)
        return lake, findings, _lacking(lake, findings, clients)
    finally:
        clients.close()


def _lacking(lake: Lake, findings: list[Finding], clients: Clients) -> LakeError | None:
    """Why the program that the findings say is still to be made cannot be made on this machine."""
    try:
        for finding in findings:
            if finding.plan and finding.resource_id == lake.minio_binary.id:
                lake.minio_binary.makeable(finding.plan, clients.host)
    except LakeError as error:
        return error
    return None


def _choose(resources: tuple[Resource[Any, Any], ...], only: list[str]) -> tuple[Resource[Any, Any], ...]:
    if unknown := set(only) - {r.id for r in resources}:
        raise LakeError("find", ", ".join(sorted(unknown)), "the declaration has no such resource", f"It has {', '.join(r.id for r in resources)}")
    return tuple(r for r in resources if not only or r.id in only)


def _code(findings: list[Finding]) -> int:
    if any(f.error for f in findings):
        return 1
    return 2 if any(f.status in (Status.CHANGES, Status.LATER) for f in findings) else 0


def _say(text: str) -> None:
    print(f"  … {text}", file=sys.stderr, flush=True)
