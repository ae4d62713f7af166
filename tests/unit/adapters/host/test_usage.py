"""How full the data's filesystem is, read from a real ext4 with a real MinIO's staging directory on it."""

from datetime import UTC, datetime

import pytest

from include.adapters.host.ssh import Result
from include.adapters.host.usage import Volumes, parse_volume
from include.connections import Connection
from include.lake.errors import LakeError
from include.lake.usage import Volume
from tests.unit.conftest import recorded


def test_an_empty_volume() -> None:
    assert parse_volume(recorded("host/volume_empty.txt")) == Volume(14 * 1024, 218214 * 1024, 11, 65525, 0, 0, None)


def test_uploads_that_nobody_completed_are_counted_with_their_bytes_and_the_oldest() -> None:
    """Two uploads of 6 MB each; a third was aborted."""
    found = parse_volume(recorded("host/volume_uploads.txt"))
    assert (found.uploads, found.inodes_used) == (2, 84)
    assert 12_000_000 <= found.uploads_size < 12_100_000
    assert found.oldest_upload is not None
    assert found.oldest_upload.replace(microsecond=0) == datetime(2026, 11, 25, 2, 36, 38, tzinfo=UTC)
    assert found.used + found.free < 235431 * 1024, "what is reserved for root is nobody's"


def test_another_form_of_the_staging_directory_has_no_age() -> None:
    text = "\n".join(line for line in recorded("host/volume_uploads.txt").splitlines() if not line.startswith("began="))
    assert (parse_volume(text).uploads, parse_volume(text).oldest_upload) == (2, None)


def test_a_volume_that_is_not_mounted_is_not_measured() -> None:
    """The bare directory would be the VM's own disk."""
    volumes = Volumes(Connection("lake_host", "ssh"))
    volumes.run = lambda *args, **options: Result(3, "", "")  # type: ignore[method-assign]
    with pytest.raises(LakeError, match="Unable to measure the volume at /mnt/x: it is not mounted") as caught:
        volumes.volume("/mnt/x")
    assert not caught.value.retry
