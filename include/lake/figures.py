"""What the usage of the lake means: how full each thing is, how fast it fills, and what to say of it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from include.lake.errors import LakeError
from include.lake.forecast import Forecast, History, Point, forecast
from include.lake.spec import LakeSpec
from include.lake.units import human
from include.lake.usage import BucketUsage, Usage

STALE = timedelta(hours=1)  # counters older than this, and than ten of the scanner's rounds, say that it does not run


class Mark(StrEnum):
    """How full something is, against the declared thresholds."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Level:
    """One thing that fills: `used` of `limit` (None: without one), in bytes or in inodes."""

    name: str
    used: int
    limit: int | None
    mark: Mark
    forecast: Forecast

    @property
    def share(self) -> float | None:
        """The part of the limit in use."""
        return self.used / self.limit if self.limit else None

    def amount(self, value: float) -> str:
        """A value of this level as a person reads it."""
        return f"{value:,.0f}" if self.name == "inodes" else human(value)

    def __str__(self) -> str:
        if self.limit is None or self.share is None:
            return f"{self.name}: {self.amount(self.used)}"
        pace = self.forecast
        when = f", full on {pace.full:%F} at {self.amount(pace.per_day or 0)} a day" if pace.full and self.share < 1 else ""
        return f"{self.name} is {self.share:.1%} full: {self.amount(self.used)} of {self.amount(self.limit)}{when}"

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        full = self.forecast.full
        return {"name": self.name, "used": self.used, "limit": self.limit, "share": round(self.share, 4) if self.share is not None else None, "mark": str(self.mark),
                "per_day": self.forecast.per_day, "full": full.isoformat(timespec="minutes") if full else None, "note": self.forecast.note}  # fmt: skip


@dataclass(frozen=True)
class Thresholds:
    """From which share on a level warns, and from which it fails; `cycle`: the scanner's pause between two rounds."""

    warn_at: float
    fail_at: float
    cycle: timedelta = timedelta(minutes=1)

    def mark(self, used: int, limit: int | None) -> Mark:
        """How full that is."""
        share = used / limit if limit else 0.0
        return Mark.FAIL if share >= self.fail_at else Mark.WARN if share >= self.warn_at else Mark.OK


def thresholds(spec: LakeSpec) -> Thresholds:
    """As they are declared."""
    return Thresholds(spec.governance.warn_at, spec.governance.fail_at, timedelta(seconds=spec.minio.scanner.round))


@dataclass(frozen=True)
class Report:
    """The figures of one look, with what is to be said of them."""

    at: datetime
    usage: Usage
    levels: tuple[Level, ...]
    warnings: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    errors: tuple[LakeError, ...] = field(default=(), compare=False)

    @property
    def age(self) -> timedelta | None:
        """How old MinIO's counters are."""
        return self.at - self.usage.counted_at if self.usage.counted_at else None

    def growth(self) -> dict[str, float]:
        """Bytes a day that come to each bucket, where the history tells."""
        return {lv.name.removeprefix("bucket/"): lv.forecast.per_day for lv in self.levels if lv.name.startswith("bucket/") and lv.forecast.per_day}

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: what goes to XCom and `--json`."""
        volume, counted = self.usage.volume, self.usage.counted_at
        return {
            "at": self.at.isoformat(timespec="seconds"),
            "counted_at": counted.isoformat(timespec="seconds") if counted else None,
            "counters_age_seconds": round(self.age.total_seconds()) if self.age is not None else None,
            "levels": [level.as_dict() for level in self.levels],
            "buckets": [_bucket_dict(b) for b in self.usage.buckets],
            "uploads": {"count": volume.uploads, "bytes": volume.uploads_size,
                        "oldest": volume.oldest_upload.isoformat(timespec="seconds") if volume.oldest_upload else None} if volume else None,
            "keys": [{"name": k.name, "created": k.made.timestamp() if k.made else None} for k in self.usage.keys],
            "warnings": list(self.warnings),
            "failures": list(self.failures),
            "errors": [{"text": str(e), "unreachable": e.retry} for e in self.errors],
        }  # fmt: skip


def _bucket_dict(bucket: BucketUsage) -> dict[str, Any]:
    counted, old = bucket.counted, bucket.noncurrent
    return {"name": bucket.name, "quota": bucket.quota, "bytes": counted.size if counted else None, "objects": counted.objects if counted else None,
            "delete_markers": counted.markers if counted else None, "noncurrent": asdict(old) if old else None}  # fmt: skip


def point(usage: Usage, now: datetime) -> Point:
    """What of a look goes into the history."""
    values = {f"bucket/{b.name}": b.counted.size for b in usage.buckets if b.counted}
    if usage.volume:
        values |= {"volume": usage.volume.used, "inodes": usage.volume.inodes_used}
    return Point(int(now.timestamp()), values)


def report(usage: Usage, history: History | None, thresholds: Thresholds, now: datetime) -> Report:
    """Judge a look by the thresholds; the history (this look among it) gives growth and dates, None leaves them out."""
    levels = tuple(_levels(usage, history, thresholds))
    at = {mark: tuple(str(level) for level in levels if level.mark is mark) for mark in Mark}
    return Report(now, usage, levels, at[Mark.WARN] + tuple(_stale(usage, thresholds, now)), at[Mark.FAIL], usage.errors)


def _levels(usage: Usage, history: History | None, thresholds: Thresholds) -> Iterator[Level]:
    def level(name: str, used: int, limit: int | None) -> Level:
        return Level(name, used, limit, thresholds.mark(used, limit), Forecast() if history is None else forecast(history, name, limit))

    for bucket in usage.buckets:
        if bucket.counted:
            yield level(f"bucket/{bucket.name}", bucket.counted.size, bucket.quota)
    if volume := usage.volume:
        yield level("volume", volume.used, volume.used + volume.free)
        yield level("inodes", volume.inodes_used, volume.inodes_used + volume.inodes_free)


def _stale(usage: Usage, thresholds: Thresholds, now: datetime) -> Iterator[str]:
    if usage.counted_at and now - usage.counted_at > max(STALE, 10 * thresholds.cycle):
        yield f"MinIO's scanner has counted nothing since {usage.counted_at.astimezone(UTC):%F %T} UTC: quotas are as late as that"
