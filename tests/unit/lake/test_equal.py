"""The proof: what is missing, other or unreadable is named; what came later is not asked for."""

from dataclasses import replace

import pytest

from include.lake.equal import IN_FLIGHT, Report, Version, prove
from include.lake.errors import LakeError
from tests.fakes.backups import FakeStore

BEGAN = 1000.0


def version(key: str, number: int = 1, *, modified: float = 10, marker: bool = False, bucket: str = "datalake") -> Version:
    return Version(bucket, key, f"v{number}", marker, modified, 0 if marker else 3)


BODIES = {version("a"): b"one", version("a", 2, modified=20): b"two", version("a", 3, modified=30, marker=True): b"",
          version("b/c"): b"six", version("x", bucket="other"): b"ten"}  # fmt: skip


def stores() -> tuple[FakeStore, FakeStore]:
    return FakeStore(BODIES), FakeStore(BODIES)


def proven(original: FakeStore, restored: FakeStore, share: float = 1.0) -> Report:
    return prove(original, restored, BEGAN, lambda line: None, share)


def test_all_versions_are_compared_on_both_sides() -> None:
    original, restored = stores()
    report = proven(original, restored)
    assert (report.versions, report.markers, report.bodies, report.bytes, report.gone, report.late, report.wrong) == (4, 1, 4, 12, 0, 0, [])
    bodies = {v for v in BODIES if not v.marker}
    assert set(original.read) == set(restored.read) == bodies
    assert str(report) == "4 versions and 1 delete markers are there, 4 bodies (0.0 MiB) are byte-equal"


@pytest.mark.parametrize("lost", list(BODIES), ids=str)
def test_a_missing_version_is_named(lost: Version) -> None:
    original, restored = stores()
    del restored.bodies[lost]
    with pytest.raises(LakeError) as caught:
        proven(original, restored)
    assert f"{lost} is missing" in caught.value.cause


@pytest.mark.parametrize("other", [v for v in BODIES if not v.marker], ids=str)
def test_other_bytes_of_the_same_size_are_found(other: Version) -> None:
    original, restored = stores()
    restored.bodies[other] = b"!!!"
    with pytest.raises(LakeError, match="has other bytes"):
        proven(original, restored)


def test_an_unreadable_body_is_found() -> None:
    original, restored = stores()
    restored.unreadable.add(version("a"))
    with pytest.raises(LakeError, match="cannot be read"):
        proven(original, restored)


@pytest.mark.parametrize("change", [{"size": 4}, {"marker": True}])
def test_another_size_or_kind_is_found(change: dict[str, object]) -> None:
    original, restored = stores()
    body = restored.bodies.pop(version("b/c"))
    restored.bodies[replace(version("b/c"), **change)] = body  # type: ignore[arg-type]
    with pytest.raises(LakeError, match="is of another kind or size"):
        proven(original, restored)


def test_a_missing_bucket_is_found_unless_it_is_empty() -> None:
    original, restored = stores()
    original.empty.add("empty")
    proven(original, restored)
    del restored.bodies[version("x", bucket="other")]
    with pytest.raises(LakeError, match=r"other/x .* is missing"):
        proven(original, restored)


def test_what_was_written_after_the_backup_began_is_not_asked_for() -> None:
    original, restored = stores()
    original.bodies[version("a", 9, modified=BEGAN)] = b"new"
    original.bodies[version("new", modified=BEGAN + 50)] = b"new"
    assert proven(original, restored).versions == 4


def test_what_was_in_flight_may_be_missing_and_is_told() -> None:
    original, restored = stores()
    original.bodies[version("late", modified=BEGAN - IN_FLIGHT)] = b"new"
    assert proven(original, restored).late == 1
    original.bodies[version("early", modified=BEGAN - IN_FLIGHT - 0.1)] = b"new"
    with pytest.raises(LakeError, match=r"early .* is missing"):
        proven(original, restored)


def test_what_the_original_lost_since_is_told() -> None:
    original, restored = stores()
    del original.bodies[version("b/c")]
    original.unreadable.add(version("a"))
    report = proven(original, restored)
    assert (report.gone, report.versions, report.bodies) == (2, 2, 2)


def test_the_order_of_the_listings_does_not_matter() -> None:
    original, restored = stores()
    restored.versions = lambda bucket: iter([v for v in reversed(list(BODIES)) if v.bucket == bucket])  # type: ignore[method-assign]
    assert proven(original, restored).versions == 4


def test_a_share_reads_fewer_bodies_and_still_compares_every_listing() -> None:
    many = {version(f"k{n:03}"): b"abc" for n in range(400)}
    original, restored = FakeStore(many), FakeStore(many)
    report = proven(original, restored, 0.1)
    assert report.versions == 400
    assert 20 <= report.bodies <= 60
    first, original.read = set(original.read), []
    proven(original, restored, 0.1)
    assert set(original.read) == first, "always the same ones"
    del restored.bodies[next(v for v in many if v not in first)]
    with pytest.raises(LakeError, match="is missing"):
        proven(original, restored, 0.1)


def test_many_differences_are_counted_and_the_first_named() -> None:
    many = {version(f"k{n:03}"): b"abc" for n in range(50)}
    with pytest.raises(LakeError, match="and 40 more"):
        proven(FakeStore(many), FakeStore({}))
