"""`./lake top`: what Spark jobs use, live in a terminal."""

import argparse
import json
import select
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from include.adapters.clients import Clients
from include.adapters.metrics.of_lake import collector
from include.lake.lake import load_lake
from include.lake.metrics.view import ApplicationView, Bounds, Figures, Snapshot
from include.lake.units import human
from include.settings import command_line_connections

FIRST = 30.0  # seconds to wait for the first sweep
_ORDER = {"running": 0, "waiting": 1, "lost": 2, "failed": 3, "done": 4}
HEAD = ("JOB", "STATE", "CPU", "ASKED", "LIMIT", "MEMORY", "LIMIT", "TASKS", "AGE")


def top(args: argparse.Namespace) -> int:
    """Show what Spark jobs use as they run: CPU and memory against request and limit, tasks, streams. `q` or Ctrl-C ends it.

    The kubelet measures about every ten seconds; AGE says how old a line's figures are. Without a terminal, or with --once, it prints one table.
    """
    lake, clients = load_lake(args.file), Clients(command_line_connections(), _say)
    looking = collector(lake, clients.connections, everywhere=args.all_namespaces)
    try:
        if args.json or args.once or not sys.stdout.isatty():
            snapshot = looking.sweep()
            print(json.dumps(snapshot.as_json(), indent=2) if args.json else "\n".join(lines(snapshot, time.time(), 10_000)))
            return 1 if snapshot.problems and not snapshot.applications else 0
        looking.start()
        with looking.watch(), _screen():
            after = 0.0
            while True:
                snapshot = looking.wait(after, FIRST if not after else 1.0)
                after = snapshot.at
                width, height = shutil.get_terminal_size()
                _draw([line[:width] for line in lines(snapshot, time.time(), height - 1)])
                if _quits(0.2):
                    return 0
    finally:
        looking.stop()
        clients.close()


def lines(snapshot: Snapshot, now: float, most: int) -> list[str]:
    """The table, `most` lines at most: problems first, then jobs at work, then those that ended, the latest first."""
    at_work = sum(a.phase == "running" for a in snapshot.applications)
    found = [
        f"{at_work} at work, {len(snapshot.applications)} known; looked {max(now - snapshot.at, 0):.0f} s ago in {snapshot.took:.2f} s, {snapshot.calls} requests"
    ]
    found += [f"! {problem.splitlines()[0]}" for problem in snapshot.problems]
    rows: list[Sequence[str]] = [HEAD]
    for app in sorted(snapshot.applications, key=lambda a: (_ORDER.get(a.phase, 5), -(a.started or 0))):
        rows += _rows(app, now)
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    found += ["  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))).rstrip() for row in rows]
    if len(rows) == 1:
        found.append("No Spark job is known here. Start one: ./lake airflow dags test lake_spark")
    hidden = len(found) - most
    return found if hidden <= 0 else [*found[: most - 1], f"… {hidden + 1} more lines: make the window larger"]


def _rows(app: ApplicationView, now: float) -> Iterator[Sequence[str]]:
    tasks = f"{app.totals.running} of {app.totals.pending + app.totals.running}" if app.phase == "running" else f"{app.totals.done} done"
    word = "out of memory" if app.phase == "failed" and app.churn.out_of_memory else app.phase
    yield (app.name, word, *_figures(app.now if app.phase == "running" else None, app.bounds), tasks, _age(app.now, now))
    if app.phase != "running":
        return
    for pod in app.pods:
        name = "driver" if pod.role == "driver" else f"executor {pod.executor}"
        yield (
            f"  {name}",
            pod.reason or pod.phase.lower(),
            *_figures(pod.now, pod.bounds),
            str(pod.now.tasks) if pod.now and pod.now.tasks is not None else "",
            "",
        )
    for q in app.queries:
        rates = f"{_number(q.input_rate)} in, {_number(q.processing_rate)} processed a second"
        yield (f"  {q.name}", rates, "", "", "", "", "", f"batch {_number(q.batch_seconds)} s", "")


def _figures(now: Figures | None, bounds: Bounds) -> tuple[str, str, str, str, str]:
    cpu, memory = (now.cpu, now.memory) if now else (None, None)
    return _cores(cpu), _cores(bounds.cpu_request), _cores(bounds.cpu_limit), _size(memory), _size(bounds.memory_limit)


def _cores(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _size(value: float | None) -> str:
    return "-" if value is None else human(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def _age(figures: Figures | None, now: float) -> str:
    return f"{max(now - figures.at, 0):.0f} s" if figures else ""


@contextmanager
def _screen() -> Iterator[None]:
    """The terminal's other screen, without echo, and all as it was afterwards."""
    import termios
    import tty

    fd = sys.stdin.fileno() if sys.stdin.isatty() else None
    before = termios.tcgetattr(fd) if fd is not None else None
    sys.stdout.write("\x1b[?1049h\x1b[?25l")
    try:
        if fd is not None:
            tty.setcbreak(fd)
        yield
    finally:
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()
        if fd is not None and before is not None:
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _draw(text: Sequence[str]) -> None:
    sys.stdout.write("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in text) + "\x1b[J")
    sys.stdout.flush()


def _quits(seconds: float) -> bool:
    if not sys.stdin.isatty():
        time.sleep(seconds)
        return False
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready) and sys.stdin.read(1) in ("q", "Q")


def _say(text: str) -> None:
    print(f"  … {text}", file=sys.stderr, flush=True)
