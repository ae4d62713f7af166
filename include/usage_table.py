"""The figures of a lake as a person reads them."""

from collections.abc import Iterator, Sequence

from include.lake.figures import Level, Report
from include.lake.units import human
from include.lake.usage import BucketUsage


def lines(report: Report, cycle: float) -> Iterator[str]:
    """The whole report: levels, buckets, uploads, and how old the counters are. `cycle`: the scanner's pause, in seconds."""
    if report.levels:
        rows = [_level(level) for level in report.levels]
        known = 6 if any(row[4] or row[5] for row in rows) else 4  # without a history there is nothing to say of growth
        yield from table(("", "used", "of", "full", "a day", "full on")[:known], [row[:known] for row in rows])
    if report.usage.buckets:
        yield ""
        yield from table(("bucket", "objects", "bytes", "noncurrent", "their bytes", "delete markers"), [_bucket(b) for b in report.usage.buckets])
    if volume := report.usage.volume:
        since = f", the oldest since {volume.oldest_upload:%F %T} UTC" if volume.oldest_upload else ""
        yield ""
        yield f"Unfinished uploads: {volume.uploads}, {human(volume.uploads_size)}{since}."
    if report.age is not None:
        yield f"MinIO counted {report.age.total_seconds():.0f} s ago, every {cycle:.0f} s and a scan's time: what was written since may be missing."
    elif report.usage.buckets:
        yield "MinIO has not counted yet."
    if any(b.noncurrent and not b.noncurrent.exact for b in report.usage.buckets):
        yield "~ is an estimate, from the first 1,000 versions of the bucket by name."


def verdicts(report: Report) -> Iterator[str]:
    """What is wrong, a line each: what could not be found out, what is over a threshold."""
    yield from (str(error) for error in report.errors)
    yield from (f"FULL: {text}" for text in report.failures)
    yield from (f"WARNING: {text}" for text in report.warnings)


def _level(level: Level) -> Sequence[str]:
    pace = level.forecast
    limit, share = ("", "") if level.limit is None else (level.amount(level.limit), f"{level.share:.1%}")
    grows = "" if pace.per_day is None else f"{'+' if pace.per_day >= 0 else '-'}{level.amount(abs(pace.per_day))}"
    return level.name, level.amount(level.used), limit, share, grows, f"{pace.full:%F}" if pace.full else pace.note


def _bucket(bucket: BucketUsage) -> Sequence[str]:
    counted, old = bucket.counted, bucket.noncurrent
    about = "" if old is None or old.exact else "~"
    return (
        bucket.name,
        f"{counted.objects:,}" if counted else "not counted yet",
        human(counted.size) if counted else "",
        f"{about}{old.count:,}" if old else "unknown",
        f"{about}{human(old.size)}" if old and old.size is not None else "unknown",
        f"{counted.markers:,}" if counted else "",
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns under their heads: the first is text, the others are figures."""
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    for row in (heads, *rows):
        yield "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))).rstrip()
