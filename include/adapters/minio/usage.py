"""What MinIO counts of itself. Nothing here takes longer the more objects there are."""

from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from include.adapters.minio.server import Server
from include.lake.units import Size
from include.lake.usage import Counted, Counters, Sample


class Counts(Server):
    """The scanner's counters, quotas, and a bounded look at a bucket's versions."""

    def counters(self) -> Counters:
        """The counters of all buckets, in one answer."""
        return parse_counters(self._read("the usage counters", self._admin.get_data_usage_info, "lastUpdate") or {})

    def quota(self, bucket: str) -> Size | None:
        """The hard quota; None when there is none."""
        found = self._read(f"the quota of {bucket}", lambda: self._admin.bucket_quota_get(bucket), "quota") or {}
        limit = found.get("size") or found.get("quota") or 0
        return Size(limit) if limit else None

    def sample(self, bucket: str, most: int) -> Sample | None:
        """The first versions of a bucket by name, at most `most` (1,000 are one call); None when there is no such bucket."""
        found = self._find(f"the versions of {bucket}", lambda: list(islice(self._s3.list_objects(bucket, recursive=True, include_version=True), most)))
        if found is None:
            return None
        markers, old = [v for v in found if v.is_delete_marker], [v for v in found if not v.is_delete_marker and not _latest(v.is_latest)]
        return Sample(len(found) < most, len(old), sum(v.size or 0 for v in old), len(markers), sum(_latest(v.is_latest) for v in markers))


def _latest(text: object) -> bool:
    return str(text).lower() == "true"  # minio-py keeps the answer's text


def parse_counters(found: Mapping[str, Any]) -> Counters:
    """From the answer of `datausageinfo`. Before the first round of the scanner it carries Go's year 1, and no buckets."""
    at = datetime.fromisoformat(found["lastUpdate"])
    buckets = found.get("bucketsUsageInfo") or {}
    counted = {n: Counted(b["size"], b["objectsCount"], b["versionsCount"], b["deleteMarkersCount"]) for n, b in buckets.items()}
    return Counters(at if at.year > 1 else None, counted)
