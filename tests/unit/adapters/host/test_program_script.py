"""Programs in the guest, put there by its own scripts."""

import hashlib
import stat
from pathlib import Path

import pytest

from include.adapters.host.program import Programs
from include.lake.errors import LakeError
from include.lake.resources.binary import Source
from tests.unit.adapters.host.scripts import Here


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.setattr(Programs, "_machine", "x86_64")
    guest = Here(tmp_path)
    for folder in ("lib", "bin"):
        guest.file(f"/usr/local/{folder}/x")
    return guest


def program(folder: Path, text: str) -> tuple[Source, str]:
    (folder / "made").write_text(text)
    return Source(file=str(folder / "made")), hashlib.sha256(text.encode()).hexdigest()


def modes(guest: Here) -> set[int]:
    """Of all that Homelake made."""
    return {stat.S_IMODE(p.stat().st_mode) for p in (guest.root / "usr/local/lib/minio").rglob("*")} | {
        stat.S_IMODE(guest.file("/usr/local/lib/minio").stat().st_mode)
    }


def test_an_account_can_run_the_program_whatever_the_guests_umask(guest: Here, tmp_path: Path) -> None:
    guest.around = ("bash", "-c", 'umask 077; exec "$@"', "-")
    by_hand = guest.file("/usr/local/bin/minio")
    by_hand.write_text("by hand")
    by_hand.chmod(0o755)
    source, sha256 = program(tmp_path, "one")
    guest.stage("minio", source, sha256)
    assert modes(guest) == {0o755}
    guest.switch("minio", sha256)
    assert modes(guest) == {0o755}
    assert by_hand.read_text() == "one"


def test_a_folder_that_was_closed_before_is_opened(guest: Here, tmp_path: Path) -> None:
    source, sha256 = program(tmp_path, "one")
    guest.stage("minio", source, sha256)
    for folder in ("", f"/{sha256}"):
        guest.file(f"/usr/local/lib/minio{folder}").chmod(0o700)
    guest.stage("minio", source, sha256)
    assert modes(guest) == {0o755}


def test_what_did_not_arrive_is_not_left(guest: Here, tmp_path: Path) -> None:
    source, sha256 = program(tmp_path, "one")
    for arrives in (lambda given: given[:-9], lambda given: b"other"):
        guest.arrives = lambda given, arrives=arrives: arrives(given) if given else given
        with pytest.raises(LakeError):
            guest.stage("minio", source, sha256)
        assert not list(guest.file(f"/usr/local/lib/minio/{sha256}/x").parent.iterdir())
