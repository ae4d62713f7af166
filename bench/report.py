"""Figures: several runs of each peer, their spread, their ratios, and on what they were taken."""

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
_BEGUN = time.monotonic()
Runs = Sequence[float]


def say(text: str) -> None:
    """Print a line of progress on stderr: stdout is for the tables."""
    print(f"[{time.monotonic() - _BEGUN:5.0f} s] {text}", file=sys.stderr, flush=True)


def options(about: str, runs: int) -> argparse.ArgumentParser:
    """A benchmark's command line: its docstring teaches, `--runs` says how often."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=_positive, default=runs, metavar="N", help=f"how often each peer runs, warm-up apart (default: {runs})")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of runs")
    return int(text)


@dataclass(frozen=True)
class Aim:
    """What a ratio to a peer is meant to be: at most `most`, or at least `least`."""

    most: float | None = None
    least: float | None = None

    def judge(self, ratio: float) -> str:
        """The aim, and whether it was met."""
        if self.least is not None:
            return f"≥ {self.least:.3g}: {'met' if ratio >= self.least else 'MISSED'}"
        assert self.most is not None
        return f"≤ {self.most:.3g}: {'met' if ratio <= self.most else 'MISSED'}"


def ratio(mine: Runs, peers: Runs) -> float | None:
    """The median of mine/peer, taken pair by pair: the two ran in turn, so a machine that slows down slows both. None when the peer is 0."""
    if any(p == 0 for p in peers):
        return None
    return median(m / p for m, p in zip(mine, peers, strict=True))


def number(value: float) -> str:
    """A figure with as many digits as it deserves."""
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.4f}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, padded so that it reads well in a terminal; the first column is text, the others are figures."""
    cells = [list(heads), *[list(r) for r in rows]]
    widths = [max(len(r[i]) for r in cells) for i in range(len(heads))]
    pad = [[c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True))] for r in cells]
    rule = ["-" * w if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join("| " + " | ".join(r) + " |" for r in [pad[0], rule, *pad[1:]])


def compare(measures: Mapping[str, Mapping[str, Runs]], baseline: str, aims: Mapping[tuple[str, str], Aim] | None = None) -> str:
    """A table of measures (`S3 requests`), each with its peers' runs; ratios are to `baseline`, aims by (measure, peer)."""
    rows = []
    for measure, peers in measures.items():
        for n, (peer, runs) in enumerate(peers.items()):
            base = peers.get(baseline)
            of = ratio(runs, base) if base and peer != baseline else None
            aim = (aims or {}).get((measure, peer))
            rows.append(["" if n else measure, peer, number(min(runs)), number(median(runs)), number(max(runs)),
                         "" if of is None else f"{of:.2f}×", aim.judge(of) if aim and of is not None else ""])  # fmt: skip
    return table(["", "", "min", "median", "max", f"to {baseline}", "aim"], rows)


def circumstances(*more: str) -> str:
    """On what the figures were taken: date, commit, machine, versions. One list item a line."""
    lines = [f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit()}", machine(), *more]
    return "\n".join(f"- {line}" for line in lines)


def commit() -> str:
    """The commit of this checkout, and whether it was changed since."""

    def git(*args: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *args], capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with local changes" if changed else "")


def machine() -> str:
    """This machine: cores, memory, kernel, how busy it is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    return (
        f"{len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, Linux {platform.release()}, load {load:.1f} when it ended, Python {platform.python_version()}"
    )


def versions(*packages: str) -> str:
    """The installed versions of Python packages."""
    return ", ".join(f"{p} {version(p)}" for p in packages)
