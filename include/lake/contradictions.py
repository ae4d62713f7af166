"""What a declaration says against itself: each part is valid, and together they do not do what their owner expects."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from include.lake.spec import LakeSpec
from include.lake.spec.store import Bucket, Rule
from include.lake.units import Size


@dataclass(frozen=True)
class Contradiction:
    """Where in the declaration it is, what will happen and when, and what to do about it."""

    where: str
    happens: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.happens}. {self.remedy}."


def contradictions(spec: LakeSpec, growth: Mapping[str, float] | None = None) -> list[Contradiction]:
    """Every contradiction. `growth` is what was seen to come to a bucket, in bytes a day: with it the day is told, not the rate."""
    found = [Contradiction(f"buckets[{i}].{c.where}", c.happens, c.remedy) for i, b in enumerate(spec.buckets) for c in _of_bucket(spec, b, growth or {})]
    return [*found, *_of_users(spec), *_of_volume(spec), *_of_scanner(spec)]


def _of_bucket(spec: LakeSpec, bucket: Bucket, growth: Mapping[str, float]) -> Iterable[Contradiction]:
    if bucket.retention:
        yield from _of_retention(spec, bucket, int(bucket.retention.period), growth.get(bucket.name, 0.0))
    forgets = [r for r in bucket.lifecycle if r.noncurrent]
    if bucket.versioning and bucket.quota and not forgets:
        yield Contradiction("quota", f"what is overwritten or deleted in {bucket.name} is kept as a noncurrent version for ever and counts against the quota of "
                            f"{bucket.quota}: deleting makes no room, and a job that overwrites its output fills the quota by itself",
                            "Add a lifecycle rule with noncurrent, as 30 d")  # fmt: skip
    for number, rule in enumerate(bucket.lifecycle):
        if rule.delete_markers and not any(_covers(other, rule) for other in forgets):
            yield Contradiction(f"lifecycle[{number}].delete_markers", "it can never fire: a delete marker goes once it hides nothing, and nothing removes "
                                "the versions that it hides", "Add noncurrent to the rule")  # fmt: skip


def _covers(rule: Rule, other: Rule) -> bool:
    """Whether all that `other` concerns is below the prefix of `rule`."""
    return other.prefix.startswith(rule.prefix)


def _of_retention(spec: LakeSpec, bucket: Bucket, days: int, growth: float) -> Iterable[Contradiction]:
    if bucket.name == spec.spark.bucket:
        yield Contradiction("retention", f"the job of lake_spark rewrites {spec.spark.output}: within {days} d of its first run it fails with "
                            "'Object is WORM protected and cannot be overwritten'",
                            "Let it write to a bucket without retention; object_lock alone does no harm")  # fmt: skip
    for number, rule in enumerate(bucket.lifecycle):
        if rule.noncurrent and rule.noncurrent < days:
            yield Contradiction(f"lifecycle[{number}].noncurrent", f"it cannot fire after {rule.noncurrent}: retention keeps every version for {days} d",
                                f"Declare {days} d or more")  # fmt: skip
        if rule.expire and rule.expire < days:
            yield Contradiction(f"lifecycle[{number}].expire", f"after {rule.expire} an object is hidden, and its bytes stay until its {days} d of retention are over",
                                f"Declare {days} d or more, or count with the space")  # fmt: skip
    if bucket.quota:
        yield from _of_quota(bucket, bucket.quota, days, growth)


def _of_quota(bucket: Bucket, quota: Size, days: int, growth: float) -> Iterable[Contradiction]:
    assert bucket.retention
    who = "nobody can make room before" if bucket.retention.mode == "compliance" else "only root can make room before"
    remedy = f"Raise the quota, shorten the retention, or write less than {_size(quota / days)} a day"
    if not growth:
        yield Contradiction("quota", f"{quota} that are kept for {days} d are full when more than {_size(quota / days)} a day is written; "
                            f"then every write fails, and {who} the oldest object's {days} d are over", remedy)  # fmt: skip
    elif growth * days > quota:
        yield Contradiction("quota", f"at {_size(growth)} a day, as lately, {quota} are full {quota / growth:.0f} d after the first write, and {who} day {days}: "
                            f"writes fail for {days - quota / growth:.0f} d", remedy)  # fmt: skip


def _of_users(spec: LakeSpec) -> Iterable[Contradiction]:
    plain = {b.name for b in spec.buckets if not b.versioning}
    for number, user in enumerate(spec.users):
        buckets = sorted({s.partition("/")[0] for s in user.buckets} & plain)
        if user.role == "append-only" and buckets:
            yield Contradiction(f"users[{number}].role", f"{user.name} may add only, and in {', '.join(buckets)}, which has no versioning, adding under a key "
                                "that exists replaces the object for good", "Declare versioning: true for the bucket")  # fmt: skip


def _of_volume(spec: LakeSpec) -> Iterable[Contradiction]:
    disk, quotas = spec.vm.disk.size, [b.quota for b in spec.buckets if b.quota]
    if sum(quotas) > disk:
        yield Contradiction("buckets[].quota", f"the quotas add up to {Size(sum(quotas))}, and the disk has {disk}: it is full first, and then every bucket "
                            "refuses writes, whatever its quota", "Raise vm.disk.size, or lower the quotas")  # fmt: skip
    if spec.backup.schedule and not spec.vm.disk.backup:
        yield Contradiction("backup.schedule", "the backups will hold the VM without its data disk, since vm.disk.backup is false: no object can be restored",
                            "Declare vm.disk.backup: true")  # fmt: skip


def _of_scanner(spec: LakeSpec) -> Iterable[Contradiction]:
    scanner = spec.minio.scanner
    if "cycle" in scanner.model_fields_set and scanner.cycle != scanner.round:
        yield Contradiction("minio.scanner.cycle", f"MinIO goes by the speed, and with {scanner.speed} a round begins every {scanner.round}, not every {scanner.cycle}",
                            "Leave it out, and declare the speed that you mean")  # fmt: skip


def _size(count: float) -> str:
    for unit, factor in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count:.0f} B"
