"""What lies below a mount, looked at by the guest's own scripts in a mount namespace: a mount point that is itself on another filesystem than `/`."""

import subprocess
from pathlib import Path

import pytest

from include.lake.errors import LakeError
from include.lake.resources.mount import MountFacts
from tests.unit.adapters.host.scripts import Here

MAY = subprocess.run(["unshare", "-m", "--propagation", "private", "true"], capture_output=True, check=False).returncode == 0
pytestmark = pytest.mark.skipif(not MAY, reason="no mount namespace may be made here")
# /srv is a partition of its own, with two files below what is mounted twice, as nobody unmounts it first; another mount lies in it.
LAID = """
mount -t tmpfs srv "$0"; mkdir "$0/minio"; touch "$0/minio/a" "$0/minio/.b"
for n in $(seq %d); do mount -t tmpfs data "$0/minio"; touch "$0/minio/stored"; mkdir "$0/minio/deeper"; mount -t tmpfs deeper "$0/minio/deeper"; done
"$@" || exit; cd /; findmnt -nro TARGET | grep -c "^$0/minio" >"$0.left"; umount -R "$0/minio" 2>/dev/null; umount -R "$0/minio" 2>/dev/null; ls -A "$0/minio" >"$0.after"
"""


@pytest.fixture
def srv(tmp_path: Path) -> Path:
    (made := tmp_path / "srv").mkdir()
    return made


@pytest.fixture
def guest(tmp_path: Path) -> Here:
    guest = Here(tmp_path)
    guest.file("/etc/fstab").write_text("")
    guest.stand_in("lsattr", 'ls "$2" | grep -q "^immutable$" && echo "----i--- $2"; true')  # a tmpfs knows none of it
    guest.stand_in("chattr", 'touch "$2/immutable"')
    return guest


def laid(guest: Here, srv: Path, mounts: int) -> None:
    guest.around = ("unshare", "-m", "--propagation", "private", "bash", "-c", LAID % mounts, str(srv))


@pytest.mark.parametrize("mounts", [0, 1, 2])
def test_what_the_mount_hides_is_counted_on_its_own_filesystem(guest: Here, srv: Path, mounts: int) -> None:
    laid(guest, srv, mounts)
    assert guest.mount_facts(f"{srv}/minio") == MountFacts(None, "data" if mounts else None, False, 2)
    assert srv.with_suffix(".left").read_text() == f"{2 * mounts}\n", "what is mounted is so no more"


@pytest.mark.parametrize("mounts", [0, 1, 2])
def test_the_directory_below_is_the_one_that_is_made_immutable(guest: Here, srv: Path, mounts: int) -> None:
    laid(guest, srv, mounts)
    guest.protect(f"{srv}/minio")
    assert srv.with_suffix(".after").read_text().split() == [".b", "a", "immutable"]


def test_a_directory_that_is_not_there_is_made_where_it_belongs(guest: Here, srv: Path) -> None:
    laid(guest, srv, 0)
    guest.protect(f"{srv}/other")
    assert guest.mount_facts(f"{srv}/nowhere") == MountFacts(None, None, False, 0)
    assert not list(srv.iterdir()), "on the root filesystem, below what is mounted"


def test_a_look_that_fails_is_not_an_empty_directory(guest: Here, srv: Path) -> None:
    laid(guest, srv, 1)
    guest.stand_in("umount", "echo no; exit 1")
    with pytest.raises(LakeError):
        guest.mount_facts(f"{srv}/minio")
