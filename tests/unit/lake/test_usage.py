"""What the counters and a bounded sample say of a bucket, and that one part out of reach hides nothing of the other."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lake.errors import LakeError, Unreachable
from include.lake.resources.keypair import KeyPair, KeyPairState
from include.lake.units import Size
from include.lake.usage import SAMPLE, Counted, Counters, KeyAge, Noncurrent, Sample, Volume, measure, noncurrent

AT = datetime(2026, 1, 2, tzinfo=UTC)
VOLUME = Volume(10, 90, 5, 95, 0, 0, None)


class Store:
    """MinIO, with a record of what it was asked."""

    def __init__(self, counted: Counted | None, sample: Sample | None = None) -> None:
        self.counted, self.found, self.sampled = counted, sample, 0

    def counters(self) -> Counters:
        return Counters(AT, {"b": self.counted} if self.counted else {})

    def quota(self, bucket: str) -> Size | None:
        return Size(100)

    def sample(self, bucket: str, most: int) -> Sample | None:
        self.sampled += 1
        assert most == SAMPLE
        return self.found


class Host:
    def volume(self, mount_point: str) -> Volume:
        assert mount_point == "/data"
        return VOLUME


def parts(store: Any, host: Any = None) -> Any:
    return {"minio": store, "host": host or Host()}.__getitem__


def test_where_the_counters_suffice_nothing_is_listed() -> None:
    store = Store(Counted(500, 7, 7, 0))
    found = measure(["b"], "/data", parts(store))
    assert (found.counted_at, found.volume, found.errors) == (AT, VOLUME, ())
    assert (found.buckets[0].quota, found.buckets[0].noncurrent) == (100, Noncurrent(0, 0, exact=True))
    measure(["b"], "/data", parts(only_markers := Store(Counted(0, 2, 2, 2))))
    assert store.sampled == only_markers.sampled == 0


def test_a_whole_sample_is_exact() -> None:
    store = Store(Counted(20000, 10, 18, 3), Sample(True, 8, 11000, 3, 3))
    assert measure(["b"], "/data", parts(store)).buckets[0].noncurrent == Noncurrent(8, 11000, exact=True)


def test_a_part_of_the_versions_gives_an_estimate() -> None:
    counted = Counted(size=100_000, objects=1000, versions=6100, markers=100)
    assert noncurrent(counted, Sample(False, 500, 5000, 10, 10)) == Noncurrent(5100, 51000, exact=False), "every name with a marker is hidden"
    assert noncurrent(counted, Sample(False, 500, 5000, 10, 0)) == Noncurrent(5000, 50000, exact=False), "the markers are old ones"
    assert noncurrent(counted, Sample(False, 0, 0, 0, 0)) == Noncurrent(5100, None, exact=False), "none in the sample: their size is not known"


def test_what_is_not_counted_yet_is_not_guessed() -> None:
    assert noncurrent(None, Sample(False, 5, 500, 0, 0)) is None
    store = Store(None, Sample(True, 2, 20, 0, 0))
    (bucket,) = measure(["b"], "/data", parts(store)).buckets
    assert (bucket.counted, bucket.noncurrent) == (None, Noncurrent(2, 20, exact=True))
    assert measure(["b"], "/data", parts(Store(None, None))).buckets[0].noncurrent is None, "there is no such bucket"


numbers = st.integers(0, 10**9)


@given(numbers, numbers, numbers, numbers, st.integers(0, 1000), st.integers(0, 10**6), st.integers(0, 1000), st.integers(0, 1000))
def test_an_estimate_is_never_less_than_what_was_seen_nor_more_than_there_is(size: int, objects: int, current: int, markers: int, old: int, mean: int, seen: int, hiding: int) -> None:  # fmt: skip
    counted = Counted(size, objects, objects + current + markers, markers)
    sample = Sample(False, old, old * mean, seen, min(seen, hiding))
    found = noncurrent(counted, sample)
    assert found is not None
    assert found.count >= min(sample.noncurrent, counted.versions)
    assert found.count <= max(counted.versions, sample.noncurrent)
    assert found.size is None or 0 <= found.size <= max(size, sample.noncurrent_size)


class Gone:
    def __init__(self, error: LakeError) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Any:
        raise self.error


@pytest.mark.parametrize("error", [Unreachable("it", "no answer"), LakeError("measure", "it", "it is not mounted")], ids=lambda e: type(e).__name__)
def test_one_part_out_of_reach_hides_nothing_of_the_other(error: LakeError) -> None:
    without_minio = measure(["b"], "/data", parts(Gone(error)))
    assert (without_minio.buckets, without_minio.volume, without_minio.errors) == ((), VOLUME, (error,))
    without_host = measure(["b"], "/data", parts(Store(Counted(5, 1, 1, 0)), Gone(error)))
    assert ([b.name for b in without_host.buckets], without_host.volume, without_host.errors) == (["b"], None, (error,))


PAIR = KeyPair("spark-user", "spark-jobs", "minio-s3-credentials", ("access-key", "secret-key"), KeyPairState(None))


class Records:
    def written(self, namespace: str, name: str, key: str) -> datetime | None:
        return {("spark-jobs", "minio-s3-credentials", "access-key"): AT}.get((namespace, name, key))


def test_a_key_pair_is_as_old_as_its_access_key_in_the_secret() -> None:
    given = {"minio": Store(Counted(5, 1, 1, 0)), "host": Host(), "keypair": Records()}
    other = replace(PAIR, user="reader", name="reader")
    assert measure(["b"], "/data", given.__getitem__, (PAIR, other)).keys == (KeyAge("spark-user", AT), KeyAge("reader", None))
    error = Unreachable("Kubernetes", "no answer")
    away = measure(["b"], "/data", (given | {"keypair": Gone(error)}).__getitem__, (PAIR,))
    assert (away.keys, away.volume, away.errors) == ((), VOLUME, (error,))
