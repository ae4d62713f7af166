"""Put the stream's small files together, beside the running stream, and remove what was replaced a while ago.

    payments_compact.py --path s3a://datalake/payments/

Of each query the batches that are old enough become few files a table and date. One object, `_log/QUERY/compacted.json`, names them and says
through which batch they go; it is written last, and only if it still is what was read before. Killed at any moment, this leaves the tables
as they were and some files that nothing names. What was replaced stays for --grace-minutes, so that whoever reads may go on.

Exit codes: 0 done, or nothing to do; 2 log and files contradict each other (nothing was changed); 3 the lake refused (another try may help).
"""

import argparse
import json
import math
import re
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from payments_merge import merger
from payments_store import FORMAT, THREADS, Store, Unfit, compacted_at, entry, explained, failed, late_runs, looked_through, session

MIB = 1024 * 1024
TABLES = {"bronze": ("bronze",), "silver": ("silver", "dead", "figures"), "gold": ("alerts",)}  # by query
COUNTED = {"bronze": "records", "silver": "silver", "dead": "dead"}  # what the log calls the rows of a table
ROUND = 2_000  # batches that are put together at once
WHOLE = ("figures", "alerts")  # their rows become fewer, so a date is always put together as a whole


class Overtaken(Exception):
    """Another compaction has committed meanwhile."""


@dataclass
class Log:
    """What a query has committed: what was put together, the oldest entries after it in their order, and the version of compacted.json as read."""

    query: str
    compacted: dict = field(default_factory=dict)
    entries: list = field(default_factory=list)
    version: str | None = None

    @property
    def through(self):
        """The last batch that was put together; -1 before the first time."""
        return self.compacted.get("through", -1)

    @property
    def newest(self):
        """The newest batch that was read."""
        return self.entries[-1]["batch"] if self.entries else self.through

    def named(self):
        """Every path that the log names, what was replaced included."""
        parts = [self.compacted, *self.entries]
        return {f["path"] for p in parts for files in p.get("files", {}).values() for f in files} | {r["path"] for r in self.compacted.get("replaced", ())}


def read_log(lake, query, most):
    """A query's log, with so many of the oldest batches. Raises Unfit for a form that is not known, and for a missing batch: its rows would go away unseen."""
    text, version = lake.read_version(compacted_at(query))
    log = Log(query, _parsed(text, "compacted.json") if text else {}, [], version)
    names = sorted(n for n in lake.names(f"_log/{query}") if n.removesuffix(".json").isdigit() and int(n.removesuffix(".json")) > log.through)[:most]
    with ThreadPoolExecutor(THREADS) as pool:
        log.entries = [_parsed(t, n) for n, t in zip(names, pool.map(lambda n: lake.read(f"_log/{query}/{n}"), names), strict=True)]
    for expected, found in enumerate(log.entries, log.through + 1):
        if found["batch"] != expected:
            raise Unfit(f"batch {expected} of {query} is missing before {found['batch']}: bring back _log from a backup, or its noncurrent version")
    return log


def _parsed(text, name):
    try:
        value = json.loads(text)
        form = value.get("format")
    except (TypeError, ValueError, AttributeError):
        raise Unfit(f"{name} in the log is no JSON object: bring back its noncurrent version") from None
    if form != FORMAT:
        raise Unfit(f"{name} in the log has the form {form}, and {FORMAT} is known: use the Homelake that wrote it")
    return value


def orphans(log, listing, before):
    """Files that a killed attempt left. Of a batch, or a compaction, that is still to be committed none is: what is written now is never touched."""
    named, found = log.named(), []
    for path, _, modified in listing:
        batch, compacted = re.search(r"/batch=(\d{20})-", path), re.search(r"/compacted/(\d{20})-", path)
        past = int(batch[1]) <= log.newest if batch else bool(compacted) and int(compacted[1]) <= log.through
        if past and modified < before and path not in named:
            found.append(path)
    return found


def folders_of(paths):
    """The folders that files were written to as a whole: a disk keeps them, and so does S3 when a Homelake of 2026-11 or before wrote them."""
    return sorted({m[0] for p in paths if (m := re.match(r"[^/]+/(batch=[^/]+|compacted/[^/]+/date=[^/]+)(?=/)", p))})


def date_of(path):
    """The partition that a file is in, as it is written there."""
    return re.search(r"/date=([^/]+)/", path)[1]


def divided(table, compacted, fresh, target):
    """What stays as it is, and by date what is to be put together: what is new, with those files of the same date that are small."""
    merge = {}
    for file in fresh:
        merge.setdefault(date_of(file["path"]), []).append(file)
    kept = []
    for file in compacted:
        date = date_of(file["path"])
        if date in merge and (table in WHOLE or file["bytes"] < target / 2):
            merge[date].append(file)
        else:
            kept.append(file)
    return kept, merge


def state_after(log, chosen, files, replaced, now):
    """What compacted.json says next. Raises Unfit when the files do not hold as many rows as the batches counted."""
    parts = [p for p in (log.compacted, *chosen) if p]
    counts, offsets = {}, {}
    for part in parts:
        for name, n in part["counts"].items():
            counts[name] = counts.get(name, 0) + n
        for partition, (first, last) in part["offsets"].items():
            offsets[partition] = [offsets.get(partition, [first])[0], last]
    for table, name in COUNTED.items():
        rows = sum(f["rows"] for f in files.get(table, ()))
        if table in TABLES[log.query] and rows != counts.get(name, 0):
            raise Unfit(f"the files of {table} hold {rows:,} rows, and its batches counted {counts.get(name, 0):,}: run ./lake audit")
    return {"format": FORMAT, "query": log.query, "through": chosen[-1]["batch"], "at": now, "files": files, "counts": counts, "offsets": offsets,
            "high_water": max(p["high_water"] for p in parts), "late_after": late_runs(parts), "replaced": replaced}  # fmt: skip


def compact(lake, merge, query, args, clock):
    """Clean up behind one query, then put its batches together, a round after the other; `merge` is merger's, `clock()` the time in ms.

    Each round is committed by itself: after days without compaction one commit for all of it would never be reached. Returns what was done, in a sentence.
    """
    before, most = clock() - int(args.grace_minutes * 60_000), max(ROUND, args.min_batches) + args.keep
    log = read_log(lake, query, most)
    gone = [r["path"] for r in log.compacted.get("replaced", ()) if r["at"] < before]
    lake.delete(gone, folders_of(gone))
    stray = orphans(log, [f for t in TABLES[query] for f in lake.listing(t)], before)
    lake.delete(stray, folders_of(stray))
    first, rounds, old = log.through + 1, 0, 0
    while len(chosen := old_enough(lake, log, args.keep)) >= args.min_batches:
        old += one_round(lake, merge, log, chosen, args.target_mib * MIB, before, clock)
        log, rounds = read_log(lake, query, most), rounds + 1
    if rounds:
        now = sum(map(len, log.compacted["files"].values()))
        done = f"batches {first} to {log.through} put together{f' in {rounds} rounds' if rounds > 1 else ''}: {old:,} files are now {now:,} with those before"
    else:
        if gone:
            commit(lake, log, log.compacted | {"replaced": still_read(log, before)})
        done = f"{len(chosen)} batches to put together, which are too few (--min-batches {args.min_batches})"
    return f"{query}: {done}; {len(gone):,} replaced files and {len(stray):,} of killed attempts removed"


def old_enough(lake, log, keep):
    """The batches that may be put together: not the newest, and of silver none that the alerts have still to read."""
    chosen = log.entries[: max(0, len(log.entries) - keep)]
    if log.query == "silver" and (seen := looked_through(lake)) is not None:
        chosen = [e for e in chosen if e["batch"] <= seen]
    return chosen


def still_read(log, before):
    """What was replaced, and stays for a while for those who read it."""
    return [r for r in log.compacted.get("replaced", ()) if r["at"] >= before]


def one_round(lake, merge, log, chosen, target, before, clock):
    """Put these batches together and commit that. Returns how many files were replaced."""
    files, old = put_together(lake, merge, log, chosen, target)
    now = clock()  # readers have the whole grace from here on
    gone = [{"path": p, "at": now} for p in [*old, *(entry(log.query, e["batch"]) for e in chosen)]]
    commit(lake, log, state_after(log, chosen, files, still_read(log, before) + gone, now))
    return len(old)


def put_together(lake, merge, log, chosen, target):
    """Write the new files. Returns all files by table with their rows, and the paths that are replaced."""
    own, files, old, work = f"{chosen[-1]['batch']:020d}-{uuid.uuid4().hex[:8]}", {}, [], []
    for table in dict.fromkeys([*TABLES[log.query], *(t for e in chosen for t in e["files"])]):
        if table not in TABLES[log.query]:
            raise Unfit(f"the log names a table {table} that is not known: use the Homelake that wrote it")
        files[table], parts = divided(table, log.compacted.get("files", {}).get(table, ()), [f for e in chosen for f in e["files"].get(table, ())], target)
        for date, sources in sorted(parts.items()):
            old += [f["path"] for f in sources]
            size = sum(f["bytes"] for f in sources)
            work.append((table, [f["path"] for f in sources], f"{table}/compacted/{own}/date={date}/", max(1, math.ceil(size / target))))

    def one(table, paths, folder, parts):
        return table, [file | {"rows": rows} for file in merge(table, paths, folder, parts) if (rows := lake.rows(file["path"]))]

    with ThreadPoolExecutor(2) as pool:
        for table, written in pool.map(lambda w: one(*w), work):
            files[table] = [*files[table], *written]
    return files, old


def commit(lake, log, state):
    """Make it true. Raises Overtaken when compacted.json is no longer what was read."""
    if not lake.replace(compacted_at(log.query), json.dumps(state), log.version):
        raise Overtaken(f"another compaction of {log.query} has committed meanwhile")


def main():
    """Put together what the queries have written. Returns the exit code."""
    args, spark = parsed(), None
    task = f"put together the files of {args.path}"
    try:
        spark = session("payments-compact", path=args.path)
        lake = Store(spark, args.path)
        for query in TABLES:
            print(compact(lake, merger(spark, lake), query, args, lambda: int(time.time() * 1000)), flush=True)
        return 0
    except Unfit as error:
        return failed(task, error, 2)
    except Exception as error:
        return failed(task, explained(error), 3)
    finally:
        if spark:
            spark.stop()


def parsed():
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", required=True, help="where the stream writes")
    parser.add_argument("--min-batches", type=int, default=20, help="fewer than these are left for the next time")
    parser.add_argument("--keep", type=int, default=5, help="newest batches that are left alone, one at least: the stream begins from them")
    parser.add_argument("--target-mib", type=float, default=128, help="about the largest size of a file")
    parser.add_argument("--grace-minutes", type=float, default=60, help="how long what was replaced stays for those who read it")
    args = parser.parse_args()
    if args.keep < 1 or args.min_batches < 1 or args.target_mib <= 0 or args.grace_minutes < 0:
        parser.error("--keep and --min-batches must be 1 at least, --target-mib above 0, --grace-minutes not below 0")
    return args


if __name__ == "__main__":
    sys.exit(main())
