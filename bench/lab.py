"""The lab: how long `lab up` takes, and how much memory it needs, at rest and while a Spark job runs.

It works on a lab of its own (`bench`), which must not exist yet and is destroyed at the end. Builds come from the cache; what is
missing there is built first and not counted. `--cold` counts just that: everything built anew, in a cache of its own (20 minutes).

  lab up, new       the lab did not exist; its caches are warm
  lab up, again     after `lab down`: disks and state are there
  memory            the sum of PSS (each shared page counted once, in parts) of every process of the VM, the Kubernetes node and
                    the Proxmox stand-in: at rest a minute after the lake was made, and the highest sum seen while lake_spark runs
  processor         what the same processes use in the minute after that one, in hundredths of a core
"""

import contextlib
import os
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median

from bench.converge import seconds_of
from bench.report import circumstances, number, options, say, table
from lab import vm
from lab.errors import LabError
from lab.image import build
from lab.image.probe import accelerator
from lab.k8s import node
from lab.site import Lab, find_lab

NAME = "bench"
MOST_SECONDS, MOST_MIB = 60, 4096
PAUSE = 2.0  # seconds between two looks at the memory


def main(argv: list[str]) -> None:
    """Run it and print its tables."""
    parser = options(__doc__ or "", 3)
    parser.add_argument("--cold", action="store_true", help="count one `lab up` with nothing built, too: about 20 minutes and 15 GiB of disk")
    args = parser.parse_args(argv)
    lab = find_lab(NAME)
    if lab.state.exists():
        raise LabError("measure", f"the lab {NAME!r}", "it exists already", f"Remove it: ./lake lab destroy --name {NAME}")
    rows: dict[str, list[float]] = defaultdict(list)
    memory: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="homelake-bench-") as folder:
        environment = os.environ | {"HOMELAKE_LAB": NAME, "AIRFLOW_HOME": f"{folder}/airflow"}
        try:
            if args.cold:
                rows["lab up, cold"].append(_cold(Path(folder)))
            _lake("lab", "up", "--name", NAME)
            say("the caches are warm")
            for turn in range(args.runs):
                _lake("lab", "down", "--name", NAME)
                rows["lab up, again"].append(_lake("lab", "up", "--name", NAME))
                _lake("lab", "destroy", "--name", NAME)
                rows["lab up, new"].append(_lake("lab", "up", "--name", NAME))
                say(f"run {turn + 1} of {args.runs}: again {rows['lab up, again'][-1]:.0f} s, new {rows['lab up, new'][-1]:.0f} s")
            _lake("apply", "--yes", environment=environment)
            time.sleep(60)
            memory["at rest"] = pss(lab)
            processor = cpu(lab, 60)
            with highest(lambda: pss(lab)) as seen:
                rows["lake_spark"].append(_lake("airflow", "dags", "test", "lake_spark", environment=environment))
            memory["in a job"] = seen
        finally:
            _lake("lab", "destroy", "--name", NAME)
    print(f"\nSeconds, {args.runs} runs\n")
    print(table(["", "min", "median", "max", "aim"], [[k, *_spread(v), f"< {MOST_SECONDS} s" if k == "lab up, again" else ""] for k, v in rows.items()]))
    print("\nMemory in MiB (PSS)\n")
    parts = list(memory["at rest"])
    print(table(["", *parts, "aim"], [[k, *(number(round(v[p])) for p in parts), f"< {MOST_MIB}"] for k, v in memory.items()]))
    print("\nProcessor at rest, % of a core\n")
    print(table(list(processor), [[number(round(v)) for v in processor.values()]]))
    print("\nHow it was measured\n")
    print(circumstances(f"accelerator of the VM: {accelerator(build())}"))


def _lake(*arguments: str, environment: Mapping[str, str] = os.environ) -> float:
    """Run `./lake …`. Returns the seconds it took; it must succeed."""
    return seconds_of(["./lake", *arguments], environment)


def _cold(folder: Path) -> float:
    """`lab up` with nothing built: in an empty cache of its own. The lab is destroyed again."""
    seconds = _lake("lab", "up", "--name", NAME, environment=os.environ | {"HOMELAKE_CACHE": str(folder / "cache")})
    _lake("lab", "destroy", "--name", NAME)
    say(f"cold: {seconds:.0f} s")
    return seconds


def pss(lab: Lab) -> dict[str, float]:
    """MiB of each part of a lab, and their sum."""
    return _summed({name: sum(map(pss_of, pids)) / 1024 for name, pids in parts_of(lab).items()})


def cpu(lab: Lab, seconds: float) -> dict[str, float]:
    """What each part of a lab uses in so many seconds, in % of a core, and the sum. A process that ends meanwhile is not counted."""
    parts = parts_of(lab)
    before = {pid: ticks_of(pid) for pids in parts.values() for pid in pids}
    time.sleep(seconds)
    unit = os.sysconf("SC_CLK_TCK") * seconds / 100
    return _summed({name: sum(max(ticks_of(pid) - before[pid], 0) for pid in pids) / unit for name, pids in parts.items()})


def parts_of(lab: Lab) -> dict[str, list[int]]:
    """The processes of each part of a lab."""
    return {"VM": vm.machines(lab), "Kubernetes": processes(node.cgroups(lab)[0]), "Proxmox stand-in": [p for p in (vm.daemon(lab).pid(),) if p]}


def _summed(parts: dict[str, float]) -> dict[str, float]:
    return parts | {"sum": sum(parts.values())}


def processes(group: Path) -> list[int]:
    """The processes of a control group and of those in it."""
    found = []
    for file in group.rglob("cgroup.procs"):
        with contextlib.suppress(OSError):  # a group that ended meanwhile
            found += [int(pid) for pid in file.read_text().split()]
    return found


def pss_of(pid: int, proc: Path = Path("/proc")) -> int:
    """KiB of a process's memory, shared pages in parts; 0 once it is gone."""
    try:
        text = (proc / str(pid) / "smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)


def ticks_of(pid: int, proc: Path = Path("/proc")) -> int:
    """The clock ticks that a process has computed for, in its own code and in the kernel's; 0 once it is gone."""
    try:
        rest = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(rest[11]) + int(rest[12])


@contextlib.contextmanager
def highest(look: Callable[[], dict[str, float]]) -> Iterator[dict[str, float]]:
    """While the block runs, look again and again. The dictionary it gives then holds the look with the highest sum."""
    seen, over = look(), threading.Event()

    def watch() -> None:
        while not over.wait(PAUSE):
            if (now := look())["sum"] > seen["sum"]:
                seen.update(now)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _spread(runs: list[float]) -> list[str]:
    return [number(round(x, 1)) for x in (min(runs), median(runs), max(runs))]
