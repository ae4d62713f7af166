"""The contract of UsageStore: what MinIO counts, and how late; and of a bounded look at a bucket's versions."""

import time
from datetime import UTC, datetime, timedelta
from io import BytesIO
from uuid import uuid4

import pytest

from include.lake.units import Size
from include.lake.usage import SAMPLE, Counted, Counters, Noncurrent, Sample, UsageStore, noncurrent
from tests.contract.real import Parts
from tests.fakes.minio import FakeMinio

LATEST = 240  # seconds until a round of the scanner has counted a bucket


class Fake:
    """A MinIO in memory whose scanner goes round when it is waited for."""

    name = "contract"

    def clear(self) -> None:
        self.minio = FakeMinio()
        self.client: UsageStore = self.minio

    def close(self) -> None:
        pass

    def bucket(self) -> None:
        self.minio.make_bucket(self.name, object_lock=False)
        self.minio.set_versioning(self.name, on=True)

    def put(self, key: str, size: int) -> None:
        self.minio.versions.setdefault(self.name, []).append((key, size))

    def delete(self, key: str) -> None:
        self.minio.versions.setdefault(self.name, []).append((key, None))

    def limit(self, quota: Size) -> None:
        self.minio.set_quota(self.name, quota)

    def counted(self) -> Counters:
        self.minio.scan()
        return self.minio.counters()


class Real:
    """The lake's MinIO, with a bucket that nobody else has."""

    needs = "with_minio"

    def __init__(self, parts: Parts) -> None:
        self.minio, self.name = parts.clients.minio, ""
        self.client: UsageStore = self.minio
        self.s3 = self.minio.s3()

    def clear(self) -> None:
        if self.name and self.s3.bucket_exists(self.name):
            for version in self.s3.list_objects(self.name, recursive=True, include_version=True):
                self.s3.remove_object(self.name, str(version.object_name), version_id=version.version_id)
            self.s3.remove_bucket(self.name)
        self.name = f"contract-{uuid4().hex[:8]}"

    def close(self) -> None:
        pass

    def bucket(self) -> None:
        self.minio.make_bucket(self.name, object_lock=False)
        self.minio.set_versioning(self.name, on=True)

    def put(self, key: str, size: int) -> None:
        self.s3.put_object(self.name, key, BytesIO(b"x" * size), size)

    def delete(self, key: str) -> None:
        self.s3.remove_object(self.name, key)

    def limit(self, quota: Size) -> None:
        self.minio.set_quota(self.name, quota)

    def counted(self) -> Counters:
        began = datetime.now(UTC)
        while True:
            found = self.client.counters()
            # A time after the last write says nothing of this bucket: a round may have passed it before.
            if found.at and found.at > began and found.buckets.get(self.name, Counted(0, 0, 0, 0)).versions == 9:
                return found
            assert datetime.now(UTC) - began < timedelta(seconds=LATEST), found
            time.sleep(2)


Rig = Fake | Real


def test_a_bucket_that_is_not_there(rig: Rig) -> None:
    assert rig.client.sample(rig.name or "contract-nowhere", SAMPLE) is None
    assert rig.client.quota(rig.name or "contract-nowhere") is None
    assert (rig.name or "contract-nowhere") not in rig.client.counters().buckets


@pytest.mark.timeout(900)
def test_versions_markers_and_quota_as_the_counters_and_the_sample_tell_them(rig: Rig) -> None:
    rig.bucket()
    assert rig.client.quota(rig.name) is None
    assert rig.client.sample(rig.name, SAMPLE) == Sample(True, 0, 0, 0, 0)
    for key in "abcd":
        rig.put(key, 1000)
    rig.put("a", 3000)
    rig.put("b", 3000)
    rig.delete("b")  # hides two versions
    rig.delete("c")
    rig.put("c", 5000)  # a marker that hides nothing any more
    whole = Sample(True, 4, 6000, 2, 1)
    assert rig.client.sample(rig.name, SAMPLE) == whole
    part = rig.client.sample(rig.name, 3)
    assert part is not None
    assert not part.whole
    rig.limit(Size(5 << 30))
    assert rig.client.quota(rig.name) == 5 << 30
    found = rig.counted()
    assert found.at is not None
    assert datetime.now(UTC) - found.at < timedelta(seconds=LATEST)
    counted = found.buckets[rig.name]
    assert counted == Counted(15_000, 4, 9, 2)
    assert noncurrent(counted, whole) == Noncurrent(4, 6000, exact=True)
    estimate = noncurrent(counted, Sample(False, 4, 6000, 2, 1))
    assert estimate == Noncurrent(4, 6000, exact=False), "with the sample's share of current markers the counters give the same number"
