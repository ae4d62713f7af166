"""`./lake top`: what Spark jobs use, live in a terminal."""

import argparse
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from include.adapters.clients import Clients
from include.adapters.metrics.collector import Collector
from include.adapters.metrics.of_lake import collector
from include.lake.lake import load_lake
from include.settings import command_line_connections
from include.top_table import lines

GLANCE = 0.25  # seconds from one look at keys, window and figures to the next


def top(args: argparse.Namespace) -> int:
    """Show what Spark jobs use as they run, with driver and executors: CPU and memory against what was asked for and the limit, tasks at work of those
    that wait or work, a stream's rates, and how far it is behind Kafka and its watermark behind the clock. Lines with ! are problems. AGE says how old
    figures are: the kubelet measures about every 10 s. `q` or Ctrl-C ends it. Without a terminal, or with --once, it prints one table; with --json,
    one snapshot.
    """
    clients = Clients(command_line_connections(), _say)
    looking = collector(lambda: load_lake(args.file), clients.connections, everywhere=args.all_namespaces)
    try:
        if not (args.json or args.once) and sys.stdout.isatty():
            return _live(looking)
        snapshot = looking.sweep()
        print(json.dumps(snapshot.as_json(), indent=2) if args.json else "\n".join(lines(snapshot, time.time())))
        return 1 if snapshot.problems and not snapshot.applications else 0
    finally:
        looking.stop(0)  # what is under way is of no use to anybody
        clients.close()


def _live(looking: Collector) -> int:
    """Draw whenever figures, window or the second change, until a key or a signal ends it."""
    looking.start()
    drawn: tuple[float, os.terminal_size, int] | None = None
    try:
        with looking.watch(), _screen():
            while True:
                now, size, snapshot = time.time(), os.get_terminal_size(sys.stdout.fileno()), looking.snapshot
                if drawn != (snapshot.at, size, int(now)):
                    drawn = (snapshot.at, size, int(now))
                    _draw(lines(snapshot, now, size.lines - 1, size.columns) if snapshot.at else ["Looking at the cluster …"[: size.columns]])
                if _quits(GLANCE):
                    return 0
    except KeyboardInterrupt:  # here the way to end it, and nothing was stopped half-way
        return 0


@contextmanager
def _screen() -> Iterator[None]:
    """The terminal's other screen, without echo and cursor, and all as it was afterwards, also when it is told to end."""
    import termios
    import tty

    fd = sys.stdin.fileno() if sys.stdin.isatty() else None
    before = termios.tcgetattr(fd) if fd is not None else None
    told = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
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
        signal.signal(signal.SIGTERM, told)


def _draw(text: Sequence[str]) -> None:
    sys.stdout.write("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in text) + "\x1b[J")
    sys.stdout.flush()


def _quits(seconds: float) -> bool:
    """Whether `q` was pressed, or the terminal is gone; waits so long for a key."""
    if not sys.stdin.isatty():
        time.sleep(seconds)
        return False
    fd = sys.stdin.fileno()
    ready, _, _ = select.select([fd], [], [], seconds)
    if not ready:
        return False
    pressed = os.read(fd, 64)
    return not pressed or b"q" in pressed.lower()


def _say(text: str) -> None:
    print(f"  … {text}", file=sys.stderr, flush=True)
