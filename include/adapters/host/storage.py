"""Disk, filesystem and mount in the guest."""

import re

from include.adapters.host.facts import pairs, section
from include.adapters.host.files import Files
from include.adapters.host.ssh import RELOAD
from include.lake.errors import LakeError, Refused, Unreachable
from include.lake.resources.filesystem import MAKING, DeviceFacts, FilesystemState
from include.lake.resources.mount import MountFacts

# Proxmox names a SCSI disk after its slot, in QEMU's own vendor and model. Letters move; this does not.
BY_ID = "/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_drive-{slot}"
BLOCK_GROUP = 128 << 20  # bytes; ext4 may leave a last, small group out when it grows

# Other controllers than virtio-scsi tell the kernel nothing of a disk that grew: it keeps the size that it knew until it asks. A disk that is no
# SCSI disk has nothing to ask.
_RESCAN = r"""
rescan() { local ask; ask=/sys/block/$(basename "$1")/device/rescan; [ ! -e "$ask" ] || echo 1 >"$ask"; } 2>/dev/null
"""
_DEVICE = (
    _RESCAN
    + r"""
link=$1 end=$((SECONDS + 5))
# A disk that was added a moment ago: the kernel may not have found it yet, so udev knows of nothing to wait for.
until [ -e "$link" ] || [ $SECONDS -ge $end ]; do sleep 0.2; done
udevadm settle --timeout=10 2>/dev/null
dev=$(readlink -e "$link") || exit 4
rescan "$dev"
echo "path=$link"; echo "bytes=$(blockdev --getsize64 "$dev")"
lsblk -nro NAME "$dev" | sed 1d | sed 's/^/part=/'
echo '<blkid>'; blkid -p -o export "$dev"; case $? in 0|2|8) ;; *) exit 5; esac; echo '</blkid>'  # 2: nothing; 8: more than one, which wipefs names
echo '<wipefs>'; wipefs -n -i -p "$dev" || exit 5; echo '</wipefs>'
echo '<ext4>'; LC_ALL=C dumpe2fs -h "$dev" 2>/dev/null; echo '</ext4>'
"""
)
_GROW = _RESCAN + 'dev=$(readlink -e "$1"); rescan "$dev"; findmnt -n "$dev" >/dev/null || e2fsck -fp "$1" >/dev/null; resize2fs "$1"'

# Everything is looked at once more in the very command that formats. While udev looks at a disk it sees no further write to it: it is told of the end.
_MKFS = r"""
dev=$1 uuid=$2 making=$3 label=$4 again=$5
if [ "$again" = no ]; then
  found=$(wipefs -n "$dev") || exit 5
  blkid -p "$dev" >/dev/null
  [ $? = 2 ] && [ -z "$found" ] || { echo "$dev carries something now" >&2; exit 6; }  # a disk that cannot be read is not an empty one
fi
if [ "$again" = yes ] && [ "$(blkid -p -o value -s UUID "$dev")/$(blkid -p -o value -s LABEL "$dev")" != "$uuid/$making" ]; then
  echo "$dev does not carry what was begun" >&2; exit 6; fi
mkfs.ext4 -q -F -U "$uuid" -L "$making" -m 0 -E lazy_itable_init=1,lazy_journal_init=1 "$dev" && e2label "$dev" "$label" && udevadm trigger --settle "$dev"
"""

# The bare directory lies below the mount, on whatever filesystem the one above it is: so the mount is taken away, in a mount namespace of its own.
# Lazily, with all that is mounted in it; and nothing is noted of it (-n), since those notes are of all namespaces.
_BARE = """
bare() { unshare -m --propagation private sh -c 'cd /; while mountpoint -q "$1"; do umount -nl "$1" || exit 1; done; '"$2" sh "$1"; }
"""
_MOUNT = (
    _BARE
    + r"""
target=$1
echo '<fstab>'; cat /etc/fstab; echo '</fstab>'
source=$(findmnt --fstab --evaluate -n -o SOURCE "$target" 2>/dev/null | head -n 1)
echo "leads_to=$(blkid -p -o value -s UUID "$source" 2>/dev/null)"
echo "mounted=$(findmnt -n -o UUID --mountpoint "$target" | grep . || findmnt -n -o SOURCE --mountpoint "$target")"
bare "$target" '[ -d "$1" ] || exit 0; lsattr -d "$1" | sed s/^/attributes=/; ls -A "$1" | sed s/^/file=/'
"""
)
_PROTECT = _BARE + """bare "$1" 'mkdir -p "$1" && chmod 0700 "$1"; chattr +i "$1"'"""

_ERASE = r"""
found=$(blkid -p -o value -s UUID "$1"); [ -z "$found" ] && exit 0
[ "$found" = "$2" ] || { echo "$1 carries another filesystem ($found)" >&2; exit 1; }
if findmnt -n -S "$(readlink -e "$1")" >/dev/null; then echo "$1 is mounted" >&2; exit 1; fi
wipefs -qa "$1"; udevadm trigger --settle "$1"
"""
_UNMOUNT = r"""
mountpoint -q "$1" || exit 0
systemctl stop "$(systemd-escape -p --suffix=mount "$1")" 2>/dev/null
mountpoint -q "$1" && umount "$1"; ! mountpoint -q "$1"
"""
_UNPROTECT = r"""
mountpoint -q "$1" && { echo "$1 is mounted" >&2; exit 1; }
[ -d "$1" ] || exit 0
chattr -i "$1" && rmdir "$1"
"""

_WRITE = 'printf %s "$content" >"$1.homelake" && chmod --reference="$1" "$1.homelake" && sync "$1.homelake" && mv "$1.homelake" "$1" && systemctl daemon-reload'


class Storage(Files):
    """Disk, filesystem and mount. Every write looks once more at what it is about to change."""

    def device(self, slot: str) -> DeviceFacts:
        """The disk of a slot."""
        result = self.run(_DEVICE, BY_ID.format(slot=slot), ok=(0, 4))
        if result.code == 4:
            raise Unreachable(f"the disk of {slot} in the VM", f"there is no {BY_ID.format(slot=slot)}",
                              "If the disk was just added, the VM may need hotplug for disks (qm set VMID --hotplug disk,network,usb) or a restart")  # fmt: skip
        return parse_device(result.out)

    def make_filesystem(self, path: str, state: FilesystemState, *, again: bool) -> None:
        """Make an ext4; until it is complete it carries the label MAKING."""
        if state.type != "ext4":
            raise LakeError("make", f"a filesystem of type {state.type}", "only ext4 is supported")
        result = self.run(_MKFS, path, state.uuid, MAKING, state.label or "", "yes" if again else "no", ok=(0, 6))
        if result.code == 6:
            raise Refused("format", path, result.err.strip(), "Look at it with wipefs -n and run again")

    def grow_filesystem(self, path: str) -> None:
        """Make it as large as its disk, online (or at rest, after the check that resize2fs wants)."""
        self.run(_GROW, path)

    def mount_facts(self, target: str) -> MountFacts:
        """What is at a mount point."""
        return parse_mount(self.run(_MOUNT, target).out, target)

    def protect(self, target: str) -> None:
        """Make the bare directory, and make it immutable."""
        self.run(_PROTECT, target)

    def write_fstab(self, target: str, uuid: str, fstype: str, options: str) -> None:
        """Set the mount point's line; every other line stays as it is."""
        line = f"UUID={uuid} {target} {fstype} {options} 0 2"
        text = self._fstab(f"Add the line yourself: {line}")
        self.write(_WRITE, "/etc/fstab", content=with_line(text, target, line).encode())

    def erase_filesystem(self, path: str, uuid: str) -> None:
        """Take the filesystem of that UUID off its disk; looked at once more in the very command that does it."""
        self.run(_ERASE, path, uuid)

    def unmount(self, target: str) -> None:
        """Unmount it, through systemd where it knows the unit."""
        self.run(_UNMOUNT, target)

    def remove_directory(self, target: str) -> None:
        """Remove the directory below the mount, when it is empty."""
        self.run(_UNPROTECT, target)

    def remove_entry(self, target: str) -> None:
        """Remove the mount point's line; every other line stays as it is."""
        text = self._fstab(f"Remove the line of {target} yourself")
        if (left := without_line(text, target)) != text:
            self.write(_WRITE, "/etc/fstab", content=left.encode())

    def _fstab(self, remedy: str) -> str:
        text = self.run("cat /etc/fstab").out
        if "\ufffd" in text:
            raise LakeError("change", "/etc/fstab", "it is not UTF-8 text, so its other lines would not stay as they are", remedy)
        return text

    def mount(self, target: str) -> None:
        """Mount it as /etc/fstab says, through systemd, so that its units know."""
        self.run(RELOAD + 'unit=$(systemd-escape -p --suffix=mount "$1"); known "$unit"; systemctl start "$unit" && mountpoint -q "$1"', target)


def parse_device(text: str) -> DeviceFacts:
    """From blkid, wipefs and dumpe2fs. Partitions, LVM and the like below the disk count as signatures too."""
    facts, blkid = pairs(text), pairs(section(text, "blkid"))
    found = [line.split(",")[-1] for line in section(text, "wipefs").splitlines() if line and not line.startswith("#")]
    kinds = [blkid[k] for k in ("TYPE", "PTTYPE") if k in blkid] + found + [line[5:] for line in text.splitlines() if line.startswith("part=")]
    state = None
    if "TYPE" in blkid and "PTTYPE" not in blkid:
        ext4 = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in section(text, "ext4").splitlines())}
        size = int(ext4.get("Block count", 0)) * int(ext4.get("Block size", 0))
        state = FilesystemState(blkid["TYPE"], blkid.get("UUID", ""), blkid.get("LABEL", ""), int(facts["bytes"]) - size < BLOCK_GROUP)
    return DeviceFacts(facts["path"], tuple(dict.fromkeys(kinds)), state)


def parse_mount(text: str, target: str) -> MountFacts:
    """From /etc/fstab, findmnt, lsattr and ls."""
    lines = [_fields(line) for line in section(text, "fstab").split("\n")]
    entry = next(((f[0].removeprefix("UUID="), f[2], f[3]) for f in lines if len(f) >= 4 and f[1] == target), None)
    after = text.rpartition("</fstab>")[2]
    facts = pairs(after)
    files = sum(line.startswith("file=") for line in after.splitlines())
    return MountFacts(entry, facts.get("mounted") or None, "i" in facts.get("attributes", "").split(" ")[0], files, facts.get("leads_to") or None)


def with_line(text: str, target: str, line: str) -> str:
    """A table of mounts with one mount point's line set.

    >>> with_line("a /x ext4 defaults 0 1\\n", "/y", "b /y ext4 defaults 0 2")
    'a /x ext4 defaults 0 1\\nb /y ext4 defaults 0 2\\n'
    """
    lines, done = [], False
    for old in text.removesuffix("\n").split("\n") if text else ():
        if _fields(old)[1:2] != [target]:
            lines.append(old)
        elif not done:
            lines.append(line)
            done = True
    return "\n".join(lines if done else [*lines, line]) + "\n"


def without_line(text: str, target: str) -> str:
    """A table of mounts without one mount point's line.

    >>> without_line("a /x ext4 defaults 0 1\\nb /y ext4 defaults 0 2\\n", "/y")
    'a /x ext4 defaults 0 1\\n'
    """
    return "".join(line for line in text.splitlines(keepends=True) if _fields(line.rstrip("\n"))[1:2] != [target])


def _fields(line: str) -> list[str]:
    """A line's fields as mount(8) reads them: nothing but blanks and tabs stands between them. None of a comment."""
    return [] if line.lstrip(" \t").startswith("#") else re.findall(r"[^ \t\r]+", line)
