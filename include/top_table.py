"""What Spark jobs use, as a terminal shows it."""

from collections.abc import Iterable, Iterator, Sequence

from include.lake.metrics.view import ApplicationView, Bounds, Figures, QueryView, Snapshot
from include.lake.units import human

HEAD = ("JOB", "STATE", "CPU", "ASKED", "LIMIT", "MEMORY", "LIMIT", "TASKS", "AGE")
SPARED = (4, 3, 6)  # columns that a narrow window goes without, the first first: CPU's limit, what was asked for, memory's limit
_ORDER = {"running": 0, "waiting": 1, "lost": 2, "failed": 3, "done": 4}
Row = Sequence[str] | str  # a line that is no row of the table stands as it is


def lines(snapshot: Snapshot, now: float, most: int = 100_000, width: int = 100_000) -> list[str]:
    """The table, `most` lines of `width` characters at most: problems first, then jobs at work, then those that ended, the latest first."""
    apps = sorted(snapshot.applications, key=lambda a: (_ORDER.get(a.phase, 5), -(a.started or 0)))
    several = len({a.namespace for a in apps}) > 1
    at_work = sum(a.phase == "running" for a in apps)
    found = [f"{at_work} at work, {len(apps)} known; looked {max(now - snapshot.at, 0):.0f} s ago in {snapshot.took:.2f} s, {snapshot.calls} requests"]
    found += [f"! {_line(problem)}" for problem in snapshot.problems]
    found += [f"! {a.namespace}/{a.name}: {_line(a.problem)}" for a in apps if a.problem]
    rows: list[Row] = [HEAD]
    for app in apps:
        rows += _rows(app, f"{app.namespace}/{app.name}" if several else app.name, now)
    if apps:
        found += _aligned(rows, width)
    elif not snapshot.problems:  # else nobody knows whether there is one
        found.append("No Spark job is known here. Start one: ./lake airflow dags test lake_spark")
    most = max(most, 1)
    hidden = len(found) - most
    if hidden > 0:
        found = [*found[: most - 1], f"… {hidden + 1} more lines: make the window larger"]
    return [_plain(line)[:width].rstrip() for line in found]


def _rows(app: ApplicationView, name: str, now: float) -> Iterator[Row]:
    """An application, then its pods and queries while it runs, or why it failed."""
    runs = app.phase == "running"
    t = app.totals
    tasks = f"{t.done} done" if not runs else "?" if t.running is None else f"{t.running}/{(t.pending or 0) + t.running}"
    word = "out of memory" if app.phase == "failed" and app.churn.out_of_memory else app.phase
    yield (name, word, *_figures(app.now if runs else None, app.bounds), tasks, _age(app.now if runs else None, now))
    if app.phase == "failed" and app.error:
        yield f"  ! {_line(app.error)}"
    if not runs:
        return
    for pod in app.pods:
        part = "driver" if pod.role == "driver" else f"executor {pod.executor}"
        at_work = str(pod.now.tasks) if pod.now and pod.now.tasks is not None else ""
        yield (f"  {part}", pod.reason or pod.phase.lower(), *_figures(pod.now, pod.bounds), at_work, _age(pod.now, now))
    yield from (_query(q) for q in app.queries)


def _query(q: QueryView) -> str:
    """A streaming query; what is not known is left out."""
    told = (
        (q.input_rate, "{} rows in"),
        (q.processing_rate, "{} processed a second"),
        (q.batch_seconds, "batch {} s"),
        (q.behind, "{} behind Kafka"),
        (q.watermark_delay, "watermark {} s"),
    )
    parts = [text.format(_number(value)) for value, text in told if value is not None]
    return f"  {q.name}: {', '.join(parts) or 'no batch yet'}"


def _aligned(rows: Iterable[Row], width: int) -> Iterator[str]:
    """Columns under each other; in a narrow window with fewer of them."""
    rows = list(rows)
    cells = [row for row in rows if not isinstance(row, str)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(HEAD))]
    shown = list(range(len(HEAD)))
    for spared in SPARED:
        if sum(widths[i] + 2 for i in shown) - 2 > width:
            shown.remove(spared)
    for row in rows:
        yield row if isinstance(row, str) else "  ".join(row[i].ljust(widths[i]) if i < 2 else row[i].rjust(widths[i]) for i in shown)


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


def _line(text: str) -> str:
    return " ".join(text.split())


def _plain(text: str) -> str:
    """Without control characters: a cluster's own words must not steer the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)
