"""`./lake stream`: start the stream of payments, look at it, end it, and list what is in its tables."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from include.adapters.clients import Clients
from include.adapters.simulation import Simulation
from include.adapters.stream_log import StreamLog
from include.adapters.stream_run import bring, stream_of
from include.declare import declare_stream
from include.lake.errors import LakeError
from include.lake.lake import Lake, load_lake
from include.lake.resource import ensure, plan
from include.lake.resources.stream import HALTED
from include.lake.spec import LAKE_FILE
from include.lake.stream import NAME
from include.lake.stream_log import LOGS, TABLES, QueryLog, behind
from include.settings import ROOT, command_line_connections

NOTES = ROOT / ".lab" / "simulator"  # longer than any lab's name
AGAIN = "The DAG payments_stream, where it is not paused, starts it again within ten minutes."


def stream(args: argparse.Namespace) -> int:
    """Run the stream of payments from Kafka into the lake.

    declare   take the stream into the declaration, where it is shipped behind marks
    start     make topics and stream as declared; with --simulate also payments, in the lab
    status    how far it is, and how far behind Kafka; exits 2 when it does not run as declared
    stop      end the simulator, then the stream at a batch boundary; what is in the lake and the checkpoint stay
    files     the files of one table, one a line: exactly what a reader is to read at this moment
    """
    if (args.table is not None) != (args.what == "files"):
        raise LakeError("run", f"stream {args.what}", "a table is named with `files`, and only there", f"Tables are {', '.join(TABLES)}")
    if args.what != "start" and (args.simulate or args.rate is not None):
        raise LakeError("run", f"stream {args.what}", "--simulate and --rate are of `start`", "Leave them out")
    if args.what == "declare":
        return declare(args)
    lake, clients = load_lake(args.file), Clients(command_line_connections(), _say)
    commands: dict[str, Callable[[argparse.Namespace, Lake, Clients], int]] = {"start": start, "status": status, "stop": stop, "files": files}
    try:
        stream_of(lake)
        return commands[args.what](args, lake, clients)
    finally:
        clients.close()


def declare(args: argparse.Namespace) -> int:
    """Take the marks away from the declaration. Whatever has no mark stays byte for byte, and a link stays one."""
    path = args.file or Path(os.environ.get("HOMELAKE_FILE") or LAKE_FILE)
    changed = declare_stream(path)
    print(json.dumps({"file": str(path), "changed": changed}) if args.json else
          f"{path} declares the stream{' now. ./lake plan shows what that changes, ./lake apply makes it' if changed else ' already'}.")  # fmt: skip
    return 0


def start(args: argparse.Namespace, lake: Lake, clients: Clients) -> int:
    """Topics, then the stream, then payments if they are asked for."""
    if args.simulate and (os.environ.get("HOMELAKE_SITE") or (ROOT / "site.env").is_file()):
        raise LakeError("simulate", "payments", "a real site is in use, and invented payments belong into the lab's Kafka", "Run python -m simulator yourself: docs/how-to/simulate-payments.md")  # fmt: skip
    if any(plan(topic, clients.kafka)[0] for topic in lake.topics):
        with clients.host.locked("./lake stream start"):
            changed = [topic.id for topic in lake.topics if ensure(topic, clients.kafka).applied]
    else:
        changed = []
    outcome = bring(lake, clients, "./lake stream start", _say)
    changed += [outcome.plan.resource_id] if outcome.applied else []
    pid = _simulate(args, lake, clients) if args.simulate else None
    if args.json:
        print(json.dumps({"changed": changed, "simulator": pid}, indent=2))
    else:
        namespace = lake.spec.kubernetes.namespace
        print(f"{NAME} runs as declared." + (f" Changed: {', '.join(changed)}." if changed else ""), *([f"The simulator runs (process {pid})."] if pid else []),
              "Look at it:", "  ./lake stream status", f"  kubectl -n {namespace} logs -f {NAME}-driver", sep="\n")  # fmt: skip
    return 0


def _simulate(args: argparse.Namespace, lake: Lake, clients: Clients) -> int:
    from include.adapters.kafka import options

    topic = stream_of(lake).payments.topic
    partitions = next((t.desired.partitions for t in lake.topics if t.name == topic and t.desired), 6)
    return Simulation(NOTES).start(options(clients.connections("kafka_default")), topic, partitions, args.rate, _say)


def stop(args: argparse.Namespace, lake: Lake, clients: Clients) -> int:
    """The simulator first, so that nothing comes in behind the last batch unasked."""
    simulated = Simulation(NOTES).stop()
    outcome = bring(lake, clients, "./lake stream stop", _say, run=False)
    done = {"simulator": simulated, "stream": outcome.applied}
    said = "Ended at a batch boundary; the lake and the checkpoint are as it left them." if outcome.applied else "No stream was there."
    print(json.dumps(done) if args.json else f"{'The simulator has ended. ' if simulated else ''}{said} {AGAIN}")
    return 0


def status(args: argparse.Namespace, lake: Lake, clients: Clients) -> int:
    """Application, simulator, queries, lag. Reads only."""
    declared = stream_of(lake)
    looked = plan(declared, clients.streams)
    todo, observed = looked
    attempts, since = clients.streams.attempts(declared.where.namespace)
    stands = clients.streams.halted(declared.where.namespace)
    ends = clients.kafka.end_offsets(declared.payments.topic)
    reader, now = StreamLog(clients.connections("lake_s3"), declared.payments.path), time.time() * 1000
    found: dict[str, Any] = {
        "stream": {"application": NAME, "phase": observed.phase if observed else None, "state": clients.streams.at_work(declared.where.namespace) or None,
                   "driver": f"{NAME}-driver" if observed else None, "differs": sorted(todo.fields()) if observed else [], "starts": attempts,
                   "seconds": round(since), "halted": asdict(stands) if stands else None},
        "simulator": Simulation(NOTES).pid(),
        "queries": [_query(reader.read(q), now, ends) for q in LOGS],
    }  # fmt: skip
    print(json.dumps(found, indent=2) if args.json else "\n".join(_lines(found)))
    return 2 if todo else 0


def _query(log: QueryLog, now: float, ends: dict[int, int] | None) -> dict[str, Any]:
    last, rate = log.last(), log.rate()
    age = None if last is None or last[1] is None else round((now - last[1]) / 1000, 1)
    return {"query": log.query, "batch": last[0] if last else None, "age": age, "rate": None if rate is None else round(rate, 1),
            "counts": log.counts(), "behind": None if ends is None else behind(log.offsets(), ends)}  # fmt: skip


def _lines(found: dict[str, Any]) -> Iterator[str]:
    s = found["stream"]
    if s["phase"] is None:
        yield f"{NAME}: there is none; ./lake stream start begins it"
    else:
        differs = f", not as declared ({', '.join(s['differs'])})" if s["differs"] else ", as declared"
        yield f"{NAME}: {s['state'] or s['phase']}{differs}; driver {s['driver']}, started {s['starts']} times, the last {s['seconds']:,} s ago"
    if h := s["halted"]:
        now = "; ./lake stream start does it now" if s["phase"] == HALTED else ""
        yield f"no driver is at work since {h['seconds']:,} s: {h['error']}. The spark-operator tries again in {h['again']:,} s{now}"
    yield f"simulator: process {found['simulator']}" if found["simulator"] else "simulator: does not run"
    for q in found["queries"]:
        if q["batch"] is None:
            yield f"{q['query']}: no batch yet"
            continue
        age = "" if q["age"] is None else f", committed {q['age']:,} s ago"
        rate = "" if q["rate"] is None else f"; {q['rate']:,} records/s over the last minute of it"
        counts = ", ".join(f"{n:,} {name}" for name, n in q["counts"].items())
        lag = "" if q["behind"] is None else f"; {q['behind']:,} offsets behind Kafka"
        yield f"{q['query']}: batch {q['batch']}{age}; {counts}{rate}{lag}"


def files(args: argparse.Namespace, lake: Lake, clients: Clients) -> int:
    """The consistent view of a table: what its log names, and nothing that a killed batch left."""
    path = stream_of(lake).payments.path
    if args.table not in TABLES:
        raise LakeError("list", f"the table {args.table}", "there is no such table", f"Tables are {', '.join(TABLES)}")
    url = urlsplit(path)
    base = f"s3://{url.netloc}/{url.path.strip('/')}/"
    found = [base + p for p in StreamLog(clients.connections("lake_s3"), path).read(TABLES[args.table]).files(args.table)]
    print(json.dumps(found, indent=2) if args.json else "\n".join(found), end="\n" if found or args.json else "")
    return 0


def _say(text: str) -> None:
    print(f"  … {text}", file=sys.stderr, flush=True)
