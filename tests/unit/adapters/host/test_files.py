"""What is written in the guest is written whole, whenever the connection breaks: the scripts themselves, run here."""

from collections.abc import Callable
from pathlib import Path

import pytest

from include.lake.errors import LakeError
from include.lake.secret import Secret
from tests.unit.adapters.host.scripts import Here

FSTAB = "# the VM's own: é\nUUID=1 / ext4 defaults 0 1\n"
SETTINGS = "MINIO_VOLUMES=/data\nMINIO_ROOT_USER=old\nMINIO_ROOT_PASSWORD=old-password\n"
NEW = Secret("root:new-password")
WAYS: dict[str, tuple[str, str, Callable[[Here], None]]] = {
    "fstab": ("/etc/fstab", FSTAB, lambda g: g.write_fstab("/data", "2", "ext4", "defaults")),
    "fstab without a line": ("/etc/fstab", FSTAB, lambda g: g.remove_entry("/")),
    "unit": ("/etc/systemd/system/minio.service", "[Unit]\n", lambda g: g.write_unit("minio", "[Unit]\nDescription=é\n")),
    "settings": ("/etc/default/minio", SETTINGS, lambda g: g.write_environment("minio", "root", ("MINIO_VOLUMES=/data",), NEW)),
    "credentials": ("/etc/default/minio", SETTINGS, lambda g: g.write_credentials("minio", NEW)),
    "note": ("/var/lib/homelake/upgrade", "a b\n", lambda g: g.write_note("upgrade", "é c\n")),
}


@pytest.fixture
def guest(tmp_path: Path) -> Here:
    return Here(tmp_path)


@pytest.mark.parametrize("way", WAYS)
def test_what_arrives_in_part_changes_nothing(guest: Here, way: str) -> None:
    path, text, write = WAYS[way]
    (file := guest.file(path)).write_text(text)
    for cut in (lambda given: b"", lambda given: given[:1], lambda given: given[:-1]):
        guest.arrives = lambda given, cut=cut: cut(given) if given else given
        with pytest.raises(LakeError, match="only a part of what was to be written has arrived"):
            write(guest)
        assert file.read_text() == text
        assert [f.name for f in file.parent.iterdir()] == [file.name], "something was left beside it"


@pytest.mark.parametrize("way", WAYS)
def test_what_arrives_whole_is_written_as_it_is(guest: Here, way: str) -> None:
    path, text, write = WAYS[way]
    (file := guest.file(path)).write_text(text)
    write(guest)
    assert (
        file.read_text()
        == {
            "fstab": f"{FSTAB}UUID=2 /data ext4 defaults 0 2\n",
            "fstab without a line": "# the VM's own: é\n",
            "unit": "[Unit]\nDescription=é\n",
            "settings": "# Written by Homelake; changes are undone at the next run.\nMINIO_VOLUMES=/data\nMINIO_ROOT_USER=root\nMINIO_ROOT_PASSWORD=new-password\n",
            "credentials": "MINIO_VOLUMES=/data\nMINIO_ROOT_USER=root\nMINIO_ROOT_PASSWORD=new-password\n",
            "note": "é c\n",
        }[way]
    )
    assert [f.name for f in file.parent.iterdir()] == [file.name]


def test_a_file_may_end_without_a_newline_or_be_empty(guest: Here) -> None:
    file = guest.file("/etc/some")
    for text in ("", "no newline", "\n\n", "a\\tb  \n c"):
        guest.write('printf %s "$content" >"$1"', "/etc/some", content=text.encode())
        assert file.read_text() == text
