"""The parts of the Proxmox VE stand-in that need no lab: the configuration file, property strings, parameters, tokens."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.pve.auth import Tokens, Who
from lab.pve.config import ConfigFiles, VmConfig, parse
from lab.pve.errors import ApiError
from lab.pve.options import option_check, typed
from lab.pve.properties import agent_enabled, drive, network, size_bytes, size_text
from lab.pve.schema import FormatError, boolean, names, verify, vm_id

_KEYS = st.sampled_from(["name", "memory", "description", "scsi0", "scsi1", "net0", "boot", "args"])
_VALUES = st.text(alphabet=st.characters(blacklist_categories=["Cs"]))
_SECTIONS = st.dictionaries(_KEYS, _VALUES, max_size=4)


@given(_SECTIONS, _SECTIONS, st.dictionaries(_KEYS, st.booleans(), max_size=3), st.dictionaries(st.sampled_from(["one", "two-2", "fresh"]), _SECTIONS))
def test_a_configuration_is_read_as_it_was_written(current: dict[str, str], pending: dict[str, str], delete: dict[str, bool],
                                                   snapshots: dict[str, dict[str, str]]) -> None:  # fmt: skip
    config = VmConfig(current, pending, delete, snapshots)
    assert parse(config.text()) == config
    assert parse(config.text()).digest() == config.digest()


def test_what_is_in_a_slot_is_not_unused(tmp_path: Path) -> None:
    files = ConfigFiles(tmp_path, "pve")
    files.write(100, VmConfig({"scsi1": "local-lvm:vm-100-disk-1,size=1G", "unused0": "local-lvm:vm-100-disk-1", "unused1": "local-lvm:vm-100-disk-2"}))
    assert files.read(100).current == {"scsi1": "local-lvm:vm-100-disk-1,size=1G", "unused1": "local-lvm:vm-100-disk-2"}
    text = {"description": "two\r\nlines, \u2028 and a\rhalf, 100 %"}
    files.write(102, VmConfig(text))
    assert files.read(102).current == text
    assert (tmp_path / "100.conf").stat().st_mode & 0o777 == 0o600
    with pytest.raises(ApiError, match=r"qemu-server/101\.conf' does not exist"):
        files.read(101)


@given(st.integers(1, 1 << 50))
def test_sizes_keep_every_byte(size: int) -> None:
    assert size_bytes(size_text(size)) == size


def test_sizes_have_the_largest_unit_that_leaves_them_whole() -> None:
    assert [size_text(n) for n in (0, 1, 1 << 10, 3 << 29, 500 << 30, 1 << 40, (1 << 40) + (1 << 30))] == ["0", "1", "1K", "1536M", "500G", "1T", "1025G"]


def test_drives_are_shown_as_the_real_one_shows_them() -> None:
    check = drive("scsi1")
    assert check("local-lvm:500,ssd=on,iothread=1,discard=on,backup=yes") == "local-lvm:500,backup=1,discard=on,iothread=1,ssd=1"
    assert check("file=local-lvm:vm-100-disk-1,size=1024G") == check("volume=local-lvm:vm-100-disk-1,size=1T") == "local-lvm:vm-100-disk-1,size=1T"
    assert drive("ide2")("none") == "none,media=cdrom"
    with pytest.raises(ValueError, match="invalid key in comma-separated list property: iothread"):
        drive("ide0")("local-lvm:1,iothread=1")
    with pytest.raises(ValueError, match="duplicate key in comma-separated list property: ssd"):
        check("local-lvm:1,ssd=1,ssd=0")
    with pytest.raises(FormatError) as caught:
        check("ssd=maybe")
    assert caught.value.errors == {"file": "property is missing and it is not optional", "ssd": "type check ('boolean') failed - got 'maybe'"}


def test_network_cards() -> None:
    assert network("virtio,bridge=vmbr0") == network("model=virtio,bridge=vmbr0") == "virtio,bridge=vmbr0"
    one = "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1"
    assert network("firewall=1,bridge=vmbr0,virtio=bc:24:11:00:00:01") == network("virtio,macaddr=BC:24:11:00:00:01,bridge=vmbr0,firewall=on") == one
    with pytest.raises(FormatError):
        network("wifi,bridge=vmbr0")


def test_the_agents_setting() -> None:
    assert [agent_enabled(x) for x in ("1", "enabled=1,fstrim_cloned_disks=1", "0", "enabled=0", "type=virtio")] == [True, True, False, False, False]


def test_numbers_are_shown_as_numbers_and_the_password_is_not() -> None:
    shown = typed({"cores": "2", "onboot": "0", "memory": "2048", "cpulimit": "0.5", "snaptime": "9", "cipassword": "secret"})
    assert typed({"description": "two\nlines \n\n"}) == {"description": "two\nlines"}
    assert shown == {"cores": 2, "onboot": 0, "memory": "2048", "cpulimit": "0.5", "snaptime": 9, "cipassword": "**********"}


def test_parameters() -> None:
    assert verify({"a": "0", "b": ["x1", "y1"]}, {"a": boolean, "b": names}) == {"a": 0, "b": ["x1", "y1"]}
    assert verify({"a": True, "b": "1"}, {"a": boolean, "b": boolean}) == {"a": 1, "b": 1} and verify({"v": "100"}, {"v": vm_id}) == {"v": 100}
    with pytest.raises(ApiError) as caught:
        verify({"a": "2", "x": "", "v": "99", "scsi31": "local-lvm:1", "name": "-"}, {"a": boolean, "v": vm_id}, ("needed",), option_check)
    assert set(caught.value.errors or {}) == {"a", "x", "v", "scsi31", "name", "needed"}
    assert str(ApiError(400, "Parameter verification failed.", {"a": "b\nc"})) == "400 Parameter verification failed. a: b c"


@pytest.mark.parametrize("word", ["True", "on", "yes", "false", "2", "01", "1.0", ""])
def test_a_switch_takes_no_words(word: str) -> None:
    with pytest.raises(ApiError) as caught:
        verify({"start": word}, {"start": boolean})
    assert caught.value.errors == {"start": f"type check ('boolean') failed - got '{word}'"}


def test_the_nearest_entry_decides_what_a_token_may() -> None:
    who = Who("a@pve!t", {"/": ("VM.Audit",), "/vms/100": ("VM.Config.Disk",), "/storage": ()})
    assert who.privileges("/vms/101") == {"VM.Audit"} and who.privileges("/vms/100") == {"VM.Config.Disk"} and who.privileges("/storage/local") == set()
    with pytest.raises(ApiError, match=r"Permission check failed \(/vms/100, VM.Audit\|VM.Backup\)"):
        who.need("/vms/100", "VM.Audit", "VM.Backup")
    assert "/storage" not in who.permissions() and who.permissions()["/vms/100"] == {"VM.Config.Disk": 1}
    assert "Disk" not in repr(who)


def test_tokens_are_known_by_their_secret(tmp_path: Path) -> None:
    (tmp_path / "t").write_text(json.dumps({"a@pve!t": {"sha256": hashlib.sha256(b"s=1").hexdigest(), "acl": {"/": ["VM.Audit"]}}}))
    tokens = Tokens(tmp_path / "t")
    for header in ("PVEAPIToken=a@pve!t=s=1", "PVEAPIToken a@pve!t=s=1", "PVEAPIToken=a%40pve!t=s%3D1"):
        # The real one splits at the last `=`, too: its secrets are UUIDs and hold none.
        with pytest.raises(ApiError) as caught:
            tokens.who(header)
        assert (caught.value.status, caught.value.message) == (401, "no such token 't=s' for user 'a@pve'")
    (tmp_path / "t").write_text(json.dumps({"a@pve!t": {"sha256": hashlib.sha256(b"s").hexdigest(), "acl": {}}}))
    for header in ("PVEAPIToken=a@pve!t=s", "PVEAPIToken a@pve!t=s", "PVEAPIToken=a%40pve!t=s"):
        assert Tokens(tmp_path / "t").who(header).user == "a@pve"
    for header in (None, "", "Basic eDp5", "PVEAPIToken=", "PVEAPIToken=a@pve!t", "PVEAPIToken=a@pve!t=x"):
        with pytest.raises(ApiError) as caught:
            Tokens(tmp_path / "t").who(header)
        assert caught.value.status == 401
